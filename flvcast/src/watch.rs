//! `flvcast watch`: a channel to a file, a pipe, a browser or a player.

use std::{
    net::SocketAddr,
    path::PathBuf,
    sync::{
        Arc,
        mpsc::{Receiver, RecvTimeoutError, channel},
    },
    time::{Duration, Instant},
};

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::{
    Error,
    cast::wait_for_server,
    flv::Tag,
    hub::Hub,
    output::{Output, Written},
    peer::{Peer, PeerConfig, PeerEvent, PeerStats},
    stop::Stop,
    web::{self, Figures, ViewerFigures},
};

/// What of a channel's name cannot stand in a URL as it is.
const NAME: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
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
    /// A page and the film.
    pub http: Option<SocketAddr>,
    /// How long; also told to [`Stop`].
    pub limit: Option<Duration>,
}

/// Watches until the broadcast ends or it is told to stop.
pub fn watch(config: &WatchConfig, stop: &Stop) -> Result<(), Error> {
    let listener = config.http.map(web::bind).transpose()?;
    let server = config.peer.server.to_string();
    let (events, from_peer) = channel();
    let peer = Peer::start(config.peer.clone(), move |event| {
        let _ = events.send(event);
    })?;
    wait_for_server(&from_peer, &server, stop)?;
    let hub = Hub::default();
    if let Some(listener) = listener {
        let address = listener.local_addr()?;
        let (reader, name, for_figures) =
            (peer.stats_reader(), config.channel.clone(), hub.clone());
        let figures = move || Figures {
            channel: name.clone(),
            viewers: vec![figures_of("this viewer", reader(), None)],
            http_viewers: for_figures.viewers(),
            ..Figures::default()
        };
        web::serve(listener, &config.channel, hub.clone(), Arc::new(figures))?;
        let film = utf8_percent_encode(&config.channel, NAME);
        eprintln!("page: http://{address}/   film: http://{address}/{film}.flv");
    }
    // Nothing is made before there is somebody to watch it for.
    let output = config.out.as_deref().map(Output::start).transpose()?;
    let mut show = Show { hub, output, has_found: false, has_tags: false };
    let end = show.run(&config.channel, &from_peer, &peer, stop);
    peer.stop();
    show.finish(config, end)
}

/// How the show ended.
enum End {
    /// The broadcast is over, or we are.
    Done,
    /// Writing failed; the output says why.
    OutputFailed,
}

struct Show {
    hub: Hub,
    output: Option<Output>,
    has_found: bool,
    has_tags: bool,
}

impl Show {
    fn run(
        &mut self,
        channel: &str,
        events: &Receiver<PeerEvent>,
        peer: &Peer,
        stop: &Stop,
    ) -> End {
        let mut progress_at = Instant::now() + FIRST_PROGRESS;
        while !stop.is_set() {
            match events.recv_timeout(TICK) {
                Ok(PeerEvent::Tag(tag)) => match self.take(&tag) {
                    Written::Soon => {}
                    Written::TooSlow => return End::OutputFailed,
                    Written::Over => return End::Done,
                },
                Ok(PeerEvent::Found) => self.has_found = true,
                Ok(PeerEvent::Ended) => {
                    eprintln!("the broadcast has ended");
                    return End::Done;
                }
                Ok(PeerEvent::Connected | PeerEvent::Failed(_))
                | Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return End::Done,
            }
            if progress_at <= Instant::now() {
                progress_at += PROGRESS;
                self.report(channel, &peer.stats());
            }
        }
        End::Done
    }

    fn take(&mut self, tag: &Tag) -> Written {
        self.has_tags |= tag.is_media();
        self.hub.push(tag);
        self.output.as_ref().map_or(Written::Soon, |output| output.write(tag))
    }

    fn report(&self, channel: &str, stats: &PeerStats) {
        if !self.has_found {
            eprintln!(
                "waiting: nobody casts '{channel}' yet ({} members)",
                stats.group.estimated_members
            );
            return;
        }
        eprintln!(
            "{:.1} MB from the source, {:.1} MB from peers, {:.1} MB relayed; {} members, {} neighbours, {} lost",
            stats.stream.bytes_from_source as f64 / 1e6,
            stats.stream.bytes_from_peers as f64 / 1e6,
            stats.stream.bytes_sent as f64 / 1e6,
            stats.group.estimated_members,
            stats.group.neighbours,
            stats.stream.fragments_lost,
        );
    }

    fn finish(self, config: &WatchConfig, end: End) -> Result<(), Error> {
        let written = self.output.map(Output::finish).transpose()?;
        if matches!(end, End::OutputFailed) {
            let error = std::io::Error::other("the disk is too slow for the stream");
            let path = config.out.clone().unwrap_or_default();
            return Err(Error::Output { path, error, kept: written.unwrap_or(0) });
        }
        match config.limit {
            Some(limit) if !self.has_tags => {
                Err(Error::NobodyCasts(config.channel.clone(), humantime::format_duration(limit)))
            }
            _ if self.has_tags && written == Some(0) => {
                Err(Error::NoPicture(config.channel.clone()))
            }
            _ => Ok(()),
        }
    }
}

/// A peer's counters as figures.
pub(crate) fn figures_of(name: &str, stats: PeerStats, delay_ms: Option<u64>) -> ViewerFigures {
    ViewerFigures {
        name: name.to_owned(),
        members: stats.group.estimated_members,
        neighbours: stats.group.neighbours,
        bytes_from_source: stats.stream.bytes_from_source,
        bytes_from_peers: stats.stream.bytes_from_peers,
        bytes_relayed: stats.stream.bytes_sent,
        lost: stats.stream.fragments_lost,
        delay_ms,
    }
}
