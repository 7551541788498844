//! What everybody who has a stream does for others: keeps fragments, pushes them, answers pulls,
//! and says what it has.

use std::time::{Duration, Instant};

use bytes::Bytes;
use rtmfp::crypto::PeerId;

use super::{Role, Stream};
use crate::{
    Uplink,
    multicast::{
        pushers::{RESIDUES, newest_of, residue},
        relay_budget::Allowance,
    },
    wire::{Availability, Fragment, MediaControl},
};

/// More than this much time's worth of what a neighbour gets waits for it: it gets too much.
const MAX_BACKLOG: Duration = Duration::from_millis(350);
/// A few fragments may always wait.
const LEAST_BACKLOG: f64 = 4000.0;
/// What may wait for one neighbour if it pulls more: what gets there in this time, and bytes.
pub(super) const SOON: Duration = Duration::from_millis(300);
const LEAST_ANSWERS: f64 = 6_000.0;
const MAX_ANSWERS: f64 = 32_768.0;
/// A neighbour must be behind for so long.
const BEHIND: Duration = Duration::from_millis(400);
/// The source looks this often whether its takers pass on what they get.
const FEEDING: Duration = Duration::from_millis(500);
/// Who is here for less than this may well have nothing yet.
const LINKED_FOR: Duration = Duration::from_secs(1);
/// A residue starves where it is so far behind the others.
const STARVING: Duration = Duration::from_millis(600);
/// Fewer neighbours say nothing about the swarm.
const FEW_OTHERS: usize = 3;
/// Every residue.
const ALL: u8 = 0xff;
/// Who is ahead of us need not be told often.
const RARELY: Duration = Duration::from_secs(3);
/// A map says what came within so many fetch periods.
const MAP_PERIODS: f64 = 2.0;
/// And this many fragments at least.
const MAP_LEAST: u64 = 128;

impl Stream {
    /// Holds a new fragment and passes it on.
    pub(super) fn keep_and_push(
        &mut self,
        now: Instant,
        from: Option<PeerId>,
        fragment: Fragment,
        message: Bytes,
    ) {
        let id = fragment.id;
        if !self.store.insert(now, fragment, message.clone()) {
            return;
        }
        self.revision += 1;
        self.budget.note(now, message.len());
        // What is too old for the others would be held against us.
        let is_old = || self.edge.age(now, id) > self.parameters.window;
        if from.is_some() && (id > self.edge.farthest_near() || is_old()) {
            return;
        }
        let bit = 1 << residue(id);
        let deadline = now + self.parameters.fetch_period;
        let mut passed = Vec::new();
        let may_grow = self.uplink == Uplink::Free && self.places.grows_soon(now);
        for (peer, neighbour) in self.neighbours.iter_mut() {
            // Who asks and does not get learns from a map that it will not, unless there will be a
            // place soon; and again when it loses what it got.
            neighbour.told_refusal &= !neighbour.taker.gets;
            if !may_grow && neighbour.taker.lacks() & bit & !neighbour.told_refusal != 0 {
                neighbour.told_refusal |= bit;
                passed.push(*peer);
            }
            if neighbour.taker.gets & bit != 0 && Some(*peer) != from && !neighbour.is_choked(now) {
                neighbour.backlog += message.len();
                self.stats.bytes_sent += message.len() as u64;
                self.out.media(*peer, message.clone(), deadline);
            }
        }
        for peer in passed {
            self.send_map(now, peer);
        }
    }

    /// One fragment, once: if the uplink has room for it besides the pushes.
    pub(super) fn answer_pull(&mut self, now: Instant, peer: PeerId, id: u64) {
        let (taken, neighbours) = (self.taken(), self.neighbours.len());
        let Some(neighbour) = self.neighbours.get_mut(&peer) else { return };
        let Some(held) = self.store.get(id) else { return };
        let size = held.message.len();
        let bearable = neighbour.soon.unwrap_or(MAX_ANSWERS).clamp(LEAST_ANSWERS, MAX_ANSWERS);
        // Who pushes this to us has it, and asks to see whether we serve others.
        let is_audit = neighbour.is_asked(now, 1 << residue(id));
        let is_full = neighbour.backlog as f64 > bearable;
        let is_publisher = matches!(self.role, Role::Publisher { .. });
        let all = match self.uplink {
            Uplink::Full if is_publisher || is_audit => self.budget.of_full_uplink(),
            Uplink::Full => Allowance::NOTHING,
            _ if is_publisher => self.budget.beside_pushes(self.places.count(), taken),
            Uplink::Busy => self.budget.of_busy_uplink(),
            _ => Allowance::ANYTHING,
        };
        let is_plenty = self.pulled.is_half_full(now, all);
        let one = self.budget.of_one(all, is_plenty, neighbours);
        if is_full || !self.pulled.has(now, size, all) || !neighbour.pulled.has(now, size, one) {
            self.stats.pulls_refused += 1;
            return;
        }
        self.pulled.draw(size);
        neighbour.pulled.draw(size);
        neighbour.answered += size;
        neighbour.backlog += size;
        self.stats.bytes_sent += size as u64;
        self.out.media(peer, held.message.clone(), now + self.parameters.fetch_period);
    }

