//! One publication of a stream, at its publisher or at a relay.

mod arrival;
mod interruption;
mod relay;
mod subscriber;

use std::time::{Duration, Instant};

use bytes::Bytes;
use rand::rngs::StdRng;
use rtmfp::crypto::PeerId;

use super::{
    StreamStats,
    collect::{Collecting, with_headers},
    edge::{Edge, Prospect},
    neighbour::Neighbour,
    outbox::{Outbox, Output},
    player::Player,
    publisher::{cut, publisher_of},
    pulls::Pulls,
    pushers::Pushers,
    relay_budget::{Bucket, RelayBudget},
    store::Store,
    takers::Places,
};
use crate::wire::{
    Announcement, Availability, Fragment, FragmentStart, MediaControl, StreamKey, StreamParameters,
};
use crate::{Uplink, Way, peer_map::PeerMap};

/// `multicastRelayMarginDuration`: how much longer than the window fragments are kept for others.
const RELAY_MARGIN: Duration = Duration::from_secs(2);
/// How long nothing new must come before a relay is believed that the stream has ended.
const END_PATIENCE: Duration = Duration::from_secs(3);
/// How long an ended publication is kept for those who fetch its last fragments.
const AFTERLIFE: Duration = Duration::from_secs(30);
/// Whatever a member announces, play and pushes are looked after this often.
const LONGEST_TICK: Duration = Duration::from_millis(500);
/// A stream that nobody has anything new of for this long is forgotten, as librtmfp does.
const EXPIRY: Duration = Duration::from_secs(300);
/// A stream that stood still for so long was cut off from us.
const INTERRUPTION: Duration = Duration::from_secs(3);
/// If nothing came for this long, a number far ahead may well be true.
const STANDSTILL: Duration = Duration::from_secs(10);

#[derive(Debug)]
enum Role {
    Publisher { next: u64 },
    Met,
    Collecting(Collecting),
    Playing(Player),
}

/// Where a stream ends, once that is believed.
#[derive(Debug, Clone, Copy)]
struct End {
    /// One more than its last fragment.
    at: u64,
    /// The source said so.
    is_certain: bool,
}

#[derive(Debug)]
pub(crate) struct Stream {
    name: String,
    key: StreamKey,
    parameters: StreamParameters,
    /// Who told us of it first; nobody, if it is ours.
    brought_by: Option<PeerId>,
    role: Role,
    store: Store,
    edge: Edge,
    neighbours: PeerMap<Neighbour>,
    next_order: u64,
    places: Places,
    budget: RelayBudget,
    /// What neighbours may still pull.
    pulled: Bucket,
    uplink: Uplink,
    pushers: Pushers,
    pulls: Pulls,
    end: Option<End>,
    has_ended: bool,
    /// Since when several neighbours say that the stream is not as far as we believe.
    contradicted: Option<Instant>,
    /// Where a single neighbour shows that the stream goes on.
    prospect: Option<Prospect>,
    /// The group fell apart, and the stream has not gone on since.
    is_torn: bool,
    /// Grows with every fragment held.
    revision: u64,
    next_tick: Instant,
    /// When it was last looked whether residues starve.
    fed_at: Option<Instant>,
    /// When something new was last heard.
    fresh: Instant,
    stats: StreamStats,
    out: Outbox,
}

impl Stream {
    pub fn published(now: Instant, announcement: Announcement) -> Self {
        Self::new(now, announcement, Role::Publisher { next: 1 }, Places::of_source())
    }

    /// A stream that `by` was the first to tell of.
    pub fn subscribed(now: Instant, by: PeerId, announcement: Announcement) -> Self {
        let stream = Self::new(now, announcement, Role::Met, Places::of_relay());
        Self { brought_by: Some(by), ..stream }
    }

    fn new(now: Instant, announcement: Announcement, role: Role, places: Places) -> Self {
        let Announcement { name, key, parameters } = announcement;
        Self {
            name,
            key,
            parameters,
            brought_by: None,
            role,
            store: Store::default(),
            edge: Edge::default(),
            neighbours: PeerMap::default(),
            next_order: 0,
            budget: RelayBudget::default(),
            pulled: Bucket::default(),
            uplink: Uplink::default(),
            places,
            pushers: Pushers::default(),
            pulls: Pulls::default(),
            end: None,
            has_ended: false,
            contradicted: None,
            prospect: None,
            is_torn: false,
            revision: 0,
            next_tick: now,
            fed_at: None,
            fresh: now,
            stats: StreamStats::default(),
            out: Outbox::default(),
        }
    }

