//! Many channels in one process: what `flvcast serve` costs that casts them, and `flvcast watch` that
//! watches all of them, through `rtmfpd`. The three programs must lie beside this one.

use std::{
    fmt::Write as _,
    io::{BufRead, BufReader, Read},
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::mpsc::channel,
    time::Duration,
};

use clap::Args;
use serde::Serialize;

use super::{
    AnyError,
    process::{Usage, sockets, threads},
};

/// Before the measurement: everybody has found everybody.
const SETTLE: Duration = Duration::from_secs(15);

/// How many channels of what.
#[derive(Debug, Args)]
pub struct Arguments {
    /// Cast in a loop on every channel
    film: PathBuf,
    /// How many
    #[arg(long, default_value_t = 10)]
    channels: usize,
    /// How long is measured
    #[arg(long, default_value_t = 20, value_name = "SECONDS")]
    seconds: u64,
}

/// What the channels cost.
#[derive(Debug, Serialize)]
pub struct Figures {
    bench: &'static str,
    channels: usize,
    seconds: u64,
    caster: Cost,
    watcher: Cost,
}

/// Of one process.
#[derive(Debug, Serialize)]
struct Cost {
    #[serde(flatten)]
    usage: Usage,
    /// Of one core, for a channel, in percent.
    core_percent_a_channel: f64,
    threads: usize,
    sockets: usize,
}

/// A program that ends with us.
struct Program(Child);

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Program {
    fn start(name: &str, arguments: &[String]) -> Result<Self, AnyError> {
        let path = std::env::current_exe()?.with_file_name(name);
        let child = Command::new(&path)
            .args(arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| format!("cannot run {}: {error}; build it first", path.display()))?;
        Ok(Self(child))
    }

    /// Waits until it says something, and lets it say the rest to nobody.
    fn wait_until_said(&mut self, words: &str) -> Result<String, AnyError> {
        let (said, hears) = channel();
        let (stdout, stderr) = (self.0.stdout.take(), self.0.stderr.take());
        let outputs: [Option<Box<dyn Read + Send>>; 2] =
            [stdout.map(|out| Box::new(out) as _), stderr.map(|out| Box::new(out) as _)];
        for output in outputs.into_iter().flatten() {
            let said = said.clone();
            std::thread::spawn(move || {
                let lines = BufReader::new(output).lines().map_while(Result::ok);
                // Nobody listens any more once the words were said.
                lines.for_each(|line| drop(said.send(line)));
            });
        }
        drop(said);
        let found = hears.iter().find(|line| line.contains(words));
        Ok(found.ok_or_else(|| format!("it ended before it said '{words}'"))?)
    }

    fn usage(&self) -> Result<Usage, AnyError> {
        Usage::of(self.0.id())
    }

    fn cost(&self, before: Usage, arguments: &Arguments) -> Result<Cost, AnyError> {
        let usage = self.usage()?.since(before);
        let parts = (arguments.seconds * arguments.channels as u64).max(1) as f64;
        let core_percent_a_channel = 100.0 * usage.cpu_seconds / parts;
        let pid = self.0.id();
        Ok(Cost { usage, core_percent_a_channel, threads: threads(pid)?, sockets: sockets(pid)? })
    }
}

/// Runs the three programs.
pub fn run(arguments: &Arguments) -> Result<Figures, AnyError> {
    let film = arguments.film.canonicalize()?;
    let folder = std::env::temp_dir().join(format!("rtmfp-channels-{}", std::process::id()));
    std::fs::create_dir_all(&folder)?;
    let outcome = measure(arguments, &film.display().to_string(), &folder.join("channels.toml"));
    std::fs::remove_dir_all(&folder)?;
    outcome
}

fn measure(arguments: &Arguments, film: &str, file: &std::path::Path) -> Result<Figures, AnyError> {
    let listen = ["--listen", "127.0.0.1:0"].map(String::from);
    let mut server = Program::start("rtmfpd", &listen)?;
    let said = server.wait_until_said("rtmfp://")?;
    let url = said.split_ascii_whitespace().find(|word| word.starts_with("rtmfp://"));
    let url = url.ok_or("the server does not say where it is")?.trim_end_matches([',', '/']);
    let mut text = format!("server = \"{url}\"\nhttp = \"127.0.0.1:0\"\n");
    let names: Vec<String> = (1..=arguments.channels).map(|at| format!("channel-{at}")).collect();
    for name in &names {
        // Writing to a string does not fail.
        let _ = write!(text, "[channel.{name}]\nsource = {film:?}\nloop = true\n");
    }
    std::fs::write(file, text)?;
    let mut caster = Program::start("flvcast", &["serve".into(), file.display().to_string()])?;
    caster.wait_until_said("channels: ")?;
    let mut watch = vec!["watch".to_owned(), "--server".into(), url.to_owned()];
    watch.extend(["--http", "127.0.0.1:0"].map(String::from));
    watch.extend(names.iter().flat_map(|name| ["--channel".to_owned(), name.clone()]));
    let mut watcher = Program::start("flvcast", &watch)?;
    watcher.wait_until_said("watching ")?;
    std::thread::sleep(SETTLE);
    let before = (caster.usage()?, watcher.usage()?);
    std::thread::sleep(Duration::from_secs(arguments.seconds));
    Ok(Figures {
        bench: "channels",
        channels: arguments.channels,
        seconds: arguments.seconds,
        caster: caster.cost(before.0, arguments)?,
        watcher: watcher.cost(before.1, arguments)?,
    })
}
