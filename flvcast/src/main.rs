//! `flvcast`: the broadcaster's command line.

mod groupspec;

use std::{
    io::{IsTerminal, Write},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

use clap::{Args, Parser, Subcommand};
use flvcast::{
    CastConfig, DEFAULT_PREFIX, DEFAULT_STREAM, Error, Limits, PeerConfig, Plan, Quality,
    SourceSpec, Stop, WatchConfig, cast, channel_group, listen_addresses, watch,
};
use netgroup::GroupSpec;
use rtmfp::ServerUrl;

const CAST_EXAMPLES: &str = "\
Sources, with an example each:
  a film, or several in a row        flvcast cast one.flv two.flv --loop …
  a pipe or standard input           ffmpeg -i x.mkv -f flv - | flvcast cast - …
  a file that is being written       flvcast cast --follow recording.flv …
  FLV over HTTP                      flvcast cast http://HOST/live.flv …
  a playlist of FLV, TS or fMP4      flvcast cast https://HOST/live.m3u8 --quality 720p …
  an RTMP server                     flvcast cast rtmp://HOST/live/STREAM …
  OBS, ffmpeg or GStreamer, by RTMP  flvcast cast rtmp-listen://:1935/live/SECRET …
                                     (in OBS: server rtmp://THIS-HOST/live, stream key SECRET)
  anything that ffmpeg reads         flvcast cast film.mkv …    flvcast cast srt://HOST:9000 …

… stands for --server rtmfp://HOST --channel NAME.";

const WATCH_EXAMPLES: &str = "\
Examples:
  flvcast watch --server rtmfp://HOST --channel cctv --http localhost:8081
      then open http://localhost:8081/ or: ffplay http://localhost:8081/cctv.flv
  flvcast watch --server rtmfp://HOST --channel cctv --out film.flv --once
  flvcast watch --server rtmfp://HOST --channel cctv --out - | ffplay -";

#[cfg(feature = "demo")]
const DEMO_EXAMPLES: &str = "\
Examples:
  flvcast demo                       then open http://127.0.0.1:8080/
  flvcast demo --http :9000 --for 20s";

/// Broadcasts live streams and films into a peer-to-peer group, and plays them from there.
///
/// Try it: flvcast demo
#[derive(Debug, Parser)]
#[command(
    name = "flvcast",
    version,
    after_help = "Exit codes: 0 done, 1 failed, 2 usage. Logging: RUST_LOG=info, to standard error.\n\
                  Each command has examples: flvcast cast --help"
)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Server, caster and six viewers on this machine, with a page to look at
    #[cfg(feature = "demo")]
    #[command(after_help = DEMO_EXAMPLES)]
    Demo {
        /// Address of the page
        #[arg(long, value_name = "ADDR:PORT", default_value = "127.0.0.1:8080", value_parser = http)]
        http: Addresses,
        /// Stop after this long, and fail if a viewer did not get everything
        #[arg(long = "for", value_name = "DURATION", value_parser = humantime::parse_duration)]
        limit: Option<Duration>,
    },
    /// Cast a film or a live stream into a channel, in real time
    #[command(after_help = CAST_EXAMPLES)]
    Cast(Cast),
    /// Watch a channel as a peer that relays to others
    #[command(after_help = WATCH_EXAMPLES)]
    Watch(Watch),
    /// Make and read groupspecs, the strings that name groups
    Groupspec {
        #[command(subcommand)]
        command: groupspec::Command,
    },
}

#[derive(Debug, Args)]
struct Cast {
    /// What to cast, one after the other: files, '-', http://, https://, rtmp://, rtmp-listen://
    #[arg(value_name = "SOURCE", required = true)]
    sources: Vec<String>,
    #[command(flatten)]
    place: Place,
    /// Begin again after the last
    #[arg(long = "loop")]
    repeats: bool,
    /// The file is still being written: cast it from its newest key frame on
    #[arg(long)]
    follow: bool,
    /// Of a playlist with several qualities: best, worst, 720p, 800k, 2M
    #[arg(long, value_name = "WHICH", default_value = "best")]
    quality: Quality,
    /// Plays, again and again, while the sources give nothing
    #[arg(long, value_name = "SOURCE")]
    fallback: Option<String>,
}