    /// What is said of it to others.
    pub fn announcement(&self) -> Announcement {
        Announcement { name: self.name.clone(), key: self.key, parameters: self.parameters }
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    pub fn stats(&self) -> StreamStats {
        let fragments_lost = match &self.role {
            Role::Playing(player) => player.lost,
            _ => 0,
        };
        let pushed_to = self.neighbours.values().filter(|neighbour| neighbour.taker.gets != 0);
        StreamStats {
            neighbours: self.neighbours.len(),
            pushed_to: pushed_to.count(),
            fragments_lost,
            newest: self.edge.highest(),
            ..self.stats
        }
    }

    /// Who pushes how many of the eight residues to us.
    pub fn pushers(&self) -> impl Iterator<Item = (PeerId, u32)> + '_ {
        self.neighbours.iter().filter_map(|(peer, neighbour)| {
            (neighbour.asked != 0).then_some((*peer, neighbour.asked.count_ones()))
        })
    }

    /// How many residues a neighbour is asked to push to us, and how many we push to it.
    pub fn parts_with(&self, peer: &PeerId) -> (u32, u32) {
        self.neighbours.get(peer).map_or((0, 0), |neighbour| {
            (neighbour.asked.count_ones(), neighbour.taker.gets.count_ones())
        })
    }

    pub fn is_publisher(&self) -> bool {
        matches!(self.role, Role::Publisher { .. })
    }

    /// What its fragments take of memory, about.
    pub fn bytes_held(&self) -> usize {
        self.store.bytes()
    }

    /// Gives so many bytes of memory back, but never more than half of them at once.
    pub fn let_go_of(&mut self, bytes: usize) {
        let held = self.store.bytes();
        self.store.shrink_to(held - bytes.min(held / 2 + 1));
    }

    /// Worth telling others of.
    pub fn has_fragments(&self) -> bool {
        !self.store.is_empty()
    }

