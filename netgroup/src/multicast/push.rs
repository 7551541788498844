//! Who pushes us which residue of fragment numbers modulo 8.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use rand::{RngExt, rngs::StdRng};
use rtmfp::crypto::PeerId;

pub(super) const RESIDUES: usize = 8;
/// A pusher silent for this long, while others have more, has failed.
const STALL: Duration = Duration::from_millis(400);
/// A failed pusher is not asked for the same residue again before this.
const COOL_DOWN: Duration = Duration::from_secs(4);
/// How often load is moved from the neighbour with most to the one with least.
const REBALANCE: Duration = Duration::from_secs(1);

/// Which residue a fragment belongs to.
pub(super) fn residue(id: u64) -> usize {
    (id % RESIDUES as u64) as usize
}

#[derive(Debug, Clone, Copy)]
struct Assignment {
    peer: PeerId,
    /// When it was asked.
    since: Instant,
    /// When it was asked, or last delivered.
    alive: Instant,
    newest: u64,
}

impl Assignment {
    fn new(now: Instant, peer: PeerId) -> Self {
        Self { peer, since: now, alive: now, newest: 0 }
    }
}

/// A neighbour that could push.
#[derive(Debug, Clone, Copy)]
pub(super) struct Candidate {
    pub peer: PeerId,
    /// Residues that it wants from us: asking for them back would make a circle.
    pub wants: u8,
    pub is_source: bool,
}

/// The plan for all residues.
#[derive(Debug)]
pub(super) struct PushPlan {
    assigned: [Option<Assignment>; RESIDUES],
    failed: BTreeMap<(usize, PeerId), Instant>,
    rebalance_at: Option<Instant>,
}

impl PushPlan {
    pub fn new() -> Self {
        Self { assigned: [None; RESIDUES], failed: BTreeMap::new(), rebalance_at: None }
    }

    /// What `peer` is to push.
    pub fn mask_for(&self, peer: &PeerId) -> u8 {
        let is_for =
            |slot: &Option<Assignment>| slot.is_some_and(|assignment| assignment.peer == *peer);
        (0..RESIDUES)
            .filter(|residue| is_for(&self.assigned[*residue]))
            .fold(0, |mask, bit| mask | 1 << bit)
    }

    /// A fragment came from `peer`.
    pub fn on_fragment(&mut self, now: Instant, peer: &PeerId, id: u64) {
        if let Some(assignment) =
            self.assigned[residue(id)].as_mut().filter(|slot| slot.peer == *peer)
        {
            assignment.alive = now;
            assignment.newest = assignment.newest.max(id);
        }
    }

    /// `peer` pushes nothing any more.
    pub fn forget(&mut self, peer: &PeerId) {
        for slot in &mut self.assigned {
            if slot.is_some_and(|assignment| assignment.peer == *peer) {
                *slot = None;
            }
        }
        self.failed.retain(|(_, failed), _| failed != peer);
    }

    /// Whether `id`, known for `age`, can still be expected of its residue's pusher: it was asked
    /// before the fragment existed, and is alive.
    pub fn expects(&self, now: Instant, id: u64, age: Duration) -> bool {
        self.assigned[residue(id)].is_some_and(|slot| {
            slot.newest < id && !is_stalled(&slot, now) && slot.since + age <= now
        })
    }

    /// Whether the residue's pusher passed over `id`.
    pub fn was_passed_over(&self, id: u64) -> bool {
        self.assigned[residue(id)].is_some_and(|slot| slot.newest > id)
    }

    /// Assigns what is free, replaces pushers that `is_missing` says left a residue behind, and
    /// spreads the load.
    pub fn update(
        &mut self,
        now: Instant,
        candidates: &[Candidate],
        is_missing: impl Fn(usize) -> bool,
        rng: &mut StdRng,
    ) {
        self.failed.retain(|_, at| now.saturating_duration_since(*at) < COOL_DOWN);
        for residue in 0..RESIDUES {
            let stalled =
                self.assigned[residue].filter(|slot| is_stalled(slot, now) && is_missing(residue));
            if let Some(slot) = stalled {
                self.failed.insert((residue, slot.peer), now);
            }
            if stalled.is_some() || self.assigned[residue].is_none() {
                let chosen = self.choose(candidates, residue, stalled.is_some(), rng);
                // A stalled pusher is better than none.
                if let Some(peer) = chosen {
                    self.assigned[residue] = Some(Assignment::new(now, peer));
                }
            }
        }
        if self.rebalance_at.is_none_or(|at| at <= now) {
            self.rebalance_at = Some(now + REBALANCE);
            self.rebalance(now, candidates);
        }
    }

