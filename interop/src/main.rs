//! `rtmfp-interop`: judges RTMFP programs, reads captures, measures our own.

use std::{
    io::{BufWriter, Write},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

use clap::{Parser, Subcommand};
use interop::{
    bench::{self, Bench},
    capture::{read_keys, read_pcap},
    decode::{Decoder, Summary},
    judge::{self, Context, Exceptions, Report, Verdict},
};

/// Judges RTMFP programs: conformance cases against a server, captures made readable, benchmarks.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the conformance cases against a server
    Run(RunArguments),
    /// List the conformance cases
    List,
    /// Make a capture readable
    Decode(DecodeArguments),
    /// Measure our stack on loopback
    #[command(subcommand)]
    Bench(Bench),
}

/// Prints a line for each case as it ends. Exit code 0 only if nothing failed that is not in the
/// exceptions.
#[derive(Debug, clap::Args)]
struct RunArguments {
    /// Of the server, as rtmfp://HOST:PORT/APP; port 1935 and no application if left out
    url: String,
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
            for case in judge::all() {
                println!("{:36} {:16} {}", case.id, case.section, case.title);
            }
            Ok(ExitCode::SUCCESS)
        }
        Command::Decode(arguments) => decode(&arguments),
        Command::Bench(bench) => bench::run(&bench).map(|()| ExitCode::SUCCESS),
    };
    result.unwrap_or_else(|error| {
        eprintln!("rtmfp-interop: {error}");
        ExitCode::FAILURE
    })
}

type AnyError = Box<dyn std::error::Error>;

fn run(arguments: &RunArguments) -> Result<ExitCode, AnyError> {
    let exceptions = match &arguments.exceptions {
        Some(path) => Exceptions::parse(&read(path)?),
        None => Exceptions::default(),
    };
    let context = Context {
        target: resolve(&arguments.url)?,
        url: arguments.url.clone(),
        patience: seconds(arguments.patience)?,
        silence: seconds(arguments.silence)?,
    };
    let report = judge::run(&context, arguments.filter.as_deref(), |outcome| {
        println!("{outcome}");
        if let (Verdict::Fail, Some(why)) = (outcome.result, exceptions.reason(outcome.id)) {
            println!("      known:    {why}");
        }
    });
    if report.outcomes.is_empty() {
        return Err("no case has that in its ID or section; see rtmfp-interop list".into());
    }
    write_reports(arguments, &report)?;
    let unexpected = report.unexpected(&exceptions).count();
    println!(
        "{} passed, {} failed ({} of them known), {} not applicable",
        report.count(Verdict::Pass),
        report.count(Verdict::Fail),
        report.count(Verdict::Fail) - unexpected,
        report.count(Verdict::NotApplicable)
    );
    Ok(if unexpected == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn decode(arguments: &DecodeArguments) -> Result<ExitCode, AnyError> {
    let path = &arguments.capture;
    let bytes =
        std::fs::read(path).map_err(|error| format!("cannot read {}: {error}", path.display()))?;
    let keys = match &arguments.keylog {
        Some(path) => read(path)?,
        None => String::new(),
    };
    let captured = read_pcap(&bytes);
    if captured.is_empty() {
        let hint = "a pcap file (not pcapng) with UDP in it is needed; tcpdump -w makes one";
        return Err(format!("{} holds no datagrams: {hint}", path.display()).into());
    }
    let (mut decoder, mut summary) = (Decoder::new(read_keys(&keys)), Summary::default());
    let mut out = BufWriter::new(std::io::stdout().lock());
    for datagram in &captured {
        let decoded = decoder.decode(datagram);
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
    Ok(ExitCode::SUCCESS)
}

fn write_reports(arguments: &RunArguments, report: &Report) -> Result<(), AnyError> {
    if let Some(path) = &arguments.json {
        write(path, &report.to_json())?;
    }
    if let Some(path) = &arguments.junit {
        write(path, &report.to_junit())?;
    }
    Ok(())
}

fn seconds(number: f64) -> Result<Duration, AnyError> {
    Duration::try_from_secs_f64(number).map_err(|_| format!("{number} is no length of time").into())
}

fn resolve(url: &str) -> Result<SocketAddr, AnyError> {
    let server: rtmfp::ServerUrl = url.parse()?;
    server
        .resolve()
        .map_err(|error| format!("cannot find {}: {error}", server.host()))?
        .first()
        .copied()
        .ok_or_else(|| "the name has no address".into())
}

fn read(path: &Path) -> Result<String, AnyError> {
    std::fs::read_to_string(path)
        .map_err(|error| format!("cannot read {}: {error}", path.display()).into())
}

fn write(path: &Path, text: &str) -> Result<(), AnyError> {
    std::fs::write(path, text)
        .map_err(|error| format!("cannot write {}: {error}", path.display()).into())
}
