//! `flvcast watch`: a viewer that relays to others, shows a page and the film, and writes it. It
//! outlives broadcasts, servers and disks.

use std::{
    net::SocketAddr,
    path::PathBuf,
    time::{Duration, Instant},
};

use rtmfp::ServerUrl;

use crate::{
    Error,
    journal::Journal,
    output::Output,
    say::{count, members, say, warn},
    station::{Channel, ChannelConfig, Station},
    stop::Stop,
    web::{self, Web, WebConfig},
};

const TICK: Duration = Duration::from_millis(100);
const PROGRESS: Duration = Duration::from_secs(10);
/// Whoever waits for a broadcast wants to know soon that there is none.
const FIRST_PROGRESS: Duration = Duration::from_secs(4);

/// What to watch, and where to show it.
#[derive(Debug, Clone)]
pub struct WatchConfig {
    /// The rendezvous server.
    pub server: ServerUrl,
    /// What; the first is the one that is written.
    pub channels: Vec<ChannelConfig>,
    /// A file, or `-`.
    pub out: Option<PathBuf>,
    /// Replace that file.
    pub overwrite: bool,
    /// Pages and films, on the first of these that is free.
    pub http: Option<Vec<SocketAddr>>,
    /// Who may watch there.
    pub web: WebConfig,
    /// End with the first broadcast.
    pub once: bool,
    /// How long; also told to [`Stop`].
    pub limit: Option<Duration>,
}

impl WatchConfig {
    fn names(&self) -> String {
        let names = self.channels.iter().map(|channel| format!("'{}'", channel.name));
        names.collect::<Vec<_>>().join(", ")
    }

    /// Whether something else is done with it.
    fn is_kept(&self) -> bool {
        let is_kept =
            |channel: &ChannelConfig| channel.record.is_some() || !channel.push.is_empty();
        self.channels.iter().any(is_kept)
    }

    fn first(&self) -> &str {
        self.channels.first().map_or("", |channel| &channel.name)
    }
}

/// Watches until it is told to stop, or has seen what it was to see.
pub fn watch(config: &WatchConfig, stop: &Stop) -> Result<(), Error> {
    let listener = config.http.as_deref().map(web::bind).transpose()?;
    let journal = if config.channels.len() > 1 { Journal::of_many() } else { Journal::default() };
    let mut station = Station::new(config.server.clone(), journal);
    for channel in &config.channels {
        station.add(channel.clone())?;
    }
    let hub = station.channel(config.first()).map(|channel| channel.screen().hub());
    let output = match (&config.out, hub) {
        (Some(path), Some(hub)) => Some(Output::start(path, config.overwrite, hub)?),
        _ => None,
    };
    let mut web = None;
    if let Some(listener) = listener {
        let host = web::host_of(&listener)?;
        web = Some(web::serve(listener, station.lineup().clone(), config.web.clone())?);
        match &config.channels[..] {
            [only] => {
                let film = web::channel_path(&only.name);
                say(format_args!("page: http://{host}/   film: http://{host}{film}.flv"));
            }
            _ => say(format_args!("pages: http://{host}/")),
        }
    }
    let use_of_it = match (&config.out, &config.http) {
        (Some(path), _) => format!(", into {}", path.display()),
        (None, Some(_)) => String::new(),
        (None, None) if config.is_kept() => String::new(),
        (None, None) => ", only to relay to others; see it with --http or --out".into(),
    };
    say(format_args!("watching {} at {}{use_of_it}", config.names(), config.server));
    let reports = config.channels.iter().map(|_| Reported::default()).collect();
    Show { config, station, output, trouble: None, web, reports }.run(stop)
}

/// What was said of a channel.
#[derive(Debug, Clone, Copy, Default)]
struct Reported {
    casters: usize,
    endings: u64,
}

struct Show<'a> {
    config: &'a WatchConfig,
    station: Station,
    output: Option<Output>,
    /// What went wrong with the output, while serving went on.
    trouble: Option<Error>,
    web: Option<Web>,
    reports: Vec<Reported>,
}

