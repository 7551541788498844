//! Many bytes from one process to another.

use std::{
    collections::HashMap,
    io::Read,
    net::SocketAddr,
    sync::mpsc::{Sender, channel},
    time::{Duration, Instant},
};

use bytes::Bytes;
use clap::Args;
use rtmfp::{
    Config, Endpoint, Event, FlowEvent, FlowOptions, ProtectionRules, SessionId,
    crypto::{Discriminator, Identity},
    net::{App, Driver, Remote},
};
use serde::Serialize;

use super::{
    AnyError, ServeArguments,
    process::{Role, Usage},
};

/// Bytes of one message; a frame of video or so.
const MESSAGE: usize = 16 << 10;
/// Kept queued on each session.
const QUEUED: usize = 1 << 20;

/// How much, over how many sessions.
#[derive(Debug, Args)]
pub struct Arguments {
    /// Megabytes in all
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u64).range(1..))]
    megabytes: u64,
    /// Sessions that share them
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..))]
    sessions: u64,
    #[command(flatten)]
    serve: ServeArguments,
}

/// The sender's part.
#[derive(Debug, Args)]
pub struct SendArguments {
    #[arg(long)]
    to: SocketAddr,
    #[arg(long)]
    total: u64,
    #[arg(long)]
    sessions: u64,
    #[command(flatten)]
    serve: ServeArguments,
}

/// What a bulk transfer took.
#[derive(Debug, Serialize)]
pub struct Figures {
    bench: &'static str,
    bytes: u64,
    sessions: u64,
    /// Checksums only.
    bare: bool,
    wall_seconds: f64,
    megabits_per_second: f64,
    sender: Usage,
    receiver: Usage,
    /// Of both sides together.
    cpu_seconds_per_gigabyte: f64,
}

/// Runs both processes.
pub fn run(arguments: &Arguments) -> Result<Figures, AnyError> {
    let bytes = arguments.megabytes * 1_000_000 / arguments.sessions * arguments.sessions;
    let serve = ServeArguments { bytes, ..arguments.serve.clone() };
    let mut receiver = Role::start("serve", &serve.to_arguments())?;
    let address = receiver.line()?;
    let mut to_sender = arguments.serve.to_arguments();
    for (name, value) in [
        ("--to", address),
        ("--total", bytes.to_string()),
        ("--sessions", arguments.sessions.to_string()),
    ] {
        to_sender.extend([name.to_owned(), value]);
    }
    let mut sender = Role::start("send", &to_sender)?;
    // Sessions are open; what follows is the transfer.
    sender.line()?;
    let before = (Usage::of(sender.pid())?, Usage::of(receiver.pid())?);
    let begin = Instant::now();
    sender.go()?;
    receiver.line()?;
    let wall_seconds = begin.elapsed().as_secs_f64();
    let sender_usage = Usage::of(sender.pid())?.since(before.0);
    let receiver_usage = Usage::of(receiver.pid())?.since(before.1);
    sender.end()?;
    receiver.end()?;
    Ok(Figures {
        bench: "bulk",
        bytes,
        sessions: arguments.sessions,
        bare: arguments.serve.bare,
        wall_seconds,
        megabits_per_second: bytes as f64 * 8.0 / wall_seconds / 1e6,
        sender: sender_usage,
        receiver: receiver_usage,
        cpu_seconds_per_gigabyte: (sender_usage.cpu_seconds + receiver_usage.cpu_seconds)
            / (bytes as f64 / 1e9),
    })
}

pub(super) fn endpoint(identity: Identity, serve: &ServeArguments) -> Endpoint {
    let protection = ProtectionRules { default: serve.policy(), rules: Vec::new() };
    let config = Config {
        protection,
        key_log: rtmfp::net::key_log_from_env(),
        max_sessions: 200_000,
        ..Config::default()
    };
    Endpoint::new(config, identity, Instant::now(), rand::random())
}

/// Counts what arrives, or, if nothing is to be counted, sends it back.
struct Sink {
    left: Option<u64>,
    /// Our flow for each of theirs.
    answers: HashMap<(SessionId, u64), u64>,
}

impl App for Sink {
    type Command = ();

    fn on_event(&mut self, now: Instant, endpoint: &mut Endpoint, event: Event) {
        let (session, flow, data) = match event {
            Event::Flow { session, event: FlowEvent::Message { flow, data } } => {
                (session, flow, data)
            }
            Event::SessionClosed { session, .. } => {
                self.answers.retain(|(of, _), _| *of != session);
                return;
            }
            _ => return,
        };
        let Some(left) = &mut self.left else {
            let Some(mut view) = endpoint.session(session) else { return };
            let answer = *self
                .answers
                .entry((session, flow))
                .or_insert_with(|| view.open_flow(b"echo", Some(flow), FlowOptions::default()));
            let _ = view.send(now, answer, data, None);
            return;
        };
        *left = left.saturating_sub(data.len() as u64);
        if *left == 0 {
            println!("all");
        }
    }

