//! A group of real members on loopback: each with an endpoint, a socket and a thread of its own, in
//! a few processes. One of them casts a film, and all tell what the simulator tells of its hosts.

mod member;

use std::{
    io::{BufRead, BufReader},
    net::SocketAddr,
    process::{Child, Command, Stdio},
    time::{Duration, SystemTime},
};

use clap::Args;
use rtmfp::ServerUrl;
use serde::{Deserialize, Serialize};

use super::{AnyError, process::Usage};
use crate::swarm::{figures::Tally, report::Quantiles};
use member::{Member, Place};

/// Each is a thread and a socket.
const MAX_MEMBERS: usize = 5000;
/// Processes get this long to start before the first member joins.
const LEAD: Duration = Duration::from_millis(500);

/// How many, where, and what they watch.
#[derive(Debug, Clone, Args)]
pub struct Arguments {
    /// Members besides the caster
    #[arg(long, default_value_t = 100)]
    members: usize,
    /// Processes that they are spread over
    #[arg(long, default_value_t = 4)]
    processes: usize,
    /// Seconds within which all join
    #[arg(long, default_value_t = 20.0)]
    over: f64,
    /// Seconds from then on
    #[arg(long, default_value_t = 180.0)]
    seconds: f64,
    /// Groups that each is in, over one connection
    #[arg(long, default_value_t = 1)]
    channels: usize,
    /// Kilobits a second of each film; 0 for none
    #[arg(long, default_value_t = 500.0)]
    kbits: f64,
    /// Members that lie, each in its own way; they do not count as viewers
    #[arg(long, default_value_t = 0)]
    liars: usize,
    /// A server that runs already, in place of one of our own
    #[arg(long, value_name = "URL")]
    server: Option<ServerUrl>,
    /// Which process this is, and when it all began, in microseconds since 1970
    #[arg(long, hide = true, requires = "began")]
    part: Option<usize>,
    #[arg(long, hide = true)]
    began: Option<u64>,
}

/// What one member or one process saw.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Part {
    tally: Tally,
    cpu_seconds: f64,
    /// In the last part of the run: sessions opened or lost by any member.
    moves: u64,
    most_sessions: usize,
    peak_bytes: u64,
}

/// What came of it.
#[derive(Debug, Serialize)]
pub struct Figures {
    bench: &'static str,
    members: usize,
    channels: usize,
    seconds: f64,
    /// Part of the messages owed that were played within 8 s, 0 to 1.
    continuity: Option<f64>,
    delay_ms: Quantiles,
    start_ms: Quantiles,
    duplicate_share: f64,
    control_share: f64,
    longest_gap_ms: f64,
    /// What the caster sent in all, to what it published.
    source_ratio: f64,
    /// Sessions that were opened or lost, counted at both ends, from two minutes after the last came, or
    /// in the last third of a shorter run.
    moves_at_rest: u64,
    /// Sessions with others that any member has at the end; a pair shares one for all its groups.
    most_sessions: usize,
    /// Times that a member dropped a liar, and somebody else for lying.
    liars_dropped: u64,
    honest_dropped: u64,
    /// The most memory that a process of them took.
    peak_bytes: u64,
    /// Of one core, by all processes, for each member.
    core_percent_a_member: f64,
}

/// Runs the members, or one process's part of them.
pub fn run(arguments: &Arguments) -> Result<(), AnyError> {
    arguments.check()?;
    match arguments.part {
        Some(part) => {
            println!("{}", serde_json::to_string(&run_part(arguments, part)?)?);
            Ok(())
        }
        None => super::print(&run_all(arguments)?),
    }
}

fn run_all(arguments: &Arguments) -> Result<Figures, AnyError> {
    let listen = vec![SocketAddr::from(([127, 0, 0, 1], 0)).into()];
    let config = rtmfpd::ServerConfig { listen, ..Default::default() };
    let server = match arguments.server {
        Some(_) => None,
        None => Some(rtmfpd::start(&config)?),
    };
    let url = match (&arguments.server, &server) {
        (Some(url), _) => url.to_string(),
        (None, Some(server)) => server.url(),
        (None, None) => return Err("no server".into()),
    };
    let began = SystemTime::now() + LEAD;
    let began = began.duration_since(SystemTime::UNIX_EPOCH)?.as_micros();
    let parts = 0..arguments.processes;
    let children: Vec<Child> =
        parts.map(|part| child(arguments, &url, part, began)).collect::<Result<_, AnyError>>()?;
    let mut sum = Part::default();
    for child in children {
        let part = outcome(child)?;
        sum.add(&part);
    }
    if arguments.kbits > 0.0 && sum.tally.fragments == 0 {
        return Err(format!("no member got anything of a film: is there a server at {url}?").into());
    }
    Ok(Figures::new(arguments, &sum))
}

