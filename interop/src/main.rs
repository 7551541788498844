//! `rtmfp-interop`: judges RTMFP programs, reads captures, measures our own.

use std::{
    io::{BufWriter, Write},
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
    time::Duration,
};

use clap::{Parser, Subcommand};
use interop::{
    bench::{self, Bench},
    capture::{read_keys, read_pcap_counting},
    decode::{Decoder, Summary},
    judge::{self, Case, Context, Exceptions, Failure, Level, Reception, Report, Verdict},
    swarm,
};
use netgroup::GroupSpec;

/// What one worker of a simulation allocates another frees, millions of times.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// flvcast's channel `cctv`.
const DEFAULT_GROUP: &str =
    "G:0100010101020103010c1c0e626974747562652e76616e64657262696c742e6564752f6363747600";

/// Judges RTMFP programs: conformance cases against a server, captures made readable, benchmarks.
#[derive(Debug, Parser)]
#[command(name = "rtmfp-interop", version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the conformance cases against a server, a client or a group member
    Run(Box<RunArguments>),
    /// List the conformance cases
    List,
    /// Make a capture readable
    Decode(DecodeArguments),
    /// Simulate a swarm of thousands in virtual time
    Swarm(swarm::Arguments),
    /// Measure our stack on loopback
    #[command(subcommand)]
    Bench(Bench),
}

/// Prints a line for each case as it ends. Exit code 0: nothing failed that is not in the
/// exceptions; 1: something did; 2: the cases could not be run.
#[derive(Debug, clap::Args)]
struct RunArguments {
    /// Of the server, as rtmfp://HOST:PORT/APP; port 1935 and no application if left out
    #[arg(required_unless_present_any = ["as_server", "as_peer"])]
    url: Option<String>,
    /// Judge clients instead: listen here, and take each that connects through one case
    #[arg(long, value_name = "ADDR:PORT", conflicts_with = "url")]
    as_server: Option<SocketAddr>,
    /// Judge members of a group instead: be their server here, and a neighbour in their group
    #[arg(long, value_name = "ADDR:PORT", conflicts_with_all = ["url", "as_server"])]
    as_peer: Option<SocketAddr>,
    /// With --as-peer: the group
    #[arg(long, value_name = "G:…", default_value = DEFAULT_GROUP, conflicts_with = "url")]
    groupspec: GroupSpec,
    /// Starts a client for each case, by the shell; {url} in it becomes where to connect
    #[arg(long, value_name = "COMMAND", conflicts_with = "url")]
    client: Option<String>,
    /// How long a client may take to come
    #[arg(long, value_name = "SECONDS", default_value_t = 30.0, conflicts_with = "url")]
    wait: f64,
    /// Only cases that are as binding as this, or more
    #[arg(long, value_enum, default_value_t = Level::Custom)]
    level: Level,
    /// Only cases whose ID or section contains this, for example keying or "§3.4"
    #[arg(long)]
    filter: Option<String>,
    /// Write a JUnit report
    #[arg(long, value_name = "FILE")]
    junit: Option<PathBuf>,
    /// Write the outcomes as JSON: an array of id, section, title, result, expected, got
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Failures that are known: a case's ID a line, and why after it
    #[arg(long, value_name = "FILE")]
    exceptions: Option<PathBuf>,
    /// How long an answer may take
    #[arg(long, value_name = "SECONDS", default_value_t = 2.0)]
    patience: f64,
    /// How long nothing must come for there to be no answer
    #[arg(long, value_name = "SECONDS", default_value_t = 0.25)]
    silence: f64,
}

/// Startup packets open with the default key; sessions with those of a key log, which our own
/// programs write to the file that RTMFP_KEYLOG names.
#[derive(Debug, clap::Args)]
struct DecodeArguments {
    /// A pcap file, as tcpdump -w writes it
    capture: PathBuf,
    /// Session keys: an AES-128 key in hex a line
    #[arg(long, value_name = "FILE")]
    keylog: Option<PathBuf>,
    /// One JSON object a line for each datagram
    #[arg(long)]
    json: bool,
}

