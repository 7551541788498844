//! One group as a state machine over its peers.
//!
//! In go hints, sessions, flows and messages; out come [`Action`]s for whoever has the sessions,
//! and [`GroupEvent`]s for the application. No sockets, no clock: see `tests/` for a group in
//! virtual time and [`crate::Node`] for one over an [`rtmfp::Endpoint`].

mod media;
mod membership;
mod neighbour;
mod portrait;
mod publications;
mod reports;
mod topology;

use std::{
    collections::{BTreeMap, VecDeque},
    net::SocketAddr,
    time::Instant,
};

use bytes::Bytes;
use rand::{SeedableRng, rngs::StdRng};
use rtmfp::{crypto::PeerId, wire::Address};

use crate::{
    GroupSpec,
    heard::HeardList,
    multicast::{Misconduct, Stream, StreamEvent, StreamStats},
    peer_map::PeerMap,
    wire::{Announcement, StreamKey},
};
pub use membership::Parting;
use neighbour::Neighbour;
pub use portrait::{NeighbourPortrait, Portrait};
use topology::Topology;

/// A flow that we send to a neighbour.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Channel {
    /// Membership and reports.
    Control,
    /// Announcements, availability, pushes and pulls of a stream.
    MediaControl(StreamKey),
    /// Fragments of a stream.
    Media(StreamKey),
}

/// A flow that a neighbour sends to us, as its metadata and association tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Incoming {
    /// Membership and reports.
    Control,
    /// Of a stream that its first message names.
    MediaControl,
    /// Fragments of the stream whose media control flow of ours it answers.
    Media(StreamKey),
}

/// A message to a neighbour.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outgoing {
    /// To whom.
    pub peer: PeerId,
    /// On which flow.
    pub channel: Channel,
    /// The neighbour's flow that a new flow answers.
    pub association: Option<u64>,
    /// The message.
    pub bytes: Bytes,
    /// When it has lost its worth; reliable without.
    pub deadline: Option<Instant>,
}

/// What the group wants done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Open a session: through our server, and directly to these addresses, some of which may
    /// be other servers that introduce.
    Connect {
        /// To whom.
        peer: PeerId,
        /// Where it may be.
        addresses: Vec<SocketAddr>,
    },
    /// Close the session, or stop opening it.
    Disconnect {
        /// With whom.
        peer: PeerId,
    },
    /// Send a message, opening its flow if need be.
    Send(Outgoing),
    /// Join at the server once more: it names members to who joins.
    AskServer,
    /// End our flow for this, if there is one: nothing comes on it any more.
    Finish {
        /// To whom it goes.
        peer: PeerId,
        /// What it was for.
        channel: Channel,
    },
    /// Refuse a flow of a neighbour.
    Reject {
        /// Whose.
        peer: PeerId,
        /// Which.
        flow: u64,
    },
}

/// What the application may want to know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GroupEvent {
    /// A neighbour proved its membership.
    NeighborConnected(PeerId),
    /// A neighbour is gone.
    NeighborDisconnected(PeerId),
    /// A neighbour was dropped for what it did, and is not let in for a while.
    NeighborBanned {
        /// Who.
        peer: PeerId,
        /// What it did, too often.
        of: Misconduct,
    },
    /// A stream that we subscribed to by name was found.
    StreamFound {
        /// Which publication.
        key: StreamKey,
        /// Its name.
        name: String,
    },
    /// Somebody else publishes a stream of the name that we publish.
    StreamContested {
        /// Their publication.
        key: StreamKey,
    },
    /// Something of a stream.
    Stream {
        /// Which publication.
        key: StreamKey,
        /// What.
        event: StreamEvent,
    },
}

/// How a session with a peer came about.
#[derive(Debug, Clone, Copy)]
pub struct PeerSession {
    /// True if we opened it.
    pub is_initiator: bool,
    /// RFC 7425 §4.6.5.
    pub near_nonce: [u8; 32],
    /// RFC 7425 §4.6.5.
    pub far_nonce: [u8; 32],
    /// Where the peer is.
    pub remote: SocketAddr,
}

/// Counters of a group.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct GroupStats {
    /// Members, ourselves included; never fewer than neighbours and ourselves.
    pub members: u64,
    /// The group is too large to be counted, so the number is a likely one.
    pub is_estimate: bool,
    /// Neighbours that proved membership.
    pub neighbours: usize,
    /// Neighbours that publish under a name that we publish.
    pub contenders: usize,
    /// Joins with a wrong group, receiver or proof.
    pub joins_refused: u64,
    /// Messages that made no sense.
    pub malformed: u64,
    /// What neighbours did that no honest one does.
    pub misconduct: u64,
    /// Neighbours dropped for that.
    pub neighbours_banned: u64,
}