fn child(arguments: &Arguments, url: &str, part: usize, began: u128) -> Result<Child, AnyError> {
    let options = [
        ("--members", arguments.members.to_string()),
        ("--processes", arguments.processes.to_string()),
        ("--over", arguments.over.to_string()),
        ("--seconds", arguments.seconds.to_string()),
        ("--channels", arguments.channels.to_string()),
        ("--kbits", arguments.kbits.to_string()),
        ("--liars", arguments.liars.to_string()),
        ("--server", url.to_owned()),
        ("--part", part.to_string()),
        ("--began", began.to_string()),
    ];
    let options = options.iter().flat_map(|(name, value)| [*name, value.as_str()]);
    Ok(Command::new(std::env::current_exe()?)
        .args(["bench", "members"])
        .args(options)
        .stdout(Stdio::piped())
        .spawn()?)
}

fn outcome(mut child: Child) -> Result<Part, AnyError> {
    let mut line = String::new();
    let stdout = child.stdout.take().ok_or("no output")?;
    BufReader::new(stdout).read_line(&mut line)?;
    child.wait()?;
    serde_json::from_str(&line)
        .map_err(|error| format!("a process of members told nothing: {error}").into())
}

fn run_part(arguments: &Arguments, part: usize) -> Result<Part, AnyError> {
    let url = arguments.server.clone().ok_or("a part needs --server")?;
    let began = Duration::from_micros(arguments.began.unwrap_or_default());
    let place = Place::new(SystemTime::UNIX_EPOCH + began, url, arguments)?;
    let numbers = (0..=arguments.members).filter(|number| number % arguments.processes == part);
    let mut members = Vec::new();
    for number in numbers {
        place.sleep_until(place.joins(number));
        members.push(Member::start(&place, number)?);
    }
    place.sleep_until(place.ends());
    let Usage { cpu_seconds, peak_bytes, .. } = Usage::own()?;
    let mut sum = Part { cpu_seconds, peak_bytes, ..Part::default() };
    for member in members {
        sum.add(&member.stop()?);
    }
    Ok(sum)
}

impl Arguments {
    fn check(&self) -> Result<(), AnyError> {
        let is_time = |seconds: f64| (0.0..=86_400.0).contains(&seconds);
        if self.members == 0 {
            return Err("--members: one at least, please".into());
        }
        if self.liars > self.members {
            return Err("--liars: no more than --members, please".into());
        }
        if self.members > MAX_MEMBERS {
            return Err(format!("--members: {MAX_MEMBERS} at most, please").into());
        }
        if !(1..=16).contains(&self.channels) {
            return Err("--channels: 1 to 16, please".into());
        }
        if self.kbits != 0.0 && !(70.0..=50_000.0).contains(&self.kbits) {
            return Err("--kbits: 0, or 70 to 50000, please".into());
        }
        if self.processes == 0 || !is_time(self.over) || !is_time(self.seconds) {
            return Err(
                "--processes from 1 on, --over and --seconds from 0 to 86400, please".into()
            );
        }
        Ok(())
    }
}

impl Part {
    fn add(&mut self, other: &Self) {
        self.tally.absorb(&other.tally);
        self.cpu_seconds += other.cpu_seconds;
        self.moves += other.moves;
        self.peak_bytes = self.peak_bytes.max(other.peak_bytes);
        self.most_sessions = self.most_sessions.max(other.most_sessions);
    }
}

impl Figures {
    fn new(arguments: &Arguments, part: &Part) -> Self {
        let tally = &part.tally;
        let share = |part: u64, of: u64| if of == 0 { 0.0 } else { part as f64 / of as f64 };
        let seconds = arguments.over + arguments.seconds;
        // Those who came last were there for a shorter time.
        let member_seconds =
            (arguments.members + 1) as f64 * (arguments.seconds + arguments.over / 2.0);
        Self {
            bench: "members",
            members: arguments.members,
            channels: arguments.channels,
            seconds,
            continuity: (tally.owed > 0).then(|| share(tally.in_time, tally.owed)),
            delay_ms: Quantiles::of(&tally.delay),
            start_ms: Quantiles::of(&tally.start),
            duplicate_share: share(tally.duplicates, tally.fragments),
            control_share: share(tally.control_bytes, tally.control_bytes + tally.media_bytes),
            longest_gap_ms: tally.longest_gap.as_secs_f64() * 1000.0,
            source_ratio: share(tally.source_sent, tally.source_published),
            moves_at_rest: part.moves,
            most_sessions: part.most_sessions,
            liars_dropped: tally.liars_dropped,
            honest_dropped: tally.honest_dropped,
            peak_bytes: part.peak_bytes,
            core_percent_a_member: part.cpu_seconds / member_seconds * 100.0,
        }
    }
}
