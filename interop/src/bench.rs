//! Benchmarks of our stack on loopback, as whole processes. Each prints one JSON object.
//!
//! The side that is measured runs in a process of its own and its figures come from the operating
//! system, so another program can take its place: all but `bulk` take its address and process ID.

mod bulk;
mod channels;
mod crowd;
mod echo;
mod load;
mod members;
mod process;
mod viewers;

use std::net::SocketAddr;

use clap::{Args, Subcommand};
use rtmfp::crypto::{Group, Identity, Keys, Policy, Protection};
use serde::Serialize;

/// What to measure.
#[derive(Debug, Subcommand)]
pub enum Bench {
    /// Bytes over open sessions: one process sends, another receives
    Bulk(bulk::Arguments),
    /// Bytes to a server that sends them back
    Echo(echo::Arguments),
    /// Sessions opened one after the other by many clients
    Open(load::OpenArguments),
    /// Memory of sessions that do nothing, and what is left when some die
    Idle(load::IdleArguments),
    /// Hellos answered
    Hello(load::HelloArguments),
    /// Members of a group on loopback, in a few processes
    Members(members::Arguments),
    /// Players of a film over HTTP-FLV, from any server
    Viewers(viewers::Arguments),
    /// Many channels of one process, cast and watched
    Channels(channels::Arguments),
    /// The process that is measured; prints its address and serves until its input ends
    #[command(hide = true)]
    Serve(ServeArguments),
    /// The sending process of `bulk`
    #[command(hide = true)]
    Send(bulk::SendArguments),
}

/// A server to measure.
#[derive(Debug, Clone, Args)]
pub struct ServeArguments {
    /// Diffie-Hellman group for its ephemeral keys: 2, 5, 14 or 16
    #[arg(long, default_value_t = 2)]
    group: u64,
    /// Leave HMACs and sequence numbers out
    #[arg(long)]
    bare: bool,
    /// Exit when this many bytes have arrived (0: never)
    #[arg(long, default_value_t = 0, hide = true)]
    bytes: u64,
}

/// Somebody else's server in place of ours.
#[derive(Debug, Clone, Args)]
pub struct Target {
    /// Address of a server that runs already, to be measured in place of ours
    #[arg(long, value_name = "ADDR:PORT", requires = "pid")]
    against: Option<SocketAddr>,
    /// Its process ID, whose CPU time and memory are read from /proc
    #[arg(long)]
    pid: Option<u32>,
    #[command(flatten)]
    serve: ServeArguments,
}

/// Any failure, in words.
type AnyError = Box<dyn std::error::Error>;

/// Runs a benchmark and prints its object.
pub fn run(bench: &Bench) -> Result<(), AnyError> {
    match bench {
        Bench::Bulk(arguments) => print(&bulk::run(arguments)?),
        Bench::Echo(arguments) => print(&echo::run(arguments)?),
        Bench::Open(arguments) => print(&load::open(arguments)?),
        Bench::Idle(arguments) => print(&load::idle(arguments)?),
        Bench::Hello(arguments) => print(&load::hello(arguments)?),
        Bench::Members(arguments) => members::run(arguments),
        Bench::Viewers(arguments) => print(&viewers::run(arguments)?),
        Bench::Channels(arguments) => print(&channels::run(arguments)?),
        Bench::Serve(arguments) => bulk::serve(arguments),
        Bench::Send(arguments) => bulk::send(arguments),
    }
}

fn print(figures: &impl Serialize) -> Result<(), AnyError> {
    println!("{}", serde_json::to_string_pretty(figures)?);
    Ok(())
}

impl ServeArguments {
    fn group(&self) -> Result<Group, AnyError> {
        Group::from_number(self.group)
            .ok_or_else(|| format!("there is no group {}; take 2, 5, 14 or 16", self.group).into())
    }

    /// As command line arguments, for the child process.
    fn to_arguments(&self) -> Vec<String> {
        let mut arguments = vec!["--group".into(), self.group.to_string()];
        if self.bare {
            arguments.push("--bare".into());
        }
        if self.bytes > 0 {
            arguments.extend(["--bytes".into(), self.bytes.to_string()]);
        }
        arguments
    }

    fn identity(&self) -> Result<Identity, AnyError> {
        let keys = Keys::Ephemeral {
            groups: vec![self.group()?],
            randomness: rand::random::<[u8; 32]>().to_vec(),
        };
        Ok(Identity::new(None, true, keys))
    }

    fn policy(&self) -> Policy {
        Policy::both(if self.bare { Protection::Off } else { Protection::Match })
    }
}
