//! What many clients cost a server: sessions opened, sessions kept, hellos answered.

use std::{
    hint::black_box,
    net::SocketAddr,
    time::{Duration, Instant},
};

use clap::Args;
use rtmfp::{
    Config, Event, Liveness, SessionId,
    crypto::{Discriminator, Group, KeyPair, PacketKeys},
    wire::{Flags, Mode, PacketHeader, chunk::InitiatorHello},
};
use serde::Serialize;

use super::{
    AnyError, Target,
    crowd::{Crowd, HelloCrowd},
    process::{Role, Usage, thread_cpu_seconds},
};

/// The server that is measured: ours in a child process, or somebody else's.
pub(super) struct Measured {
    pub address: SocketAddr,
    pid: u32,
    child: Option<Role>,
}

impl Measured {
    pub fn start(target: &Target) -> Result<Self, AnyError> {
        if let (Some(address), Some(pid)) = (target.against, target.pid) {
            return Ok(Self { address, pid, child: None });
        }
        let mut child = Role::start("serve", &target.serve.to_arguments())?;
        let address = child.line()?.parse()?;
        Ok(Self { address, pid: child.pid(), child: Some(child) })
    }

    pub fn usage(&self) -> Result<Usage, AnyError> {
        Usage::of(self.pid)
    }

    /// How many sessions it has, if it is ours.
    pub fn sessions(&mut self) -> Result<Option<usize>, AnyError> {
        let Some(child) = &mut self.child else { return Ok(None) };
        child.go()?;
        Ok(Some(child.line()?.parse()?))
    }

    pub fn end(self) -> Result<(), AnyError> {
        self.child.map_or(Ok(()), Role::end)
    }
}

/// How many sessions, opened how.
#[derive(Debug, Args)]
pub struct OpenArguments {
    /// Sessions in all
    #[arg(long, default_value_t = 5000, value_parser = at_least_one)]
    sessions: usize,
    /// Clients that open them at the same time
    #[arg(long, default_value_t = 32, value_parser = at_least_one)]
    clients: usize,
    #[command(flatten)]
    target: Target,
}

/// What opening took.
#[derive(Debug, Serialize)]
pub struct OpenFigures {
    bench: &'static str,
    sessions: usize,
    group: u64,
    bytes_to_server: u64,
    bytes_to_clients: u64,
    wall_seconds: f64,
    server: Usage,
    clients: Usage,
    sessions_per_cpu_second: f64,
    /// A key pair and an agreement in the same group with the same exponents, in this process.
    bare_keyings_per_cpu_second: f64,
    /// How near the server comes to that.
    share_of_bare: f64,
}

/// Opens sessions, each closed as soon as it is open.
pub fn open(arguments: &OpenArguments) -> Result<OpenFigures, AnyError> {
    let group = arguments.target.serve.group()?;
    let measured = Measured::start(&arguments.target)?;
    let mut crowd = Crowd::new(arguments.clients, group, &Config::default())?;
    let (mut begun, mut opened, mut open_now) = (0, 0, Vec::<(usize, Option<SessionId>)>::new());
    let before = (measured.usage()?, Usage::own()?);
    let begin = Instant::now();
    for member in 0..arguments.clients.min(arguments.sessions) {
        crowd.open(member, measured.address)?;
        begun += 1;
    }
    while opened < arguments.sessions {
        if begin.elapsed() > Duration::from_secs(300) {
            return Err(format!("only {opened} sessions opened in five minutes").into());
        }
        crowd.run(Duration::from_millis(100), |member, event| match event {
            Event::SessionOpened { session, .. } => open_now.push((member, Some(session))),
            Event::OpenFailed { .. } => open_now.push((member, None)),
            _ => {}
        })?;
        for (member, session) in open_now.drain(..) {
            if let Some(session) = session {
                opened += 1;
                crowd.with(member, |now, endpoint| {
                    if let Some(view) = endpoint.session(session) {
                        view.close(now);
                    }
                })?;
            }
            if begun < arguments.sessions || session.is_none() {
                begun += usize::from(session.is_some());
                crowd.open(member, measured.address)?;
            }
        }
    }
    let wall_seconds = begin.elapsed().as_secs_f64();
    let server = measured.usage()?.since(before.0);
    let clients = Usage::own()?.since(before.1);
    measured.end()?;
    let (rate, bare) = (arguments.sessions as f64 / server.cpu_seconds, bare_keyings(group));
    Ok(OpenFigures {
        bench: "open",
        sessions: arguments.sessions,
        group: group.number(),
        bytes_to_server: crowd.bytes_sent,
        bytes_to_clients: crowd.bytes_received,
        wall_seconds,
        server,
        clients,
        sessions_per_cpu_second: rate,
        bare_keyings_per_cpu_second: bare,
        share_of_bare: rate / bare,
    })
}