    fn taken(&self) -> u32 {
        self.neighbours.values().map(|neighbour| neighbour.taker.gets.count_ones()).sum()
    }

    /// Who asks gets, as far as there are places. Who gets all from now on is told rarely what is
    /// here, so that it has to know now of what came between the last map and the first push.
    pub(super) fn assign_places(&mut self, now: Instant) {
        let mut hopeful = Vec::new();
        for (peer, neighbour) in self.neighbours.iter_mut() {
            neighbour.taker.standing = neighbour.standing();
            if neighbour.taker.wants == ALL && neighbour.taker.gets != ALL {
                hopeful.push(*peer);
            }
        }
        self.places.assign(now, self.neighbours.values_mut().map(|neighbour| &mut neighbour.taker));
        for peer in hopeful {
            if self.neighbours.get(&peer).is_some_and(|neighbour| neighbour.taker.gets == ALL) {
                self.send_map(now, peer);
            }
        }
    }

    /// Everything that has to do with whom we push to, from time to time.
    pub(super) fn tend_places(&mut self, now: Instant) {
        self.watch_uplink(now);
        self.audit(now);
        if self.is_publisher() {
            self.feed_starving(now);
            self.places.spread(now, self.neighbours.values_mut().map(|other| &mut other.taker));
        }
        self.assign_places(now);
    }

    /// Places are fewer when the uplink is full, and more when it is free, nobody is behind and
    /// somebody waits. Who is furthest behind loses one.
    fn watch_uplink(&mut self, now: Instant) {
        self.note_backlogs(now);
        let is_behind = |neighbour: &super::Neighbour| {
            neighbour.behind_since.is_some_and(|at| now.saturating_duration_since(at) >= BEHIND)
        };
        let taken = self.taken();
        if self.uplink == Uplink::Full {
            self.places.shrink(now, taken);
            self.take_back();
        }
        if self.uplink == Uplink::Free && !self.neighbours.values().any(is_behind) {
            return self.grow_places(now);
        }
        let slow = self.neighbours.values_mut().filter(|neighbour| is_behind(neighbour));
        if let Some(slowest) = slow.max_by_key(|neighbour| neighbour.backlog) {
            slowest.behind_since = Some(now);
            slowest.taker.shed(now);
        }
    }

    /// Whoever waits gets a place if the uplink bears one more.
    pub(super) fn grow_places(&mut self, now: Instant) {
        let lacks = |neighbour: &super::Neighbour| neighbour.taker.lacks() != 0;
        if self.uplink == Uplink::Free && self.neighbours.values().any(lacks) {
            self.places.grow(now, self.taken());
            self.assign_places(now);
        }
    }

    /// The source takes back what its uplink does not bear, from who is furthest behind, of the
    /// residue that most get. A relay only gives no more: who waits too long goes elsewhere.
    fn take_back(&mut self) {
        while self.is_publisher() && self.taken() > self.places.count() {
            let takers = |residue: &usize| {
                let gets =
                    self.neighbours.values().filter(|other| other.taker.gets >> residue & 1 == 1);
                gets.count()
            };
            let Some(residue) = (0..RESIDUES).max_by_key(takers) else { return };
            let gets =
                self.neighbours.values_mut().filter(|other| other.taker.gets >> residue & 1 == 1);
            let Some(slowest) = gets.max_by_key(|other| other.backlog) else { return };
            slowest.taker.lose(residue);
        }
    }

    /// Since when each neighbour has more waiting for it than it can be expected to get soon.
    fn note_backlogs(&mut self, now: Instant) {
        let a_place = self.budget.bytes_in(MAX_BACKLOG) / RESIDUES as f64;
        for neighbour in self.neighbours.values_mut() {
            neighbour.forgive(now);
            let gets = f64::from(neighbour.taker.gets.count_ones());
            if (neighbour.backlog as f64) < LEAST_BACKLOG {
                neighbour.answered = 0;
            }
            // Who pulls much is not slow for that.
            let answered = (neighbour.answered as f64).min(MAX_ANSWERS);
            let bearable = (a_place * gets).max(LEAST_BACKLOG) + answered;
            let is_behind = gets > 0.0 && neighbour.backlog as f64 > bearable;
            let since = is_behind.then_some(now);
            neighbour.behind_since = neighbour.behind_since.filter(|_| is_behind).or(since);
        }
    }

