//! A peer on a thread of its own, with real sockets and a real clock: one connection to a server,
//! and any number of channels over it.

mod choice;
mod totals;

use std::{
    collections::BTreeMap,
    io,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use bytes::Bytes;
use netgroup::{
    Delivery, Group, GroupEvent, GroupHandle, GroupSpec, GroupStats, MEMBER_LIVENESS, Node,
    NodeEvent, Portrait, StreamStats,
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
use totals::Totals;

/// How often figures are made.
const STATS_PERIOD: Duration = Duration::from_millis(500);
/// RTMP data in AMF3 form: a format byte, then AMF0. What `NetStream.send` makes.
const DATA_AMF3: u8 = 0x0f;

/// Which stream of which group, and our part in it.
#[derive(Debug, Clone)]
pub struct Member {
    /// The channel's group.
    pub group: GroupSpec,
    /// The stream's name in the group.
    pub stream: String,
    /// Publish it, or watch it.
    pub publishes: bool,
}

/// One of a peer's channels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MemberId(pub u32);

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
    /// Something happened on a channel.
    Member(MemberId, MemberEvent),
}

/// What happens on a channel.
#[derive(Debug)]
pub enum MemberEvent {
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

/// Figures of a channel.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct MemberStats {
    /// Of the group.
    pub group: GroupStats,
    /// Of the stream.
    pub stream: StreamStats,
    /// Who casts on the channel, ourselves not counted.
    pub casters: usize,
}

/// The latest figures of a channel, written by the peer and read by all.
#[derive(Debug, Clone, Default)]
pub struct SharedStats(Arc<Figures>);

#[derive(Debug, Default)]
struct Figures {
    totals: Mutex<Totals>,
    stats: Mutex<MemberStats>,
    portrait: Mutex<Portrait>,
    /// Somebody looked at the portrait since it was drawn.
    is_looked_at: AtomicBool,
}

impl SharedStats {
    /// As they are now.
    pub fn get(&self) -> MemberStats {
        *self.0.stats.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Of the publication that plays, by itself.
    pub fn latest_stream(&self) -> StreamStats {
        self.lock_totals().latest()
    }

    /// It goes on counting where another one, which is over, has ended.
    pub fn go_on_from(&self, other: &Self) {
        let before = other.lock_totals().all();
        let stream = {
            let mut totals = self.lock_totals();
            totals.go_on_from(&before);
            totals.all()
        };
        let group = other.get().group;
        let mut stats = self.0.stats.lock().unwrap_or_else(PoisonError::into_inner);
        stats.stream = stream;
        if stats.group == GroupStats::default() {
            // Until its own figures come, in a moment.
            stats.group = group;
        }
    }

    fn lock_totals(&self) -> MutexGuard<'_, Totals> {
        self.0.totals.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The group as it was drawn last; it is drawn again soon.
    pub fn portrait(&self) -> Portrait {
        self.0.is_looked_at.store(true, Ordering::Relaxed);
        self.0.portrait.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set(&self, group: &Group, key: Option<StreamKey>, casters: usize) {
        let latest = key.and_then(|key| Some((key, group.stream_stats(&key)?)));
        let stream = self.lock_totals().take(latest);
        let stats = MemberStats { group: group.stats(), stream, casters };
        *self.0.stats.lock().unwrap_or_else(PoisonError::into_inner) = stats;
        if self.0.is_looked_at.swap(false, Ordering::Relaxed) {
            let portrait = group.portrait(key.as_ref());
            *self.0.portrait.lock().unwrap_or_else(PoisonError::into_inner) = portrait;
        }
    }
}

/// What other threads may ask of a peer.
#[derive(Debug)]
enum Command {
    Join(MemberId, Member, SharedStats),
    Publish(MemberId, Tag),
    Finish(MemberId),
    Leave(MemberId),
}

/// A running peer.
#[derive(Debug)]
pub struct Peer {
    remote: Remote<Command>,
    id: PeerId,
    thread: JoinHandle<io::Result<()>>,
}

impl Peer {
    /// Connects; `on_event` is called on the peer's thread and must not block.
    pub fn start(
        server: ServerUrl,
        on_event: impl FnMut(PeerEvent) + Send + 'static,
    ) -> Result<Self, Error> {
        let servers =
            server.resolve().map_err(|error| Error::Resolve(server.host().to_owned(), error))?;
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
        let app = PeerApp {
            node: Node::new(now, id, server, servers.clone(), group_seed),
            channels: BTreeMap::new(),
            on_event: Box::new(on_event),
            stats_at: now,
        };
        let (mut driver, remote) = bind_any(endpoint, app)?;
        let local = reachable_addresses(&servers, &driver.local_addresses());
        let (app, endpoint) = driver.parts();
        app.node.set_local_addresses(local);
        app.node.start(now, endpoint);
        let thread = std::thread::Builder::new()
            .name("peer".into())
            .spawn(move || driver.run().map(|_| ()))?;
        Ok(Self { remote, id, thread })
    }

    /// Our fingerprint.
    pub fn id(&self) -> PeerId {
        self.id
    }

    /// Whether its thread runs; what ended it is told by [`Self::stop`].
    pub fn is_running(&self) -> bool {
        !self.thread.is_finished()
    }

    /// Joins a group that it is not in yet. Figures go into `stats`.
    pub fn join(&self, id: MemberId, member: Member, stats: SharedStats) {
        self.ask(Command::Join(id, member, stats));
    }

    /// Publishes a tag.
    pub fn publish(&self, id: MemberId, tag: Tag) {
        self.ask(Command::Publish(id, tag));
    }

    /// Ends the broadcast; neighbours are told.
    pub fn finish(&self, id: MemberId) {
        self.ask(Command::Finish(id));
    }

    /// Leaves the group.
    pub fn leave(&self, id: MemberId) {
        self.ask(Command::Leave(id));
    }

    fn ask(&self, command: Command) {
        // Of a peer that has stopped its owner learns by itself.
        let _ = self.remote.send(command);
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

/// A channel, as the network thread has it.
struct Channel {
    group: GroupHandle,
    publication: Option<StreamKey>,
    choice: Choice,
    stats: SharedStats,
}

struct PeerApp {
    node: Node,
    channels: BTreeMap<MemberId, Channel>,
    on_event: Box<dyn FnMut(PeerEvent) + Send>,
    stats_at: Instant,
}

impl PeerApp {
    fn join(
        &mut self,
        now: Instant,
        endpoint: &mut Endpoint,
        id: MemberId,
        member: Member,
        stats: SharedStats,
    ) {
        let Some(handle) = self.node.join(now, endpoint, member.group) else {
            return log::error!("no room for another group, or it was joined before");
        };
        let Some(group) = self.node.group(handle) else { return };
        let publication = match member.publishes {
            true => Some(group.publish(now, &member.stream, StreamParameters::default())),
            false => {
                group.subscribe(&member.stream);
                None
            }
        };
        let channel = Channel { group: handle, publication, choice: Choice::default(), stats };
        self.channels.insert(id, channel);
    }

    /// The group of a publication of ours.
    fn publication(&mut self, id: MemberId) -> Option<(&mut Group, StreamKey)> {
        let channel = self.channels.get(&id)?;
        Some((self.node.group(channel.group)?, channel.publication?))
    }

    fn drain(&mut self, now: Instant) {
        while let Some(event) = self.node.poll_event() {
            let event = match event {
                NodeEvent::Connected => PeerEvent::Connected,
                NodeEvent::Refused(why) => PeerEvent::Refused(why),
                NodeEvent::NoAnswer => PeerEvent::NoAnswer,
                NodeEvent::OtherServer(peer) => PeerEvent::OtherServer(peer),
                NodeEvent::ServerLost => PeerEvent::ServerLost,
                NodeEvent::Group { group, event } => {
                    self.on_group(now, group, event);
                    continue;
                }
            };
            (self.on_event)(event);
        }
    }

    fn on_group(&mut self, now: Instant, handle: GroupHandle, event: GroupEvent) {
        let mut channels = self.channels.iter_mut();
        let Some((id, channel)) = channels.find(|(_, channel)| channel.group == handle) else {
            return;
        };
        let mut tell = |event| (self.on_event)(PeerEvent::Member(*id, event));
        match event {
            GroupEvent::NeighborConnected(peer) => log::info!("neighbour {peer} connected"),
            GroupEvent::NeighborDisconnected(peer) => log::info!("neighbour {peer} is gone"),
            GroupEvent::NeighborBanned { peer, of } => {
                log::warn!("neighbour {peer} is dropped: {of}")
            }
            GroupEvent::StreamFound { .. } => tell(MemberEvent::Found),
            GroupEvent::StreamContested { .. } => tell(MemberEvent::Contested),
            GroupEvent::Stream { key, event } => {
                let mut next = Vec::new();
                let group = self.node.group(handle);
                let is_vouched_for = group.is_some_and(|group| group.is_vouched_for(&key));
                channel.choice.on_event(now, key, is_vouched_for, event, &mut next);
                next.into_iter().filter_map(to_event).for_each(tell);
            }
        }
    }

    fn update_stats(&mut self, now: Instant) {
        self.stats_at = now + STATS_PERIOD;
        for channel in self.channels.values() {
            let key = channel.publication.or(channel.choice.playing());
            let Some(group) = self.node.group(channel.group) else { continue };
            let casters = match channel.publication {
                Some(_) => group.stats().contenders,
                None => channel.choice.casters(now),
            };
            channel.stats.set(group, key, casters);
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
        match command {
            Command::Join(id, member, stats) => self.join(now, endpoint, id, member, stats),
            Command::Publish(id, tag) => {
                let Some((group, key)) = self.publication(id) else { return };
                let (kind, payload) = to_message(&tag);
                group.publish_message(now, &key, kind, tag.timestamp, &payload);
            }
            Command::Finish(id) => {
                let Some((group, key)) = self.publication(id) else { return };
                group.unpublish(now, &key);
            }
            Command::Leave(id) => {
                if let Some(channel) = self.channels.remove(&id) {
                    self.node.leave(now, endpoint, channel.group);
                }
            }
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
            self.update_stats(now);
        }
    }
}

fn to_event(next: Next) -> Option<MemberEvent> {
    Some(match next {
        Next::Began { from_start } => MemberEvent::Began { from_start },
        Next::Message(message) => MemberEvent::Tag(to_tag(message)?),
        Next::Ended => MemberEvent::Ended,
    })
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
