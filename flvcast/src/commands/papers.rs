//! What shells and readers of manuals want: completions and man pages, made of the same options.

use std::{fs::File, path::PathBuf};

use clap::{Args, Command};
use clap_complete::Shell;
use flvcast::Error;

/// `flvcast completions`.
#[derive(Debug, Args)]
pub struct Completions {
    /// For which shell
    shell: Shell,
}

/// `flvcast man`.
#[derive(Debug, Args)]
pub struct Man {
    /// Where to write the pages
    #[arg(value_name = "DIR", default_value = ".")]
    folder: PathBuf,
}

impl Completions {
    /// Prints them.
    pub fn run(self, mut command: Command) -> Result<(), Error> {
        clap_complete::generate(self.shell, &mut command, "flvcast", &mut std::io::stdout());
        Ok(())
    }
}

impl Man {
    /// Writes a page for the program, and one for each of its commands.
    pub fn run(self, command: Command) -> Result<(), Error> {
        let failed = |error| Error::Output { path: self.folder.clone(), error, kept: 0 };
        std::fs::create_dir_all(&self.folder).map_err(failed)?;
        clap_mangen::generate_to(command.clone(), &self.folder).map_err(failed)?;
        // A page that cannot be opened is told of now, not by man.
        File::open(self.folder.join("flvcast.1")).map_err(failed)?;
        flvcast::print(format_args!("man pages are in {}", self.folder.display()));
        Ok(())
    }
}
