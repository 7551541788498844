//! One publication of a stream, at its publisher or at a relay.

mod subscriber;

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use bytes::Bytes;
use rand::rngs::StdRng;
use rtmfp::crypto::PeerId;

use super::{
    collect::Collecting,
    known::Known,
    player::Player,
    publisher::{cut, publisher_of},
    pull::Pulls,
    push::{PushPlan, residue},
    store::Store,
};
use crate::wire::{Announcement, Availability, Fragment, FragmentStart, MediaControl};

/// `multicastRelayMarginDuration`: how much longer than the window fragments are kept for others.
const RELAY_MARGIN: Duration = Duration::from_secs(2);
/// `multicastPushNeighborLimit`.
const PUSH_LIMIT: usize = 4;
/// No stream gets this far.
const MAX_ID: u64 = 1 << 53;
/// Further ahead than any stream runs: not believed, unless it stood still for so long that we may
/// have missed all of that.
const MAX_LEAP: u64 = 1 << 15;
const STANDSTILL: Duration = Duration::from_secs(15);
/// How long nothing new must come before a relay is believed that the stream has ended.
const END_PATIENCE: Duration = Duration::from_secs(3);
/// How long an ended publication is kept for those who fetch its last fragments.
const AFTERLIFE: Duration = Duration::from_secs(30);

/// A message of the stream, whole and in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    /// RTMP message type.
    pub kind: u8,
    /// Milliseconds.
    pub timestamp: u32,
    /// RTMP message payload.
    pub payload: Bytes,
}

/// What a stream tells its subscriber.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StreamEvent {
    /// What comes next begins the playing. `from_start`: nothing was published before it.
    Began {
        /// True of the publication's first message.
        from_start: bool,
    },
    /// The next message.
    Message(Delivery),
    /// The publisher ended it, and everything was delivered.
    Ended,
}

/// Counters of one stream; bytes are of fragments with their headers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct StreamStats {
    /// Neighbours that have or want it.
    pub neighbours: usize,
    /// Received from its publisher.
    pub bytes_from_source: u64,
    /// Received from relays.
    pub bytes_from_peers: u64,
    /// Of both, what we had pulled.
    pub fragments_pulled: u64,
    /// Received more than once.
    pub duplicates: u64,
    /// Given up after the window.
    pub fragments_lost: u64,
    /// Sent to neighbours.
    pub bytes_sent: u64,
    /// Published here.
    pub bytes_published: u64,
    /// Last fragment known.
    pub newest: u64,
}

/// What a stream wants sent to a neighbour.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Output {
    Control(PeerId, MediaControl),
    /// A fragment that is worthless after the deadline.
    Media(PeerId, Bytes, Instant),
}

#[derive(Debug, Default)]
struct Neighbour {
    map: Availability,
    /// Residues it wants pushed.
    wants: u8,
    /// Residues we last asked it for.
    asked: u8,
    /// The last fragment it was told of.
    told: u64,
    order: u64,
}

/// Where a stream ends, as somebody said.
#[derive(Debug, Clone, Copy)]
struct End {
    /// One more than its last fragment.
    at: u64,
    /// The publisher said so.
    is_certain: bool,
}

#[derive(Debug)]
enum Role {
    Publisher { next: u64 },
    Met,
    Collecting(Collecting),
    Playing(Player),
}

#[derive(Debug)]
pub(crate) struct Stream {
    pub announcement: Announcement,
    role: Role,
    store: Store,
    known: Known,
    neighbours: BTreeMap<PeerId, Neighbour>,
    next_order: u64,
    plan: PushPlan,
    pulls: Pulls,
    end: Option<End>,
    has_ended: bool,
    map_turn: usize,
    next_tick: Instant,
    since: Instant,
    stats: StreamStats,
}

impl Stream {
    pub fn published(now: Instant, announcement: Announcement) -> Self {
        Self::new(now, announcement, Role::Publisher { next: 1 })
    }

    pub fn subscribed(now: Instant, announcement: Announcement) -> Self {
        Self::new(now, announcement, Role::Met)
    }

    fn new(now: Instant, announcement: Announcement, role: Role) -> Self {
        Self {
            announcement,
            role,
            store: Store::default(),
            known: Known::default(),
            neighbours: BTreeMap::new(),
            next_order: 0,
            plan: PushPlan::new(),
            pulls: Pulls::default(),
            end: None,
            has_ended: false,
            map_turn: 0,
            next_tick: now,
            since: now,
            stats: StreamStats::default(),
        }
    }

    pub fn stats(&self) -> StreamStats {
        let fragments_lost = match &self.role {
            Role::Playing(player) => player.lost,
            _ => 0,
        };
        StreamStats {
            neighbours: self.neighbours.len(),
            fragments_lost,
            newest: self.known.highest(),
            ..self.stats
        }
    }

