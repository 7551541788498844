//! How a host's uplink does, which all its groups share. It is judged by round trips and losses, so
//! a full downlink, or a host too busy to answer, counts as well.

use std::time::{Duration, Instant};

use rtmfp::SessionStats;

/// A queue before the uplink that is longer than this makes it busy, and full.
const BUSY_QUEUE: Duration = Duration::from_millis(75);
const FULL_QUEUE: Duration = Duration::from_millis(150);
/// Likewise for what is lost, besides what is always lost.
const BUSY_LOSS: f64 = 0.05;
const FULL_LOSS: f64 = 0.10;
/// What was sent this long ago counts half.
const HALF_LIFE: Duration = Duration::from_millis(700);
/// Less sent to somebody says nothing about losses, nor do losses of so few.
const FEW: usize = 2;
const ENOUGH: f64 = 3_000.0;
/// What is always lost is the least part that was lost in one of the last of these times, but more
/// than that is never thought to be by chance.
const BUCKET: Duration = Duration::from_secs(30);
const BUCKETS: usize = 4;
const MOST_BY_CHANCE: f64 = 0.15;

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

/// What was sent to one neighbour and lost, the latest most.
#[derive(Debug, Default)]
pub(crate) struct Losses {
    /// As last read off the session.
    counted: (u64, u64),
    sent: f64,
    lost: f64,
}

/// What all sessions with others show at one time.
#[derive(Debug)]
pub(crate) struct Look {
    kept: f64,
    queues: Vec<Duration>,
    losses: Vec<f64>,
    sent: u64,
    lost: u64,
}

impl Look {
    /// A session's figures, and what queues seem to add to its round trips.
    pub fn add(&mut self, losses: &mut Losses, stats: SessionStats, queue: Option<Duration>) {
        let before = std::mem::replace(&mut losses.counted, (stats.data_sent, stats.data_lost));
        let sent = stats.data_sent.saturating_sub(before.0);
        let lost = stats.data_lost.saturating_sub(before.1);
        losses.sent = losses.sent * self.kept + sent as f64;
        losses.lost = losses.lost * self.kept + lost as f64;
        if losses.sent > ENOUGH {
            self.losses.push(losses.lost / losses.sent);
        }
        self.queues.extend(queue);
        (self.sent, self.lost) = (self.sent + sent, self.lost + lost);
    }
}

/// What sessions with others tell of the uplink that they share.
#[derive(Debug, Default)]
pub(crate) struct UplinkWatch {
    looked_at: Option<Instant>,
    /// Bytes sent and lost in the time that is not over yet.
    current: (u64, u64),
    current_since: Option<Instant>,
    /// The parts lost in the times before.
    past: [Option<f64>; BUCKETS],
}

impl UplinkWatch {
    /// Begins a look, to which all sessions are added.
    pub fn begin(&mut self, now: Instant) -> Look {
        let before = self.looked_at.replace(now).unwrap_or(now);
        let halves = now.saturating_duration_since(before).div_duration_f64(HALF_LIFE);
        let kept = 0.5_f64.powf(halves);
        Look { kept, queues: Vec::new(), losses: Vec::new(), sent: 0, lost: 0 }
    }

    /// How the uplink does.
    pub fn end(&mut self, now: Instant, mut look: Look) -> Uplink {
        self.note(now, look.sent, look.lost);
        let always = self.past.iter().flatten().copied().reduce(f64::min).unwrap_or(0.0);
        look.losses.sort_unstable_by(f64::total_cmp);
        look.queues.sort_unstable();
        // What one or two lose may be their own doing; a full uplink shows in their queues too.
        let lost = common(&look.losses).filter(|_| look.losses.len() > FEW).unwrap_or(0.0);
        let beyond_chance = lost - always.min(MOST_BY_CHANCE);
        Uplink::of(common(&look.queues).unwrap_or_default(), beyond_chance)
    }

