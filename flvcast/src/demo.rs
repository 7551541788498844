//! `flvcast demo`: server, caster and viewers in one process, over real sockets, with a page.

use std::{
    collections::{BTreeMap, VecDeque},
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
        mpsc::{Receiver, channel},
    },
    time::{Duration, Instant},
};

use crate::{
    Error,
    cast::{Desk, Mixer, Next},
    channel::{DEFAULT_PREFIX, DEFAULT_STREAM, channel_group},
    flv::Tag,
    peer::{Peer, PeerConfig, PeerEvent},
    say::{print, say},
    screen::Screen,
    source::{Plan, SourceSpec},
    stop::Stop,
    watch::figures_of,
    web::{self, Figures, Limits},
};

const CHANNEL: &str = "demo";
/// More than the caster has places for, so that they have to feed each other.
const VIEWERS: usize = 6;
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
pub fn demo(http: &[SocketAddr], stop: &Stop) -> Result<(), Error> {
    let listener = web::bind(http)?;
    let address = listener.local_addr()?;
    let listen = vec![SocketAddr::from(([127, 0, 0, 1], 0)).into()];
    let config = rtmfpd::ServerConfig { listen, ..Default::default() };
    let server = rtmfpd::start(&config)?;
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
    wait_for_server(&caster_events, stop)?;
    let viewers =
        (0..VIEWERS).map(|_| start_viewer(config(false)?)).collect::<Result<Vec<_>, Error>>()?;
    let screen = Screen::new(Instant::now());
    let figures = figure_source(&caster, &viewers, &screen);
    let web = web::serve(listener, CHANNEL, screen.hub().clone(), Limits::default(), figures)?;
    print(format_args!(
        "open http://{address}/ in a browser, or: ffplay http://{address}/{CHANNEL}.flv"
    ));
    print(format_args!("server {}; one caster, {VIEWERS} viewers; Ctrl-C stops", server.url()));
    let mut show = Demo { caster, viewers, screen, ledger: Ledger::default() };
    let ran = show.run(stop);
    show.settle();
    let verdict = ran.and(show.verdict());
    show.screen.close();
    web.finish();
    show.stop()?;
    server.stopper()();
    server.wait()?;
    verdict
}

/// Server and caster are on this machine: it takes no time, or it is an error.
fn wait_for_server(events: &Receiver<PeerEvent>, stop: &Stop) -> Result<(), Error> {
    while !stop.is_set() {
        match events.recv_timeout(TICK) {
            Ok(PeerEvent::Connected) => break,
            Ok(PeerEvent::NoAnswer | PeerEvent::Refused(_)) => {
                return Err(Error::Incomplete("the embedded server does not answer".into()));
            }
            _ => {}
        }
    }
    Ok(())
}

/// What the first viewer tells, for the screen.
fn show_on(screen: &mut Screen, event: PeerEvent) {
    let now = Instant::now();
    match event {
        PeerEvent::Connected => screen.status().set_connected(now, true),
        PeerEvent::Began { from_start } => screen.begin(from_start),
        PeerEvent::Tag(tag) => screen.take(now, tag),
        PeerEvent::Ended => screen.end(now),
        _ => {}
    }
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

fn figure_source(caster: &Peer, viewers: &[Viewer], screen: &Screen) -> web::FigureSource {
    let (cast, screen) = (caster.stats_reader(), screen.reader());
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
    caster: Peer,
    viewers: Vec<Viewer>,
    /// What the first viewer shows.
    screen: Screen,
    ledger: Ledger,
}

impl Demo {
    fn run(&mut self, stop: &Stop) -> Result<(), Error> {
        let sources = vec![SourceSpec::Memory("the bundled film", SAMPLE)];
        let mut mixer = Mixer::new(Plan { sources, repeats: true }, None);
        let mut desk = Desk::new(Instant::now());
        let mut progress_at = Instant::now() + PROGRESS;
        while !stop.is_set() {
            match desk.next(Instant::now(), |stamp| mixer.backlog(stamp))? {
                Next::Send(tags) => {
                    for tag in tags {
                        self.ledger.note(&tag);
                        self.caster.publish(tag);
                    }
                }
                Next::Wait(until) => {
                    let left = until.saturating_duration_since(Instant::now());
                    std::thread::sleep(left.min(TICK));
                }
                Next::Read => desk.read(&mut mixer, TICK),
                Next::Say(text) => say(text),
                Next::End => break,
            }
            self.take_viewers_tags();
            self.screen.tick(Instant::now());
            if progress_at <= Instant::now() {
                progress_at += PROGRESS;
                self.report();
            }
        }
        self.caster.finish();
        Ok(())
    }

    fn take_viewers_tags(&mut self) {
        for (index, viewer) in self.viewers.iter_mut().enumerate() {
            while let Ok(event) = viewer.events.try_recv() {
                if let PeerEvent::Tag(tag) = &event {
                    viewer.check(tag, &self.ledger);
                }
                if index == 0 {
                    show_on(&mut self.screen, event);
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

    fn stop(self) -> Result<(), Error> {
        for viewer in self.viewers {
            viewer.peer.stop()?;
        }
        self.caster.stop()
    }
}
