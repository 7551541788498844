//! What a subscriber of a stream does: plays, asks for pushes, pulls what is missing.

use std::{
    cmp::Reverse,
    time::{Duration, Instant},
};

use rand::{RngExt, rngs::StdRng};
use rtmfp::crypto::PeerId;

use super::{END_PATIENCE, End, Role, STANDSTILL, Stream};
use crate::{
    multicast::{
        Delivery, StreamEvent, collect::Collecting, edge::Edge, misconduct::Misconduct,
        player::Player, pulls::Pulls, pushers::Candidate,
    },
    wire::{Availability, MAX_FRAGMENT, MediaControl},
};

/// So many neighbours of a large neighbourhood must say the same to be believed: one more for each
/// this many.
const NEIGHBOURS_A_WITNESS: usize = 16;
/// A beginner waits so long for what else neighbours say at the same time.
const MOMENT: Duration = Duration::from_millis(20);
/// What is missing is looked for in so many fragments.
const MAX_LOOK: u64 = 16_384;
/// If nobody else has it, the source is asked after this.
const SPARE_SOURCE: Duration = Duration::from_millis(700);
/// Neighbours of small neighbourhoods ask the source like everybody else.
const SMALL: usize = 4;
/// A pusher that is alive but slow is not waited for longer.
const LONGEST_WAIT: Duration = Duration::from_millis(1200);
/// What stands so far from what others show, for so long, was a lie.
const MISLED_BY: u64 = 512;
const MISLED_FOR: Duration = Duration::from_secs(1);
/// An end that is so far behind what exists was never true.
const FALSE_END: u64 = 256;

/// Where a beginner should begin.
#[derive(Debug, Clone, Copy)]
struct Entrance {
    at: u64,
    /// It is not one relay's word alone.
    is_certain: bool,
}

impl Stream {
    /// Everything a subscriber does from time to time.
    pub(super) fn work(&mut self, now: Instant, rng: &mut StdRng) {
        if let (Role::Met, highest @ 1..) = (&self.role, self.edge.highest()) {
            self.role = Role::Collecting(Collecting::new(now, highest));
        }
        self.jump_if_cut_off(now);
        self.play(now);
        while self.skips_gap(now) {
            self.play(now);
        }
        self.ask_for_pushes(now, rng);
        self.pull_missing(now, rng);
    }

    fn skips_gap(&mut self, now: Instant) -> bool {
        let window = self.parameters.window;
        match &mut self.role {
            Role::Playing(player) => player.skip_expired(now, &self.store, &self.edge, window),
            _ => false,
        }
    }

    pub(super) fn play(&mut self, now: Instant) {
        self.search(now);
        let Role::Playing(player) = &mut self.role else { return };
        let out = &mut self.out;
        player.advance(&self.store, &mut |start, payload| {
            let delivery = Delivery { kind: start.kind, timestamp: start.timestamp, payload };
            out.event(StreamEvent::Message(delivery));
        });
        let next = player.next();
        if let Some(end) = self.end.filter(|end| next >= end.at && !self.has_ended)
            && (end.is_certain || self.idle(now) > END_PATIENCE)
        {
            self.has_ended = true;
            self.out.event(StreamEvent::Ended);
        }
    }

    /// Looks for where to begin.
    fn search(&mut self, now: Instant) {
        if !matches!(self.role, Role::Collecting(_)) {
            return;
        }
        let entrance = self.entrance();
        let Role::Collecting(search) = &mut self.role else { return };
        let holders = self.neighbours.values().filter(|neighbour| neighbour.map.last > 0);
        let earliest = holders.map(|neighbour| neighbour.first()).min().unwrap_or(1);
        let earliest = match entrance {
            Some(Entrance { is_certain: true, at }) => at,
            _ => earliest,
        };
        if let Some(entrance) = entrance {
            search.be_led(entrance.at);
        }
        if let Some(first) = search.advance(now, &self.store, self.edge.highest(), earliest) {
            self.role = Role::Playing(Player::new(first));
            self.out.event(StreamEvent::Began { from_start: first == 1 });
        } else if search.is_fruitless(now, &self.store) {
            // Somebody spoke of fragments that nobody has: begin with what there is.
            self.edge = Edge::default();
            self.role = Role::Met;
            self.edge.note(now, self.store.last_up_to(u64::MAX).unwrap_or(0));
        }
    }