fn main() -> ExitCode {
    env_logger::Builder::from_env(env_logger::Env::default().default_filter_or("warn")).init();
    let result = match Arguments::parse().command {
        Command::Run(arguments) => run(&arguments),
        Command::List => {
            list();
            Ok(ExitCode::SUCCESS)
        }
        Command::Decode(arguments) => decode(&arguments),
        Command::Swarm(arguments) => {
            swarm::run(&arguments).map(|()| ExitCode::SUCCESS).map_err(AnyError::from)
        }
        Command::Bench(bench) => bench::run(&bench).map(|()| ExitCode::SUCCESS),
    };
    result.unwrap_or_else(|error| {
        eprintln!("rtmfp-interop: {error}");
        ExitCode::from(CANNOT)
    })
}

/// What was asked for cannot be done, as opposed to a case that failed.
const CANNOT: u8 = 2;

type AnyError = Box<dyn std::error::Error>;

fn run(arguments: &RunArguments) -> Result<ExitCode, AnyError> {
    let exceptions = match &arguments.exceptions {
        Some(path) => Exceptions::parse(&read(path)?),
        None => Exceptions::default(),
    };
    let (mut cases, mut context) = under_test(arguments)?;
    if let Some(id) = exceptions.ids().find(|id| cases.iter().all(|case| case.id != *id)) {
        return Err(
            format!("the exceptions name {id}, which is no case; see rtmfp-interop list").into()
        );
    }
    let filter = arguments.filter.as_deref().unwrap_or_default();
    cases.retain(|case| {
        (case.id.contains(filter) || case.section.contains(filter)) && case.level <= arguments.level
    });
    if cases.is_empty() {
        return Err("no case has that in its ID or section; see rtmfp-interop list".into());
    }
    context.calibrate().map_err(|failure| nobody(&context, failure))?;
    let mut report = judge::run(&cases, &context, |outcome| {
        say(&outcome);
        if let (Verdict::Fail, Some(why)) = (outcome.result, exceptions.reason(outcome.id)) {
            say(&format_args!("      known:    {why}"));
        }
    });
    report.apply(&exceptions);
    sum_up(&report, &exceptions);
    write_reports(arguments, &report)?;
    Ok(if report.unexpected() == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// A line of output. Whoever has read enough does not end the work.
fn say(line: &dyn std::fmt::Display) {
    let _ = writeln!(std::io::stdout().lock(), "{line}");
}

/// There is nothing to judge.
fn nobody(context: &Context, failure: Failure) -> AnyError {
    let why = match failure {
        Failure::Failed { expected, got } => format!("expected {expected}, got {got}"),
        Failure::NotApplicable(why) => why,
    };
    match context.reception {
        None => {
            format!("nobody answers at {}; is the server running there? ({why})", context.target)
                .into()
        }
        Some(_) => format!("no client to judge: {why}").into(),
    }
}

fn sum_up(report: &Report, exceptions: &Exceptions) {
    let failed = report.count(Verdict::Fail);
    say(&format_args!(
        "{} passed, {failed} failed ({} of them known), {} not applicable",
        report.count(Verdict::Pass),
        failed - report.unexpected(),
        report.count(Verdict::NotApplicable)
    ));
    let passes = |id: &&str| {
        report.outcomes.iter().any(|outcome| outcome.id == *id && outcome.result == Verdict::Pass)
    };
    for id in exceptions.ids().filter(passes) {
        say(&format_args!("{id} passes now: the exceptions need not name it"));
    }
}

/// Which cases, and whom they are about.
fn under_test(arguments: &RunArguments) -> Result<(Vec<Case>, Context), AnyError> {
    let (patience, silence) = (seconds(arguments.patience)?, seconds(arguments.silence)?);
    if let Some(url) = &arguments.url {
        let target = resolve(url)?;
        let (url, round_trip) = (url.clone(), Duration::ZERO);
        let context = Context { target, url, reception: None, patience, silence, round_trip };
        return Ok((judge::for_servers(), context));
    }
    let (cases, address) = match (arguments.as_server, arguments.as_peer) {
        (Some(address), _) => (judge::for_clients(), address),
        (None, Some(address)) => (judge::for_members(), address),
        (None, None) => unreachable!("clap asks for one of them"),
    };
    let wait = seconds(arguments.wait)?;
    let group = arguments.groupspec.clone();
    let reception = Reception::open(address, arguments.client.clone(), wait, group)
        .map_err(|error| format!("cannot listen at {address}: {error}"))?;
    let mut target = reception.address()?;
    if target.ip().is_unspecified() {
        target.set_ip(match target {
            SocketAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
            SocketAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
        });
    }
    let url = format!("rtmfp://{target}");
    say(&format_args!("waiting for clients at {url}"));
    let reception = Some(Arc::new(reception));
    let round_trip = Duration::ZERO;
    Ok((cases, Context { target, url, reception, patience, silence, round_trip }))
}

fn list() {
    for (whom, cases) in [
        ("servers", judge::for_servers()),
        ("clients", judge::for_clients()),
        ("members of groups", judge::for_members()),
    ] {
        say(&format_args!("For {whom}:"));
        for case in cases {
            let level = format!("{:?}", case.level).to_lowercase();
            let Case { id, section, title, .. } = case;
            say(&format_args!("  {id:36} {section:16} {level:8} {title}"));
        }
    }
}

fn decode(arguments: &DecodeArguments) -> Result<ExitCode, AnyError> {
    let path = &arguments.capture;
    let bytes =
        std::fs::read(path).map_err(|error| format!("cannot read {}: {error}", path.display()))?;
    let keys = match &arguments.keylog {
        Some(path) => read(path)?,
        None => String::new(),
    };
    let keys = read_keys(&keys);
    if let (Some(path), 1) = (&arguments.keylog, keys.len()) {
        return Err(format!(
            "{} holds no keys; a line of one begins with 32 hex digits",
            path.display()
        )
        .into());
    }
    let (captured, cut) = read_pcap_counting(&bytes);
    if captured.is_empty() {
        let hint = "a pcap file (not pcapng) with UDP in it is needed; tcpdump -w makes one";
        return Err(format!("{} holds no datagrams: {hint}", path.display()).into());
    }
    let (mut decoder, mut summary) = (Decoder::new(keys), Summary::default());
    let mut out = BufWriter::new(std::io::stdout().lock());
    for decoded in captured.iter().flat_map(|datagram| decoder.decode(datagram)) {
        summary.add(&decoded);
        let written = match arguments.json {
            true => writeln!(out, "{}", serde_json::to_string(&decoded)?),
            false => writeln!(out, "{decoded}"),
        };
        // Whoever reads has seen enough.
        if written.is_err() {
            return Ok(ExitCode::SUCCESS);
        }
    }
    out.flush()?;
    eprintln!(
        "{} datagrams, {} opened, {} chunks malformed",
        summary.datagrams, summary.opened, summary.malformed
    );
    if cut > 0 {
        eprintln!("{cut} more were not captured whole (tcpdump -s 0 does)");
    }
    Ok(ExitCode::SUCCESS)
}

fn write_reports(arguments: &RunArguments, report: &Report) -> Result<(), AnyError> {
    let json = arguments.json.as_ref().map(|path| write(path, &report.to_json()));
    let junit = arguments.junit.as_ref().map(|path| write(path, &report.to_junit()));
    json.into_iter().chain(junit).collect()
}

fn seconds(number: f64) -> Result<Duration, AnyError> {
    const DAY: Duration = Duration::from_secs(86_400);
    Duration::try_from_secs_f64(number)
        .ok()
        .filter(|time| *time <= DAY)
        .ok_or_else(|| format!("{number} is no number of seconds up to a day").into())
}

/// The address of a name at which somebody answers; the first if nobody does.
fn resolve(url: &str) -> Result<SocketAddr, AnyError> {
    let server: rtmfp::ServerUrl = url.parse()?;
    let addresses =
        server.resolve().map_err(|error| format!("cannot find {}: {error}", server.host()))?;
    let answers = |target: &&SocketAddr| {
        let patience = Duration::from_secs(1);
        let context = Context {
            target: **target,
            url: url.to_owned(),
            reception: None,
            patience,
            silence: patience,
            round_trip: Duration::ZERO,
        };
        context.probe().is_ok_and(|mut probe| probe.hello().is_ok())
    };
    let found = match &addresses[..] {
        [only] => Some(only),
        several => several.iter().find(answers).or(several.first()),
    };
    found.copied().ok_or_else(|| "the name has no address".into())
}

fn read(path: &Path) -> Result<String, AnyError> {
    std::fs::read_to_string(path)
        .map_err(|error| format!("cannot read {}: {error}", path.display()).into())
}

fn write(path: &Path, text: &str) -> Result<(), AnyError> {
    std::fs::write(path, text)
        .map_err(|error| format!("cannot write {}: {error}", path.display()).into())
}
