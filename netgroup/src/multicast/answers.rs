//! How a neighbour answers pulls: more is asked at once of who answers soon, less of who does not,
//! as the uplink of each can bear.

use std::time::{Duration, Instant};

/// Pulls that may be unanswered at first, at least, and at most.
const FIRST_WINDOW: f32 = 20.0;
const LEAST_WINDOW: f32 = 2.0;
const MOST_WINDOW: f32 = 64.0;
/// Each answer lets so many more be unanswered.
const GROWTH: f32 = 1.0;
/// Pulls that go unanswered together are one reason to ask for less.
const SAME_REASON: Duration = Duration::from_millis(250);
/// An unanswered pull counts as an answer after this.
const UNANSWERED: Duration = Duration::from_millis(800);
/// Answers over which the time they take is averaged.
const MEMORY: f32 = 8.0;

#[derive(Debug)]
pub(super) struct Answers {
    waiting: usize,
    window: f32,
    missed_at: Option<Instant>,
    /// Seconds that an answer takes.
    time: Option<f32>,
}

impl Default for Answers {
    fn default() -> Self {
        Self { waiting: 0, window: FIRST_WINDOW, missed_at: None, time: None }
    }
}

impl Answers {
    /// Pulls that are unanswered.
    pub fn waiting(&self) -> usize {
        self.waiting
    }

    pub fn may_ask(&self) -> bool {
        (self.waiting as f32) < self.window
    }

    /// How long an answer takes, on a way of this round trip.
    pub fn time(&self, rtt: Duration) -> Duration {
        self.time.map_or(rtt, Duration::from_secs_f32)
    }

    /// It is asked for one more.
    pub fn begin(&mut self) {
        self.waiting += 1;
    }

    /// A pull is over: it was answered within a time, or is not waited for any more.
    pub fn end(&mut self, answered: Option<Duration>) {
        self.waiting = self.waiting.saturating_sub(1);
        if let Some(time) = answered {
            self.window = (self.window + GROWTH).min(MOST_WINDOW);
            self.note(time);
        }
    }

    /// A pull was not answered in time.
    pub fn miss(&mut self, now: Instant) {
        self.waiting = self.waiting.saturating_sub(1);
        let is_same = |at: Instant| now.saturating_duration_since(at) < SAME_REASON;
        if !self.missed_at.is_some_and(is_same) {
            self.missed_at = Some(now);
            self.window = (self.window / 2.0).max(LEAST_WINDOW);
            self.note(UNANSWERED);
        }
    }

    fn note(&mut self, time: Duration) {
        let time = time.as_secs_f32();
        self.time = Some(self.time.map_or(time, |mean| mean + (time - mean) / MEMORY));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_answers_is_asked_for_more_and_who_does_not_for_less() {
        let (mut answers, now) = (Answers::default(), Instant::now());
        let ask_all = |answers: &mut Answers| {
            while answers.may_ask() {
                answers.begin();
            }
            answers.waiting()
        };
        let first = ask_all(&mut answers);
        (0..first).for_each(|_| answers.end(Some(Duration::from_millis(80))));
        let second = ask_all(&mut answers);
        assert!(second > first && second <= 2 * first);
        (0..second).for_each(|_| answers.miss(now));
        let third = ask_all(&mut answers);
        assert_eq!(third, second.div_ceil(2));
        assert!(answers.time(Duration::ZERO) > Duration::from_millis(100));
    }
}
