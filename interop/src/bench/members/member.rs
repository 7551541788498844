//! One member on a thread of its own.

use std::{
    convert::Infallible,
    io,
    net::SocketAddr,
    thread::JoinHandle,
    time::{Duration, Instant, SystemTime},
};

use netgroup::{
    Capabilities, GroupEvent, GroupHandle, GroupSpec, MEMBER_LIVENESS, Node, NodeEvent,
    StreamEvent, publisher_of,
    wire::{StreamKey, StreamParameters},
};
use rand::{RngExt, rngs::StdRng};
use rtmfp::{
    Config, Endpoint, Event, ServerUrl,
    crypto::PeerId,
    net::{App, Remote, bind_any},
};

use super::{AnyError, Arguments, Part};
use crate::swarm::{
    crowd::identity,
    figures::Viewing,
    film::{Film, STREAM, Slot},
    lies, scenario,
    traffic::Traffic,
};

/// A group has come to rest so long after the last member came.
const REST: Duration = Duration::from_secs(120);

/// What all members of a process share.
#[derive(Debug, Clone)]
pub(super) struct Place {
    began: Instant,
    url: ServerUrl,
    servers: Vec<SocketAddr>,
    specs: Vec<GroupSpec>,
    /// If one is cast.
    film: Option<Film>,
    members: usize,
    over: Duration,
    length: Duration,
    caster: PeerId,
    /// Those with the highest numbers.
    liars: Vec<PeerId>,
    seed: u64,
}

impl Place {
    pub fn new(began: SystemTime, url: ServerUrl, arguments: &Arguments) -> Result<Self, AnyError> {
        let spec =
            |channel| GroupSpec::new(&format!("members-{channel}"), Capabilities::CHANNEL, 1);
        let film = scenario::Film { kbits: arguments.kbits, ..Default::default() };
        let seed = arguments.began.unwrap_or_default();
        let over = Duration::from_secs_f64(arguments.over);
        // The same instant in every process.
        let now = (Instant::now(), SystemTime::now());
        let began = match began.duration_since(now.1) {
            Ok(ahead) => now.0 + ahead,
            Err(ago) => now.0.checked_sub(ago.duration()).ok_or("it began too long ago")?,
        };
        Ok(Self {
            began,
            servers: url.resolve()?,
            url,
            specs: (0..arguments.channels).map(spec).collect::<Result<_, _>>()?,
            film: (arguments.kbits > 0.0).then(|| Film::new(film)),
            members: arguments.members,
            liars: (0..arguments.liars)
                .map(|liar| identity(seed, arguments.members - liar).peer_id())
                .collect(),
            caster: identity(seed, 0).peer_id(),
            seed,
            over,
            length: over + Duration::from_secs_f64(arguments.seconds),
        })
    }

    /// When a member joins; the caster is first.
    pub fn joins(&self, number: usize) -> Duration {
        self.over * number as u32 / self.members.max(1) as u32
    }

    pub fn ends(&self) -> Duration {
        self.length
    }

    /// From when on nobody should need anybody new.
    fn rests(&self) -> Duration {
        (self.over + REST).min(self.length * 2 / 3)
    }

    pub fn sleep_until(&self, time: Duration) {
        std::thread::sleep((self.began + time).saturating_duration_since(Instant::now()));
    }

    fn elapsed(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.began)
    }
}

/// A member that runs.
#[derive(Debug)]
pub(super) struct Member {
    remote: Remote<Infallible>,
    thread: JoinHandle<io::Result<Viewer>>,
}

impl Member {
    pub fn start(place: &Place, number: usize) -> Result<Self, AnyError> {
        let (now, mut rng) = (Instant::now(), rand::rng());
        let identity = identity(place.seed, number);
        let own = identity.peer_id();
        let config = Config { liveness: MEMBER_LIVENESS, ..Config::default() };
        let endpoint = Endpoint::new(config, identity, now, rng.random());
        let node = Node::new(now, own, place.url.clone(), place.servers.clone(), rng.random());
        let (mut driver, remote) = bind_any(endpoint, Viewer::new(place.clone(), number, node))?;
        let local = driver.local_addresses();
        let (viewer, endpoint) = driver.parts();
        viewer.node.set_local_addresses(local);
        viewer.begin(now, endpoint);
        let thread = std::thread::Builder::new().name(format!("member {number}"));
        let thread = thread.spawn(move || driver.run())?;
        Ok(Self { remote, thread })
    }

    /// Ends it; what it saw.
    pub fn stop(self) -> Result<Part, AnyError> {
        self.remote.stop().map_err(|error| error.to_string())?;
        let viewer = self.thread.join().map_err(|_| "a member panicked")??;
        Ok(viewer.part)
    }
}

/// What a member does.
#[derive(Debug)]
struct Viewer {
    place: Place,
    number: usize,
    node: Node,
    groups: Vec<GroupHandle>,
    /// What the caster casts, and what comes next.
    publications: Vec<StreamKey>,
    next: Option<Slot>,
    /// When it lies again, if it does.
    lies_at: Option<Instant>,
    rng: StdRng,
    viewings: Vec<Viewing>,
    traffic: Traffic,
    part: Part,
}

