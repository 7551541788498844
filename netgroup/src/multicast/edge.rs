//! How far the stream has come, and since when that is known. What a single neighbour says does
//! not count if it stands alone: others may lie.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

/// Steps closer together than this are one.
const RESOLUTION: Duration = Duration::from_millis(20);
const MEMORY: Duration = Duration::from_secs(40);
/// Over this time the stream's pace is measured.
const PACE_SPAN: Duration = Duration::from_secs(4);
/// Until there is a measure: half a megabit a second.
const FIRST_PACE: f64 = 80.0;
/// What a stream may do at once, besides keeping its pace: a message of four megabytes.
const LEAP: u64 = 4096;
/// What a neighbour may be ahead of all others and still be passed on.
const NEAR: u64 = 128;
/// A fragment shows the stream's end if half of so many before it are there.
pub(super) const DENSITY: u64 = 32;

/// Most questions are about one of so many last steps.
const LAST: usize = 16;

/// The highest number believed, and when it was what.
#[derive(Debug)]
pub(super) struct Edge {
    steps: VecDeque<(u64, Instant)>,
    /// Fragments a second, lately.
    pace: f64,
}

impl Default for Edge {
    fn default() -> Self {
        Self { steps: VecDeque::new(), pace: FIRST_PACE }
    }
}

impl Edge {
    pub fn highest(&self) -> u64 {
        self.steps.back().map_or(0, |(id, _)| *id)
    }

    /// The stream has come to `id`.
    pub fn note(&mut self, now: Instant, id: u64) {
        match self.steps.back_mut() {
            Some((highest, _)) if *highest >= id => return,
            Some((highest, at)) if now.saturating_duration_since(*at) < RESOLUTION => *highest = id,
            _ => {
                self.steps.push_back((id, now));
                self.pace = self.measure();
            }
        }
        let is_old = |(_, at): &(u64, Instant)| now.saturating_duration_since(*at) > MEMORY;
        while self.steps.len() > 1 && self.steps.front().is_some_and(is_old) {
            self.steps.pop_front();
        }
    }

    /// Since when `id` is known to exist; nothing if it is not.
    pub fn since(&self, id: u64) -> Option<Instant> {
        let last = self.steps.len().saturating_sub(LAST);
        let is_before = |(highest, _): &(u64, Instant)| *highest < id;
        let at = match self.steps.get(last) {
            Some(step) if is_before(step) => {
                last + self.steps.range(last..).take_while(|step| is_before(step)).count()
            }
            _ => self.steps.partition_point(is_before),
        };
        self.steps.get(at).map(|(_, since)| *since)
    }

    /// How long ago `id` was first known to exist.
    pub fn age(&self, now: Instant, id: u64) -> Duration {
        self.since(id).map_or(Duration::ZERO, |since| now.saturating_duration_since(since))
    }

    /// Fragments a second, lately.
    pub fn pace(&self) -> f64 {
        self.pace
    }

    fn measure(&self) -> f64 {
        let Some((last, until)) = self.steps.back() else { return FIRST_PACE };
        let from = self
            .steps
            .partition_point(|(_, at)| until.saturating_duration_since(*at) > PACE_SPAN)
            .min(self.steps.len() - 1);
        let (first, since) = self.steps[from];
        let span = until.saturating_duration_since(since).as_secs_f64();
        if span < 0.5 { FIRST_PACE } else { ((last - first) as f64 / span).max(1.0) }
    }

    /// How far the stream may have come by now, unknown to us, if it went on as before.
    pub fn farthest_expected(&self, now: Instant) -> u64 {
        let (Some((first, since)), Some((last, until))) = (self.steps.front(), self.steps.back())
        else {
            return 0;
        };
        let span = until.saturating_duration_since(*since).as_secs_f64();
        let pace = if span < 0.5 { FIRST_PACE } else { (last - first) as f64 / span };
        let silence = now.saturating_duration_since(*until).as_secs_f64();
        last + NEAR + (1.5 * pace * silence) as u64
    }

    /// Nothing beyond this is taken from somebody who does not know the stream at first hand.
    pub fn farthest_credible(&self) -> u64 {
        self.highest() + LEAP + (2.0 * self.pace()) as u64
    }

    /// Nothing beyond this is told or passed on.
    pub fn farthest_near(&self) -> u64 {
        self.highest() + NEAR + (0.5 * self.pace()) as u64
    }
}

/// What a single neighbour shows of a stream that stands still for us: numbers beyond the edge that
/// are looked for all the same.
#[derive(Debug, Clone, Copy)]
pub(super) struct Prospect {
    /// Play may go on here.
    pub from: u64,
    pub last: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn age_and_pace_follow_the_steps() {
        let (mut edge, start) = (Edge::default(), Instant::now());
        for step in 0..100u64 {
            edge.note(start + Duration::from_millis(step * 100), step * 20);
        }
        let now = start + Duration::from_secs(10);
        assert_eq!(edge.age(now, 1980), Duration::from_millis(100));
        assert_eq!(edge.age(now, 1961), Duration::from_millis(100));
        assert_eq!(edge.age(now, 1960), Duration::from_millis(200));
        assert_eq!(edge.since(1981), None);
        assert!((edge.pace() - 200.0).abs() < 10.0, "{}", edge.pace());
        edge.note(now, 5);
        assert_eq!(edge.highest(), 1980);
    }
}
