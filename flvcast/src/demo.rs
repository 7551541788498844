//! `flvcast demo`: server, caster and viewers in one process, over real sockets, with a page.

use std::{
    collections::VecDeque,
    net::SocketAddr,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
        mpsc::{Receiver, channel},
    },
    time::{Duration, Instant},
};

use rtmfp::ServerUrl;

use crate::{
    Error,
    channel::{DEFAULT_PREFIX, DEFAULT_STREAM, channel_group},
    flv::Tag,
    hub::Memory,
    peer::{Member, MemberEvent, MemberId, Peer, PeerEvent, SharedStats},
    say::print,
    screen::Screen,
    serve::{ChannelTable, FileConfig, Hosts, RecordTable, Serving},
    status::Connection,
    stop::Stop,
    web::{self, Exhibit, Figures, ViewerFigures},
};

const CHANNEL: &str = "demo";
/// More than the caster has places for, so that they have to feed each other.
const VIEWERS: usize = 6;
const CONSOLE_PORT: u16 = 8090;
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
    fn note(&mut self, tag: Tag, at: Instant) {
        self.entries.push_back((tag, at));
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

/// A peer with one channel.
struct Actor {
    peer: Peer,
    stats: SharedStats,
    events: Receiver<PeerEvent>,
}

/// The channel of each.
const CHANNEL_ID: MemberId = MemberId(0);

impl Actor {
    fn start(server: &ServerUrl) -> Result<Self, Error> {
        let (sender, events) = channel();
        let peer = Peer::start(server.clone(), move |event| {
            let _ = sender.send(event);
        })?;
        let (group, stats) = (channel_group(DEFAULT_PREFIX, CHANNEL)?, SharedStats::default());
        let member = Member { group, stream: DEFAULT_STREAM.into(), publishes: false };
        peer.join(CHANNEL_ID, member, stats.clone());
        Ok(Self { peer, stats, events })
    }
}

/// One viewer, checked tag by tag against what was cast.
struct Viewer {
    actor: Actor,
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
pub fn demo(http: &[SocketAddr], stop: &Stop) -> Result<(), Error> {
    let folder = tempfile::tempdir()?;
    let listen = vec![SocketAddr::from(([127, 0, 0, 1], 0)).into()];
    let config = rtmfpd::ServerConfig { listen, ..Default::default() };
    let server = rtmfpd::start(&config)?;
    let no_url = |_| Error::Incomplete("the embedded server has no URL".into());
    let url: ServerUrl = server.url().parse().map_err(no_url)?;
    let viewers = (0..VIEWERS).map(|_| start_viewer(&url)).collect::<Result<Vec<_>, Error>>()?;
    let mut serving = Serving::start(station(folder.path(), url, http)?, None)?;
    let (witness, cast) = std::sync::mpsc::channel();
    let connection = Connection::new(Instant::now());
    let screen = Screen::new(Instant::now(), &connection, Memory::REPLAY);
    let lost = || Error::Incomplete("the demo's channel is gone".into());
    let channel = serving.station_mut().channel_mut(CHANNEL).ok_or_else(lost)?;
    channel.set_witness(witness);
    // Viewers' page shows what crossed the swarm, not what was put into it.
    let (hub, shelf) = (screen.hub().clone(), channel.shelf());
    let figures = figure_source(channel.shared_stats(), &viewers, &screen);
    let exhibit = Exhibit::new(CHANNEL.into(), None, hub, figures).with_shelf(shelf);
    serving.station_mut().lineup().add(exhibit);
    let Hosts { http: page, console } = serving.hosts().clone();
    let (page, console) = (page.unwrap_or_default(), console.unwrap_or_default());
    print(format_args!("open http://{page}/ in a browser, or: ffplay http://{page}/{CHANNEL}.flv"));
    print(format_args!("the operator's console: http://{console}/"));
    print(format_args!("server {}; one caster, {VIEWERS} viewers; Ctrl-C stops", server.url()));
    let mut show = Demo { serving, cast, viewers, screen, connection, ledger: Ledger::default() };
    let ran = show.run(stop);
    show.settle();
    let verdict = ran.and(show.verdict());
    show.stop()?;
    server.stopper()();
    server.wait()?;
    verdict
}

/// A channel that casts the bundled film, kept and watched over, in a folder that goes with the demo.
fn station(folder: &Path, server: ServerUrl, http: &[SocketAddr]) -> Result<FileConfig, Error> {
    let film = folder.join("film.flv");
    std::fs::write(&film, SAMPLE)?;
    let table = ChannelTable {
        source: vec![film.display().to_string()],
        repeats: true,
        record: true,
        ..ChannelTable::default()
    };
    let console = [CONSOLE_PORT, 0].map(|port| SocketAddr::from(([127, 0, 0, 1], port)));
    Ok(FileConfig {
        http: http.to_vec(),
        console: console.to_vec(),
        state: Some(folder.join("state")),
        record: Some(RecordTable::new(folder.join("recordings"))),
        channels: [(CHANNEL.to_owned(), table)].into(),
        ..FileConfig::new(server)
    })
}

/// What the first viewer tells, for the screen.
fn show_on(screen: &mut Screen, connection: &Connection, event: PeerEvent) {
    let now = Instant::now();
    match event {
        PeerEvent::Connected => connection.set(now, true),
        PeerEvent::Member(_, MemberEvent::Began { from_start }) => screen.begin(from_start),
        PeerEvent::Member(_, MemberEvent::Tag(tag)) => screen.take(now, tag),
        PeerEvent::Member(_, MemberEvent::Ended) => screen.end(now),
        _ => {}
    }
}

fn start_viewer(server: &ServerUrl) -> Result<Viewer, Error> {
    let actor = Actor::start(server)?;
    Ok(Viewer { actor, next: None, wrong: None, delay_ms: Arc::new(AtomicU64::new(NO_DELAY)) })
}

fn figure_source(cast: SharedStats, viewers: &[Viewer], screen: &Screen) -> web::FigureSource {
    let screen = screen.reader();
    let readers: Vec<_> = viewers
        .iter()
        .map(|viewer| (viewer.actor.stats.clone(), viewer.delay_ms.clone()))
        .collect();
    Box::new(move || {
        let viewers = readers.iter().enumerate().map(|(index, (stats, delay))| {
            let delay = Some(delay.load(Ordering::Relaxed)).filter(|delay| *delay != NO_DELAY);
            ViewerFigures::of(&format!("viewer {}", index + 1), stats.get(), delay)
        });
        let stats = cast.get();
        Figures {
            channel: CHANNEL.into(),
            title: None,
            is_caster: false,
            kept_ms: 0,
            shown: screen(),
            casters: 1,
            viewers: viewers.collect(),
            is_one_clock: true,
            bytes_cast: Some(stats.stream.bytes_sent),
            bytes_published: Some(stats.stream.bytes_published),
            http_viewers: 0,
        }
    })
}

struct Demo {
    serving: Serving,
    /// Every tag that was cast, and when.
    cast: Receiver<(Tag, Instant)>,
    viewers: Vec<Viewer>,
    /// What the first viewer shows.
    screen: Screen,
    connection: Connection,
    ledger: Ledger,
}

impl Demo {
    fn run(&mut self, stop: &Stop) -> Result<(), Error> {
        let mut progress_at = Instant::now() + PROGRESS;
        while !stop.is_set() {
            self.turn()?;
            let now = Instant::now();
            self.screen.tick(now);
            if progress_at <= now {
                progress_at += PROGRESS;
                self.report();
            }
        }
        // Nothing more is cast, so that what is on its way can arrive.
        if let Some(channel) = self.serving.station_mut().channel_mut(CHANNEL) {
            channel.end_sources();
        }
        Ok(())
    }

    fn turn(&mut self) -> Result<(), Error> {
        self.serving.turn(TICK)?;
        while let Ok((tag, at)) = self.cast.try_recv() {
            self.ledger.note(tag, at);
        }
        self.take_viewers_tags();
        Ok(())
    }

    fn take_viewers_tags(&mut self) {
        for (index, viewer) in self.viewers.iter_mut().enumerate() {
            while let Ok(event) = viewer.actor.events.try_recv() {
                if let PeerEvent::Member(_, MemberEvent::Tag(tag)) = &event {
                    viewer.check(tag, &self.ledger);
                }
                if index == 0 {
                    show_on(&mut self.screen, &self.connection, event);
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
            if self.turn().is_err() {
                return;
            }
        }
    }

    fn report(&self) {
        let (mut source, mut peers, mut delays) = (0, 0, Vec::new());
        for viewer in &self.viewers {
            let stats = viewer.actor.stats.get().stream;
            source += stats.bytes_from_source;
            peers += stats.bytes_from_peers;
            delays.extend(
                Some(viewer.delay_ms.load(Ordering::Relaxed)).filter(|delay| *delay != NO_DELAY),
            );
        }
        let share = 100.0 * peers as f64 / (source + peers).max(1) as f64;
        print(format_args!(
            "{} tags cast; viewers got {:.1} MB, {share:.0} % of it from each other; delay up to {} ms",
            self.ledger.end(),
            (source + peers) as f64 / 1e6,
            delays.iter().max().unwrap_or(&0),
        ));
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
        print("every viewer got every tag from its first on");
        Ok(())
    }

    fn stop(mut self) -> Result<(), Error> {
        self.screen.close();
        for viewer in self.viewers {
            viewer.actor.peer.stop()?;
        }
        let at_once = Stop::default();
        at_once.set();
        self.serving.finish(&at_once)
    }
}