    fn may_push(&self, candidate: &Candidate, residue: usize) -> bool {
        let would_circle = candidate.wants >> residue & 1 == 1 && !candidate.is_source;
        !would_circle && !self.failed.contains_key(&(residue, candidate.peer))
    }

    /// The least loaded; after a failure mostly the source, for it surely has all.
    fn choose(
        &self,
        candidates: &[Candidate],
        residue: usize,
        after_failure: bool,
        rng: &mut StdRng,
    ) -> Option<PeerId> {
        let prefers_source = after_failure && rng.random_bool(0.9);
        candidates
            .iter()
            .filter(|candidate| self.may_push(candidate, residue))
            .min_by_key(|candidate| {
                let load = self.mask_for(&candidate.peer).count_ones();
                (prefers_source && !candidate.is_source, load, rng.random::<u32>())
            })
            .map(|candidate| candidate.peer)
    }

    fn rebalance(&mut self, now: Instant, candidates: &[Candidate]) {
        let load = |plan: &Self, peer: &PeerId| plan.mask_for(peer).count_ones();
        let Some(most) = candidates.iter().max_by_key(|candidate| load(self, &candidate.peer))
        else {
            return;
        };
        let is_theirs = |slot: &Option<Assignment>| slot.is_some_and(|slot| slot.peer == most.peer);
        for residue in (0..RESIDUES).filter(|residue| is_theirs(&self.assigned[*residue])) {
            let least = candidates
                .iter()
                .filter(|candidate| self.may_push(candidate, residue))
                .min_by_key(|candidate| load(self, &candidate.peer));
            if let Some(least) = least
                && load(self, &least.peer) + 1 < load(self, &most.peer)
            {
                self.assigned[residue] = Some(Assignment::new(now, least.peer));
                return;
            }
        }
    }
}

fn is_stalled(slot: &Assignment, now: Instant) -> bool {
    now.saturating_duration_since(slot.alive) > STALL
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;

    fn candidate(seed: u8) -> Candidate {
        Candidate { peer: PeerId([seed; 32]), wants: 0, is_source: seed == 0 }
    }

    #[test]
    fn one_neighbour_gets_all_and_more_share() {
        let (mut plan, mut rng, start) =
            (PushPlan::new(), StdRng::seed_from_u64(1), Instant::now());
        plan.update(start, &[candidate(0)], |_| false, &mut rng);
        assert_eq!(plan.mask_for(&PeerId([0; 32])), 0xff);
        let candidates = [candidate(0), candidate(1)];
        for step in 1..10 {
            plan.update(start + REBALANCE * step, &candidates, |_| false, &mut rng);
        }
        assert_eq!(plan.mask_for(&PeerId([1; 32])).count_ones(), 4);
    }

    #[test]
    fn a_silent_pusher_is_replaced_when_something_is_missing() {
        let (mut plan, mut rng, start) =
            (PushPlan::new(), StdRng::seed_from_u64(1), Instant::now());
        plan.update(start, &[candidate(1)], |_| false, &mut rng);
        let later = start + Duration::from_secs(1);
        plan.update(later, &[candidate(1), candidate(2)], |residue| residue == 3, &mut rng);
        assert_eq!(plan.mask_for(&PeerId([2; 32])) & 1 << 3, 1 << 3);
    }

    #[test]
    fn nobody_is_asked_for_what_they_ask_of_us() {
        let (mut plan, mut rng, start) =
            (PushPlan::new(), StdRng::seed_from_u64(1), Instant::now());
        let asking = Candidate { wants: 0x0f, ..candidate(1) };
        plan.update(start, &[asking], |_| false, &mut rng);
        assert_eq!(plan.mask_for(&asking.peer), 0xf0);
    }
}