    /// Where to begin, as most neighbours say; certain if that are several, or the source.
    fn entrance(&self) -> Option<Entrance> {
        let words = || self.neighbours.values().filter_map(|other| other.entrance);
        let votes = |at: u64| words().filter(|other| *other == at).count();
        let at = words().max_by_key(|at| (votes(*at), Reverse(*at)))?;
        let knows = |other: &super::Neighbour| other.is_source && other.entrance == Some(at);
        let is_certain = votes(at) > 1 || self.neighbours.values().any(knows);
        Some(Entrance { at, is_certain })
    }

    /// The earliest fragment that is of use to us.
    pub(super) fn first_wanted(&self) -> Option<u64> {
        match &self.role {
            Role::Collecting(search) => Some(search.floor()),
            Role::Playing(player) => Some(player.next()),
            Role::Publisher { .. } | Role::Met => None,
        }
    }

    /// A neighbour says what it holds.
    pub(super) fn on_map(
        &mut self,
        now: Instant,
        peer: PeerId,
        map: Availability,
        rng: &mut StdRng,
    ) {
        let (highest, pace) = (self.edge.highest(), self.edge.pace());
        let is_standing = self.idle(now) > STANDSTILL;
        let is_alone = self.neighbours.len() == 1;
        let Some(neighbour) = self.neighbours.get_mut(&peer) else { return };
        if map.last < neighbour.map.last {
            return;
        }
        neighbour.on_map(now, map, highest, pace);
        let is_beyond = neighbour.map.last > self.edge.farthest_credible();
        let is_trusted = is_alone || neighbour.is_source;
        if is_beyond && highest > 0 && !is_standing && !is_trusted {
            neighbour.doubt(now);
            return self.on_far_claim(now, peer);
        }
        let believed = self.believed(now);
        if self.was_misled(now, believed) {
            self.begin_anew();
        }
        self.note_edge(now, believed);
        self.look_ahead(now);
        let has_passed = self
            .neighbours
            .get(&peer)
            .is_some_and(|neighbour| self.pushers.on_map(&peer, &neighbour.map));
        if has_passed {
            self.work(now, rng);
        } else if self.is_hungry() {
            self.next_tick = self.next_tick.min(now + MOMENT);
        }
    }

    /// Somebody speaks of a stream far from what we know of it. If that rests on one alone and most
    /// say otherwise, it was he who lied; else it is a lie once enough neighbours know better.
    fn on_far_claim(&mut self, now: Instant, peer: PeerId) {
        let far = self.neighbours.values().filter(|other| other.doubted(now).is_some()).count();
        let knows = |other: &&super::Neighbour| other.claim > 0 && other.is_fresh(now);
        let near = self.neighbours.values().filter(knows).count();
        let needed = 2 + self.neighbours.len() / NEIGHBOURS_A_WITNESS;
        if far >= needed && far > near {
            self.begin_anew();
            self.neighbours.values_mut().for_each(|other| other.believe(now));
            let believed = self.believed(now);
            self.note_edge(now, believed);
        } else if near >= needed {
            self.out.suspect(peer, Misconduct::FarMap);
        }
    }

    /// Whether we believed somebody, perhaps when we knew nobody else, of whom several others show
    /// for a while that the stream is far from where he said.
    fn was_misled(&mut self, now: Instant, believed: u64) -> bool {
        let claims =
            self.neighbours.values().filter(|other| other.claim > 0 && other.is_fresh(now));
        let margin = MISLED_BY + (2.0 * self.edge.pace()) as u64;
        let is_contradicted = claims.count() > 1 && believed + margin < self.edge.highest();
        if !is_contradicted {
            self.contradicted = None;
            return false;
        }
        let since = *self.contradicted.get_or_insert(now);
        now.saturating_duration_since(since) > MISLED_FOR
    }

