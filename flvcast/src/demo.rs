//! `flvcast demo`: server, caster and viewers in one process, over real sockets, with a page.

use std::{
    collections::{BTreeMap, VecDeque},
    net::SocketAddr,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
        mpsc::{Receiver, RecvTimeoutError, channel},
    },
    time::{Duration, Instant},
};

use crate::{
    Error,
    cast::wait_for_server,
    channel::{DEFAULT_PREFIX, DEFAULT_STREAM, channel_group},
    flv::Tag,
    hub::Hub,
    peer::{Peer, PeerConfig, PeerEvent},
    source::{FileSource, Paced, pace},
    stop::Stop,
    watch::figures_of,
    web::{self, Figures},
};

const CHANNEL: &str = "demo";
const VIEWERS: usize = 3;
const TICK: Duration = Duration::from_millis(50);
const PROGRESS: Duration = Duration::from_secs(5);
/// At the end, what was cast just now may still be on its way.
const SETTLE: Duration = Duration::from_secs(4);
/// Tags remembered for checking viewers against.
const MEMORY: usize = 65_536;

static SAMPLE: &[u8] = include_bytes!("../assets/sample.flv");

/// What was cast, in order, each with its time.
#[derive(Debug, Default)]
struct Ledger {
    first: u64,
    entries: VecDeque<(Tag, Instant)>,
}

impl Ledger {
    fn note(&mut self, tag: &Tag) {
        self.entries.push_back((tag.clone(), Instant::now()));
        if self.entries.len() > MEMORY {
            self.entries.pop_front();
            self.first += 1;
        }
    }

    fn get(&self, number: u64) -> Option<&(Tag, Instant)> {
        self.entries.get(usize::try_from(number.checked_sub(self.first)?).ok()?)
    }

    /// The numbers that this tag may have; headers are repeated, so there may be several.
    fn find(&self, tag: &Tag) -> Vec<u64> {
        let equal = self.entries.iter().enumerate().filter(|(_, (cast, _))| cast == tag);
        equal.map(|(at, _)| self.first + at as u64).collect()
    }

    fn end(&self) -> u64 {
        self.first + self.entries.len() as u64
    }
}

/// One viewer, checked tag by tag against what was cast.
struct Viewer {
    peer: Peer,
    events: Receiver<PeerEvent>,
    /// Which number its next tag may have: one, once its place in the broadcast is clear.
    next: Option<Vec<u64>>,
    wrong: Option<String>,
    delay_ms: Arc<AtomicU64>,
}

const NO_DELAY: u64 = u64::MAX;

impl Viewer {
    fn check(&mut self, tag: &Tag, ledger: &Ledger) {
        let numbers = self.next.take().unwrap_or_else(|| ledger.find(tag));
        let (mut next, mut sent) = (Vec::new(), None);
        for number in numbers {
            if let Some((_, at)) = ledger.get(number).filter(|(cast, _)| cast == tag) {
                next.push(number + 1);
                sent = Some(*at);
            }
        }
        match sent {
            Some(at) => self.delay_ms.store(at.elapsed().as_millis() as u64, Ordering::Relaxed),
            None => {
                let what =
                    format!("a tag at {} ms is not the one that was cast next", tag.timestamp);
                self.wrong.get_or_insert(what);
            }
        }
        self.next = Some(next);
    }

    /// How many tags of the broadcast it has not got; nothing if it got none at all.
    fn lag(&self, end: u64) -> Option<u64> {
        self.next.as_ref()?.iter().map(|next| end - next).min()
    }
}

/// Runs until told to stop; fails if a viewer did not get everything from its first tag on.
pub fn demo(http: SocketAddr, stop: &Stop) -> Result<(), Error> {
    let listener = web::bind(http)?;
    let address = listener.local_addr()?;
    let listen = vec![SocketAddr::from(([127, 0, 0, 1], 0)).into()];
    let config = rtmfp::server::ServerConfig { listen, ..Default::default() };
    let server = rtmfp::server::start(&config)?;
    let config = |publishes| -> Result<PeerConfig, Error> {
        Ok(PeerConfig {
            server: server
                .url()
                .parse()
                .map_err(|_| Error::Incomplete("the embedded server has no URL".into()))?,
            group: channel_group(DEFAULT_PREFIX, CHANNEL)?,
            stream: DEFAULT_STREAM.into(),
            publishes,
        })
    };
    let (caster, caster_events) = start_peer(config(true)?)?;
    wait_for_server(&caster_events, &server.url(), stop)?;
    let viewers =
        (0..VIEWERS).map(|_| start_viewer(config(false)?)).collect::<Result<Vec<_>, Error>>()?;
    let hub = Hub::default();
    web::serve(listener, CHANNEL, hub.clone(), figure_source(&caster, &viewers, &hub))?;
    println!("open http://{address}/ in a browser, or: ffplay http://{address}/{CHANNEL}.flv");
    println!("server {}; one caster, {VIEWERS} viewers; Ctrl-C stops", server.url());
    let mut show = Demo { caster, viewers, hub, ledger: Ledger::default() };
    show.run(stop);
    show.settle();
    let verdict = show.verdict();
    show.stop();
    server.stopper()();
    server.wait()?;
    verdict
}

