//! How much of the stream passes here, and what pulls may take of the uplink besides pushes.

use std::time::{Duration, Instant};

use super::pushers::RESIDUES;

/// Over this time the stream's rate is averaged.
const MEMORY: f64 = 4.0;
/// Until there is a measure, bytes a second.
const FIRST_RATE: f64 = 64_000.0;
/// Pulls may take so many times the stream, besides the places that nobody has; and no more than
/// this while the uplink is full: what was lost with us nobody else may have.
const SHARE: f64 = 0.75;
const SHARE_WHEN_FULL: f64 = 0.1;
/// What was not taken in this time is to be had at once.
const DEPTH: f64 = 3.0;
const LEAST_DEPTH: f64 = 256_000.0;

/// A bucket that fills with the stream.
#[derive(Debug, Default)]
pub(super) struct RelayBudget {
    rate: Option<f64>,
    passed: usize,
    since: Option<Instant>,
    left: Option<(f64, Instant)>,
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

    /// Whether a pull for so many bytes may be answered, if so many places are taken of those
    /// there are.
    pub fn may_answer(&mut self, now: Instant, bytes: usize, places: u32, taken: u32) -> bool {
        let free = f64::from(places.saturating_sub(taken)) / RESIDUES as f64;
        self.take(now, bytes, SHARE + free, LEAST_DEPTH)
    }

    /// Whether it may be answered though the uplink is full.
    pub fn may_answer_when_full(&mut self, now: Instant, bytes: usize) -> bool {
        self.take(now, bytes, SHARE_WHEN_FULL, 0.0)
    }

    /// Takes bytes out of what fills with a share of the stream, if there are so many.
    fn take(&mut self, now: Instant, bytes: usize, share: f64, least_depth: f64) -> bool {
        let rate = self.bytes_in(Duration::from_secs(1)) * share;
        let depth = (rate * DEPTH).max(least_depth);
        let (left, since) = self.left.unwrap_or((depth, now));
        let left = (left + now.saturating_duration_since(since).as_secs_f64() * rate).min(depth);
        let is_enough = left >= bytes as f64;
        self.left = Some((if is_enough { left - bytes as f64 } else { left }, now));
        is_enough
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
        let mut served = |places, taken| {
            let mut count = 0;
            for step in 0..1000 {
                let now = start
                    + Duration::from_secs(10 + 20 * u64::from(taken))
                    + Duration::from_millis(step * 10);
                for _ in 0..10 {
                    count += u32::from(budget.may_answer(now, 1000, places, taken));
                }
            }
            count
        };
        let (busy, idle) = (served(32, 32), served(32, 0));
        assert!(busy < 1200 && idle > 4000, "{busy} {idle}");
    }
}