    /// How long nothing new was heard of it.
    pub fn idle(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.fresh)
    }

    /// Who answers for it: its publisher if that is a neighbour, else who told us of it first.
    pub fn principal(&self) -> Option<PeerId> {
        let mut neighbours = self.neighbours.iter();
        let source = neighbours.find(|(_, neighbour)| neighbour.is_source);
        source.map(|(peer, _)| *peer).or(self.brought_by)
    }

    /// Whether somebody vouches for it: its publisher, or several.
    pub fn is_vouched_for(&self) -> bool {
        self.is_publisher()
            || self.neighbours.len() > 1
            || self.neighbours.values().any(|neighbour| neighbour.is_source)
    }

    /// A publication that has ended, and that nobody fetches from any more, or of which nobody
    /// has anything.
    pub fn is_over(&self, now: Instant) -> bool {
        match &self.role {
            Role::Publisher { .. } => self.end.is_some() && self.idle(now) > AFTERLIFE,
            _ => self.idle(now) > EXPIRY,
        }
    }

    /// What to do and to tell, in order.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.out.pop()
    }

    /// A neighbour announced that it has or wants the stream, and how it wants it handled.
    pub fn add_neighbour(&mut self, now: Instant, peer: PeerId, parameters: StreamParameters) {
        self.next_order += 1;
        let is_source = publisher_of(&self.key, &peer);
        let neighbour = self.neighbours.get_or_insert_with(peer, Neighbour::default);
        (neighbour.is_source, neighbour.parameters) = (is_source, parameters);
        neighbour.taker.order = self.next_order;
        neighbour.linked.get_or_insert(now);
        self.follow_parameters();
        self.send_whole_maps(now, peer);
        if let Some(end) = self.end {
            self.out.control(peer, MediaControl::End(end.at));
        }
    }

    /// The publisher's word is what counts; without it, that of most.
    fn follow_parameters(&mut self) {
        if self.is_publisher() {
            return;
        }
        let source = self.neighbours.values().find(|neighbour| neighbour.is_source);
        if let Some(source) = source {
            self.parameters = source.parameters;
            return;
        }
        let middle = |of: fn(&StreamParameters) -> Duration| {
            let mut all: Vec<Duration> =
                self.neighbours.values().map(|neighbour| of(&neighbour.parameters)).collect();
            all.sort_unstable();
            all.get(all.len().saturating_sub(1) / 2).copied()
        };
        let to_all = self.neighbours.values().filter(|other| other.parameters.send_to_all).count();
        let send_to_all = to_all * 2 > self.neighbours.len();
        if let (Some(window), Some(update_period), Some(fetch_period)) =
            (middle(|p| p.window), middle(|p| p.update_period), middle(|p| p.fetch_period))
        {
            self.parameters = StreamParameters { window, update_period, fetch_period, send_to_all };
        }
    }

    pub fn remove_neighbour(&mut self, now: Instant, peer: &PeerId, rng: &mut StdRng) {
        if self.neighbours.remove(peer).is_none() {
            return;
        }
        self.pushers.forget(peer);
        self.pulls.forget_peer(peer);
        self.assign_places(now);
        if !self.is_publisher() {
            self.work(now, rng);
        }
    }

    /// Whether a neighbour pushes to us, or we to it.
    pub fn is_tied_to(&self, peer: &PeerId) -> bool {
        self.neighbours
            .get(peer)
            .is_some_and(|neighbour| neighbour.asked != 0 || neighbour.taker.gets != 0)
    }

    /// All that is held, for who may want it; and then only what a beginner needs, which begins
    /// with the headers of the latest key frame.
    pub fn whole_maps(&self) -> impl Iterator<Item = Availability> + '_ {
        let last = self.store.last_up_to(self.edge.highest().max(1));
        let entrance = self.store.last_key_frame(0).and_then(|key| {
            let (first, is_whole) = with_headers(&self.store, key, 1);
            (is_whole && first > self.store.first()).then_some(first)
        });
        let firsts = [Some(0), entrance].into_iter().flatten();
        firsts.filter_map(move |first| {
            Some(self.store.map(first, last.filter(|last| first <= *last)?))
        })
    }

    /// Whether its end was told, and everything delivered.
    pub fn has_ended(&self) -> bool {
        self.has_ended
    }

    /// What is known of the way to a neighbour.
    pub fn set_way(&mut self, peer: &PeerId, way: Way) {
        if let Some(neighbour) = self.neighbours.get_mut(peer) {
            (neighbour.rtt, neighbour.backlog) = (way.rtt.unwrap_or_default(), way.backlog);
            neighbour.soon = Some(way.bears_in(relay::SOON));
        }
    }

    /// Publishes a message: it goes out to those who asked.
    pub fn publish(&mut self, now: Instant, kind: u8, timestamp: u32, payload: &Bytes) {
        let Role::Publisher { next } = &mut self.role else { return };
        let first = *next;
        let messages: Vec<Bytes> = cut(first, FragmentStart { kind, timestamp }, payload).collect();
        *next += messages.len() as u64;
        for message in messages {
            self.stats.bytes_published += message.len() as u64;
            let Some(fragment) = Fragment::decode(&message) else { continue };
            self.note_edge(now, fragment.id);
            self.keep_and_push(now, None, fragment, message);
        }
    }

    /// Ends the publication.
    pub fn finish(&mut self) {
        let Role::Publisher { next } = self.role else { return };
        self.end = Some(End { at: next, is_certain: true });
        for peer in self.neighbours.keys() {
            self.out.control(*peer, MediaControl::End(next));
        }
    }

    /// A neighbour speaks of the stream.
    pub fn on_control(
        &mut self,
        now: Instant,
        peer: PeerId,
        message: MediaControl,
        rng: &mut StdRng,
    ) {
        let is_publisher = self.is_publisher();
        let Some(neighbour) = self.neighbours.get_mut(&peer) else { return };
        match message {
            MediaControl::Announce(_) => {}
            MediaControl::PushMask(mask) => {
                neighbour.taker.wants = mask;
                neighbour.told_refusal &= mask;
                self.assign_places(now);
                self.grow_places(now);
            }
            MediaControl::Pull(id) => self.answer_pull(now, peer, id),
            MediaControl::Availability(map) if is_publisher => {
                let (highest, pace) = (self.edge.highest(), self.edge.pace());
                neighbour.on_map(now, map, highest, pace);
            }
            MediaControl::Availability(map) => self.on_map(now, peer, map, rng),
            MediaControl::End(at) if !is_publisher => self.on_end(now, peer, at),
            MediaControl::End(_) => {}
        }
    }

    /// How our uplink does.
    pub fn set_uplink(&mut self, uplink: Uplink, streams: usize) {
        self.uplink = uplink;
        self.places.share(streams);
    }

    pub fn next_timeout(&self) -> Instant {
        self.next_tick
    }

    /// The update period has passed.
    pub fn handle_timeout(&mut self, now: Instant, rng: &mut StdRng) {
        if self.next_tick > now {
            return;
        }
        self.next_tick = now + self.parameters.update_period.min(LONGEST_TICK);
        self.store.expire(now, self.parameters.window + RELAY_MARGIN);
        self.tend_places(now);
        self.tell_availability(now);
        if !self.is_publisher() {
            self.work(now, rng);
        }
    }
}

#[cfg(test)]
mod tests;
