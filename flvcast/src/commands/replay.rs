//! `flvcast replay`.

use std::path::PathBuf;

use clap::{Args, builder::NonEmptyStringValueParser};
use flvcast::{
    CastConfig, Error, Plan, Role, SourceSpec, Stop, cast,
    source::{Recording, ReplayFrom},
};

use super::place::{Place, Shop};

/// Shown below the options.
pub const EXAMPLES: &str = "\
Examples:
  flvcast replay recordings/news --server rtmfp://HOST --channel news-again
  flvcast replay recordings/news --from 25m …                       25 minutes after its beginning
  flvcast replay recordings/news --from 2026-11-28T20:15:00Z …      what was on at that time";

/// Its options.
#[derive(Debug, Args)]
pub struct Replay {
    /// The folder of a channel: what --record wrote
    #[arg(value_name = "DIR")]
    folder: PathBuf,
    /// The channel's name
    #[arg(long, value_name = "NAME", value_parser = NonEmptyStringValueParser::new())]
    channel: String,
    #[command(flatten)]
    place: Place,
    /// Where to begin: a time, or how long after the beginning
    #[arg(long, value_name = "TIME")]
    from: Option<ReplayFrom>,
    /// Begin again after the end
    #[arg(long = "loop")]
    repeats: bool,
    #[command(flatten)]
    shop: Shop,
}

impl Replay {
    /// Does it.
    pub fn run(self) -> Result<(), Error> {
        let from = self.from.unwrap_or_default();
        let source = SourceSpec::Recording(Recording { folder: self.folder, from });
        let plan = Plan { sources: vec![source], repeats: self.repeats };
        let role = Role::Cast {
            plan,
            fallback: None,
            starts_alone: false,
            retries: false,
            lower: Vec::new(),
        };
        let channel = self.place.channel(&self.channel, role, &self.shop)?;
        let (web, server) = (self.shop.web(), self.place.server);
        let http = self.shop.http.map(|addresses| addresses.0);
        cast(CastConfig { server, channel, http, web }, &Stop::on_signals(None))
    }
}