/// What an ephemeral responder must compute for a session, alone, in a loop.
fn bare_keyings(group: Group) -> f64 {
    const COUNT: u32 = 500;
    let mut rng = rand::rng();
    let far = KeyPair::generate(group, &mut rng);
    let begin = thread_cpu_seconds();
    for _ in 0..COUNT {
        let near = KeyPair::generate(group, &mut rng);
        let _ = black_box(near.agree(far.public()));
    }
    f64::from(COUNT) / (thread_cpu_seconds() - begin)
}

pub(super) fn at_least_one(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(0) => Err("at least 1 is needed".into()),
        Ok(number) => Ok(number),
        Err(error) => Err(format!("{error}")),
    }
}

/// How many sessions, and how many die.
#[derive(Debug, Args)]
pub struct IdleArguments {
    /// Sessions that do nothing
    #[arg(long, default_value_t = 20_000, value_parser = at_least_one)]
    sessions: usize,
    /// Percent of them that vanish without a word
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u8).range(0..=100))]
    dying: u8,
    /// Seconds until the server must have noticed; ours takes 35
    #[arg(long, default_value_t = 40.0)]
    settle: f64,
    #[command(flatten)]
    target: Target,
}

/// What keeping sessions takes.
#[derive(Debug, Serialize)]
pub struct IdleFigures {
    bench: &'static str,
    sessions: usize,
    bytes_to_server: u64,
    bytes_to_clients: u64,
    wall_seconds: f64,
    clients: Usage,
    before: Usage,
    with_all: Usage,
    bytes_per_session: f64,
    /// CPU time in ten seconds in which nothing but keepalives happens.
    cpu_in_ten_idle_seconds: f64,
    died: usize,
    /// As our server counts them; others are not asked.
    sessions_after_death: Option<usize>,
    after_death: Usage,
    /// With as many new clients in their place.
    after_replacement: Usage,
}

/// Opens sessions and leaves them alone; then some die and others take their place.
pub fn idle(arguments: &IdleArguments) -> Result<IdleFigures, AnyError> {
    let begin = Instant::now();
    let mut measured = Measured::start(&arguments.target)?;
    let died = arguments.sessions * usize::from(arguments.dying) / 100;
    let patient =
        Liveness { keepalive: Duration::from_secs(300), give_up: Duration::from_secs(300) };
    let config = Config { liveness: patient, ..Config::default() };
    let group = arguments.target.serve.group()?;
    let mut crowd = Crowd::new(arguments.sessions + died, group, &config)?;
    let (before, own) = (measured.usage()?, Usage::own()?);
    open_all(&mut crowd, 0..arguments.sessions, measured.address)?;
    let with_all = measured.usage()?;
    wait(&mut crowd, Duration::from_secs(10))?;
    let later = measured.usage()?;
    (0..died).for_each(|member| crowd.kill(member));
    // Silence, a ping without an answer, and the end.
    wait(&mut crowd, Duration::try_from_secs_f64(arguments.settle)?)?;
    let (after_death, sessions_after_death) = (measured.usage()?, measured.sessions()?);
    open_all(&mut crowd, arguments.sessions..arguments.sessions + died, measured.address)?;
    let after_replacement = measured.usage()?;
    measured.end()?;
    let grown = with_all.resident_bytes.saturating_sub(before.resident_bytes);
    Ok(IdleFigures {
        bench: "idle",
        sessions: arguments.sessions,
        bytes_to_server: crowd.bytes_sent,
        bytes_to_clients: crowd.bytes_received,
        wall_seconds: begin.elapsed().as_secs_f64(),
        clients: Usage::own()?.since(own),
        before,
        with_all,
        bytes_per_session: grown as f64 / arguments.sessions as f64,
        cpu_in_ten_idle_seconds: later.since(with_all).cpu_seconds,
        died,
        sessions_after_death,
        after_death,
        after_replacement,
    })
}

