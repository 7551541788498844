//! Somebody is tried beside the pusher of a residue: whose fragments come first?

use std::time::{Duration, Instant};

use super::Asked;

/// How long somebody may be tried.
const TRIAL: Duration = Duration::from_secs(2);
/// So many fragments that come from both decide a trial; who is tried must be earlier by so many
/// milliseconds at the mean.
const COMPARISONS: u32 = 2;
const MARGIN: f32 = 20.0;
/// A difference as large as this decides at once.
const CLEAR: f32 = 80.0;

/// Somebody is tried for a residue that another pushes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Trial {
    pub residue: usize,
    pub asked: Asked,
    /// A fragment that came from one of the two: when, and whether it was the one tried.
    half: Option<(u64, Instant, bool)>,
    /// Fragments that came from it; and those that came from both, by how much earlier from it.
    pub delivered: u32,
    compared: u32,
    earlier: f32,
}

impl Trial {
    pub fn new(residue: usize, asked: Asked) -> Self {
        Self { residue, asked, half: None, delivered: 0, compared: 0, earlier: 0.0 }
    }

    pub fn on_fragment(&mut self, now: Instant, id: u64, from_tried: bool) {
        self.delivered += u32::from(from_tried);
        match self.half {
            Some((half, at, was_tried)) if half == id && was_tried != from_tried => {
                let gap = now.saturating_duration_since(at).as_secs_f32() * 1000.0;
                self.earlier += if was_tried { gap } else { -gap };
                self.compared += 1;
                self.half = None;
            }
            Some((half, ..)) if half >= id => {}
            _ => self.half = Some((id, now, from_tried)),
        }
    }

    /// Whether it is won, once that is clear or time is over.
    pub fn verdict(&self, now: Instant) -> Option<bool> {
        let is_late = now.saturating_duration_since(self.asked.since) > TRIAL + self.asked.rtt;
        let mean = self.earlier / self.compared.max(1) as f32;
        let is_clear = self.compared >= COMPARISONS || (self.compared > 0 && mean.abs() >= CLEAR);
        match self.compared {
            0 => is_late.then_some(self.delivered > COMPARISONS),
            _ => (is_clear || is_late).then_some(mean >= MARGIN),
        }
    }
}
