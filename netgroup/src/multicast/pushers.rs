//! Who pushes us which residue of fragment numbers modulo 8.
//!
//! Only a neighbour that shows newer fragments of a residue than we have is asked for it: it cannot
//! have them from us, so pushes never go in a circle. Whoever promises to be faster is tried beside
//! the one that pushes already, and takes its place if it keeps its promise.

mod trial;

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use rand::{RngExt, rngs::StdRng};
use rtmfp::crypto::PeerId;

use super::edge::Edge;
use crate::wire::Availability;
use trial::Trial;

pub(super) const RESIDUES: usize = 8;
/// A pusher from which nothing came for this long, while others have more, has failed.
const STALL: Duration = Duration::from_millis(280);
/// One that never gave anything is given up after this, and what the way there and back takes.
const REFUSAL: Duration = Duration::from_millis(180);
/// What was lost comes again by itself within this, and what the way there and back takes.
const REPETITION: Duration = Duration::from_millis(450);
/// When nobody is seen to have more, others are tried blindly.
const DESPAIR: Duration = Duration::from_millis(1500);
/// A failed pusher is not asked for the same residue again before this; each time longer.
const COOL_DOWN: Duration = Duration::from_secs(3);
const COOL_DOWN_REFUSED: Duration = Duration::from_secs(15);
const LONGEST_COOL_DOWN: Duration = Duration::from_secs(300);
/// The source looks after its places: they change.
const LONGEST_SOURCE_COOL_DOWN: Duration = Duration::from_secs(6);
/// How often something better is looked for: less often the less it is found.
const SEARCH: Duration = Duration::from_millis(1500);
const FRESH_SEARCH: Duration = Duration::from_secs(4);
const RAREST_SEARCH: Duration = Duration::from_secs(20);
/// How much earlier, in milliseconds, somebody must promise to be.
const WORTH_IT: f32 = 60.0;
/// What each residue that a neighbour pushes already counts against it, in milliseconds.
const LOAD: f32 = 20.0;
/// What each residue that it refused counts against it, in milliseconds.
const REFUSED: f32 = 200.0;
/// Which residue a fragment belongs to.
pub(super) fn residue(id: u64) -> usize {
    (id % RESIDUES as u64) as usize
}

/// The residues of a mask.
pub(super) fn residues_of(mask: u8) -> impl DoubleEndedIterator<Item = usize> {
    (0..RESIDUES).filter(move |residue| mask >> residue & 1 == 1)
}

/// The first fragment of a residue from `id` on.
fn next_of(residue: usize, id: u64) -> u64 {
    id + (residue as u64 + RESIDUES as u64 - id % RESIDUES as u64) % RESIDUES as u64
}

/// Who was asked, and when.
#[derive(Debug, Clone, Copy)]
struct Asked {
    peer: PeerId,
    is_source: bool,
    rtt: Duration,
    since: Instant,
}

impl Asked {
    fn new(now: Instant, candidate: &Candidate) -> Self {
        let Candidate { peer, is_source, rtt, .. } = *candidate;
        Self { peer, is_source, rtt, since: now }
    }
}

#[derive(Debug, Clone, Copy)]
struct Assignment {
    asked: Asked,
    /// The first fragment it could push, then the one after the last it did.
    next: u64,
    has_delivered: bool,
    /// It has shown newer fragments that it did not push.
    passes: bool,
    /// By how much its fragments come after they are known to exist, in milliseconds.
    lateness: f32,
}

/// A neighbour that could push.
#[derive(Debug, Clone, Copy)]
pub(super) struct Candidate<'a> {
    pub peer: PeerId,
    /// Residues that it wants from us: asking for them back would make a circle.
    pub wants: u8,
    pub is_source: bool,
    pub is_free_rider: bool,
    /// What it last said it holds.
    pub map: &'a Availability,
    /// How far it is ahead of us, in milliseconds, if that was measured.
    pub lead: f32,
    pub rtt: Duration,
}

impl Candidate<'_> {
    /// The latest fragment of a residue that it has.
    fn shows(&self, residue: usize) -> u64 {
        newest_of(residue, self.map)
    }
}

