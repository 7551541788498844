//! What a flow's receiver takes, and asking one that took nothing. RFC 7016 §3.6.2.9.

use std::time::{Duration, Instant};

/// RFC 7016 §3.6.2: assumed until the receiver's first acknowledgement.
const INITIAL: u64 = 65_536;
/// RFC 7016 §3.6.2.9.1.
const FIRST_PROBE: Duration = Duration::from_secs(1);
const MAX_PROBE: Duration = Duration::from_secs(60);

/// When a suspended flow asks for its window.
#[derive(Debug, Clone, Copy)]
struct Probe {
    at: Instant,
    interval: Duration,
}

/// A receiver's window, and how much of it is in flight.
#[derive(Debug)]
pub(super) struct FarWindow {
    size: u64,
    in_flight: u64,
    probe: Option<Probe>,
}

impl Default for FarWindow {
    fn default() -> Self {
        Self { size: INITIAL, in_flight: 0, probe: None }
    }
}

impl FarWindow {
    /// The receiver takes nothing for now.
    pub fn is_closed(&self) -> bool {
        self.size == 0
    }

    pub fn is_full(&self) -> bool {
        self.in_flight >= self.size
    }

    pub fn in_flight(&self) -> usize {
        usize::try_from(self.in_flight).unwrap_or(usize::MAX)
    }

    pub fn on_sent(&mut self, bytes: usize) {
        self.in_flight += bytes as u64;
    }

    /// What was in flight is acknowledged or lost.
    pub fn on_freed(&mut self, bytes: usize) {
        self.in_flight -= bytes as u64;
    }

    /// The receiver has room for so many KiB.
    pub fn on_ack(&mut self, blocks: u64) {
        self.size = blocks.saturating_mul(1024);
    }

    pub fn schedule_probe(&mut self, now: Instant, erto: Duration) {
        let first = Probe { at: now + FIRST_PROBE, interval: FIRST_PROBE.max(erto) };
        self.probe.get_or_insert(first);
    }

    pub fn cancel_probe(&mut self) {
        self.probe = None;
    }

    pub fn probe_at(&self) -> Option<Instant> {
        self.probe.map(|probe| probe.at)
    }

    /// A probe was sent; the next one waits longer.
    pub fn on_probed(&mut self, now: Instant, erto: Duration) {
        if let Some(probe) = &mut self.probe {
            let longer = probe.interval.mul_f64(std::f64::consts::SQRT_2);
            probe.interval = longer.min(MAX_PROBE.max(erto));
            probe.at = now + probe.interval;
        }
    }
}
