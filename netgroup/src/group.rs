//! One group as a state machine over its peers.
//!
//! In go hints, sessions, flows and messages; out come [`Action`]s for whoever has the sessions,
//! and [`GroupEvent`]s for the application. No sockets, no clock: see `tests/` for a group in
//! virtual time and [`crate::Node`] for one over an [`rtmfp::Endpoint`].

mod media;
mod membership;
mod neighbour;
mod topology;

use std::{
    collections::{BTreeMap, VecDeque},
    net::SocketAddr,
    time::{Duration, Instant},
};

use bytes::Bytes;
use rand::{SeedableRng, rngs::StdRng};
use rtmfp::{crypto::PeerId, wire::Address};

use crate::{
    GroupSpec,
    heard::HeardList,
    multicast::{Stream, StreamEvent, StreamStats},
    wire::StreamKey,
};
use neighbour::Neighbour;

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
    Send {
        /// To whom.
        peer: PeerId,
        /// On which flow.
        channel: Channel,
        /// The neighbour's flow that a new flow answers.
        association: Option<u64>,
        /// The message.
        message: Bytes,
        /// When it has lost its worth; reliable without.
        deadline: Option<Instant>,
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
    /// Likely members, ourselves included.
    pub estimated_members: u64,
    /// Neighbours that proved membership.
    pub neighbours: usize,
    /// Joins with a wrong group, receiver or proof.
    pub joins_refused: u64,
    /// Messages that made no sense.
    pub malformed: u64,
}

/// A member of one group.
#[derive(Debug)]
pub struct Group {
    own: PeerId,
    spec: GroupSpec,
    /// Our server, told to others as a relay.
    host: Option<Address>,
    /// Where neighbours say we are.
    observed: Vec<Address>,
    neighbours: BTreeMap<PeerId, Neighbour>,
    connecting: BTreeMap<PeerId, Instant>,
    heard: HeardList,
    streams: BTreeMap<StreamKey, Stream>,
    subscriptions: Vec<String>,
    /// Publications of others under names that we publish, as they were told of.
    contested: VecDeque<StreamKey>,
    actions: VecDeque<Action>,
    events: VecDeque<GroupEvent>,
    timers: Timers,
    rng: StdRng,
    stats: GroupStats,
}

#[derive(Debug)]
struct Timers {
    topology: Instant,
    report: Instant,
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
            observed: Vec::new(),
            neighbours: BTreeMap::new(),
            connecting: BTreeMap::new(),
            heard: HeardList::new(own),
            streams: BTreeMap::new(),
            subscriptions: Vec::new(),
            contested: VecDeque::new(),
            actions: VecDeque::new(),
            events: VecDeque::new(),
            timers: Timers {
                topology: now + topology::PERIOD,
                report: now + membership::REPORT_PERIOD,
            },
            rng: StdRng::from_seed(seed),
            stats: GroupStats::default(),
        }
    }

    /// The group's spec.
    pub fn spec(&self) -> &GroupSpec {
        &self.spec
    }

    /// Counters so far.
    pub fn stats(&self) -> GroupStats {
        let neighbours = self.neighbours.values().filter(|neighbour| neighbour.is_member()).count();
        GroupStats { estimated_members: self.heard.estimate(), neighbours, ..self.stats }
    }

    /// The streams known.
    pub fn streams(&self) -> impl Iterator<Item = StreamKey> + '_ {
        self.streams.keys().copied()
    }

    /// Counters of a stream.
    pub fn stream_stats(&self, key: &StreamKey) -> Option<StreamStats> {
        self.streams.get(key).map(Stream::stats)
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
        streams
            .chain([self.timers.topology, self.timers.report])
            .min()
            .unwrap_or(self.timers.topology)
    }

    /// Lets time pass.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.tick_streams(now);
        if self.timers.topology <= now {
            self.timers.topology = now + topology::PERIOD;
            self.update_topology(now);
        }
        if self.timers.report <= now {
            self.timers.report = now + membership::REPORT_PERIOD;
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
        self.actions.push_back(Action::Send { peer, channel, association, message, deadline });
    }

    fn disconnect(&mut self, now: Instant, peer: PeerId) {
        self.actions.push_back(Action::Disconnect { peer });
        self.handle_peer_closed(now, &peer);
    }

    /// Something changed that may change whom we want: look soon.
    fn topology_soon(&mut self, now: Instant) {
        self.timers.topology = self.timers.topology.min(now + Duration::from_millis(50));
    }
}