/// The latest fragment of a residue that a map says is held.
pub(super) fn newest_of(residue: usize, map: &Availability) -> u64 {
    const DEPTH: u64 = 32;
    let first = next_of(residue, (map.last + 1).saturating_sub(RESIDUES as u64));
    (0..DEPTH)
        .filter_map(|back| first.checked_sub(back * RESIDUES as u64))
        .find(|id| map.has(*id))
        .unwrap_or(0)
}

#[derive(Debug, Clone, Copy)]
struct Failure {
    until: Instant,
    times: u32,
}

/// The plan for all residues.
#[derive(Debug)]
pub(super) struct Pushers {
    assigned: [Option<Assignment>; RESIDUES],
    trial: Option<Trial>,
    failed: BTreeMap<(usize, PeerId), Failure>,
    search_at: Option<Instant>,
    search_pause: Duration,
}

impl Default for Pushers {
    fn default() -> Self {
        Self {
            assigned: [None; RESIDUES],
            trial: None,
            failed: BTreeMap::new(),
            search_at: None,
            search_pause: SEARCH,
        }
    }
}

impl Pushers {
    /// What `peer` is to push.
    pub fn mask_for(&self, peer: &PeerId) -> u8 {
        let is_for = |residue: &usize| {
            let is_tried = |trial: Trial| trial.asked.peer == *peer && trial.residue == *residue;
            self.assigned[*residue].is_some_and(|assignment| assignment.asked.peer == *peer)
                || self.trial.is_some_and(is_tried)
        };
        (0..RESIDUES).filter(is_for).fold(0, |mask, bit| mask | 1 << bit)
    }

    fn load(&self, peer: &PeerId) -> f32 {
        self.mask_for(peer).count_ones() as f32
    }

    /// A fragment came from `peer`.
    pub fn on_fragment(&mut self, now: Instant, peer: &PeerId, id: u64, edge: &Edge) {
        let residue = residue(id);
        if let Some(slot) = self.assigned[residue].as_mut().filter(|slot| slot.asked.peer == *peer)
        {
            // What was pulled from it says nothing, nor what is too far ahead to be pushed.
            if (slot.next..=edge.farthest_near()).contains(&id) {
                slot.has_delivered = true;
                slot.passes = false;
                slot.next = id + RESIDUES as u64;
                let late = edge.age(now, id).as_secs_f32() * 1000.0;
                slot.lateness += (late - slot.lateness) / 8.0;
                self.failed.remove(&(residue, *peer));
            }
        }
        let is_incumbent = self.assigned[residue].is_some_and(|slot| slot.asked.peer == *peer);
        if let Some(trial) = self.trial.as_mut().filter(|trial| trial.residue == residue)
            && (trial.asked.peer == *peer || is_incumbent)
        {
            trial.on_fragment(now, id, trial.asked.peer == *peer);
        }
    }

    /// `peer` says what it holds: if that is newer than what it pushed, it does not push. What is
    /// on its way may be overtaken by a map. True if somebody else must be found.
    pub fn on_map(&mut self, peer: &PeerId, map: &Availability) -> bool {
        let mut has_passed = false;
        for (residue, slot) in self.assigned.iter_mut().enumerate() {
            let Some(slot) = slot.as_mut().filter(|slot| slot.asked.peer == *peer) else {
                continue;
            };
            let overtaken = if slot.has_delivered { 2 * RESIDUES as u64 } else { 0 };
            if !slot.passes && newest_of(residue, map) >= slot.next + overtaken {
                slot.passes = true;
                has_passed = true;
            }
        }
        has_passed
    }

    /// All may be asked again.
    pub fn forgive(&mut self) {
        self.failed.clear();
        self.search_pause = SEARCH;
    }

    /// `peer` pushes nothing any more.
    pub fn forget(&mut self, peer: &PeerId) {
        for slot in &mut self.assigned {
            slot.take_if(|assignment| assignment.asked.peer == *peer);
        }
        self.trial.take_if(|trial| trial.asked.peer == *peer);
        self.failed.retain(|(_, failed), _| failed != peer);
    }

    /// Whether anything is to be decided.
    pub fn is_due(&self, now: Instant, edge: &Edge) -> bool {
        let is_idle =
            |slot: &Option<Assignment>| slot.is_none_or(|slot| slot.is_stalled(now, edge));
        self.trial.is_some()
            || self.search_at.is_none_or(|at| at <= now)
            || self.assigned.iter().any(is_idle)
    }

