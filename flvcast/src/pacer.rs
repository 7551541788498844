//! When a tag is due: by its time, from when the first one went out.

use std::time::{Duration, Instant};

/// Who is later than this goes on from now: a burst of what was missed would help nobody.
const LATE: Duration = Duration::from_millis(1000);
/// With a live source, what waits longer than its cushion is played faster by one in this many.
const FASTER: u64 = 20;

/// Paces by times in milliseconds.
#[derive(Debug, Default)]
pub struct Pacer {
    /// This time is due at that instant.
    anchor: Option<(u64, Instant)>,
}

impl Pacer {
    /// When what has `time` is due. What is not the newest is due at once.
    pub fn due(&mut self, now: Instant, time: u64) -> Instant {
        let (from, at) = *self.anchor.get_or_insert((time, now));
        if time < from {
            return at;
        }
        let due = at + Duration::from_millis(time - from);
        let due = if due + LATE < now { now } else { due };
        self.anchor = Some((time, due));
        due
    }

    /// A live source is `backlog` ahead of what was sent, and `cushion` is all that it needs to be:
    /// its clock is faster than ours, or it began with a burst. The delay is worked off slowly.
    pub fn hurry(&mut self, since: u64, backlog: Duration, cushion: Duration) {
        let Some((time, at)) = &mut self.anchor else { return };
        let passed = Duration::from_millis(time.saturating_sub(since));
        let faster = passed / FASTER as u32;
        if backlog > cushion
            && let Some(earlier) = at.checked_sub(faster)
        {
            *at = earlier;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_due_by_their_time() {
        let (mut pacer, start) = (Pacer::default(), Instant::now());
        let after = |ms| start + Duration::from_millis(ms);
        assert_eq!(pacer.due(start, 5000), start);
        assert_eq!(pacer.due(start, 5040), after(40));
        assert_eq!(pacer.due(start, 5020), after(40), "sound from before the picture");
        assert_eq!(pacer.due(after(500), 5080), after(80), "a little late is made up for");
        assert_eq!(pacer.due(after(5000), 5120), after(5000), "much is not");
        assert_eq!(pacer.due(after(5000), 5160), after(5040));
    }

    #[test]
    fn a_burst_is_worked_off() {
        let (mut pacer, start) = (Pacer::default(), Instant::now());
        let cushion = Duration::from_millis(500);
        let (mut time, mut due) = (0u64, start);
        while time < 60_000 {
            let last = time;
            time += 40;
            let arrived = start + Duration::from_millis(time.saturating_sub(2000));
            due = pacer.due(due.max(arrived), time);
            let backlog = due.saturating_duration_since(arrived);
            pacer.hurry(last, backlog, cushion);
        }
        let delay = due - (start + Duration::from_millis(time - 2000));
        assert!(delay <= cushion + Duration::from_millis(40), "{delay:?}");
    }
}