/// A member of one group.
#[derive(Debug)]
pub struct Group {
    own: PeerId,
    spec: GroupSpec,
    /// Our server, told to others as a relay.
    host: Option<Address>,
    neighbours: PeerMap<Neighbour>,
    connecting: BTreeMap<PeerId, Instant>,
    heard: HeardList,
    streams: BTreeMap<StreamKey, Stream>,
    subscriptions: Vec<String>,
    /// Publications of others under names that we publish, as they were told of.
    contested: VecDeque<(StreamKey, Instant)>,
    /// When we published first.
    published: Option<Instant>,
    /// Publications for which there was no room, and who told of them; the latest first.
    waiting: VecDeque<(PeerId, Announcement)>,
    /// Until when who did wrong is not let in.
    banned: BTreeMap<PeerId, Instant>,
    topology: Topology,
    next_report: Instant,
    actions: VecDeque<Action>,
    events: VecDeque<GroupEvent>,
    rng: StdRng,
    stats: GroupStats,
}

impl Group {
    /// A member that knows nobody yet. `host` is our server as others can reach it.
    pub fn new(
        now: Instant,
        own: PeerId,
        spec: GroupSpec,
        host: Option<Address>,
        seed: [u8; 32],
    ) -> Self {
        Self {
            own,
            spec,
            host,
            neighbours: PeerMap::default(),
            connecting: BTreeMap::new(),
            heard: HeardList::new(own),
            streams: BTreeMap::new(),
            subscriptions: Vec::new(),
            contested: VecDeque::new(),
            published: None,
            waiting: VecDeque::new(),
            banned: BTreeMap::new(),
            topology: Topology::new(now),
            next_report: now + reports::REPORT_PERIOD,
            actions: VecDeque::new(),
            events: VecDeque::new(),
            rng: StdRng::from_seed(seed),
            stats: GroupStats::default(),
        }
    }

    /// Our own fingerprint.
    pub fn peer_id(&self) -> PeerId {
        self.own
    }

    /// The group's spec.
    pub fn spec(&self) -> &GroupSpec {
        &self.spec
    }

    /// Counters so far.
    pub fn stats(&self) -> GroupStats {
        let neighbours = self.neighbours.values().filter(|neighbour| neighbour.is_member()).count();
        let size = self.heard.size();
        let members = size.members.max(neighbours as u64 + 1);
        let (is_estimate, contenders) = (size.is_estimate, self.contenders());
        GroupStats { members, is_estimate, neighbours, contenders, ..self.stats }
    }

    /// The streams known.
    pub fn streams(&self) -> impl Iterator<Item = StreamKey> + '_ {
        self.streams.keys().copied()
    }

    /// Whether there is a stream, ours or somebody else's.
    pub fn has_streams(&self) -> bool {
        !self.streams.is_empty()
    }

    /// Who pushes how many of a stream's eight residues to us.
    pub fn pushers(&self, key: &StreamKey) -> impl Iterator<Item = (PeerId, u32)> + '_ {
        self.streams.get(key).into_iter().flat_map(|stream| stream.pushers())
    }

    /// Counters of a stream.
    pub fn stream_stats(&self, key: &StreamKey) -> Option<StreamStats> {
        self.streams.get(key).map(Stream::stats)
    }

    /// Whether a stream's publisher shows it to us, or several neighbours do.
    pub fn is_vouched_for(&self, key: &StreamKey) -> bool {
        self.streams.get(key).is_some_and(Stream::is_vouched_for)
    }

    /// Neighbours that proved membership.
    pub fn members(&self) -> impl Iterator<Item = PeerId> + '_ {
        self.neighbours.iter().filter(|(_, neighbour)| neighbour.is_member()).map(|(peer, _)| *peer)
    }

    /// What to do, in order.
    pub fn poll_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    /// What happened, in order.
    pub fn poll_event(&mut self) -> Option<GroupEvent> {
        self.events.pop_front()
    }

    /// When [`Group::handle_timeout`] is wanted.
    pub fn poll_timeout(&self) -> Instant {
        let streams = self.streams.values().map(Stream::next_timeout);
        let own = [self.topology.next_look, self.topology.ask_at, self.next_report];
        streams.chain(own).min().unwrap_or(self.next_report)
    }

    /// Lets time pass.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.tick_streams(now);
        self.ask_server(now);
        if self.topology.next_look <= now {
            self.update_topology(now);
            self.take_waiting(now);
        }
        if self.next_report <= now {
            self.next_report = now + reports::REPORT_PERIOD;
            self.report_to_somebody(now);
        }
    }

    fn send(&mut self, peer: PeerId, channel: Channel, message: Vec<u8>) {
        self.send_bytes(peer, channel, message.into(), None);
    }

    fn send_bytes(
        &mut self,
        peer: PeerId,
        channel: Channel,
        message: Bytes,
        deadline: Option<Instant>,
    ) {
        let Some(neighbour) = self.neighbours.get(&peer) else { return };
        let association = neighbour.association_of(&channel);
        let bytes = message;
        let outgoing = Outgoing { peer, channel, association, bytes, deadline };
        self.actions.push_back(Action::Send(outgoing));
    }
}