    /// Whoever plays already looks at maps once a period; a beginner has no time to lose.
    fn is_hungry(&self) -> bool {
        !matches!(self.role, Role::Playing(_))
    }

    /// How far the stream has come, as its source says, or several who know it.
    fn believed(&self, now: Instant) -> u64 {
        let source = self.neighbours.values().filter(|neighbour| neighbour.is_source);
        let by_source = source.map(|neighbour| neighbour.claim).max().unwrap_or(0);
        let mut claims: Vec<u64> = self
            .neighbours
            .values()
            .filter(|neighbour| neighbour.claim > 0 && neighbour.is_fresh(now))
            .map(|neighbour| neighbour.claim)
            .collect();
        claims.sort_unstable_by(|a, b| b.cmp(a));
        let witnesses = match claims.len() {
            0..=1 if self.neighbours.len() <= 1 || self.edge.highest() == 0 => 1,
            count => 2 + count / NEIGHBOURS_A_WITNESS,
        };
        by_source.max(claims.get(witnesses - 1).copied().unwrap_or(0))
    }

    /// We missed so much that what we have is of no use.
    pub(super) fn begin_anew(&mut self) {
        self.role = Role::Met;
        self.store = Default::default();
        self.edge = Edge::default();
        self.pushers = Default::default();
        self.pulls = Pulls::default();
        self.end = None;
        self.contradicted = None;
        self.prospect = None;
        self.is_torn = false;
        self.neighbours.values_mut().for_each(|neighbour| {
            (neighbour.told, neighbour.pulls) = Default::default();
            neighbour.entrance = None;
        });
    }

    /// The end is believed of the source, or of most; relays pass it on to those who do not know
    /// the source.
    pub(super) fn on_end(&mut self, now: Instant, peer: PeerId, at: u64) {
        let highest = self.edge.highest();
        let Some(neighbour) = self.neighbours.get_mut(&peer) else { return };
        if at > MAX_FRAGMENT || at.saturating_add(FALSE_END) < highest {
            self.out.suspect(peer, Misconduct::FalseEnd);
            return;
        }
        neighbour.end = Some(at);
        let is_source = neighbour.is_source;
        let agreeing =
            self.neighbours.values().filter(|neighbour| neighbour.end == Some(at)).count();
        let asking = self.neighbours.len();
        let needed = if asking <= 2 { 1 } else { 2 + asking / NEIGHBOURS_A_WITNESS };
        let is_news = self.end.is_none_or(|end| end.at != at || (is_source && !end.is_certain));
        let is_settled = self.end.is_some_and(|end| end.is_certain) && !is_source;
        let is_believed = is_source || agreeing >= needed;
        if at <= highest || !is_news || is_settled || !is_believed {
            return;
        }
        self.end = Some(End { at, is_certain: is_source });
        for peer in self.neighbours.keys().filter(|other| **other != peer) {
            self.out.control(*peer, MediaControl::End(at));
        }
        self.play(now);
    }

    pub(super) fn ask_for_pushes(&mut self, now: Instant, rng: &mut StdRng) {
        if matches!(self.role, Role::Met) || !self.pushers.is_due(now, &self.edge) {
            return;
        }
        let candidates: Vec<Candidate> = self
            .neighbours
            .iter()
            .filter(|(_, neighbour)| neighbour.map.last > 0 || neighbour.is_source)
            .map(|(peer, neighbour)| Candidate {
                peer: *peer,
                wants: neighbour.taker.wants,
                is_source: neighbour.is_source,
                is_free_rider: neighbour.seems_to_give_nothing(),
                map: &neighbour.map,
                lead: neighbour.lead,
                rtt: neighbour.rtt,
            })
            .collect();
        let given = self.neighbours.values().fold(0, |mask, other| mask | other.taker.gets);
        self.pushers.update(now, &candidates, given, &self.edge, rng);
        for (peer, neighbour) in self.neighbours.iter_mut() {
            let mask = self.pushers.mask_for(peer);
            if mask != neighbour.asked {
                neighbour.ask(now, mask);
                self.out.control(*peer, MediaControl::PushMask(mask));
            }
        }
    }

