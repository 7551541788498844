//! `flvcast watch`: a viewer that relays to others, shows a page and the film, and writes it. It
//! outlives broadcasts, servers and disks.

use std::{
    net::SocketAddr,
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use crate::{
    Error,
    link::{Link, LinkEvent},
    output::Output,
    peer::{PeerConfig, PeerStats},
    say::{count, members, say, warn},
    screen::Screen,
    stop::Stop,
    web::{self, Figures, Limits, ViewerFigures, Web},
};

const TICK: Duration = Duration::from_millis(100);
const PROGRESS: Duration = Duration::from_secs(10);
/// Whoever waits for a broadcast wants to know soon that there is none.
const FIRST_PROGRESS: Duration = Duration::from_secs(4);

/// What to watch, and where to show it.
#[derive(Debug, Clone)]
pub struct WatchConfig {
    /// Where.
    pub peer: PeerConfig,
    /// For messages and the film's URL.
    pub channel: String,
    /// A file, or `-`.
    pub out: Option<PathBuf>,
    /// Replace that file.
    pub overwrite: bool,
    /// A page and the film, on the first of these that is free.
    pub http: Option<Vec<SocketAddr>>,
    /// How many may watch there.
    pub limits: Limits,
    /// End with the first broadcast.
    pub once: bool,
    /// How long; also told to [`Stop`].
    pub limit: Option<Duration>,
}

/// Watches until it is told to stop, or has seen what it was to see.
pub fn watch(config: &WatchConfig, stop: &Stop) -> Result<(), Error> {
    let screen = Screen::new(Instant::now());
    let hub = screen.hub().clone();
    let listener = config.http.as_deref().map(web::bind).transpose()?;
    let output = match &config.out {
        Some(path) => Some(Output::start(path, config.overwrite, &hub)?),
        None => None,
    };
    let link = Link::new(config.peer.clone(), screen.status().clone());
    let mut show = Show {
        channel: config.channel.clone(),
        screen,
        output,
        trouble: None,
        web: None,
        once: config.once,
        has_found: false,
        has_tags: false,
        casters: 0,
    };
    if let Some(listener) = listener {
        let address = listener.local_addr()?;
        let figures = show.figures(&link);
        show.web = Some(web::serve(listener, &config.channel, hub, config.limits, figures)?);
        let film = web::film_path(&config.channel);
        let host = if address.ip().is_unspecified() {
            format!("localhost:{}", address.port())
        } else {
            address.to_string()
        };
        say(format_args!("page: http://{host}/   film: http://{host}{film}.flv"));
    }
    let use_of_it = match (&config.out, &config.http) {
        (Some(path), _) => format!(", into {}", path.display()),
        (None, Some(_)) => String::new(),
        (None, None) => ", only to relay to others; see it with --http or --out".into(),
    };
    say(format_args!("watching '{}' at {}{use_of_it}", config.channel, config.peer.server));
    show.run(config, link, stop)
}

struct Show {
    channel: String,
    screen: Screen,
    output: Option<Output>,
    /// What went wrong with the output, while serving went on.
    trouble: Option<Error>,
    web: Option<Web>,
    once: bool,
    has_found: bool,
    has_tags: bool,
    casters: usize,
}

impl Show {
    fn figures(&self, link: &Link) -> web::FigureSource {
        let (reader, channel, screen) =
            (link.stats_reader(), self.channel.clone(), self.screen.reader());
        Arc::new(move || {
            let (stats, shown) = (reader(), screen());
            Figures {
                channel: channel.clone(),
                casters: stats.casters,
                viewers: vec![figures_of("this viewer", stats, shown.delay_ms)],
                shown,
                is_one_clock: false,
                bytes_cast: None,
                bytes_published: None,
                http_viewers: 0,
            }
        })
    }

    fn run(mut self, config: &WatchConfig, mut link: Link, stop: &Stop) -> Result<(), Error> {
        let outcome = self.watch(&mut link, stop);
        let was_connected = link.was_connected();
        self.screen.close();
        if let Some(web) = self.web.take() {
            web.finish();
        }
        let left = link.stop();
        let written = self.output.take().map(Output::finish).transpose();
        outcome.and(left)?;
        let written = written?;
        if let (Some(path), Some(bytes @ 1..)) = (&config.out, written) {
            say(format_args!("wrote {:.1} MB into {}", bytes as f64 / 1e6, path.display()));
        }
        if let Some(trouble) = self.trouble {
            return Err(trouble);
        }
        let limit = config.limit.filter(|_| stop.has_run_out());
        if let Some(limit) = limit.filter(|_| !was_connected) {
            let (server, limit) =
                (config.peer.server.to_string(), humantime::format_duration(limit));
            return Err(Error::Server(server, format!("nobody answered in {limit}")));
        }
        match limit {
            Some(limit) if !self.has_tags => {
                Err(Error::NobodyCasts(config.channel.clone(), humantime::format_duration(limit)))
            }
            _ if self.has_tags && written == Some(0) => {
                Err(Error::NoPicture(config.channel.clone()))
            }
            _ => Ok(()),
        }
    }

    fn watch(&mut self, link: &mut Link, stop: &Stop) -> Result<(), Error> {
        let mut progress_at = Instant::now() + FIRST_PROGRESS;
        while !stop.is_set() {
            match link.poll(TICK)? {
                Some(LinkEvent::Tag(tag)) => {
                    self.has_tags = true;
                    self.screen.take(Instant::now(), tag);
                }
                Some(LinkEvent::Began { from_start }) => self.screen.begin(from_start),
                Some(LinkEvent::Found) => self.has_found = true,
                Some(LinkEvent::Ended) => {
                    self.end();
                    if self.once {
                        return Ok(());
                    }
                }
                Some(LinkEvent::Connected | LinkEvent::Contested) | None => {}
            }
            self.screen.tick(Instant::now());
            if self.output.as_ref().is_some_and(Output::has_ended) && self.end_output()? {
                return Ok(());
            }
            if progress_at <= Instant::now() {
                progress_at += PROGRESS;
                self.report(link);
            }
        }
        Ok(())
    }

    fn end(&mut self) {
        self.screen.end(Instant::now());
        let next = if self.once { "" } else { "; waiting for the next" };
        say(format_args!("the broadcast has ended{next}"));
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

    fn report(&mut self, link: &Link) {
        let stats = link.stats();
        let casters = std::mem::replace(&mut self.casters, stats.casters);
        if stats.casters > 1 && casters <= 1 {
            let hint = "this shows whoever was first; one of them should stop";
            warn(format_args!("{} cast '{}' at once: {hint}", stats.casters, self.channel));
        }
        if !link.was_connected() {
            return;
        }
        if !self.has_found {
            let members = members(&stats.group);
            say(format_args!("waiting: nobody casts '{}' yet ({members})", self.channel));
            return;
        }
        say(format_args!(
            "{:.1} MB from the source, {:.1} MB from peers, {:.1} MB relayed; {}, {}, {} lost",
            stats.stream.bytes_from_source as f64 / 1e6,
            stats.stream.bytes_from_peers as f64 / 1e6,
            stats.stream.bytes_sent as f64 / 1e6,
            members(&stats.group),
            count(stats.group.neighbours as u64, "neighbour"),
            stats.stream.fragments_lost,
        ));
    }
}

/// A peer's counters as figures.
pub(crate) fn figures_of(name: &str, stats: PeerStats, delay_ms: Option<u64>) -> ViewerFigures {
    ViewerFigures {
        name: name.to_owned(),
        members: stats.group.members,
        members_estimated: stats.group.is_estimate,
        neighbours: stats.group.neighbours,
        bytes_from_source: stats.stream.bytes_from_source,
        bytes_from_peers: stats.stream.bytes_from_peers,
        bytes_relayed: stats.stream.bytes_sent,
        lost: stats.stream.fragments_lost,
        delay_ms,
    }
}
