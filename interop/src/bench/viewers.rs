//! Players of a film over HTTP-FLV: what they cost the server that they watch it from, ours or
//! anybody's.

use std::{
    io::{ErrorKind, Read, Write},
    net::{SocketAddr, ToSocketAddrs},
    time::{Duration, Instant},
};

use clap::Args;
use mio::{Events, Interest, Poll, Token, net::TcpStream};
use serde::Serialize;

use super::{AnyError, process::Usage};

/// Connected in one go, so that no listener's queue overflows.
const AT_ONCE: usize = 50;
const BETWEEN: Duration = Duration::from_millis(100);
/// Before the measurement: newcomers first get a whole group of pictures.
const SETTLE: Duration = Duration::from_secs(5);

/// Whom to watch, and with how many.
#[derive(Debug, Args)]
pub struct Arguments {
    /// The film, as http://ADDR:PORT/NAME.flv
    url: String,
    /// The server's process ID, whose CPU time and memory are read from /proc
    #[arg(long)]
    pid: u32,
    /// Players that read all
    #[arg(long, default_value_t = 500)]
    viewers: usize,
    /// Players that stop reading once the film has begun
    #[arg(long, default_value_t = 0)]
    stalled: usize,
    /// How long is measured
    #[arg(long, default_value_t = 20, value_name = "SECONDS")]
    seconds: u64,
}

/// What the players cost.
#[derive(Debug, Serialize)]
pub struct Figures {
    bench: &'static str,
    viewers: usize,
    stalled: usize,
    seconds: f64,
    bytes: u64,
    /// Players whose connection was closed by the server.
    closed: usize,
    /// The fewest bytes that one which reads got.
    least_bytes: u64,
    server: Usage,
    server_cpu_seconds_per_gigabyte: f64,
}

struct Player {
    stream: TcpStream,
    request: Option<String>,
    is_stalled: bool,
    is_closed: bool,
    bytes: u64,
}

/// Runs all players in this thread.
pub fn run(arguments: &Arguments) -> Result<Figures, AnyError> {
    let (address, request) = parse(&arguments.url)?;
    let mut poll = Poll::new()?;
    let mut players = Vec::new();
    let count = arguments.viewers + arguments.stalled;
    while players.len() < count {
        for index in players.len()..count.min(players.len() + AT_ONCE) {
            let mut stream = TcpStream::connect(address)?;
            let interest = Interest::READABLE | Interest::WRITABLE;
            poll.registry().register(&mut stream, Token(index), interest)?;
            let request = Some(request.clone());
            let is_stalled = index >= arguments.viewers;
            players.push(Player { stream, request, is_stalled, is_closed: false, bytes: 0 });
        }
        serve(&mut poll, &mut players, BETWEEN)?;
    }
    serve(&mut poll, &mut players, SETTLE)?;
    players.iter_mut().for_each(|player| player.bytes = 0);
    let (before, begin) = (Usage::of(arguments.pid)?, Instant::now());
    serve(&mut poll, &mut players, Duration::from_secs(arguments.seconds))?;
    let seconds = begin.elapsed().as_secs_f64();
    let server = Usage::of(arguments.pid)?.since(before);
    let bytes = players.iter().map(|player| player.bytes).sum();
    let reading = players.iter().filter(|player| !player.is_stalled);
    Ok(Figures {
        bench: "viewers",
        viewers: arguments.viewers,
        stalled: arguments.stalled,
        seconds,
        bytes,
        closed: players.iter().filter(|player| player.is_closed).count(),
        least_bytes: reading.map(|player| player.bytes).min().unwrap_or(0),
        server,
        server_cpu_seconds_per_gigabyte: server.cpu_seconds / (bytes as f64 / 1e9),
    })
}

fn parse(url: &str) -> Result<(SocketAddr, String), AnyError> {
    let rest = url.strip_prefix("http://").ok_or("write http://ADDR:PORT/NAME.flv")?;
    let (authority, path) = rest.split_once('/').ok_or("the URL names no film")?;
    let address = authority.to_socket_addrs()?.next().ok_or("the host has no address")?;
    Ok((address, format!("GET /{path} HTTP/1.1\r\nHost: {authority}\r\n\r\n")))
}

/// Lets players read for so long.
fn serve(poll: &mut Poll, players: &mut [Player], time: Duration) -> Result<(), AnyError> {
    let until = Instant::now() + time;
    let mut events = Events::with_capacity(1024);
    let mut buffer = vec![0; 1 << 16];
    loop {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(());
        }
        poll.poll(&mut events, Some(left))?;
        for event in &events {
            if let Some(player) = players.get_mut(event.token().0) {
                player.advance(&mut buffer);
            }
        }
    }
}

impl Player {
    fn advance(&mut self, buffer: &mut [u8]) {
        if let Some(request) = &self.request {
            match self.stream.write(request.as_bytes()) {
                Ok(_) => self.request = None,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(_) => self.is_closed = true,
            }
        }
        let has_enough = |player: &Self| player.is_stalled && player.bytes > 0;
        while !self.is_closed && !has_enough(self) {
            match self.stream.read(buffer) {
                Ok(0) => self.is_closed = true,
                Ok(count) => self.bytes += count as u64,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(_) => self.is_closed = true,
            }
        }
    }
}
