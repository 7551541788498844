//! Which of a channel's qualities is watched: a lower one when too little arrives, a better one
//! again once that has been calm for a while.

use std::time::{Duration, Instant};

use super::arrival::{Arrival, Verdict};

/// A quality is calm for so long before a better one is tried; twice as long each time that fails.
const FIRST_PAUSE: Duration = Duration::from_secs(20);
const LONGEST_PAUSE: Duration = Duration::from_secs(600);
/// One that was kept for so long is no failure.
const PROVEN_AFTER: Duration = Duration::from_secs(60);
/// A trial that came to nothing by then is over.
const TRIAL: Duration = Duration::from_secs(15);
/// After a lower one came to nothing, the next is tried.
const RETRY: Duration = Duration::from_secs(5);

/// What is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Move {
    /// Join this quality beside the one that is watched.
    Try(usize),
    /// Leave it again.
    GiveUp,
}

/// Why a quality is tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Why {
    /// Too little arrives of the one that is watched.
    Hunger,
    /// Nothing does.
    Silence,
    /// It has been calm for a while.
    Calm,
}

#[derive(Debug)]
struct Trial {
    rung: usize,
    why: Why,
    since: Instant,
    arrival: Arrival,
}

/// Qualities by number: 0 is the channel itself, and each that follows takes less.
#[derive(Debug)]
pub struct Ladder {
    rungs: usize,
    at: usize,
    since: Instant,
    /// What arrives of the one that is watched.
    arrival: Arrival,
    trial: Option<Trial>,
    /// The last one that hunger tried came to nothing.
    failed: Option<usize>,
    /// The broadcast that was watched is over, and nothing came since.
    has_ended: bool,
    /// The one that is watched was tried for being better.
    is_on_probation: bool,
    /// The next trial out of need is not before that, and this the next for being better.
    need_at: Instant,
    calm_at: Instant,
    pause: Duration,
}

impl Ladder {
    /// Begins with the best.
    pub fn new(now: Instant) -> Self {
        Self {
            rungs: 1,
            at: 0,
            since: now,
            arrival: Arrival::default(),
            trial: None,
            failed: None,
            has_ended: false,
            is_on_probation: false,
            need_at: now,
            calm_at: now,
            pause: FIRST_PAUSE,
        }
    }

    /// So many there are.
    pub fn set_rungs(&mut self, rungs: usize) {
        self.rungs = rungs;
    }

    /// Which is watched.
    pub fn at(&self) -> usize {
        self.at
    }

    #[cfg(test)]
    fn trying(&self) -> Option<usize> {
        self.trial.as_ref().map(|trial| trial.rung)
    }

    /// A tag of the one that is watched came, cast at that time.
    pub fn note(&mut self, now: Instant, time: i64) {
        self.has_ended = false;
        self.arrival.note(now, time);
    }

    /// A tag of the one that is tried.
    pub fn note_trial(&mut self, now: Instant, time: i64) {
        if let Some(trial) = &mut self.trial {
            trial.arrival.note(now, time);
        }
    }

    /// Time passes; fragments known and lost of the one that is watched.
    pub fn look(&mut self, now: Instant, fragments: u64, lost: u64) {
        self.arrival.look(now, fragments, lost);
    }

    /// The same of the one that is tried.
    pub fn look_at_trial(&mut self, now: Instant, fragments: u64, lost: u64) {
        if let Some(trial) = &mut self.trial {
            trial.arrival.look(now, fragments, lost);
        }
    }

    /// Whether the one that is tried may take over: at once if it is needed, else when all of it has
    /// come for a while.
    pub fn may_join(&self, now: Instant) -> bool {
        self.trial.as_ref().is_some_and(|trial| match trial.why {
            // It may have been an outage that is over.
            Why::Hunger => self.arrival.is_poor_now(),
            Why::Silence => self.arrival.is_silent(now),
            Why::Calm => trial.arrival.verdict() == Verdict::Steady,
        })
    }

    /// What is to be done now.
    pub fn decide(&mut self, now: Instant) -> Option<Move> {
        if let Some(trial) = &self.trial {
            if !self.is_over(now, trial) {
                return None;
            }
            self.note_failure(now);
            return Some(Move::GiveUp);
        }
        let (rung, why) = self.next()?;
        if now < if why == Why::Calm { self.calm_at } else { self.need_at } {
            return None;
        }
        self.trial = Some(Trial { rung, why, since: now, arrival: Arrival::default() });
        Some(Move::Try(rung))
    }

