//! Loss in bursts: Gilbert's channel, which is either good or loses everything.

use std::time::{Duration, Instant};

use rand::{Rng, RngExt};

/// After a pause of this length a channel knows nothing of how it was: bursts do not wait for the
/// sender.
const MEMORY: Duration = Duration::from_millis(100);

/// One sender's channel.
#[derive(Debug, Clone, Copy)]
pub(super) struct Channel {
    is_bad: bool,
    used: Instant,
}

impl Channel {
    pub fn new(now: Instant) -> Self {
        Self { is_bad: false, used: now }
    }

    /// Whether the next datagram is lost. In the long run a part `loss` of all is, and at the
    /// mean `burst` in a row.
    pub fn loses(&mut self, now: Instant, rng: &mut impl Rng, loss: f64, burst: f64) -> bool {
        if now - std::mem::replace(&mut self.used, now) > MEMORY {
            self.is_bad = rng.random_bool(loss);
            return self.is_bad;
        }
        let (worsens, recovers) = (loss / (burst * (1.0 - loss).max(f64::EPSILON)), 1.0 / burst);
        let flips = if self.is_bad { recovers } else { worsens };
        self.is_bad ^= rng.random_bool(flips.min(1.0));
        self.is_bad
    }
}

#[cfg(test)]
mod tests {
    use rand::{SeedableRng, rngs::StdRng};

    use super::*;

    #[test]
    fn the_mean_and_the_length_of_bursts_are_as_asked_for() {
        let now = Instant::now();
        let (mut rng, mut channel) = (StdRng::seed_from_u64(1), Channel::new(now));
        let mut loses = || channel.loses(now, &mut rng, 0.05, 8.0);
        let fates: Vec<bool> = (0..200_000).map(|_| loses()).collect();
        let lost = fates.iter().filter(|lost| **lost).count() as f64;
        let bursts = fates.windows(2).filter(|pair| !pair[0] && pair[1]).count() as f64;
        assert!((0.045..0.055).contains(&(lost / fates.len() as f64)));
        assert!((7.5..8.5).contains(&(lost / bursts)));
    }

    #[test]
    fn a_burst_does_not_outlast_a_pause() {
        let (mut rng, mut channel) = (StdRng::seed_from_u64(1), Channel::new(Instant::now()));
        channel.is_bad = true;
        let later = channel.used + 2 * MEMORY;
        assert!(!channel.loses(later, &mut rng, 0.0, 1e9));
    }
}
