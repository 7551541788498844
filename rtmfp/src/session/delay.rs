//! Growing round trip times as a sign of congestion. As rtmfp-cpp has it, after LEDBAT (RFC 6817).

use std::time::{Duration, Instant};

/// Round trips below this are never congestion.
const FLOOR: Duration = Duration::from_millis(30);
/// The shortest of the last three of these is the base.
const BUCKET: Duration = Duration::from_secs(60);
const BUCKETS: usize = 3;
/// Shorter queues, or an eighth of the base, are none.
const CLEAR: Duration = Duration::from_millis(15);
/// An older measurement says nothing about queues.
const LATELY: Duration = Duration::from_secs(1);
/// How often the window is lowered to see whether our own data hides a shorter base.
const PROBE_EVERY: Duration = Duration::from_secs(20);

/// What the round trip times of a packet suggest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Advice {
    Nothing,
    /// As after loss.
    Congestion,
    /// Let the queue drain for a moment.
    Drain,
}

/// The watch over one session's delay.
#[derive(Debug)]
pub(crate) struct DelayWatch {
    threshold: Option<Duration>,
    buckets: [Option<Duration>; BUCKETS],
    bucket_since: Instant,
    probed: Instant,
    measured: Option<Instant>,
    is_fresh: bool,
}

impl DelayWatch {
    /// Congestion is `threshold` above the base; none switches it off.
    pub fn new(now: Instant, threshold: Option<Duration>) -> Self {
        Self {
            threshold,
            buckets: [None; BUCKETS],
            bucket_since: now,
            probed: now,
            measured: None,
            is_fresh: false,
        }
    }

    /// The path may have changed, or is idle: the base is to be found anew.
    pub fn reset(&mut self) {
        self.buckets = [None; BUCKETS];
    }

    /// Takes in one measured round trip.
    pub fn on_rtt(&mut self, now: Instant, rtt: Duration) {
        if now.saturating_duration_since(self.bucket_since) >= BUCKET {
            self.buckets.rotate_right(1);
            self.buckets[0] = None;
            self.bucket_since = now;
        }
        self.buckets[0] = Some(self.buckets[0].map_or(rtt, |shortest| shortest.min(rtt)));
        self.measured = Some(now);
        self.is_fresh = true;
    }

    /// What queues on the way add to the shortest round trip, if one was measured lately.
    pub fn queueing(&self, now: Instant, smoothed: Duration) -> Option<Duration> {
        self.measured.filter(|at| now.saturating_duration_since(*at) < LATELY)?;
        Some(smoothed.saturating_sub(self.base()?))
    }

    fn base(&self) -> Option<Duration> {
        self.buckets.iter().flatten().min().copied()
    }

    /// Whether next to nothing queues on the way.
    pub fn is_way_clear(&self, now: Instant, smoothed: Duration) -> bool {
        let allowed = self.base().map(|base| CLEAR.max(base / 8));
        self.queueing(now, smoothed).zip(allowed).is_some_and(|(queue, allowed)| queue < allowed)
    }

    /// What to do, once for each measurement. `is_busy`: the window is well used.
    pub fn advice(&mut self, now: Instant, smoothed: Duration, is_busy: bool) -> Advice {
        let (Some(threshold), Some(base)) = (self.threshold, self.base()) else {
            return Advice::Nothing;
        };
        if !std::mem::take(&mut self.is_fresh) || smoothed < FLOOR {
            return Advice::Nothing;
        }
        if smoothed > base + threshold {
            return Advice::Congestion;
        }
        let is_due = now.saturating_duration_since(self.probed) >= PROBE_EVERY;
        if base > FLOOR && is_busy && is_due {
            self.probed = now;
            return Advice::Drain;
        }
        Advice::Nothing
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn more_than_the_threshold_above_the_base_is_congestion() {
        let now = Instant::now();
        let mut watch = DelayWatch::new(now, Some(100 * MS));
        watch.on_rtt(now, 40 * MS);
        assert_eq!(watch.advice(now, 139 * MS, true), Advice::Nothing);
        watch.on_rtt(now, 200 * MS);
        assert_eq!(watch.advice(now, 141 * MS, true), Advice::Congestion);
        assert_eq!(watch.advice(now, 141 * MS, true), Advice::Nothing, "once a measurement");
        let mut off = DelayWatch::new(now, None);
        off.on_rtt(now, 40 * MS);
        assert_eq!(off.advice(now, 9000 * MS, true), Advice::Nothing);
    }

    #[test]
    fn a_way_is_clear_while_round_trips_are_as_short_as_ever() {
        let now = Instant::now();
        let mut watch = DelayWatch::new(now, None);
        assert!(!watch.is_way_clear(now, 40 * MS), "nothing is known");
        watch.on_rtt(now, 40 * MS);
        assert!(watch.is_way_clear(now, 50 * MS));
        assert!(!watch.is_way_clear(now, 60 * MS));
        assert_eq!(watch.queueing(now, 60 * MS), Some(20 * MS));
        assert_eq!(watch.queueing(now + LATELY, 60 * MS), None);
    }

    #[test]
    fn the_base_is_forgotten_after_three_minutes() {
        let mut now = Instant::now();
        let mut watch = DelayWatch::new(now, Some(100 * MS));
        watch.on_rtt(now, 10 * MS);
        for _ in 0..3 {
            now += BUCKET;
            watch.on_rtt(now, 300 * MS);
        }
        assert_eq!(watch.base(), Some(300 * MS));
    }

    #[test]
    fn a_busy_path_is_drained_now_and_then() {
        let mut now = Instant::now();
        let mut watch = DelayWatch::new(now, Some(100 * MS));
        now += PROBE_EVERY;
        watch.on_rtt(now, 50 * MS);
        assert_eq!(watch.advice(now, 50 * MS, false), Advice::Nothing);
        watch.on_rtt(now, 50 * MS);
        assert_eq!(watch.advice(now, 50 * MS, true), Advice::Drain);
        watch.on_rtt(now, 50 * MS);
        assert_eq!(watch.advice(now, 50 * MS, true), Advice::Nothing);
    }
}
