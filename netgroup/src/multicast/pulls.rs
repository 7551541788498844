//! Fetching single fragments that no push brought.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use rtmfp::crypto::PeerId;

/// An unanswered pull is repeated, to somebody else if possible, after this and what the way there
/// and back takes; each time later.
const RETRY: Duration = Duration::from_millis(250);
const MAX_RETRY: Duration = Duration::from_secs(3);
/// Pulls that may be unanswered at once, and of one neighbour.
const MAX_OUTSTANDING: usize = 512;
const MAX_OF_ONE: usize = 24;
/// So much of the stream's pace may be pulled, in the long run and at once.
pub(super) const PACE_SHARE: f64 = 1.5;
pub(super) const BURST: f64 = 14.0;

#[derive(Debug, Clone, Copy)]
struct Pull {
    from: PeerId,
    retry_at: Instant,
    tries: u32,
}

/// What was asked for and did not come yet.
#[derive(Debug, Default)]
pub(super) struct Pulls {
    outstanding: BTreeMap<u64, Pull>,
    /// How many more may be asked for, at which time.
    budget: Option<(f64, Instant)>,
}

impl Pulls {
    /// How many may be asked for now, in a stream of so many fragments a second.
    pub fn allowance(&mut self, now: Instant, pace: f64) -> usize {
        let depth = (pace * BURST).max(256.0);
        let (left, since) = self.budget.unwrap_or((depth, now));
        let refill = now.saturating_duration_since(since).as_secs_f64() * pace * PACE_SHARE;
        let left = (left + refill).min(depth);
        self.budget = Some((left, now));
        (left as usize).min(MAX_OUTSTANDING.saturating_sub(self.outstanding.len()))
    }

    /// Whether to ask for a fragment now; and whom rather not.
    pub fn may_ask(&self, now: Instant, id: u64) -> Result<Option<PeerId>, NotNow> {
        match self.outstanding.get(&id) {
            Some(pull) if pull.retry_at > now => Err(NotNow),
            Some(pull) => Ok(Some(pull.from)),
            None => Ok(None),
        }
    }

    /// Whether a neighbour has enough to do for us.
    pub fn is_busy(count: usize) -> bool {
        count >= MAX_OF_ONE
    }

    /// Asked `from`, who answers after `rtt` at best. The neighbour that was asked before did not.
    pub fn note(&mut self, now: Instant, id: u64, from: PeerId, rtt: Duration) -> Option<PeerId> {
        let before = self.outstanding.get(&id).copied();
        let tries = before.map_or(0, |pull| pull.tries + 1);
        let patience = ((RETRY + rtt * 3 / 2)
            * 2u32.saturating_pow(tries.saturating_sub(1).min(8)))
        .min(MAX_RETRY);
        self.outstanding.insert(id, Pull { from, retry_at: now + patience, tries });
        if let Some((left, _)) = &mut self.budget {
            *left -= 1.0;
        }
        before.map(|pull| pull.from)
    }

    /// It came, from whomever: whom it was asked of.
    pub fn on_fragment(&mut self, id: u64) -> Option<PeerId> {
        self.outstanding.remove(&id).map(|pull| pull.from)
    }

    /// Whether it was asked of somebody.
    pub fn is_outstanding(&self, id: u64) -> bool {
        self.outstanding.contains_key(&id)
    }

    /// Nothing before `id` is wanted any more: whom it was asked of.
    pub fn forget_before(&mut self, id: u64) -> impl Iterator<Item = PeerId> {
        let wanted = self.outstanding.split_off(&id);
        std::mem::replace(&mut self.outstanding, wanted).into_values().map(|pull| pull.from)
    }

    /// What was asked of `peer` may be asked of others at once.
    pub fn forget_peer(&mut self, peer: &PeerId) {
        self.outstanding.retain(|_, pull| pull.from != *peer);
    }
}

/// Asked already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct NotNow;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pulls_keep_to_the_streams_pace() {
        let (mut pulls, now) = (Pulls::default(), Instant::now());
        let peer = PeerId([1; 32]);
        let mut first = 0;
        while pulls.allowance(now, 100.0) > 0 {
            pulls.note(now, first, peer, Duration::ZERO);
            pulls.on_fragment(first);
            first += 1;
        }
        assert_eq!(first, 1400);
        let second = pulls.allowance(now + Duration::from_secs(1), 100.0);
        assert!((140..=160).contains(&second), "{second}");
    }

    #[test]
    fn each_try_waits_longer() {
        let (mut pulls, now) = (Pulls::default(), Instant::now());
        let (one, two) = (PeerId([1; 32]), PeerId([2; 32]));
        let rtt = Duration::from_millis(100);
        assert_eq!(pulls.note(now, 7, one, rtt), None);
        assert_eq!(pulls.may_ask(now, 7), Err(NotNow));
        let later = now + Duration::from_millis(600);
        assert_eq!(pulls.may_ask(later, 7), Ok(Some(one)));
        assert_eq!(pulls.note(later, 7, two, rtt), Some(one));
        let later = later + Duration::from_millis(401);
        assert_eq!(pulls.note(later, 7, one, rtt), Some(two));
        assert_eq!(pulls.may_ask(later + Duration::from_millis(600), 7), Err(NotNow));
        assert_eq!(pulls.on_fragment(7), Some(one));
        assert_eq!(pulls.may_ask(later, 7), Ok(None));
    }
}
