//! `flvcast`: the broadcaster's command line.

mod commands;

use std::{io::Write, process::ExitCode};

use clap::{CommandFactory, Parser, Subcommand};
use commands::{
    cast::{self, Cast},
    groupspec,
    papers::{Completions, Man},
    replay::{self, Replay},
    serve::{self, Serve},
    watch::{self, Watch},
};
use flvcast::Error;

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
        #[arg(long, value_name = "ADDR:PORT", default_value = "127.0.0.1:8080",
              value_parser = commands::place::http)]
        http: commands::place::Addresses,
        /// Stop after this long, and fail if a viewer did not get everything
        #[arg(long = "for", value_name = "DURATION", value_parser = humantime::parse_duration)]
        limit: Option<std::time::Duration>,
    },
    /// Cast a film or a live stream into a channel, in real time
    #[command(after_help = cast::EXAMPLES)]
    Cast(Cast),
    /// Watch channels as a peer that relays to others
    #[command(after_help = watch::EXAMPLES)]
    Watch(Watch),
    /// Run many channels as a file says, with pages for viewers and a console
    #[command(after_help = serve::EXAMPLES)]
    Serve(Serve),
    /// Cast once more what was recorded
    #[command(after_help = replay::EXAMPLES)]
    Replay(Replay),
    /// Make and read groupspecs, the strings that name groups
    Groupspec {
        #[command(subcommand)]
        command: groupspec::Command,
    },
    /// Print completions for a shell: flvcast completions bash > /etc/bash_completion.d/flvcast
    Completions(Completions),
    /// Write man pages
    Man(Man),
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
        Command::Demo { http, limit } => flvcast::demo(&http.0, &flvcast::Stop::on_signals(limit)),
        Command::Cast(command) => command.run(),
        Command::Watch(command) => command.run(),
        Command::Serve(command) => command.run(),
        Command::Replay(command) => command.run(),
        Command::Groupspec { command } => groupspec::run(&command).map_err(Error::from),
        Command::Completions(command) => command.run(Arguments::command()),
        Command::Man(command) => command.run(Arguments::command()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_options_make_sense() {
        Arguments::command().debug_assert();
    }
}