fn wait(crowd: &mut Crowd, time: Duration) -> Result<(), AnyError> {
    let until = Instant::now() + time;
    while Instant::now() < until {
        crowd.run(Duration::from_millis(100), |_, _| ())?;
    }
    Ok(())
}

/// Opens a session of each member, some at a time.
fn open_all(
    crowd: &mut Crowd,
    members: std::ops::Range<usize>,
    to: SocketAddr,
) -> Result<(), AnyError> {
    const AT_ONCE: usize = 64;
    let count = members.len();
    let (mut waiting, mut under_way, mut opened) = (members, 0, 0);
    let begin = Instant::now();
    while opened < count {
        while under_way < AT_ONCE {
            let Some(member) = waiting.next() else { break };
            crowd.open(member, to)?;
            under_way += 1;
        }
        let (before, mut has_failed) = (opened, false);
        crowd.run(Duration::from_millis(100), |_, event| {
            opened += usize::from(matches!(event, Event::SessionOpened { .. }));
            has_failed |= matches!(event, Event::OpenFailed { .. });
        })?;
        if has_failed {
            return Err(format!("a session did not open, after {opened} that did").into());
        }
        under_way -= (opened - before).min(under_way);
        if begin.elapsed() > Duration::from_secs(300) {
            return Err(format!("only {opened} of {count} sessions opened in five minutes").into());
        }
    }
    Ok(())
}

/// How long to say hello.
#[derive(Debug, Args)]
pub struct HelloArguments {
    /// Seconds
    #[arg(long, default_value_t = 5.0)]
    seconds: f64,
    #[command(flatten)]
    target: Target,
}

/// What hellos took.
#[derive(Debug, Serialize)]
pub struct HelloFigures {
    bench: &'static str,
    sent: u64,
    answered: u64,
    bytes_to_server: u64,
    bytes_to_clients: u64,
    wall_seconds: f64,
    server: Usage,
    clients: Usage,
    hellos_per_cpu_second: f64,
}

/// Says hello as fast as answers come, and never keys a session. Each hello comes from another of
/// many addresses, as a server bounds what it answers to one.
pub fn hello(arguments: &HelloArguments) -> Result<HelloFigures, AnyError> {
    const IN_FLIGHT: u64 = 256;
    const SOURCES: u32 = 4096;
    let measured = Measured::start(&arguments.target)?;
    let mut crowd = HelloCrowd::new()?;
    let datagram = hello_datagram(measured.address);
    let before = (measured.usage()?, Usage::own()?);
    let (begin, mut sent, mut answered, mut expected) = (Instant::now(), 0, 0, 0u64);
    while begin.elapsed().as_secs_f64() < arguments.seconds {
        while expected < IN_FLIGHT {
            crowd.send(measured.address, sent as u32 % SOURCES, &datagram);
            sent += 1;
            expected += 1;
        }
        match crowd.receive(Duration::from_millis(20))? {
            // Lost ones are not waited for.
            0 => expected = 0,
            count => {
                answered += count;
                expected = expected.saturating_sub(count);
            }
        }
    }
    let wall_seconds = begin.elapsed().as_secs_f64();
    let server = measured.usage()?.since(before.0);
    let clients = Usage::own()?.since(before.1);
    measured.end()?;
    Ok(HelloFigures {
        bench: "hello",
        sent,
        answered,
        bytes_to_server: crowd.bytes_sent,
        bytes_to_clients: crowd.bytes_received,
        wall_seconds,
        server,
        clients,
        hellos_per_cpu_second: answered as f64 / server.cpu_seconds,
    })
}

fn hello_datagram(to: SocketAddr) -> Vec<u8> {
    let epd = Discriminator::AncillaryData(format!("rtmfp://{to}/bench").into_bytes()).encode();
    let (mut out, mut keys) = (Vec::new(), PacketKeys::default());
    let begun = keys.begin(&mut out);
    PacketHeader { flags: Flags::new(Mode::Startup), timestamp: Some(1), timestamp_echo: None }
        .put(&mut out);
    InitiatorHello { epd: &epd, tag: &[7; 16] }.put(&mut out);
    keys.seal(&mut out, begun, 0);
    out
}