    pub fn is_publisher(&self) -> bool {
        matches!(self.role, Role::Publisher { .. })
    }

    /// Worth telling others of.
    pub fn has_fragments(&self) -> bool {
        self.store.last().is_some()
    }

    /// How long nothing new was heard of it.
    pub fn idle(&self, now: Instant) -> Duration {
        match self.known.highest() {
            0 => now.saturating_duration_since(self.since),
            highest => self.known.age(now, highest),
        }
    }

    /// A publication that has ended, and that nobody fetches from any more.
    pub fn is_over(&self, now: Instant) -> bool {
        self.is_publisher() && self.end.is_some() && self.idle(now) > AFTERLIFE
    }

    pub fn add_neighbour(&mut self, peer: PeerId, out: &mut Vec<Output>) {
        self.next_order += 1;
        let order = self.next_order;
        self.neighbours.entry(peer).or_insert_with(|| Neighbour { order, ..Neighbour::default() });
        self.send_map(peer, out);
        if let Some(end) = self.end {
            out.push(Output::Control(peer, MediaControl::End(end.at)));
        }
    }

    pub fn remove_neighbour(&mut self, peer: &PeerId) {
        self.neighbours.remove(peer);
        self.plan.forget(peer);
        self.pulls.forget_peer(peer);
    }

    /// Publishes a message: it goes out to those who asked.
    pub fn publish(
        &mut self,
        now: Instant,
        kind: u8,
        timestamp: u32,
        payload: &Bytes,
        out: &mut Vec<Output>,
    ) {
        let Role::Publisher { next } = &mut self.role else { return };
        let first = *next;
        let messages: Vec<Bytes> = cut(first, FragmentStart { kind, timestamp }, payload).collect();
        *next += messages.len() as u64;
        for message in messages {
            self.stats.bytes_published += message.len() as u64;
            self.keep_and_push(now, None, message, out);
        }
    }

    /// Ends the publication.
    pub fn finish(&mut self, out: &mut Vec<Output>) {
        let Role::Publisher { next } = self.role else { return };
        self.end = Some(End { at: next, is_certain: true });
        self.tell_end(None, next, out);
    }

    fn tell_end(&self, from: Option<PeerId>, at: u64, out: &mut Vec<Output>) {
        for peer in self.neighbours.keys().filter(|peer| Some(**peer) != from) {
            out.push(Output::Control(*peer, MediaControl::End(at)));
        }
    }

    /// Holds a new fragment and passes it on. False if there was nothing new in it.
    fn keep_and_push(
        &mut self,
        now: Instant,
        from: Option<PeerId>,
        message: Bytes,
        out: &mut Vec<Output>,
    ) -> bool {
        let Some(fragment) = Fragment::decode(&message) else { return false };
        let id = fragment.id;
        self.known.note(now, id);
        if !self.store.insert(now, fragment, message.clone()) {
            return false;
        }
        let mut takers: Vec<_> = self
            .neighbours
            .iter()
            .filter(|(peer, neighbour)| {
                neighbour.wants >> residue(id) & 1 == 1 && Some(**peer) != from
            })
            .map(|(peer, neighbour)| (neighbour.order, *peer))
            .collect();
        takers.sort_unstable();
        for (_, peer) in takers.into_iter().take(PUSH_LIMIT) {
            self.send_fragment(now, peer, message.clone(), out);
        }
        true
    }

    fn send_fragment(&mut self, now: Instant, peer: PeerId, message: Bytes, out: &mut Vec<Output>) {
        self.stats.bytes_sent += message.len() as u64;
        out.push(Output::Media(peer, message, now + self.announcement.parameters.fetch_period));
    }

    /// A neighbour speaks of the stream.
    pub fn on_control(
        &mut self,
        now: Instant,
        peer: PeerId,
        message: MediaControl,
        rng: &mut StdRng,
        out: &mut Vec<Output>,
        events: &mut Vec<StreamEvent>,
    ) {
        let is_publisher = self.is_publisher();
        let Some(neighbour) = self.neighbours.get_mut(&peer) else { return };
        match message {
            MediaControl::Announce(_) => {}
            MediaControl::PushMask(mask) => neighbour.wants = mask,
            MediaControl::Pull(id) => {
                if let Some(held) = self.store.get(id) {
                    let message = held.message.clone();
                    self.send_fragment(now, peer, message, out);
                }
            }
            MediaControl::Availability(map) if !is_publisher => {
                let is_new = map.last > neighbour.map.last;
                if !is_new || !self.takes_note(now, map.last) {
                    return;
                }
                self.known.note(now, map.last);
                if let Some(neighbour) = self.neighbours.get_mut(&peer) {
                    neighbour.map = map;
                }
                // Whoever plays already looks at maps once a period; a beginner has no time to lose.
                if !matches!(self.role, Role::Playing(_)) {
                    self.work(now, rng, out, events);
                }
            }
            MediaControl::End(at) if !is_publisher => self.on_end(now, peer, at, out, events),
            MediaControl::Availability(_) | MediaControl::End(_) => {}
        }
    }