    pub(super) fn pull_missing(&mut self, now: Instant, rng: &mut StdRng) {
        let Some(wanted) = self.first_wanted() else { return };
        let highest = self.edge.highest();
        let (first, last) =
            self.prospect.map_or((wanted, highest), |prospect| (prospect.from, prospect.last));
        let last = last.min(first.saturating_add(MAX_LOOK));
        for peer in self.pulls.forget_before(first) {
            if let Some(neighbour) = self.neighbours.get_mut(&peer) {
                neighbour.pulls = neighbour.pulls.saturating_sub(1);
            }
        }
        if last < first {
            return;
        }
        let allowance = self.pulls.allowance(now, self.edge.pace());
        let due: Vec<u64> = self
            .store
            .missing(first, last)
            .filter(|id| self.is_pull_due(now, *id))
            .take(allowance)
            .collect();
        for id in due {
            let Ok(rather_not) = self.pulls.may_ask(now, id) else { continue };
            let Some(peer) = self.choose_holder(now, id, rather_not, rng) else { continue };
            let rtt = self.neighbours.get(&peer).map_or(Duration::ZERO, |neighbour| neighbour.rtt);
            if let Some(before) = self.pulls.note(now, id, peer, rtt)
                && let Some(before) = self.neighbours.get_mut(&before)
            {
                before.miss(now);
                before.pulls = before.pulls.saturating_sub(1);
            }
            if let Some(neighbour) = self.neighbours.get_mut(&peer) {
                neighbour.pulls += 1;
            }
            self.out.control(peer, MediaControl::Pull(id));
        }
    }

    /// Whether no push can be hoped for any more.
    pub(super) fn is_pull_due(&self, now: Instant, id: u64) -> bool {
        if self.pulls.may_ask(now, id).is_err() {
            return false;
        }
        if self.prospect.is_some() {
            return true;
        }
        let age = self.edge.age(now, id);
        if let Some(patience) = self.pushers.passed_over(id) {
            age > patience
        } else if self.pushers.expects(now, id, &self.edge) {
            age > LONGEST_WAIT.min(self.parameters.fetch_period)
        } else {
            true
        }
    }

    /// Someone who has it: who has least to do for us, rather not the source, and not who did not
    /// answer.
    fn choose_holder(
        &self,
        now: Instant,
        id: u64,
        rather_not: Option<PeerId>,
        rng: &mut StdRng,
    ) -> Option<PeerId> {
        let spares_source = self.neighbours.len() > SMALL && self.edge.age(now, id) < SPARE_SOURCE;
        self.neighbours
            .iter()
            .filter(|(_, neighbour)| neighbour.has(id) && !Pulls::is_busy(neighbour.pulls))
            .filter(|(_, neighbour)| !(neighbour.is_source && spares_source))
            .map(|(peer, neighbour)| {
                let is_disliked = Some(*peer) == rather_not || neighbour.seems_to_give_nothing();
                let reluctance = neighbour.pulls as f32 * 8.0
                    + neighbour.misses() as f32 * 100.0
                    + neighbour.rtt.as_secs_f32() * 250.0
                    + if neighbour.is_source { 60.0 } else { 0.0 }
                    + rng.random_range(0.0..40.0);
                (is_disliked, reluctance, *peer)
            })
            .min_by(|a, b| a.0.cmp(&b.0).then(a.1.total_cmp(&b.1)))
            .map(|(.., peer)| peer)
    }
}
