//! `flvcast watch`.

use std::{
    io::IsTerminal,
    path::{Path, PathBuf},
    time::Duration,
};

use clap::{Args, builder::NonEmptyStringValueParser};
use flvcast::{Error, Plan, Quality, Role, SourceSpec, StandInConfig, Stop, WatchConfig, watch};

use super::place::{Place, Shop};

/// Shown below the options.
pub const EXAMPLES: &str = "\
Examples:
  flvcast watch --server rtmfp://HOST --channel cctv --http localhost:8081
      then open http://localhost:8081/ or: ffplay http://localhost:8081/cctv.flv
  flvcast watch --server rtmfp://HOST --channel cctv --channel news --http :8081
  flvcast watch --server rtmfp://HOST --channel cctv --out film.flv --once
  flvcast watch --server rtmfp://HOST --channel cctv --record recordings
  flvcast watch --server rtmfp://HOST --channel cctv --out - | ffplay -";

/// Its options.
#[derive(Debug, Args)]
pub struct Watch {
    /// The channel's name; several are watched at once
    #[arg(long = "channel", value_name = "NAME", required = true,
          value_parser = NonEmptyStringValueParser::new())]
    channels: Vec<String>,
    #[command(flatten)]
    place: Place,
    /// Write a playable FLV of the first channel; '-' is standard output
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Replace that file if it exists
    #[arg(long, requires = "out")]
    overwrite: bool,
    #[command(flatten)]
    shop: Shop,
    /// Show this while the swarm is silent: the same stream from elsewhere, or anything that can be
    /// cast
    #[arg(long, value_name = "SOURCE")]
    fallback: Option<String>,
    /// How long the swarm may be silent before that
    #[arg(long, value_name = "DURATION", default_value = "3s", value_parser = humantime::parse_duration)]
    patience: Duration,
    /// Stay with the channel itself, however little of it arrives, where it has lower qualities
    #[arg(long)]
    fixed_quality: bool,
    /// End with the first broadcast, instead of waiting for the next
    #[arg(long)]
    once: bool,
    /// Stop after this long, for example 30s or 2h
    #[arg(long = "for", value_name = "DURATION", value_parser = humantime::parse_duration)]
    limit: Option<Duration>,
}

impl Watch {
    fn stand_in(&self) -> Result<Option<StandInConfig>, Error> {
        let Some(text) = &self.fallback else { return Ok(None) };
        if self.channels.len() > 1 {
            let text =
                "--fallback is for one channel; with several, say it in a file: flvcast serve";
            return Err(Error::Usage(text.into()));
        }
        let source = SourceSpec::parse(text, false, Quality::Best).map_err(Error::Usage)?;
        let plan = Plan { sources: vec![source], repeats: true };
        Ok(Some(StandInConfig { plan, patience: self.patience }))
    }

    /// Does it.
    pub fn run(self) -> Result<(), Error> {
        let is_to_terminal = self.out.as_deref() == Some(Path::new("-"));
        if is_to_terminal && std::io::stdout().is_terminal() {
            let text =
                "a film on a terminal is of no use to anybody; pipe it on: … --out - | ffplay -";
            return Err(Error::Usage(text.into()));
        }
        if self.place.names_one_group() && self.channels.len() > 1 {
            let text = "--groupspec names one group; name one channel, or leave it to the names";
            return Err(Error::Usage(text.into()));
        }
        if self.shop.pushes() && self.channels.len() > 1 {
            let text = "--push is for one channel; with several, say it in a file: flvcast serve";
            return Err(Error::Usage(text.into()));
        }
        let stand_in = self.stand_in()?;
        let adapts = self.place.prefix().filter(|_| !self.fixed_quality);
        let role = || Role::Watch { stand_in: stand_in.clone(), adapts: adapts.clone() };
        let channel = |name: &String| self.place.channel(name, role(), &self.shop);
        let config = WatchConfig {
            channels: self.channels.iter().map(channel).collect::<Result<_, _>>()?,
            server: self.place.server.clone(),
            out: self.out,
            overwrite: self.overwrite,
            web: self.shop.web(),
            http: self.shop.http.map(|addresses| addresses.0),
            once: self.once,
            limit: self.limit,
        };
        watch(&config, &Stop::on_signals(self.limit))
    }
}