    /// Now and then who takes from us, or wants to, is asked for something that it has, so that we
    /// know who serves others.
    fn audit(&mut self, now: Instant) {
        let before = self.edge.highest().saturating_sub(self.edge.pace() as u64);
        for (peer, neighbour) in self.neighbours.iter_mut() {
            if let Some(id) = neighbour.audit(now, before, |id| self.store.has(id)) {
                self.out.control(*peer, MediaControl::Pull(id));
            }
        }
    }

    /// Whoever gets a residue from the source is to pass it on. If those who do not get it from us
    /// lack it, one who does makes room for another.
    fn feed_starving(&mut self, now: Instant) {
        if self.fed_at.is_some_and(|at| now.saturating_duration_since(at) < FEEDING) {
            return;
        }
        self.fed_at = Some(now);
        let lag = (self.edge.pace() * STARVING.as_secs_f64()) as u64;
        for residue in 0..RESIDUES {
            let bit = 1 << residue;
            let others = self.neighbours.values().filter(|neighbour| {
                let has_had_time = neighbour.linked.is_some_and(|at| at + LINKED_FOR < now);
                let is_known = neighbour.is_fresh(now) || neighbour.mapped.is_none();
                neighbour.taker.gets & bit == 0 && is_known && has_had_time
            });
            let (mut count, mut starving) = (0, 0);
            for other in others {
                count += 1;
                let newest = newest_of(residue, &other.map);
                starving += usize::from(newest + lag < other.claim || other.claim == 0);
            }
            if count < FEW_OTHERS || starving * 10 < count * 9 {
                continue;
            }
            let takers = self.neighbours.values_mut().filter(|other| other.taker.gets & bit != 0);
            if let Some(oldest) = takers.min_by_key(|neighbour| neighbour.taker.since(residue)) {
                oldest.taker.gets &= !bit;
                oldest.taker.shun(now);
                self.next_order += 1;
                oldest.taker.order = self.next_order;
            }
        }
    }

    /// Tells somebody what is to be had here; all, if the stream wants that.
    pub(super) fn tell_availability(&mut self, now: Instant) {
        let waits = |neighbour: &super::Neighbour| {
            neighbour.told_at.map_or(Duration::MAX, |at| now.saturating_duration_since(at))
        };
        let is_of_use = |neighbour: &super::Neighbour| {
            let is_ahead =
                neighbour.is_source || neighbour.lead > 0.0 || neighbour.taker.gets == ALL;
            neighbour.told_revision != self.revision && (!is_ahead || waits(neighbour) > RARELY)
        };
        if self.parameters.send_to_all {
            let all: Vec<PeerId> = self.neighbours.keys().copied().collect();
            all.into_iter().for_each(|peer| self.send_map(now, peer));
            return;
        }
        let due = self.neighbours.iter().filter(|(_, neighbour)| is_of_use(neighbour));
        if let Some(peer) = due.max_by_key(|(_, neighbour)| waits(neighbour)).map(|(peer, _)| *peer)
        {
            self.send_map(now, peer);
        }
    }

    /// All that is held, to who has just come.
    pub(super) fn send_whole_maps(&mut self, now: Instant, peer: PeerId) {
        let maps: Vec<Availability> = self.whole_maps().collect();
        let (Some(last), Some(neighbour)) = (maps.first(), self.neighbours.get_mut(&peer)) else {
            return;
        };
        neighbour.told_of(now, last.last, self.revision);
        for map in maps {
            self.out.control(peer, MediaControl::Availability(map));
        }
    }

    /// What came lately.
    pub(super) fn send_map(&mut self, now: Instant, peer: PeerId) {
        let limit = self.edge.highest().max(1);
        let last = self.store.last_up_to(limit);
        let (Some(last), Some(neighbour)) = (last, self.neighbours.get_mut(&peer)) else { return };
        if neighbour.told_revision == self.revision || last < neighbour.told {
            return;
        }
        let periods = self.parameters.fetch_period.as_secs_f64() * MAP_PERIODS;
        let span = ((self.edge.pace() * periods) as u64).max(MAP_LEAST);
        neighbour.told_of(now, last, self.revision);
        let map = self.store.map(last.saturating_sub(span), last);
        self.out.control(peer, MediaControl::Availability(map));
    }
}
