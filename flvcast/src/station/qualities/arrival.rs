//! How well a quality arrives: the time of what came against the clock, and what was lost.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

/// What is looked back over.
const WINDOW: Duration = Duration::from_secs(8);
/// A look each.
const STEP: Duration = Duration::from_millis(250);
/// What comes after a silence of so long is looked at by itself; shorter ones are what starving is.
const OUTAGE: Duration = WINDOW;
/// What is true just now is told by so much.
const RECENT: Duration = Duration::from_secs(3);
/// So much must have been seen to call it steady.
const STEADY_AFTER: Duration = Duration::from_secs(4);
/// Of each second so much must come, or it is silent, or starves; that much, to be steady.
const SILENT_PACE: f64 = 0.05;
const STARVING_PACE: f64 = 0.75;
const STEADY_PACE: f64 = 0.9;
/// So large a part of its fragments may be lost.
const STARVING_LOSS: f64 = 0.03;
const STEADY_LOSS: f64 = 0.01;

/// What is seen at a time.
#[derive(Debug, Clone, Copy)]
struct Look {
    at: Instant,
    /// The caster's clock at the newest tag, in milliseconds.
    newest: i64,
    fragments: u64,
    lost: u64,
}

/// What arrived lately.
#[derive(Debug, Default)]
pub struct Arrival {
    newest: Option<i64>,
    heard: Option<Instant>,
    /// When the last silence ended.
    resumed: Option<Instant>,
    looks: VecDeque<Look>,
}

/// How well it arrives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Not known yet, or neither of the others.
    Unclear,
    /// Nothing comes.
    Silent,
    /// Too little comes.
    Starves,
    /// All of it comes.
    Steady,
}

impl Arrival {
    /// A tag of that time came.
    pub fn note(&mut self, now: Instant, time: i64) {
        if self.heard.is_some() && self.is_silent(now) {
            self.resumed = Some(now);
        }
        if self.heard.is_some_and(|heard| now >= heard + OUTAGE) {
            // What comes from now on is what counts.
            self.looks.clear();
        }
        self.heard = Some(now);
        self.newest = Some(self.newest.map_or(time, |newest| newest.max(time)));
    }

    /// Time passes; `fragments` are known, and `lost` of them given up.
    pub fn look(&mut self, at: Instant, fragments: u64, lost: u64) {
        let Some(newest) = self.newest else { return };
        if self.looks.back().is_some_and(|last| at < last.at + STEP) {
            return;
        }
        self.looks.push_back(Look { at, newest, fragments, lost });
        while self.looks.get(1).is_some_and(|second| second.at + WINDOW <= at) {
            self.looks.pop_front();
        }
    }

    /// Whether nothing has come for a second.
    pub fn is_silent(&self, now: Instant) -> bool {
        self.heard.is_none_or(|heard| now >= heard + Duration::from_secs(1))
    }

    /// Whether it is poor at this moment, whatever it was before the last silence.
    pub fn is_poor_now(&self) -> bool {
        let Some(last) = self.looks.back() else { return true };
        let is_recent = |look: &&Look| {
            look.at + RECENT >= last.at && self.resumed.is_none_or(|resumed| look.at >= resumed)
        };
        self.looks.iter().find(is_recent).is_some_and(|first| {
            let (seen, pace, lost) = between(first, last);
            seen >= RECENT / 2 && (pace < STEADY_PACE || lost > STEADY_LOSS)
        })
    }

    /// What is to be thought of it.
    pub fn verdict(&self) -> Verdict {
        let (Some(first), Some(last)) = (self.looks.front(), self.looks.back()) else {
            return Verdict::Unclear;
        };
        let (seen, pace, lost) = between(first, last);
        if seen >= WINDOW && pace < SILENT_PACE {
            return Verdict::Silent;
        }
        if seen >= WINDOW && (pace < STARVING_PACE || lost > STARVING_LOSS) {
            return Verdict::Starves;
        }
        match seen >= STEADY_AFTER && pace >= STEADY_PACE && lost <= STEADY_LOSS {
            true => Verdict::Steady,
            false => Verdict::Unclear,
        }
    }
}

/// The time between two looks, what came of each second, and the part that was lost.
fn between(first: &Look, last: &Look) -> (Duration, f64, f64) {
    let seen = last.at - first.at;
    let came = last.newest.saturating_sub(first.newest) as f64 / 1000.0;
    let pace = came / seen.as_secs_f64().max(f64::EPSILON);
    let lost = last.lost.saturating_sub(first.lost) as f64
        / last.fragments.saturating_sub(first.fragments).max(1) as f64;
    (seen, pace, lost)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is thought of a quality of which in each second so many milliseconds come.
    fn verdict(seconds: u64, came: i64, lost: u64) -> Verdict {
        let (start, mut arrival) = (Instant::now(), Arrival::default());
        for tick in 0..seconds * 10 {
            let (now, fragments) = (start + Duration::from_millis(tick * 100), tick * 5);
            arrival.note(now, tick as i64 * came / 10);
            arrival.look(now, fragments, tick * lost / 20);
        }
        arrival.verdict()
    }

    #[test]
    fn what_comes_is_compared_with_the_clock() {
        assert_eq!(verdict(20, 1000, 0), Verdict::Steady);
        assert_eq!(verdict(3, 1000, 0), Verdict::Unclear, "it is too early");
        assert_eq!(verdict(3, 0, 0), Verdict::Unclear);
        assert_eq!(verdict(20, 850, 0), Verdict::Unclear);
        assert_eq!(verdict(20, 600, 0), Verdict::Starves);
        assert_eq!(verdict(20, 0, 0), Verdict::Silent);
        assert_eq!(verdict(20, 1000, 5), Verdict::Starves, "with holes");
    }
}
