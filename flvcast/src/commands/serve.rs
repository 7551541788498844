//! `flvcast serve`.

use std::path::PathBuf;

use clap::Args;
use flvcast::{Error, Stop, serve};

/// Shown below the options.
pub const EXAMPLES: &str = "\
A file to begin with:
  server = \"rtmfp://localhost\"
  http = \":8080\"                 # pages and films for viewers: http://localhost:8080/
  console = \"localhost:8090\"     # charts, start and stop for the operator

  [record]
  folder = \"recordings\"

  [channel.lectures]
  title = \"Lectures\"
  source = \"rtmp-listen://:1935/live/SECRET\"
  fallback = \"test-card.flv\"
  record = true

  [channel.films]
  source = [\"one.flv\", \"two.flv\"]
  loop = true

  [channel.news]                   # without a source: taken from the swarm

All keys are in docs/casting.md. kill -HUP reads the file again; channels that are the same there
are not disturbed.";

/// Its options.
#[derive(Debug, Args)]
pub struct Serve {
    /// Which channels there are, and where; read again on SIGHUP
    #[arg(value_name = "FILE", default_value = "channels.toml")]
    file: PathBuf,
}

impl Serve {
    /// Does it.
    pub fn run(self) -> Result<(), Error> {
        serve(&self.file, &Stop::but_for_hangup())
    }
}