    /// Whether a trial is over.
    pub fn has_verdict(&self, now: Instant) -> bool {
        self.trial.is_some_and(|trial| trial.verdict(now).is_some())
    }

    /// Whether `peer` was asked to push `id`.
    #[cfg(test)]
    pub fn asks(&self, peer: &PeerId, id: u64) -> bool {
        self.mask_for(peer) >> residue(id) & 1 == 1
    }

    /// Whether `id` can still be expected of its residue's pusher, which was asked before the
    /// fragment existed.
    pub fn expects(&self, now: Instant, id: u64, edge: &Edge) -> bool {
        self.assigned[residue(id)].is_some_and(|slot| {
            let existed_before = edge.since(id).is_some_and(|since| since < slot.asked.since);
            slot.next <= id && !existed_before && !slot.is_stalled(now, edge)
        })
    }

    /// Whether the residue's pusher passed over `id`, or sent it and it was lost: how long until
    /// it would have come again.
    pub fn passed_over(&self, id: u64) -> Option<Duration> {
        let slot = self.assigned[residue(id)]?;
        (slot.next > id && slot.has_delivered).then(|| slot.asked.rtt * 3 / 2 + REPETITION)
    }

    /// Assigns what is free, replaces who failed, and looks for something better.
    /// `given`: residues that somebody gets from us.
    pub fn update(
        &mut self,
        now: Instant,
        candidates: &[Candidate],
        given: u8,
        edge: &Edge,
        rng: &mut StdRng,
    ) {
        self.judge_trial(now, edge);
        let mut is_well = true;
        for residue in 0..RESIDUES {
            let slot = self.assigned[residue];
            let is_stalled = slot.is_some_and(|slot| slot.is_stalled(now, edge));
            if slot.is_some() && !is_stalled {
                continue;
            }
            is_well = false;
            self.search_pause = self.search_pause.min(FRESH_SEARCH);
            let Some(chosen) = self.choose(now, candidates, residue, given, edge, rng) else {
                continue;
            };
            if let Some(slot) = slot {
                self.fail(now, residue, slot.asked, slot.has_delivered);
            }
            self.assigned[residue] = Some(Assignment::new(now, chosen, edge, residue));
        }
        if self.search_at.is_none_or(|at| at <= now) {
            self.search_at = Some(now + self.search_pause.mul_f64(rng.random_range(0.7..1.3)));
            let is_old = |failure: &Failure| now > failure.until + LONGEST_COOL_DOWN;
            self.failed.retain(|_, failure| !is_old(failure));
            if is_well && self.trial.is_none() {
                self.search(now, candidates);
            }
        }
    }

    fn fail(&mut self, now: Instant, residue: usize, asked: Asked, has_delivered: bool) {
        let Asked { peer, is_source, .. } = asked;
        let failure =
            self.failed.entry((residue, peer)).or_insert(Failure { until: now, times: 0 });
        let base = if has_delivered { COOL_DOWN } else { COOL_DOWN_REFUSED };
        let pause = base * 2u32.saturating_pow(failure.times.min(8));
        let longest = if is_source { LONGEST_SOURCE_COOL_DOWN } else { LONGEST_COOL_DOWN };
        failure.until = now + pause.min(longest);
        failure.times += 1;
    }

    fn is_cooling(&self, now: Instant, residue: usize, peer: PeerId) -> bool {
        self.failed.get(&(residue, peer)).is_some_and(|failure| failure.until > now)
    }

    fn may_push(&self, now: Instant, candidate: &Candidate, residue: usize) -> bool {
        let would_circle = candidate.wants >> residue & 1 == 1 && !candidate.is_source;
        let has_something = candidate.map.last > 0 || candidate.is_source;
        has_something && !would_circle && !self.is_cooling(now, residue, candidate.peer)
    }

