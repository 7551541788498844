//! What shells and readers of manuals want: completions and man pages, made of the same options.

use std::{
    io::Write,
    path::{Path, PathBuf},
};

use clap::{Args, Command, builder::Resettable};
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

fn write_pages(command: &Command, folder: &Path) -> std::io::Result<()> {
    let name = command.get_display_name().unwrap_or(command.get_name());
    std::fs::write(folder.join(format!("{name}.1")), page(command)?)?;
    let mut below = command.get_subcommands().filter(|command| !command.is_hide_set());
    below.try_for_each(|command| write_pages(command, folder))
}

/// A page. What stands below the options are examples, whose lines are as they are.
fn page(command: &Command) -> std::io::Result<Vec<u8>> {
    let examples = command.get_after_help().map(ToString::to_string);
    let rest = command.clone().after_help(Resettable::Reset);
    let mut out = Vec::new();
    clap_mangen::Man::new(rest).render(&mut out)?;
    if let Some(examples) = examples {
        writeln!(out, ".SH EXAMPLES\n.nf")?;
        for line in examples.lines().filter(|line| *line != "Examples:") {
            // Those that begin with a point would be orders.
            writeln!(out, "\\&{}", line.replace('\\', "\\e").replace('-', "\\-"))?;
        }
        writeln!(out, ".fi")?;
    }
    Ok(out)
}

impl Man {
    /// Writes a page for the program, and one for each of its commands.
    pub fn run(self, command: Command) -> Result<(), Error> {
        let failed = |error| Error::Output { path: self.folder.clone(), error, kept: 0 };
        std::fs::create_dir_all(&self.folder).map_err(failed)?;
        let mut command = command.disable_help_subcommand(true);
        command.build();
        write_pages(&command, &self.folder).map_err(failed)?;
        flvcast::print(format_args!("man pages are in {}", self.folder.display()));
        Ok(())
    }
}
