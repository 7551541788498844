//! How much of the stream passes here, and what pulls may take of the uplink besides pushes: of all
//! neighbours together, and of each.

use std::time::{Duration, Instant};

use super::{
    pulls::{BURST, PACE_SHARE},
    pushers::RESIDUES,
};
use crate::wire::MAX_PAYLOAD;

/// Over this time the stream's rate is averaged.
const MEMORY: f64 = 4.0;
/// Until there is a measure, bytes a second.
const FIRST_RATE: f64 = 64_000.0;
/// Pulls may take so many times the stream, besides the places that nobody has; and no more than
/// this while the uplink is full: what was lost with us nobody else may have.
const SHARE: f64 = 0.75;
const SHARE_WHEN_BUSY: f64 = 0.5;
const SHARE_WHEN_FULL: f64 = 0.1;
/// What was not taken in this time is to be had at once.
const DEPTH: f64 = 3.0;
const LEAST_DEPTH: f64 = 256_000.0;
/// In a neighbourhood that is not small, one neighbour takes no more than such a part of what is
/// left when half is taken.
const PARTS: f64 = 4.0;
const SMALL: usize = 6;
/// A full bucket has one fragment at least.
const A_FRAGMENT: f64 = (MAX_PAYLOAD + 64) as f64;

/// What pulls may take: bytes a second in the long run, and bytes at once.
#[derive(Debug, Clone, Copy)]
pub(super) struct Allowance {
    rate: f64,
    depth: f64,
}

impl Allowance {
    pub const NOTHING: Self = Self { rate: 0.0, depth: 0.0 };
    pub const ANYTHING: Self = Self { rate: 1e15, depth: 1e15 };
}

/// Fills up as an allowance says.
#[derive(Debug, Default)]
pub(super) struct Bucket {
    left: Option<(f64, Instant)>,
}

impl Bucket {
    /// Whether there are so many bytes.
    pub fn has(&mut self, now: Instant, bytes: usize, allowance: Allowance) -> bool {
        let Allowance { rate, depth } = allowance;
        let (left, since) = self.left.unwrap_or((depth, now));
        let left = (left + now.saturating_duration_since(since).as_secs_f64() * rate).min(depth);
        self.left = Some((left, now));
        left >= bytes as f64
    }

    pub fn is_half_full(&mut self, now: Instant, allowance: Allowance) -> bool {
        self.has(now, (allowance.depth / 2.0) as usize, allowance)
    }

    /// Takes them out.
    pub fn draw(&mut self, bytes: usize) {
        if let Some((left, _)) = &mut self.left {
            *left -= bytes as f64;
        }
    }
}

/// Measures the stream.
#[derive(Debug, Default)]
pub(super) struct RelayBudget {
    rate: Option<f64>,
    passed: usize,
    since: Option<Instant>,
}

impl RelayBudget {
    /// A fragment of so many bytes came.
    pub fn note(&mut self, now: Instant, bytes: usize) {
        let since = *self.since.get_or_insert(now);
        self.passed += bytes;
        let span = now.saturating_duration_since(since).as_secs_f64();
        if span < 1.0 {
            return;
        }
        let rate = self.passed as f64 / span;
        let weight = (span / MEMORY).min(1.0);
        self.rate = Some(self.rate.map_or(rate, |before| before + (rate - before) * weight));
        (self.passed, self.since) = (0, Some(now));
    }

    /// How many bytes of the stream come in a time.
    pub fn bytes_in(&self, time: Duration) -> f64 {
        self.rate.unwrap_or(FIRST_RATE) * time.as_secs_f64()
    }

    /// What pulls may take besides the pushes, if so many places are taken of those there are.
    pub fn beside_pushes(&self, places: u32, taken: u32) -> Allowance {
        let free = f64::from(places.saturating_sub(taken)) / RESIDUES as f64;
        self.share(SHARE + free, LEAST_DEPTH)
    }