    /// The broadcast is over: all others are looked at once.
    pub fn note_end(&mut self, now: Instant) {
        (self.has_ended, self.failed, self.need_at) = (true, None, now);
        self.arrival = Arrival::default();
    }

    fn next(&self) -> Option<(usize, Why)> {
        if self.has_ended {
            let mut untried = self.failed.map_or(0, |failed| failed + 1)..self.rungs;
            return Some((untried.find(|rung| *rung != self.at)?, Why::Silence));
        }
        match self.arrival.verdict() {
            Verdict::Starves => Some((self.next_of(self.at + 1..self.rungs)?, Why::Hunger)),
            // It is gone, perhaps: any other will do.
            Verdict::Silent => Some((self.next_of(0..self.rungs)?, Why::Silence)),
            Verdict::Steady => Some((self.at.checked_sub(1)?, Why::Calm)),
            Verdict::Unclear => None,
        }
    }

    /// The one after the last that was tried, or the first.
    fn next_of(&self, mut rungs: std::ops::Range<usize>) -> Option<usize> {
        let last = self.failed.unwrap_or(self.at);
        let mut others = rungs.clone().filter(|rung| *rung != self.at);
        rungs.find(|rung| *rung > last && *rung != self.at).or(others.next())
    }

    /// Whether a trial came to nothing, or is not needed any more.
    fn is_over(&self, now: Instant, trial: &Trial) -> bool {
        let verdict = self.arrival.verdict();
        let ends_it = match trial.why {
            Why::Hunger | Why::Silence => verdict == Verdict::Steady,
            // There is no room for both.
            Why::Calm => matches!(verdict, Verdict::Starves | Verdict::Silent),
        };
        now >= trial.since + TRIAL || ends_it
    }

    /// The one that is tried comes to nothing.
    pub fn note_failure(&mut self, now: Instant) {
        let Some(trial) = self.trial.take() else { return };
        match trial.why {
            Why::Calm => self.put_off(now),
            Why::Hunger | Why::Silence => {
                self.failed = Some(trial.rung);
                self.need_at = now + RETRY;
            }
        }
    }

    /// A better one is tried later, and later each time.
    fn put_off(&mut self, now: Instant) {
        self.calm_at = now + self.pause;
        self.pause = (self.pause * 2).min(LONGEST_PAUSE);
    }

    /// The one that is tried has taken over.
    pub fn note_switch(&mut self, now: Instant) {
        let Some(trial) = self.trial.take() else { return };
        let is_proven = now >= self.since + PROVEN_AFTER;
        match self.is_on_probation && trial.why != Why::Calm {
            true if !is_proven => self.put_off(now),
            is_left => {
                self.pause = if is_left { FIRST_PAUSE } else { self.pause };
                self.calm_at = now + self.pause;
            }
        }
        (self.at, self.since, self.arrival) = (trial.rung, now, trial.arrival);
        (self.failed, self.has_ended) = (None, false);
        self.is_on_probation = trial.why == Why::Calm;
    }

