//! Larger datagrams on paths that carry them. RFC 7016 §3.5.4.3, after RFC 4821.

use std::time::{Duration, Instant};

use super::packet::DEFAULT_DATAGRAM;

/// Sizes worth trying, largest first: Ethernet with IPv4 and IPv6, tunnels, IPv6's minimum.
const SIZES: [usize; 4] = [1472, 1452, 1400, 1232];
const TRIES: u8 = 3;
/// Below this a flow's options would leave no room for its data.
const SMALLEST: usize = 700;
/// After the path shrank, until larger sizes are tried again (RFC 4821 §7.6.2).
const RAISE_AFTER: Duration = Duration::from_secs(600);
/// Marks a Ping of ours as a size probe; the size follows.
const MARK: u8 = b'P';

/// What a probe's Ping says.
pub(crate) type ProbeMessage = [u8; 3];

#[derive(Debug, Clone, Copy)]
struct Probe {
    size: usize,
    tries: u8,
    next: Instant,
}

/// The size of datagrams that the path carries, as far as known.
#[derive(Debug)]
pub(crate) struct PathMtu {
    wanted: usize,
    confirmed: usize,
    probe: Option<Probe>,
    timeouts: u8,
}

impl PathMtu {
    /// Probes up to `wanted`, if that is more than any path carries.
    pub fn new(now: Instant, wanted: usize) -> Self {
        let wanted = wanted.max(SMALLEST);
        let confirmed = wanted.min(DEFAULT_DATAGRAM);
        let mut mtu = Self { wanted, confirmed, probe: None, timeouts: 0 };
        mtu.begin(now);
        mtu
    }

    /// A new path: everything is to be found out again.
    pub fn restart(&mut self, now: Instant) {
        *self = Self::new(now, self.wanted);
    }

    fn begin(&mut self, now: Instant) {
        let first = self.wanted.min(SIZES[0]);
        self.probe = (first > self.confirmed).then_some(Probe { size: first, tries: 0, next: now });
    }

    pub fn confirmed(&self) -> usize {
        self.confirmed
    }

    pub fn next_timeout(&self) -> Option<Instant> {
        self.probe.map(|probe| probe.next)
    }

    /// The size to probe now.
    pub fn take_due(&mut self, now: Instant, timeout: Duration) -> Option<usize> {
        let probe = self.probe.as_mut().filter(|probe| probe.next <= now)?;
        if probe.tries == TRIES {
            let smaller = SIZES.into_iter().find(|size| *size < probe.size);
            let Some(size) = smaller.filter(|size| *size > self.confirmed) else {
                self.probe = None;
                return None;
            };
            *probe = Probe { size, tries: 0, next: now };
        }
        probe.tries += 1;
        probe.next = now + timeout;
        Some(probe.size)
    }

    /// What to ask with a probe of this size.
    pub fn message(size: usize) -> ProbeMessage {
        let size = (size as u16).to_be_bytes();
        [MARK, size[0], size[1]]
    }

    /// Takes in a Ping Reply. True if the size is news.
    pub fn on_reply(&mut self, reply: &[u8]) -> bool {
        let Some(probe) = self.probe.filter(|probe| reply == Self::message(probe.size)) else {
            return false;
        };
        self.confirmed = probe.size;
        self.probe = None;
        self.timeouts = 0;
        true
    }

    /// All that was in flight is lost. True if the path must have shrunk.
    pub fn on_timeout(&mut self, now: Instant) -> bool {
        const SUSPICIOUS: u8 = 2;
        self.timeouts = self.timeouts.saturating_add(1);
        let has_shrunk = self.timeouts >= SUSPICIOUS && self.confirmed > DEFAULT_DATAGRAM;
        if has_shrunk {
            self.confirmed = DEFAULT_DATAGRAM;
            self.begin(now + RAISE_AFTER);
        }
        has_shrunk
    }

    /// Data was acknowledged: the path carries it.
    pub fn on_progress(&mut self) {
        self.timeouts = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIMEOUT: Duration = Duration::from_millis(250);

    #[test]
    fn the_default_size_is_not_probed() {
        let start = Instant::now();
        assert_eq!(PathMtu::new(start, DEFAULT_DATAGRAM).next_timeout(), None);
        assert_eq!(PathMtu::new(start, 800).confirmed(), 800);
        assert_eq!(PathMtu::new(start, 0).confirmed(), SMALLEST);
    }

    #[test]
    fn smaller_sizes_follow_when_larger_ones_get_lost() {
        let mut now = Instant::now();
        let mut mtu = PathMtu::new(now, 9000);
        for size in [1472, 1472, 1472, 1452, 1452, 1452, 1400] {
            assert_eq!(mtu.take_due(now, TIMEOUT), Some(size));
            assert_eq!(mtu.take_due(now, TIMEOUT), None);
            now += TIMEOUT;
        }
        assert!(!mtu.on_reply(&PathMtu::message(1472)));
        assert!(mtu.on_reply(&PathMtu::message(1400)));
        assert_eq!((mtu.confirmed(), mtu.next_timeout()), (1400, None));
        assert!(!mtu.on_timeout(now) && mtu.on_timeout(now));
        assert_eq!(mtu.confirmed(), DEFAULT_DATAGRAM);
        assert_eq!(mtu.next_timeout(), Some(now + RAISE_AFTER));
    }

    #[test]
    fn probing_ends() {
        let mut now = Instant::now();
        let mut mtu = PathMtu::new(now, 9000);
        let mut probes = 0;
        while mtu.next_timeout().is_some() {
            probes += usize::from(mtu.take_due(now, TIMEOUT).is_some());
            now += TIMEOUT;
        }
        assert_eq!((probes, mtu.confirmed()), (12, DEFAULT_DATAGRAM));
    }
}