    /// What they may take of a relay's uplink that is nearly full: who pulls from us for long had
    /// better be pushed to, and places come only when the uplink is free.
    pub fn of_busy_uplink(&self) -> Allowance {
        self.share(SHARE_WHEN_BUSY, 0.0)
    }

    /// What they may take though the uplink is full.
    pub fn of_full_uplink(&self) -> Allowance {
        self.share(SHARE_WHEN_FULL, 0.0)
    }

    /// What one of so many neighbours may take of that, if there is plenty or not: never more than
    /// it would pull of all others together, if it were as honest as we.
    pub fn of_one(&self, all: Allowance, is_plenty: bool, neighbours: usize) -> Allowance {
        let parts = if is_plenty || neighbours <= SMALL { 1.0 } else { PARTS };
        let second = self.bytes_in(Duration::from_secs(1));
        Allowance {
            rate: (all.rate / parts).min(second * PACE_SHARE),
            depth: (all.depth / parts).min((second * BURST).max(LEAST_DEPTH)).max(A_FRAGMENT),
        }
    }

    fn share(&self, share: f64, least_depth: f64) -> Allowance {
        let rate = self.bytes_in(Duration::from_secs(1)) * share;
        Allowance { rate, depth: (rate * DEPTH).max(least_depth).max(A_FRAGMENT) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pulls_get_what_pushes_leave() {
        let (mut budget, start) = (RelayBudget::default(), Instant::now());
        for step in 0..1000 {
            budget.note(start + Duration::from_millis(step * 10), 1000);
        }
        let rate = budget.bytes_in(Duration::from_secs(1));
        assert!((90_000.0..110_000.0).contains(&rate), "{rate}");
        let mut bucket = Bucket::default();
        let mut served = |places, taken: u32| {
            let mut count = 0;
            for step in 0..1000 {
                let now = start
                    + Duration::from_secs(10 + 20 * u64::from(taken))
                    + Duration::from_millis(step * 10);
                let allowance = budget.beside_pushes(places, taken);
                for _ in 0..10 {
                    if bucket.has(now, 1000, allowance) {
                        bucket.draw(1000);
                        count += 1;
                    }
                }
            }
            count
        };
        let (busy, idle) = (served(32, 32), served(32, 0));
        assert!(busy < 1200 && idle > 4000, "{busy} {idle}");
    }
    #[test]
    fn one_of_many_takes_a_part() {
        let (mut budget, now) = (RelayBudget::default(), Instant::now());
        budget.note(now, 0);
        budget.note(now + Duration::from_secs(4), 400_000);
        let all = budget.beside_pushes(16, 16);
        assert_eq!((all.rate, all.depth), (75_000.0, 256_000.0));
        let (few, many) = (budget.of_one(all, false, SMALL), budget.of_one(all, false, 20));
        assert_eq!((few.rate, few.depth), (75_000.0, 256_000.0));
        assert_eq!((many.rate, many.depth), (18_750.0, 64_000.0));
        assert_eq!(budget.of_one(all, true, 20).depth, 256_000.0);
        let honest = budget.of_one(Allowance::ANYTHING, true, 20);
        assert_eq!((honest.rate, honest.depth), (150_000.0, 1_400_000.0));
        assert_eq!(budget.of_one(Allowance::NOTHING, false, 20).depth, A_FRAGMENT);
    }

    #[test]
    fn a_thin_stream_is_answered_for_though_slowly() {
        let (mut budget, now) = (RelayBudget::default(), Instant::now());
        budget.note(now, 0);
        budget.note(now + Duration::from_secs(4), 800);
        let (mut bucket, full) = (Bucket::default(), budget.of_full_uplink());
        assert!(bucket.has(now, 900, full));
        bucket.draw(900);
        assert!(!bucket.has(now + Duration::from_secs(1), 900, full));
        assert!(bucket.has(now + Duration::from_secs(60), 900, full));
    }
}
