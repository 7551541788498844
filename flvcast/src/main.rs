//! `flvcast`: the broadcaster's command line.

mod groupspec;

use std::{net::SocketAddr, path::PathBuf, process::ExitCode, time::Duration};

use clap::{Args, Parser, Subcommand};
use flvcast::{
    CastConfig, DEFAULT_PREFIX, DEFAULT_STREAM, Error, PeerConfig, Stop, WatchConfig, cast,
    channel_group, demo, watch,
};
use netgroup::GroupSpec;
use rtmfp::ServerUrl;

/// Broadcasts an FLV stream into a peer-to-peer group, and plays it from there.
///
/// Try it: flvcast demo
#[derive(Debug, Parser)]
#[command(
    version,
    after_help = "Exit codes: 0 done, 1 failed, 2 usage. Logging: RUST_LOG=info, to standard error."
)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Server, caster and three viewers on this machine, with a page to look at
    Demo {
        /// Address of the page
        #[arg(long, value_name = "ADDR:PORT", default_value = "127.0.0.1:8080")]
        http: SocketAddr,
        /// Stop after this long, and fail if a viewer did not get everything
        #[arg(long = "for", value_name = "DURATION", value_parser = humantime::parse_duration)]
        limit: Option<Duration>,
    },
    /// Cast an FLV file into a channel, paced by its timestamps
    Cast {
        /// The file
        file: PathBuf,
        #[command(flatten)]
        place: Place,
        /// Begin again at the end of the file
        #[arg(long = "loop")]
        repeats: bool,
    },
    /// Watch a channel as a peer that relays to others
    Watch {
        #[command(flatten)]
        place: Place,
        /// Write a playable FLV; '-' is standard output
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
        /// Serve the film as /CHANNEL.flv and a page as /
        #[arg(long, value_name = "ADDR:PORT")]
        http: Option<SocketAddr>,
        /// Stop after this long, for example 30s or 2h
        #[arg(long = "for", value_name = "DURATION", value_parser = humantime::parse_duration)]
        limit: Option<Duration>,
    },
    /// Make and read groupspecs, the strings that name groups
    Groupspec {
        #[command(subcommand)]
        command: groupspec::Command,
    },
}

/// Which stream of which group, through which server.
#[derive(Debug, Args)]
struct Place {
    /// The rendezvous server: rtmfp://HOST[:PORT][/KEY]
    #[arg(long, value_name = "URL")]
    server: ServerUrl,
    /// The channel's name
    #[arg(long, value_name = "NAME")]
    channel: String,
    /// Join this group instead of the channel's own
    #[arg(long, value_name = "G:…")]
    groupspec: Option<GroupSpec>,
    /// What a channel's name is prefixed with to make its group
    #[arg(long, value_name = "PREFIX", default_value = DEFAULT_PREFIX)]
    group_prefix: String,
    /// The stream's name in the group
    #[arg(long, value_name = "NAME", default_value = DEFAULT_STREAM)]
    stream: String,
}

impl Place {
    fn peer(&self, publishes: bool) -> Result<PeerConfig, Error> {
        let group = match &self.groupspec {
            Some(spec) => spec.clone(),
            None => channel_group(&self.group_prefix, &self.channel)?,
        };
        Ok(PeerConfig {
            server: self.server.clone(),
            group,
            stream: self.stream.clone(),
            publishes,
        })
    }
}

fn main() -> ExitCode {
    env_logger::Builder::from_env(env_logger::Env::default().default_filter_or("warn")).init();
    match run(Arguments::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("flvcast: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> Result<(), Error> {
    match command {
        Command::Demo { http, limit } => demo(http, &Stop::on_signals(limit)),
        Command::Cast { file, place, repeats } => {
            let config =
                CastConfig { file, repeats, peer: place.peer(true)?, channel: place.channel };
            cast(config, &Stop::on_signals(None))
        }
        Command::Watch { place, out, http, limit } => {
            let config =
                WatchConfig { peer: place.peer(false)?, channel: place.channel, out, http, limit };
            watch(&config, &Stop::on_signals(limit))
        }
        Command::Groupspec { command } => groupspec::run(&command).map_err(Error::from),
    }
}
