//! The way to a neighbour.

use std::time::Duration;

/// What is known of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Way {
    /// There and back, once measured.
    pub rtt: Option<Duration>,
    /// Bytes of a group's fragments that wait to be sent.
    pub backlog: usize,
    /// Bytes that may be under way at once, if there is a limit.
    pub window: Option<usize>,
}

impl Way {
    /// Bytes that it carries in a time.
    pub(crate) fn bears_in(&self, time: Duration) -> f64 {
        let rtt = self.rtt.filter(|rtt| !rtt.is_zero());
        let rate = self.window.zip(rtt).map(|(window, rtt)| window as f64 / rtt.as_secs_f64());
        rate.map_or(f64::INFINITY, |rate| rate * time.as_secs_f64())
    }
}