    fn note(&mut self, now: Instant, sent: u64, lost: u64) {
        let since = *self.current_since.get_or_insert(now);
        let lasted = now.saturating_duration_since(since);
        if lasted >= BUCKET {
            let (sent, lost) = std::mem::take(&mut self.current);
            self.current_since = Some(now);
            self.past.rotate_right(1);
            self.past[0] = (sent as f64 > ENOUGH).then(|| lost as f64 / sent as f64);
        }
        self.current = (self.current.0 + sent, self.current.1 + lost);
    }
}

/// What nearly all see, of something sorted. What happens on our uplink all see; a few may not yet,
/// and what one neighbour alone suffers is not ours.
fn common<T: Copy>(sorted: &[T]) -> Option<T> {
    sorted.get(sorted.len() / 4).copied()
}

#[cfg(test)]
mod tests {
    use rand::{RngExt, SeedableRng, rngs::StdRng};

    use super::*;

    const LOOK: Duration = Duration::from_millis(100);
    const PACKET: u64 = 1000;

    /// Neighbours to which packets are sent, some of which are lost.
    struct Rig {
        watch: UplinkWatch,
        links: Vec<(Losses, SessionStats)>,
        now: Instant,
        rng: StdRng,
    }

    impl Rig {
        fn new(neighbours: usize) -> Self {
            let links = (0..neighbours).map(|_| Default::default()).collect();
            let (watch, rng) = (UplinkWatch::default(), StdRng::seed_from_u64(1));
            Self { watch, links, now: Instant::now(), rng }
        }

        /// Two packets to each within the time of a look, lost with the chance of each.
        fn look(&mut self, chance: impl Fn(usize) -> f64) -> Uplink {
            self.now += LOOK;
            let mut look = self.watch.begin(self.now);
            for (index, (losses, stats)) in self.links.iter_mut().enumerate() {
                let lost = (0..2).filter(|_| self.rng.random_bool(chance(index))).count() as u64;
                stats.data_sent += 2 * PACKET;
                stats.data_lost += lost * PACKET;
                look.add(losses, *stats, None);
            }
            self.watch.end(self.now, look)
        }

        /// How many of a hundred looks find it full.
        fn full(&mut self, chance: impl Fn(usize) -> f64 + Copy) -> usize {
            (0..100).filter(|_| self.look(chance) == Uplink::Full).count()
        }
    }

    #[test]
    fn a_queue_that_most_see_is_ours() {
        let look = |millis: [u64; 4]| {
            let (mut watch, now) = (UplinkWatch::default(), Instant::now());
            let mut look = watch.begin(now);
            for queue in millis.map(Duration::from_millis) {
                look.add(&mut Losses::default(), SessionStats::default(), Some(queue));
            }
            watch.end(now, look)
        };
        assert_eq!(look([0, 200, 180, 300]), Uplink::Full);
        assert_eq!(look([0, 0, 280, 300]), Uplink::Free);
        assert_eq!(look([80, 90, 90, 100]), Uplink::Busy);
    }

    #[test]
    fn losses_by_chance_are_not_ours() {
        for chance in [0.02, 0.05] {
            let full = Rig::new(8).full(|_| chance);
            assert_eq!(full, 0, "{chance}");
        }
        let mut rig = Rig::new(8);
        (0..4).for_each(|_| _ = rig.full(|_| 0.2));
        assert!(rig.full(|_| 0.2) < 5, "it is always so");
        assert!(rig.full(|_| 0.5) > 80);
    }

    #[test]
    fn one_neighbour_of_whom_all_is_lost_is_not_our_uplink() {
        assert_eq!(Rig::new(4).full(|index| if index == 0 { 1.0 } else { 0.01 }), 0);
        assert!(Rig::new(4).full(|_| 0.4) > 80);
    }

    #[test]
    fn what_the_only_two_takers_lose_is_their_affair() {
        assert_eq!(Rig::new(2).full(|_| 0.5), 0);
    }

    #[test]
    fn an_overload_that_lasts_is_not_taken_for_chance() {
        let mut rig = Rig::new(8);
        (0..10).for_each(|_| _ = rig.full(|_| 0.4));
        assert!(rig.full(|_| 0.4) > 80);
    }
}
