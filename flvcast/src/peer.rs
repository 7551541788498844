//! A member of a channel's group on a thread of its own: real sockets, a real clock.

mod choice;

use std::{
    io,
    sync::{Arc, Mutex},
    thread::JoinHandle,
    time::{Duration, Instant},
};

use bytes::Bytes;
use netgroup::{
    Delivery, Group, GroupEvent, GroupHandle, GroupSpec, GroupStats, MEMBER_LIVENESS, Node,
    NodeEvent, StreamStats,
    wire::{StreamKey, StreamParameters},
};
use rand::Rng;
use rtmfp::{
    Config, Endpoint, Event, ServerUrl,
    crypto::{Identity, PeerId},
    net::{App, Remote, bind_any, key_log_from_env, reachable_addresses},
};

use crate::{
    Error,
    flv::{Tag, TagKind},
};
use choice::{Choice, Next};

/// How often figures are made.
const STATS_PERIOD: Duration = Duration::from_millis(500);
/// RTMP data in AMF3 form: a format byte, then AMF0. What `NetStream.send` makes.
const DATA_AMF3: u8 = 0x0f;

/// Where and as what to join.
#[derive(Debug, Clone)]
pub struct PeerConfig {
    /// The rendezvous server.
    pub server: ServerUrl,
    /// The channel's group.
    pub group: GroupSpec,
    /// The stream's name in the group.
    pub stream: String,
    /// Publish it, or watch it.
    pub publishes: bool,
}

/// What a peer tells.
#[derive(Debug)]
pub enum PeerEvent {
    /// The server accepted us.
    Connected,
    /// The server refuses us, in its own words.
    Refused(String),
    /// No answer from the server yet; it is tried for ever.
    NoAnswer,
    /// A server answers, but not the one that was pinned; this is its fingerprint.
    OtherServer(PeerId),
    /// The server is gone; it is tried for ever.
    ServerLost,
    /// The stream was found.
    Found,
    /// A broadcast begins, with its very first tag or in its midst.
    Began {
        /// Nothing was missed.
        from_start: bool,
    },
    /// The next tag.
    Tag(Tag),
    /// The broadcast is over.
    Ended,
    /// Somebody else casts on the channel that we cast on.
    Contested,
}

/// Figures of a peer.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PeerStats {
    /// Of the group.
    pub group: GroupStats,
    /// Of the stream.
    pub stream: StreamStats,
    /// UDP payload bytes sent, all told.
    pub udp_sent: u64,
    /// Who casts on the channel, ourselves not counted.
    pub casters: usize,
}

/// What other threads may ask of a peer.
#[derive(Debug)]
enum Command {
    Publish(Tag),
    Finish,
}

/// A running peer.
#[derive(Debug)]
pub struct Peer {
    remote: Remote<Command>,
    stats: Arc<Mutex<PeerStats>>,
    id: PeerId,
    thread: JoinHandle<io::Result<()>>,
}

impl Peer {
    /// Joins; `on_event` is called on the peer's thread and must not block.
    pub fn start(
        config: PeerConfig,
        on_event: impl FnMut(PeerEvent) + Send + 'static,
    ) -> Result<Self, Error> {
        let servers = config
            .server
            .resolve()
            .map_err(|error| Error::Resolve(config.server.host().to_owned(), error))?;
        let now = Instant::now();
        let mut rng = rand::rng();
        let identity = Identity::peer(&mut rng);
        let id = identity.peer_id();
        let [seed, group_seed] = std::array::from_fn(|_| {
            let mut seed = [0; 32];
            rng.fill_bytes(&mut seed);
            seed
        });
        let endpoint = Endpoint::new(
            Config { liveness: MEMBER_LIVENESS, key_log: key_log_from_env(), ..Config::default() },
            identity,
            now,
            seed,
        );
        let stats = Arc::new(Mutex::new(PeerStats::default()));
        let app = PeerApp {
            node: Node::new(now, id, config.server, servers.clone(), group_seed),
            spec: config.group,
            group: None,
            stream: config.stream,
            publishes: config.publishes,
            publication: None,
            choice: Choice::default(),
            on_event: Box::new(on_event),
            stats: stats.clone(),
            stats_at: now,
        };
        let (mut driver, remote) = bind_any(endpoint, app)?;
        let local = reachable_addresses(&servers, &driver.local_addresses());
        let (app, endpoint) = driver.parts();
        app.node.set_local_addresses(local);
        app.begin(now, endpoint);
        let thread = std::thread::Builder::new()
            .name("peer".into())
            .spawn(move || driver.run().map(|_| ()))?;
        Ok(Self { remote, stats, id, thread })
    }

    /// Our fingerprint.
    pub fn id(&self) -> PeerId {
        self.id
    }

    /// Whether its thread runs; what ended it is told by [`Self::stop`].
    pub fn is_running(&self) -> bool {
        !self.thread.is_finished()
    }

    /// Publishes a tag. False when the peer has stopped.
    pub fn publish(&self, tag: Tag) -> bool {
        self.remote.send(Command::Publish(tag)).is_ok()
    }

    /// Ends the broadcast; neighbours are told.
    pub fn finish(&self) {
        let _ = self.remote.send(Command::Finish);
    }

    /// The latest figures.
    pub fn stats(&self) -> PeerStats {
        self.stats.lock().map(|stats| *stats).unwrap_or_default()
    }

    /// Something that reads the latest figures from elsewhere.
    pub fn stats_reader(&self) -> impl Fn() -> PeerStats + Send + Sync + 'static {
        let stats = self.stats.clone();
        move || stats.lock().map(|stats| *stats).unwrap_or_default()
    }

    /// Says goodbye to all neighbours and waits until that is done; what ended its thread, if that
    /// ended by itself.
    pub fn stop(self) -> Result<(), Error> {
        let _ = self.remote.stop();
        match self.thread.join() {
            Ok(ended) => ended.map_err(Error::Network),
            Err(_) => Err(Error::NetworkThread),
        }
    }
}

