//! How fast what we hand out leaves: while some of it waits, that is what the uplink bears.

use std::time::{Duration, Instant};

/// It is measured over this time at least.
const SPAN: Duration = Duration::from_millis(80);
/// What the uplink bore once counts less by this part with each look, as long as it is not full.
const FADING: f64 = 0.01;
/// Looks over which the rate of a full uplink is averaged.
const MEMORY: f64 = 4.0;

/// Bytes handed out, against those that wait.
#[derive(Debug, Default)]
pub(super) struct Outflow {
    handed_out: usize,
    waited: usize,
    since: Option<Instant>,
    rate: Option<f64>,
}

impl Outflow {
    /// So many bytes were handed out.
    pub fn note(&mut self, bytes: usize) {
        self.handed_out += bytes;
    }

    /// So many of those that wait will never leave: whom they were for is gone.
    pub fn forget(&mut self, waiting: usize) {
        self.waited = self.waited.saturating_sub(waiting);
    }

    /// So many bytes wait now.
    pub fn look(&mut self, now: Instant, waiting: usize) {
        let since = *self.since.get_or_insert(now);
        let span = now.saturating_duration_since(since);
        if span < SPAN {
            return;
        }
        let left = (self.waited + self.handed_out).saturating_sub(waiting);
        let seen = left as f64 / span.as_secs_f64();
        let is_full = waiting > 0 && self.waited > 0;
        self.rate = match self.rate {
            Some(rate) if is_full => Some(rate + (seen - rate) / MEMORY),
            Some(rate) => Some(seen.max(rate * (1.0 - FADING))),
            None if left > 0 => Some(seen),
            None => None,
        };
        (self.handed_out, self.waited, self.since) = (0, waiting, Some(now));
    }

    /// Bytes a second that leave, or could.
    pub fn rate(&self) -> Option<f64> {
        self.rate
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_waits_has_not_left() {
        let (mut outflow, start) = (Outflow::default(), Instant::now());
        outflow.look(start, 0);
        assert_eq!(outflow.rate(), None);
        outflow.note(50_000);
        outflow.look(start + Duration::from_millis(500), 30_000);
        assert_eq!(outflow.rate(), Some(40_000.0));
        outflow.forget(10_000);
        outflow.note(10_000);
        outflow.look(start + Duration::from_millis(1000), 10_000);
        assert_eq!(outflow.rate(), Some(40_000.0));
    }
}
