//! Bytes to a server and back, so that one process both receives and sends: another program that
//! echoes (rtmfp-cpp's `echoserver`) can be measured at the same work.

use std::{
    net::SocketAddr,
    sync::mpsc::{Sender, channel},
    time::{Duration, Instant},
};

use bytes::Bytes;
use clap::Args;
use rtmfp::{
    Endpoint, Event, FlowEvent, FlowOptions, SessionId,
    crypto::{Discriminator, Identity},
    net::{App, Driver},
};
use serde::Serialize;

use super::{AnyError, Target, bulk, load::Measured, process::Usage};

const MESSAGE: usize = 16 << 10;
/// Sent and not yet back, on each session.
const ON_THE_WAY: u64 = 1 << 20;

/// How much, over how many sessions.
#[derive(Debug, Args)]
pub struct Arguments {
    /// Megabytes there, and as many back
    #[arg(long, default_value_t = 500, value_parser = clap::value_parser!(u64).range(1..))]
    megabytes: u64,
    /// Sessions that share them
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..))]
    sessions: u64,
    #[command(flatten)]
    target: Target,
}

/// What echoing took the server.
#[derive(Debug, Serialize)]
pub struct Figures {
    bench: &'static str,
    bytes_each_way: u64,
    sessions: u64,
    wall_seconds: f64,
    server: Usage,
    clients: Usage,
    /// Of the one process that received and sent every byte.
    server_cpu_seconds_per_gigabyte: f64,
}

/// Runs the clients in this process.
pub fn run(arguments: &Arguments) -> Result<Figures, AnyError> {
    let share = arguments.megabytes * 1_000_000 / arguments.sessions;
    let measured = Measured::start(&arguments.target)?;
    let (told, news) = channel();
    let mut clients = Vec::new();
    for _ in 0..arguments.sessions {
        let mut endpoint =
            bulk::endpoint(Identity::peer(&mut rand::rng()), &arguments.target.serve);
        let wanted = Discriminator::AncillaryData(b"rtmfp:".to_vec());
        endpoint.open(Instant::now(), wanted, &[measured.address])?;
        let client = Client {
            message: vec![0x5a; MESSAGE].into(),
            stream: None,
            unsent: share,
            unreturned: share,
            told: told.clone(),
            may_begin: false,
        };
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let (driver, remote) = Driver::bind(&[any], endpoint, client)?;
        clients.push((remote, std::thread::spawn(move || driver.run().map(|_| ()))));
    }
    // All sessions are open; what follows is the transfer.
    (0..arguments.sessions).try_for_each(|_| news.recv_timeout(Duration::from_secs(100)))?;
    let before = (measured.usage()?, Usage::own()?);
    let begin = Instant::now();
    clients.iter().try_for_each(|(remote, _)| remote.send(()))?;
    (0..arguments.sessions).try_for_each(|_| news.recv_timeout(Duration::from_secs(300)))?;
    let wall_seconds = begin.elapsed().as_secs_f64();
    let server = measured.usage()?.since(before.0);
    let own = Usage::own()?.since(before.1);
    for (remote, thread) in clients {
        let _ = remote.stop();
        let _ = thread.join();
    }
    measured.end()?;
    let bytes = share * arguments.sessions;
    Ok(Figures {
        bench: "echo",
        bytes_each_way: bytes,
        sessions: arguments.sessions,
        wall_seconds,
        server,
        clients: own,
        server_cpu_seconds_per_gigabyte: server.cpu_seconds / (bytes as f64 / 1e9),
    })
}

struct Client {
    message: Bytes,
    stream: Option<(SessionId, u64)>,
    unsent: u64,
    unreturned: u64,
    /// Hears of the open session, and of the end.
    told: Sender<()>,
    may_begin: bool,
}

impl Client {
    fn fill(&mut self, now: Instant, endpoint: &mut Endpoint) {
        let Some((session, flow)) = self.stream else { return };
        let Some(mut view) = endpoint.session(session) else { return };
        while self.may_begin && self.unsent > 0 && self.unreturned - self.unsent < ON_THE_WAY {
            let size = self.unsent.min(MESSAGE as u64);
            self.unsent -= size;
            let _ = view.send(now, flow, self.message.slice(..size as usize), None);
        }
    }
}

impl App for Client {
    type Command = ();

    fn on_event(&mut self, now: Instant, endpoint: &mut Endpoint, event: Event) {
        match event {
            Event::SessionOpened { session, .. } => {
                let Some(mut view) = endpoint.session(session) else { return };
                let flow = view.open_flow(b"echo", None, FlowOptions::default());
                self.stream = Some((session, flow));
                let _ = self.told.send(());
            }
            Event::Flow { event: FlowEvent::Message { data, .. }, .. } => {
                let left = self.unreturned.saturating_sub(data.len() as u64);
                if std::mem::replace(&mut self.unreturned, left) > 0 && left == 0 {
                    let _ = self.told.send(());
                }
            }
            _ => {}
        }
        self.fill(now, endpoint);
    }

    fn on_command(&mut self, now: Instant, endpoint: &mut Endpoint, (): ()) {
        self.may_begin = true;
        self.fill(now, endpoint);
    }
}