struct PeerApp {
    node: Node,
    spec: GroupSpec,
    group: Option<GroupHandle>,
    stream: String,
    publishes: bool,
    publication: Option<StreamKey>,
    choice: Choice,
    on_event: Box<dyn FnMut(PeerEvent) + Send>,
    stats: Arc<Mutex<PeerStats>>,
    stats_at: Instant,
}

impl PeerApp {
    fn begin(&mut self, now: Instant, endpoint: &mut Endpoint) {
        self.group = self.node.join(now, endpoint, self.spec.clone());
        let (name, publishes) = (self.stream.clone(), self.publishes);
        if let Some(group) = self.group() {
            if publishes {
                let key = group.publish(now, &name, StreamParameters::default());
                self.publication = Some(key);
            } else {
                group.subscribe(&name);
            }
        }
        self.node.start(now, endpoint);
    }

    fn group(&mut self) -> Option<&mut Group> {
        self.node.group(self.group?)
    }

    fn drain(&mut self, now: Instant) {
        while let Some(event) = self.node.poll_event() {
            match event {
                NodeEvent::Connected => (self.on_event)(PeerEvent::Connected),
                NodeEvent::Refused(why) => (self.on_event)(PeerEvent::Refused(why)),
                NodeEvent::NoAnswer => (self.on_event)(PeerEvent::NoAnswer),
                NodeEvent::OtherServer(peer) => (self.on_event)(PeerEvent::OtherServer(peer)),
                NodeEvent::ServerLost => (self.on_event)(PeerEvent::ServerLost),
                NodeEvent::Group { event, .. } => self.on_group(now, event),
            }
        }
    }

    fn on_group(&mut self, now: Instant, event: GroupEvent) {
        match event {
            GroupEvent::NeighborConnected(peer) => log::info!("neighbour {peer} connected"),
            GroupEvent::NeighborDisconnected(peer) => log::info!("neighbour {peer} is gone"),
            GroupEvent::NeighborBanned { peer, of } => {
                log::warn!("neighbour {peer} is dropped: {of}")
            }
            GroupEvent::StreamFound { .. } => (self.on_event)(PeerEvent::Found),
            GroupEvent::StreamContested { .. } => (self.on_event)(PeerEvent::Contested),
            GroupEvent::Stream { key, event } => {
                let mut next = Vec::new();
                let is_vouched_for = self.group().is_some_and(|group| group.is_vouched_for(&key));
                self.choice.on_event(now, key, is_vouched_for, event, &mut next);
                next.into_iter().for_each(|next| self.tell(next));
            }
        }
    }

    fn tell(&mut self, next: Next) {
        match next {
            Next::Began { from_start } => (self.on_event)(PeerEvent::Began { from_start }),
            Next::Message(message) => {
                if let Some(tag) = to_tag(message) {
                    (self.on_event)(PeerEvent::Tag(tag));
                }
            }
            Next::Ended => (self.on_event)(PeerEvent::Ended),
        }
    }

    fn update_stats(&mut self, now: Instant, endpoint: &Endpoint) {
        self.stats_at = now + STATS_PERIOD;
        let key = self.publication.or(self.choice.playing());
        let udp_sent = endpoint.stats().bytes_sent;
        let casters = self.choice.casters(now);
        let Some(group) = self.group() else { return };
        let stats = PeerStats {
            group: group.stats(),
            stream: key.and_then(|key| group.stream_stats(&key)).unwrap_or_default(),
            udp_sent,
            casters,
        };
        if let Ok(mut shared) = self.stats.lock() {
            *shared = stats;
        }
    }
}

impl App for PeerApp {
    type Command = Command;

    fn on_event(&mut self, now: Instant, endpoint: &mut Endpoint, event: Event) {
        self.node.on_event(now, endpoint, event);
        self.drain(now);
    }

    fn on_command(&mut self, now: Instant, endpoint: &mut Endpoint, command: Command) {
        let (Some(key), Some(group)) = (self.publication, self.group()) else { return };
        match command {
            Command::Publish(tag) => {
                let (kind, payload) = to_message(&tag);
                group.publish_message(now, &key, kind, tag.timestamp, &payload);
            }
            Command::Finish => group.unpublish(now, &key),
        }
        self.node.flush(now, endpoint);
        self.drain(now);
    }

    fn poll_timeout(&self) -> Option<Instant> {
        Some(self.node.poll_timeout().min(self.stats_at))
    }

    fn on_timeout(&mut self, now: Instant, endpoint: &mut Endpoint) {
        if self.node.poll_timeout() <= now {
            self.node.handle_timeout(now, endpoint);
            self.drain(now);
        }
        if self.stats_at <= now {
            self.update_stats(now, endpoint);
        }
    }
}

/// Data goes as `NetStream.send` would send it.
fn to_message(tag: &Tag) -> (u8, Bytes) {
    match tag.kind {
        TagKind::Script => (DATA_AMF3, [&[0], &tag.payload[..]].concat().into()),
        kind => (kind as u8, tag.payload.clone()),
    }
}

fn to_tag(message: Delivery) -> Option<Tag> {
    let Delivery { kind, timestamp, payload } = message;
    if kind == DATA_AMF3 {
        let payload = payload.slice(payload.len().min(1)..);
        return Some(Tag { kind: TagKind::Script, timestamp, payload });
    }
    Some(Tag { kind: TagKind::from_code(kind)?, timestamp, payload })
}