impl Viewer {
    fn new(place: Place, number: usize, node: Node) -> Self {
        Self {
            place,
            number,
            node,
            groups: Vec::new(),
            publications: Vec::new(),
            next: None,
            lies_at: None,
            rng: rand::make_rng(),
            viewings: Vec::new(),
            traffic: Traffic::default(),
            part: Part::default(),
        }
    }

    fn lies(&self) -> bool {
        self.number > self.place.members - self.place.liars.len()
    }

    fn casts(&self) -> bool {
        self.number == 0 && self.place.film.is_some()
    }

    fn begin(&mut self, now: Instant, endpoint: &mut Endpoint) {
        for spec in self.place.specs.clone() {
            let Some(handle) = self.node.join(now, endpoint, spec) else { continue };
            let casts = self.casts();
            let Some(group) = self.node.group(handle) else { continue };
            if casts {
                self.publications.push(group.publish(now, STREAM, StreamParameters::default()));
            } else if self.number > 0 {
                group.subscribe(STREAM);
            }
            self.groups.push(handle);
        }
        self.next = self.place.film.filter(|_| self.casts()).map(|film| film.first());
        self.lies_at = self.lies().then_some(now + lies::PERIOD);
        self.node.start(now, endpoint);
    }

    fn watches(&self) -> bool {
        self.number > 0 && !self.lies()
    }

    fn lie(&mut self, now: Instant, endpoint: &mut Endpoint) {
        if self.lies_at.is_none_or(|at| at > now) {
            return;
        }
        self.lies_at = Some(now + lies::PERIOD);
        for handle in self.groups.clone() {
            let Some(group) = self.node.group(handle) else { continue };
            for action in lies::tell(self.number, group, &mut self.rng) {
                self.node.act(now, endpoint, handle, action);
            }
        }
    }

    fn publish_due(&mut self, now: Instant, endpoint: &mut Endpoint) {
        let Some(film) = self.place.film else { return };
        while let Some(slot) = self.next.filter(|slot| slot.at <= self.place.elapsed(now)) {
            let groups = self.node.groups_mut().zip(self.publications.iter().copied());
            self.part.tally.source_published += film.publish(now, slot, groups);
            self.next = Some(film.after(slot));
        }
        self.node.flush(now, endpoint);
    }

    fn drain(&mut self, now: Instant) {
        let time = self.place.elapsed(now);
        // Others are leaving then, one after the other.
        let is_over = time > self.place.ends();
        while let Some(event) = self.node.poll_event() {
            match event {
                NodeEvent::Connected if self.watches() && self.viewings.is_empty() => {
                    let viewing = || Viewing::new(time, self.place.ends(), None);
                    self.viewings = self.groups.iter().map(|_| viewing()).collect();
                }
                NodeEvent::Group {
                    group,
                    event: GroupEvent::Stream { event: StreamEvent::Message(message), key },
                } if !is_over && publisher_of(&key, &self.place.caster) => {
                    let index = self.groups.iter().position(|known| *known == group);
                    if let Some(viewing) = index.and_then(|index| self.viewings.get_mut(index)) {
                        viewing.play(&mut self.part.tally, time, &message.payload);
                    }
                }
                NodeEvent::Group { event: GroupEvent::NeighborBanned { peer, .. }, .. }
                    if !self.lies() =>
                {
                    match self.place.liars.contains(&peer) {
                        true => self.part.tally.liars_dropped += 1,
                        false => self.part.tally.honest_dropped += 1,
                    }
                }
                _ => {}
            }
        }
    }

    fn count_moves(&mut self, now: Instant, event: &Event) {
        let is_move = matches!(event, Event::SessionOpened { .. } | Event::SessionClosed { .. });
        let time = self.place.elapsed(now);
        if is_move && time > self.place.rests() && time < self.place.ends() {
            self.part.moves += 1;
        }
    }
}

impl App for Viewer {
    type Command = Infallible;

    fn on_event(&mut self, now: Instant, endpoint: &mut Endpoint, event: Event) {
        self.count_moves(now, &event);
        self.traffic.count(&event, &mut self.part.tally);
        self.node.on_event(now, endpoint, event);
        self.drain(now);
    }

    fn on_command(&mut self, _now: Instant, _endpoint: &mut Endpoint, command: Infallible) {
        match command {}
    }

    fn poll_timeout(&self) -> Option<Instant> {
        let next = self.next.map(|slot| self.place.began + slot.at);
        next.into_iter().chain(self.lies_at).chain([self.node.poll_timeout()]).min()
    }

    fn on_timeout(&mut self, now: Instant, endpoint: &mut Endpoint) {
        if self.node.poll_timeout() <= now {
            self.node.handle_timeout(now, endpoint);
        }
        self.lie(now, endpoint);
        self.publish_due(now, endpoint);
        self.drain(now);
    }

    fn on_stop(&mut self, _now: Instant, endpoint: &mut Endpoint) {
        self.part.most_sessions = self.node.session_count();
        if self.number == 0 {
            self.part.tally.source_sent = endpoint.stats().bytes_sent;
        }
        let Some(film) = self.place.film else { return };
        let ends = self.place.ends();
        for (viewing, group) in self.viewings.iter().zip(self.node.groups()) {
            viewing.sum_up(&mut self.part.tally, ends, &film, group);
        }
    }
}