    /// Who has newer fragments than we do, is ahead and has little to do for us yet; the source
    /// has the most to do.
    fn choose<'a>(
        &self,
        now: Instant,
        candidates: &'a [Candidate<'a>],
        residue: usize,
        given: u8,
        edge: &Edge,
        rng: &mut StdRng,
    ) -> Option<&'a Candidate<'a>> {
        let slot = self.assigned[residue];
        let ours = slot.map_or(0, |slot| slot.next.saturating_sub(RESIDUES as u64));
        let waited = slot.map_or(DESPAIR, |slot| edge.age(now, slot.next));
        let is_current =
            |candidate: &Candidate| slot.is_some_and(|slot| slot.asked.peer == candidate.peer);
        candidates
            .iter()
            .filter(|candidate| !is_current(candidate) && self.may_push(now, candidate, residue))
            .map(|candidate| {
                let shown = candidate.shows(residue);
                // What nobody gets from us cannot come back to us.
                let is_newer = shown > ours || candidate.is_source || given >> residue & 1 == 0;
                let refusals = (0..RESIDUES)
                    .filter(|residue| self.is_cooling(now, *residue, candidate.peer))
                    .count();
                // How much further others have come by what it last said.
                let behind =
                    edge.highest().saturating_sub(shown) as f32 * 1000.0 / edge.pace() as f32;
                let reluctance = behind.min(1000.0) - candidate.lead
                    + self.load(&candidate.peer) * LOAD
                    + refusals as f32 * REFUSED
                    + if candidate.is_source { 50.0 } else { 0.0 }
                    + rng.random_range(0.0..30.0);
                (candidate.is_free_rider, !is_newer, reluctance, candidate)
            })
            .filter(|(_, is_not_newer, ..)| !is_not_newer || waited >= DESPAIR)
            .min_by(|a, b| (a.0, a.1).cmp(&(b.0, b.1)).then(a.2.total_cmp(&b.2)))
            .map(|(.., candidate)| candidate)
    }

    /// Tries who promises to be faster than the slowest pusher, or to take load off the busiest.
    fn search(&mut self, now: Instant, candidates: &[Candidate]) {
        let slots = self.assigned.iter().enumerate();
        let slots = slots.filter_map(|(residue, slot)| Some((residue, slot.as_ref()?)));
        let mut best: Option<(f32, usize, &Candidate)> = None;
        for (residue, slot) in slots {
            let burden = slot.lateness + self.load(&slot.asked.peer) * LOAD;
            for candidate in candidates {
                let gain = burden + candidate.lead - (self.load(&candidate.peer) + 1.0) * LOAD;
                let is_better = gain >= WORTH_IT && best.is_none_or(|(most, ..)| gain > most);
                let is_possible = candidate.peer != slot.asked.peer
                    && !candidate.is_free_rider
                    && candidate.lead > -WORTH_IT
                    && candidate.shows(residue) + RESIDUES as u64 * 8 > slot.next;
                if is_better && is_possible && self.may_push(now, candidate, residue) {
                    best = Some((gain, residue, candidate));
                }
            }
        }
        self.trial =
            best.map(|(_, residue, candidate)| Trial::new(residue, Asked::new(now, candidate)));
    }

    fn judge_trial(&mut self, now: Instant, edge: &Edge) {
        let Some(trial) = self.trial else { return };
        let Some(is_won) = trial.verdict(now) else { return };
        self.trial = None;
        self.search_pause = (self.search_pause * 5 / 4).min(RAREST_SEARCH);
        if is_won {
            let next = next_of(trial.residue, edge.highest() + 1);
            let lateness = 0.0;
            let has_delivered = true;
            let passes = false;
            let slot = Assignment { asked: trial.asked, next, has_delivered, passes, lateness };
            self.assigned[trial.residue] = Some(slot);
        } else {
            self.fail(now, trial.residue, trial.asked, false);
            if trial.delivered > 0 {
                // It is no faster: there is no use in asking again soon.
                self.fail(now, trial.residue, trial.asked, false);
            }
        }
    }
}

impl Assignment {
    fn new(now: Instant, candidate: &Candidate, edge: &Edge, residue: usize) -> Self {
        Self {
            asked: Asked::new(now, candidate),
            next: next_of(residue, edge.highest() + 1),
            has_delivered: false,
            passes: false,
            lateness: 0.0,
        }
    }

    fn is_stalled(&self, now: Instant, edge: &Edge) -> bool {
        let patience = if self.has_delivered { STALL } else { REFUSAL + self.asked.rtt };
        let has_waited = now.saturating_duration_since(self.asked.since) > patience;
        self.passes || (has_waited && edge.age(now, self.next) > patience)
    }
}

#[cfg(test)]
mod tests;