    /// The best is watched again, from its beginning.
    pub fn begin_again(&mut self, now: Instant) {
        *self = Self { rungs: self.rungs, ..Self::new(now) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A viewer, and how much of each quality arrives in a second.
    struct Viewer {
        now: Instant,
        ladder: Ladder,
        times: [f64; 3],
        moves: Vec<(u64, usize)>,
    }

    impl Viewer {
        fn new(rungs: usize) -> Self {
            let now = Instant::now();
            let mut ladder = Ladder::new(now);
            ladder.set_rungs(rungs);
            Self { now, ladder, times: [0.0; 3], moves: Vec::new() }
        }

        /// So many seconds pass, in each of which so many milliseconds of each quality come.
        fn watch(&mut self, seconds: u64, comes: [f64; 3]) {
            for _ in 0..seconds * 10 {
                self.now += Duration::from_millis(100);
                for (time, comes) in self.times.iter_mut().zip(comes) {
                    *time += comes / 10.0;
                }
                let (at, trying) = (self.ladder.at(), self.ladder.trying());
                if comes[at] > 0.0 {
                    self.ladder.note(self.now, self.times[at] as i64);
                }
                self.ladder.look(self.now, 0, 0);
                if let Some(trying) = trying
                    && comes[trying] > 0.0
                {
                    self.ladder.note_trial(self.now, self.times[trying] as i64);
                }
                self.ladder.look_at_trial(self.now, 0, 0);
                self.ladder.decide(self.now);
                let comes_now = self.ladder.trying().is_some_and(|trying| comes[trying] > 0.0);
                if comes_now && self.ladder.may_join(self.now) {
                    self.ladder.note_switch(self.now);
                    self.moves.push((seconds, self.ladder.at()));
                }
            }
        }

        fn rungs(&mut self) -> Vec<usize> {
            std::mem::take(&mut self.moves).into_iter().map(|(_, rung)| rung).collect()
        }
    }

    #[test]
    fn what_does_not_arrive_is_left_for_less_and_come_back_to() {
        let mut viewer = Viewer::new(3);
        viewer.watch(60, [1000.0; 3]);
        assert_eq!(viewer.rungs(), [0; 0]);
        viewer.watch(12, [500.0, 1000.0, 1000.0]);
        assert_eq!(viewer.rungs(), [1]);
        viewer.watch(60, [1000.0; 3]);
        assert_eq!(viewer.rungs(), [0]);
        viewer.watch(40, [500.0, 600.0, 1000.0]);
        assert_eq!(viewer.rungs(), [1, 2], "as far down as need be");
    }

    #[test]
    fn one_that_is_silent_is_left_for_any_that_is_not() {
        let mut viewer = Viewer::new(3);
        viewer.watch(10, [1000.0; 3]);
        viewer.watch(40, [0.0, 0.0, 1000.0]);
        assert_eq!(viewer.rungs(), [2]);
        viewer.watch(30, [1000.0, 0.0, 0.0]);
        assert_eq!(viewer.rungs(), [0]);
        viewer.watch(60, [0.0; 3]);
        assert_eq!(viewer.rungs(), [0; 0], "a caster that is gone is waited for");
        viewer.watch(30, [1000.0; 3]);
        assert_eq!(viewer.ladder.at(), 0);
    }

    #[test]
    fn what_comes_in_bursts_starves_and_a_short_outage_does_not() {
        let mut viewer = Viewer::new(2);
        viewer.watch(10, [1000.0; 3]);
        for _ in 0..5 {
            viewer.watch(4, [0.0, 1000.0, 0.0]);
            viewer.watch(2, [1500.0, 1000.0, 0.0]);
        }
        assert_eq!(viewer.rungs()[0], 1);
        let mut viewer = Viewer::new(2);
        viewer.watch(20, [1000.0; 3]);
        viewer.watch(5, [0.0; 3]);
        viewer.watch(20, [1000.0; 3]);
        viewer.watch(30, [1000.0; 3]);
        assert_eq!(viewer.rungs(), [0; 0]);
    }

    #[test]
    fn when_a_broadcast_is_over_the_others_are_looked_at_once() {
        let mut viewer = Viewer::new(3);
        viewer.watch(10, [1000.0; 3]);
        viewer.ladder.note_end(viewer.now);
        viewer.watch(100, [0.0; 3]);
        assert_eq!((viewer.rungs(), viewer.ladder.trying()), (vec![], None), "all are over");
        viewer.ladder.note_end(viewer.now);
        viewer.watch(40, [0.0, 0.0, 1000.0]);
        assert_eq!(viewer.rungs(), [2]);
    }

    #[test]
    fn what_fails_again_and_again_is_tried_ever_more_rarely() {
        let mut viewer = Viewer::new(2);
        viewer.watch(10, [1000.0; 3]);
        for _ in 0..1800 {
            // The better one comes as long as nobody wants all of it.
            let comes = if viewer.ladder.at() == 0 { 500.0 } else { 1000.0 };
            viewer.watch(1, [comes, 1000.0, 0.0]);
        }
        let ups = viewer.rungs().iter().filter(|rung| **rung == 0).count();
        assert!((3..=8).contains(&ups), "{ups} times in half an hour");
    }
}