fn start_peer(config: PeerConfig) -> Result<(Peer, Receiver<PeerEvent>), Error> {
    let (sender, events) = channel();
    let peer = Peer::start(config, move |event| {
        let _ = sender.send(event);
    })?;
    Ok((peer, events))
}

fn start_viewer(config: PeerConfig) -> Result<Viewer, Error> {
    let (peer, events) = start_peer(config)?;
    Ok(Viewer {
        peer,
        events,
        next: None,
        wrong: None,
        delay_ms: Arc::new(AtomicU64::new(NO_DELAY)),
    })
}

fn figure_source(caster: &Peer, viewers: &[Viewer], hub: &Hub) -> web::FigureSource {
    let (cast, hub) = (caster.stats_reader(), hub.clone());
    let readers: BTreeMap<usize, _> = viewers
        .iter()
        .map(|viewer| (viewer.peer.stats_reader(), viewer.delay_ms.clone()))
        .enumerate()
        .collect();
    Arc::new(move || {
        let viewers = readers.iter().map(|(index, (read, delay))| {
            let delay = Some(delay.load(Ordering::Relaxed)).filter(|delay| *delay != NO_DELAY);
            figures_of(&format!("viewer {}", index + 1), read(), delay)
        });
        let stats = cast();
        Figures {
            channel: CHANNEL.into(),
            viewers: viewers.collect(),
            bytes_cast: Some(stats.stream.bytes_sent),
            bytes_published: Some(stats.stream.bytes_published),
            http_viewers: hub.viewers(),
        }
    })
}

struct Demo {
    caster: Peer,
    viewers: Vec<Viewer>,
    hub: Hub,
    ledger: Ledger,
}

impl Demo {
    fn run(&mut self, stop: &Stop) {
        let open = || Ok(FileSource::from_bytes(Path::new("the bundled film"), SAMPLE));
        let tags = pace(open, true);
        let mut progress_at = Instant::now() + PROGRESS;
        while !stop.is_set() {
            match tags.recv_timeout(TICK) {
                Ok(Paced::Tag(tag)) => {
                    self.ledger.note(&tag);
                    self.caster.publish(tag);
                }
                Ok(Paced::Warning(text)) => eprintln!("flvcast: {text}"),
                Ok(Paced::Failed(_) | Paced::End) | Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => {}
            }
            self.take_viewers_tags();
            if progress_at <= Instant::now() {
                progress_at += PROGRESS;
                self.report();
            }
        }
        self.caster.finish();
    }

    fn take_viewers_tags(&mut self) {
        for (index, viewer) in self.viewers.iter_mut().enumerate() {
            while let Ok(event) = viewer.events.try_recv() {
                let PeerEvent::Tag(tag) = event else { continue };
                viewer.check(&tag, &self.ledger);
                if index == 0 {
                    self.hub.push(&tag);
                }
            }
        }
    }

    /// Gives what is on its way the time to arrive.
    fn settle(&mut self) {
        let until = Instant::now() + SETTLE;
        let end = self.ledger.end();
        while Instant::now() < until && self.viewers.iter().any(|viewer| viewer.lag(end) != Some(0))
        {
            std::thread::sleep(TICK);
            self.take_viewers_tags();
        }
    }

    fn report(&self) {
        let (mut source, mut peers, mut delays) = (0, 0, Vec::new());
        for viewer in &self.viewers {
            let stats = viewer.peer.stats().stream;
            source += stats.bytes_from_source;
            peers += stats.bytes_from_peers;
            delays.extend(
                Some(viewer.delay_ms.load(Ordering::Relaxed)).filter(|delay| *delay != NO_DELAY),
            );
        }
        let share = 100.0 * peers as f64 / (source + peers).max(1) as f64;
        println!(
            "{} tags cast; viewers got {:.1} MB, {share:.0} % of it from each other; delay up to {} ms",
            self.ledger.end(),
            (source + peers) as f64 / 1e6,
            delays.iter().max().unwrap_or(&0),
        );
    }

    fn verdict(&self) -> Result<(), Error> {
        for (index, viewer) in self.viewers.iter().enumerate() {
            let name = format!("viewer {}", index + 1);
            let missing = viewer.lag(self.ledger.end());
            let complaint = match (&viewer.wrong, missing) {
                (Some(wrong), _) => wrong.clone(),
                (None, None) => "got nothing".into(),
                (None, Some(0)) => continue,
                (None, Some(missing)) => format!("lacks the last {missing} tags"),
            };
            return Err(Error::Incomplete(format!("{name}: {complaint}")));
        }
        println!("every viewer got every tag from its first on");
        Ok(())
    }

    fn stop(self) {
        for viewer in self.viewers {
            viewer.peer.stop();
        }
        self.caster.stop();
    }
}
