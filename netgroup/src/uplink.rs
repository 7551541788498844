//! How a host's uplink does, which all its groups share. It is judged by round trips and losses, so
//! a full downlink, or a host too busy to answer, counts as well.

use std::time::{Duration, Instant};

/// A queue before the uplink that is longer than this makes it busy, and full.
const BUSY_QUEUE: Duration = Duration::from_millis(75);
const FULL_QUEUE: Duration = Duration::from_millis(150);
/// Likewise for what is lost, besides what is always lost.
const BUSY_LOSS: f64 = 0.05;
const FULL_LOSS: f64 = 0.10;
/// What was sent counts so much less with each look.
const FADING: f64 = 0.87;
/// Less says nothing about losses.
const ENOUGH: f64 = 20_000.0;
/// What is always lost is what was lost at least in the last of these times.
const BUCKET: Duration = Duration::from_secs(30);
const BUCKETS: usize = 4;

/// How it does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Uplink {
    /// There is room for more.
    #[default]
    Free,
    /// What is sent now is enough.
    Busy,
    /// It does not bear what is sent.
    Full,
}

impl Uplink {
    /// By how long what is sent waits for it, and the part of it that is lost by that.
    pub fn of(queue: Duration, loss: f64) -> Self {
        if queue > FULL_QUEUE || loss > FULL_LOSS {
            Self::Full
        } else if queue > BUSY_QUEUE || loss > BUSY_LOSS {
            Self::Busy
        } else {
            Self::Free
        }
    }
}

/// What sessions with others tell of the uplink that they share.
#[derive(Debug, Default)]
pub(crate) struct UplinkWatch {
    sent: f64,
    lost: f64,
    least: [Option<f64>; BUCKETS],
    bucket_since: Option<Instant>,
}

impl UplinkWatch {
    /// How it does, by what queues seem to add to each session's round trips, and by how many
    /// bytes were sent and lost since the last look.
    pub fn look(&mut self, now: Instant, queues: &mut [Duration], sent: u64, lost: u64) -> Uplink {
        self.sent = self.sent * FADING + sent as f64;
        self.lost = self.lost * FADING + lost as f64;
        let loss = if self.sent > ENOUGH { self.excess(now, self.lost / self.sent) } else { 0.0 };
        Uplink::of(common_queue(queues), loss)
    }

    /// How much more is lost than is always lost.
    fn excess(&mut self, now: Instant, loss: f64) -> f64 {
        let since = *self.bucket_since.get_or_insert(now);
        if now.saturating_duration_since(since) >= BUCKET {
            self.least.rotate_right(1);
            self.least[0] = None;
            self.bucket_since = Some(now);
        }
        self.least[0] = Some(self.least[0].map_or(loss, |least| least.min(loss)));
        let always = self.least.iter().flatten().copied().fold(1.0, f64::min);
        loss - always
    }
}

/// The queue that all sessions have in common. Most see it; a few, whose shortest round trip is not
/// known yet, do not.
fn common_queue(queues: &mut [Duration]) -> Duration {
    let quarter = queues.len() / 4;
    if queues.is_empty() { Duration::ZERO } else { *queues.select_nth_unstable(quarter).1 }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOOK: Duration = Duration::from_millis(100);

    #[test]
    fn a_queue_that_most_see_is_ours() {
        let millis = |times: [u64; 4]| times.map(Duration::from_millis);
        let mut watch = UplinkWatch::default();
        let mut look = |times| watch.look(Instant::now(), &mut millis(times), 1000, 0);
        assert_eq!(look([0, 200, 180, 300]), Uplink::Full);
        assert_eq!(look([0, 0, 280, 300]), Uplink::Free);
        assert_eq!(look([80, 90, 90, 100]), Uplink::Busy);
    }

    #[test]
    fn losses_count_beyond_those_that_are_always_there() {
        let (mut watch, mut now) = (UplinkWatch::default(), Instant::now());
        let mut look = |lost| {
            now += LOOK;
            watch.look(now, &mut [], 10_000, lost)
        };
        for _ in 0..50 {
            assert_eq!(look(1_500), Uplink::Free);
        }
        assert_eq!((0..20).map(|_| look(4_000)).last(), Some(Uplink::Full));
        assert_eq!((0..20).map(|_| look(1_600)).last(), Some(Uplink::Free));
    }
}