impl Show<'_> {
    fn run(mut self, stop: &Stop) -> Result<(), Error> {
        let outcome = self.watch(stop);
        let was_connected = self.station.link().was_connected();
        let has_tags = self.station.channels().any(Channel::has_tags);
        self.station.close();
        if let Some(web) = self.web.take() {
            web.finish();
        }
        let left = self.station.stop();
        let written = self.output.take().map(Output::finish).transpose();
        outcome.and(left)?;
        let written = written?;
        if let (Some(path), Some(bytes @ 1..)) = (&self.config.out, written) {
            say(format_args!("wrote {:.1} MB into {}", bytes as f64 / 1e6, path.display()));
        }
        if let Some(trouble) = self.trouble {
            return Err(trouble);
        }
        let first = self.config.first().to_owned();
        let limit = self.config.limit.filter(|_| stop.has_run_out());
        match limit.map(humantime::format_duration) {
            Some(limit) if !was_connected => {
                let why = format!("nobody answered in {limit}");
                Err(Error::Server(self.config.server.to_string(), why))
            }
            Some(limit) if !has_tags => Err(Error::NobodyCasts(first, limit)),
            _ if has_tags && written == Some(0) => Err(Error::NoPicture(first)),
            _ => Ok(()),
        }
    }

    fn watch(&mut self, stop: &Stop) -> Result<(), Error> {
        let mut progress_at = Instant::now() + FIRST_PROGRESS;
        while !stop.is_set() {
            self.station.turn(TICK)?;
            if self.note_endings() && self.config.once {
                return Ok(());
            }
            if self.output.as_ref().is_some_and(Output::has_ended) && self.end_output()? {
                return Ok(());
            }
            if progress_at <= Instant::now() {
                progress_at += PROGRESS;
                for index in 0..self.config.channels.len() {
                    self.report(index);
                }
            }
        }
        Ok(())
    }

    /// Whether a broadcast has ended since.
    fn note_endings(&mut self) -> bool {
        let mut has_ended = false;
        for (channel, reported) in self.config.channels.iter().zip(&mut self.reports) {
            let endings = self.station.channel(&channel.name).map_or(0, Channel::endings);
            has_ended |= endings > reported.endings;
            reported.endings = endings;
        }
        has_ended
    }

    /// The output has ended: true if there is nothing else to do. Serving goes on without it.
    fn end_output(&mut self) -> Result<bool, Error> {
        let Some(output) = self.output.take() else { return Ok(false) };
        match output.finish() {
            Ok(_) => Ok(self.web.is_none()),
            Err(error) if self.web.is_some() => {
                warn(format_args!("{error}. The film is served on"));
                self.trouble = Some(error);
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }

    fn report(&mut self, index: usize) {
        let name = &self.config.channels[index].name;
        let Some(channel) = self.station.channel(name) else { return };
        let stats = channel.stats();
        let casters = std::mem::replace(&mut self.reports[index].casters, stats.casters);
        if stats.casters > 1 && casters <= 1 {
            let hint = "this shows whoever was first; one of them should stop";
            warn(format_args!("{} cast '{name}' at once: {hint}", stats.casters));
        }
        if !self.station.link().was_connected() {
            return;
        }
        if !channel.has_found() {
            let members = members(&stats.group);
            say(format_args!("waiting: nobody casts '{name}' yet ({members})"));
            return;
        }
        let of = if self.config.channels.len() > 1 { format!("{name}: ") } else { String::new() };
        say(format_args!(
            "{of}{:.1} MB from the source, {:.1} MB from peers, {:.1} MB relayed; {}, {}, {} lost",
            stats.stream.bytes_from_source as f64 / 1e6,
            stats.stream.bytes_from_peers as f64 / 1e6,
            stats.stream.bytes_sent as f64 / 1e6,
            members(&stats.group),
            count(stats.group.neighbours as u64, "neighbour"),
            stats.stream.fragments_lost,
        ));
    }
}