    /// Nobody may make us believe that the stream ends before what is known of it. Relays pass it
    /// on to those who do not know the publisher.
    fn on_end(
        &mut self,
        now: Instant,
        peer: PeerId,
        at: u64,
        out: &mut Vec<Output>,
        events: &mut Vec<StreamEvent>,
    ) {
        let is_certain = publisher_of(&self.announcement.key, &peer);
        let is_settled = self.end.is_some_and(|end| end.is_certain || !is_certain);
        if is_settled || at > MAX_ID || at <= self.known.highest() {
            return;
        }
        if self.end.is_none_or(|end| end.at != at) {
            self.tell_end(Some(peer), at, out);
        }
        self.end = Some(End { at, is_certain });
        self.play(now, events);
    }

    /// Nobody may make us believe that the stream is somewhere far ahead, unless we heard nothing
    /// for so long that it may well be: then we begin anew.
    fn takes_note(&mut self, now: Instant, id: u64) -> bool {
        let highest = self.known.highest();
        let is_near = highest == 0 || id < highest + MAX_LEAP;
        if !is_near && id <= MAX_ID && self.idle(now) > STANDSTILL {
            self.begin_anew();
            return true;
        }
        let contradicts_end = self.end.is_some_and(|end| id >= end.at);
        if contradicts_end && is_near {
            self.end = self.end.filter(|end| end.is_certain);
        }
        is_near && id <= MAX_ID
    }

    fn begin_anew(&mut self) {
        self.role = Role::Met;
        self.store = Store::default();
        self.known = Known::default();
        self.plan = PushPlan::new();
        self.pulls = Pulls::default();
        self.end = None;
        self.neighbours.values_mut().for_each(|neighbour| {
            (neighbour.map, neighbour.asked, neighbour.told) = Default::default();
        });
    }

    /// A fragment arrived.
    pub fn on_fragment(
        &mut self,
        now: Instant,
        peer: PeerId,
        message: Bytes,
        out: &mut Vec<Output>,
        events: &mut Vec<StreamEvent>,
    ) {
        let Some(fragment) = Fragment::decode(&message) else { return };
        if self.is_publisher() || !self.takes_note(now, fragment.id) {
            return;
        }
        let size = message.len() as u64;
        if publisher_of(&self.announcement.key, &peer) {
            self.stats.bytes_from_source += size;
        } else {
            self.stats.bytes_from_peers += size;
        }
        self.plan.on_fragment(now, &peer, fragment.id);
        self.stats.fragments_pulled += u64::from(self.pulls.on_fragment(fragment.id));
        if self.keep_and_push(now, Some(peer), message, out) {
            self.play(now, events);
        } else {
            self.stats.duplicates += 1;
        }
    }

    pub fn next_timeout(&self) -> Instant {
        self.next_tick
    }

    /// The update period has passed.
    pub fn handle_timeout(
        &mut self,
        now: Instant,
        rng: &mut StdRng,
        out: &mut Vec<Output>,
        events: &mut Vec<StreamEvent>,
    ) {
        if self.next_tick > now {
            return;
        }
        let parameters = self.announcement.parameters;
        self.next_tick = now + parameters.update_period;
        self.store.expire(now, parameters.window + RELAY_MARGIN);
        self.tell_availability(parameters.send_to_all, out);
        if !self.is_publisher() {
            self.work(now, rng, out, events);
        }
    }

    fn tell_availability(&mut self, to_all: bool, out: &mut Vec<Output>) {
        let count = self.neighbours.len();
        if count == 0 {
            return;
        }
        self.map_turn = (self.map_turn + 1) % count;
        let (from, take) = if to_all { (0, count) } else { (self.map_turn, 1) };
        let peers: Vec<PeerId> = self.neighbours.keys().copied().skip(from).take(take).collect();
        for peer in peers {
            self.send_map(peer, out);
        }
    }

    fn send_map(&mut self, peer: PeerId, out: &mut Vec<Output>) {
        let (Some(last), Some(neighbour)) = (self.store.last(), self.neighbours.get_mut(&peer))
        else {
            return;
        };
        if neighbour.told < last {
            neighbour.told = last;
            let map = Availability::of(self.store.first(), last, |id| self.store.has(id));
            out.push(Output::Control(peer, MediaControl::Availability(map)));
        }
    }
}

#[cfg(test)]
mod tests;