    /// Whoever measures wants to know how many sessions there are.
    fn on_command(&mut self, _: Instant, endpoint: &mut Endpoint, (): ()) {
        println!("{}", endpoint.stats().sessions);
    }
}

/// The measured server: prints its address, serves until its input ends.
pub fn serve(arguments: &ServeArguments) -> Result<(), AnyError> {
    let left = (arguments.bytes > 0).then_some(arguments.bytes);
    let sink = Sink { left, answers: HashMap::new() };
    let endpoint = endpoint(arguments.identity()?, arguments);
    let (driver, remote) = Driver::bind(&[SocketAddr::from(([127, 0, 0, 1], 0))], endpoint, sink)?;
    println!("{}", driver.local_addresses()[0]);
    until_input_ends(remote)?;
    driver.run()?;
    Ok(())
}

/// Asks the driver's application for each byte of our input, and stops it when that ends.
fn until_input_ends(remote: Remote<()>) -> Result<(), AnyError> {
    std::thread::Builder::new().name("input".into()).spawn(move || {
        let mut input = std::io::BufReader::new(std::io::stdin()).bytes();
        while let Some(Ok(_)) = input.next() {
            let _ = remote.send(());
        }
        let _ = remote.stop();
    })?;
    Ok(())
}

/// Keeps some messages queued on its session until all are sent.
struct Source {
    message: Bytes,
    opened: Sender<()>,
    stream: Option<(SessionId, u64)>,
    left: u64,
    /// When to look at what is still queued, once it is told to go.
    look: Option<Instant>,
}

/// Between looks.
const LOOK: Duration = Duration::from_millis(1);

impl Source {
    fn fill(&mut self, now: Instant, endpoint: &mut Endpoint) {
        let Some((session, flow)) = self.stream else { return };
        let Some(mut view) = endpoint.session(session) else { return };
        while self.left > 0 && view.buffered_on(flow) < QUEUED {
            let size = self.left.min(MESSAGE as u64);
            self.left -= size;
            let _ = view.send(now, flow, self.message.slice(..size as usize), None);
        }
    }
}

impl App for Source {
    type Command = ();

    fn on_event(&mut self, _: Instant, endpoint: &mut Endpoint, event: Event) {
        let Event::SessionOpened { session, .. } = event else { return };
        let Some(mut view) = endpoint.session(session) else { return };
        self.stream = Some((session, view.open_flow(b"bulk", None, FlowOptions::default())));
        let _ = self.opened.send(());
    }

    fn on_command(&mut self, now: Instant, _: &mut Endpoint, (): ()) {
        self.look = Some(now);
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.look.filter(|_| self.left > 0)
    }

    fn on_timeout(&mut self, now: Instant, endpoint: &mut Endpoint) {
        self.fill(now, endpoint);
        self.look = Some(now + LOOK);
    }
}

/// The sending process. A server knows clients by their addresses, so each session has a socket,
/// and a thread, of its own.
pub fn send(arguments: &SendArguments) -> Result<(), AnyError> {
    let (opened, all_open) = channel();
    let mut threads = Vec::new();
    for _ in 0..arguments.sessions {
        let source = Source {
            message: vec![0x5a; MESSAGE].into(),
            opened: opened.clone(),
            stream: None,
            left: arguments.total / arguments.sessions,
            look: None,
        };
        let mut endpoint = endpoint(Identity::peer(&mut rand::rng()), &arguments.serve);
        let wanted = Discriminator::AncillaryData(b"rtmfp://127.0.0.1/bench".to_vec());
        endpoint.open(Instant::now(), wanted, &[arguments.to])?;
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let (driver, remote) = Driver::bind(&[any], endpoint, source)?;
        threads.push((remote, std::thread::spawn(move || driver.run().map(|_| ()))));
    }
    (0..arguments.sessions).try_for_each(|_| all_open.recv_timeout(Duration::from_secs(100)))?;
    println!("open");
    // The one who measures has looked at us when it says go.
    std::io::stdin().read_exact(&mut [0])?;
    threads.iter().try_for_each(|(remote, _)| remote.send(()))?;
    std::io::stdin().read_to_end(&mut Vec::new())?;
    for (remote, thread) in threads {
        let _ = remote.stop();
        let _ = thread.join();
    }
    Ok(())
}