#[derive(Debug, Args)]
struct Watch {
    #[command(flatten)]
    place: Place,
    /// Write a playable FLV; '-' is standard output
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Replace that file if it exists
    #[arg(long, requires = "out")]
    overwrite: bool,
    /// Serve the film as /CHANNEL.flv and a page as /; ':8081' is all of this machine's addresses, and
    /// without a port it is 8080
    #[arg(long, value_name = "ADDR:PORT", value_parser = http)]
    http: Option<Addresses>,
    /// How many may watch by HTTP at once
    #[arg(long, value_name = "COUNT", default_value_t = Limits::default().viewers)]
    max_viewers: usize,
    /// How many of them from one address: 64, if not said, and any number from this machine
    #[arg(long, value_name = "COUNT")]
    max_viewers_per_address: Option<usize>,
    /// End with the first broadcast, instead of waiting for the next
    #[arg(long)]
    once: bool,
    /// Stop after this long, for example 30s or 2h
    #[arg(long = "for", value_name = "DURATION", value_parser = humantime::parse_duration)]
    limit: Option<Duration>,
}

/// What a name means; in a type of its own, for clap takes a bare list for several arguments.
#[derive(Debug, Clone)]
struct Addresses(Vec<SocketAddr>);

fn http(text: &str) -> Result<Addresses, String> {
    const HTTP_PORT: u16 = 8080;
    listen_addresses(text, HTTP_PORT).map(Addresses)
}

/// Which stream of which group, through which server.
#[derive(Debug, Args)]
struct Place {
    /// The rendezvous server: rtmfp://HOST[:PORT][/KEY]
    #[arg(long, value_name = "URL")]
    server: ServerUrl,
    /// The channel's name
    #[arg(long, value_name = "NAME", value_parser = clap::builder::NonEmptyStringValueParser::new())]
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
    let default = env_logger::Env::default().default_filter_or("warn");
    env_logger::Builder::from_env(default).format_target(false).init();
    match run(Arguments::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "flvcast: {error}");
            if matches!(error, Error::Usage(_)) { ExitCode::from(2) } else { ExitCode::FAILURE }
        }
    }
}

fn run(command: Command) -> Result<(), Error> {
    match command {
        #[cfg(feature = "demo")]
        Command::Demo { http, limit } => flvcast::demo(&http.0, &Stop::on_signals(limit)),
        Command::Cast(command) => command.run(),
        Command::Watch(command) => command.run(),
        Command::Groupspec { command } => groupspec::run(&command).map_err(Error::from),
    }
}

impl Cast {
    fn run(self) -> Result<(), Error> {
        let parse = |text: &String| {
            SourceSpec::parse(text, self.follow, self.quality).map_err(Error::Usage)
        };
        let sources: Vec<SourceSpec> = self.sources.iter().map(parse).collect::<Result<_, _>>()?;
        if self.repeats && sources.contains(&SourceSpec::StandardInput) {
            let text = "a pipe can be read once; --loop wants films";
            return Err(Error::Usage(text.into()));
        }
        let fallback = match &self.fallback {
            Some(text) => {
                let source = SourceSpec::parse(text, false, self.quality).map_err(Error::Usage)?;
                Some(Plan { sources: vec![source], repeats: true })
            }
            None => None,
        };
        let config = CastConfig {
            plan: Plan { sources, repeats: self.repeats },
            fallback,
            peer: self.place.peer(true)?,
            channel: self.place.channel,
        };
        cast(config, &Stop::on_signals(None))
    }
}

impl Watch {
    fn run(self) -> Result<(), Error> {
        let is_to_terminal = self.out.as_deref() == Some(Path::new("-"));
        if is_to_terminal && std::io::stdout().is_terminal() {
            let text =
                "a film on a terminal is of no use to anybody; pipe it on: … --out - | ffplay -";
            return Err(Error::Usage(text.into()));
        }
        let config = WatchConfig {
            peer: self.place.peer(false)?,
            channel: self.place.channel,
            out: self.out,
            overwrite: self.overwrite,
            http: self.http.map(|addresses| addresses.0),
            limits: Limits {
                viewers: self.max_viewers,
                viewers_of_address: self.max_viewers_per_address,
            },
            once: self.once,
            limit: self.limit,
        };
        watch(&config, &Stop::on_signals(self.limit))
    }
}
