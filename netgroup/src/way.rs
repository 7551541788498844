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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_way_bears_a_window_each_round_trip() {
        let way = |rtt, window| Way { rtt: Some(Duration::from_millis(rtt)), window, backlog: 0 };
        assert_eq!(way(200, Some(4000)).bears_in(Duration::from_millis(300)), 6000.0);
        assert_eq!(way(0, Some(0)).bears_in(Duration::from_millis(300)), f64::INFINITY);
        assert_eq!(way(200, None).bears_in(Duration::from_millis(300)), f64::INFINITY);
    }
}
