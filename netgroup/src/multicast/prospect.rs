//! Where a stream that stands still for us may go on.

use std::time::{Duration, Instant};

use rtmfp::crypto::PeerId;

/// What is looked for and does not come within this is not there.
const VAIN: Duration = Duration::from_secs(2);

/// What a single neighbour shows of a stream that stands still for us, and is looked for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Prospect {
    pub by: PeerId,
    /// Play may go on here.
    pub from: u64,
    pub last: u64,
    /// When it was begun with, or something of it came.
    pub since: Instant,
}

impl Prospect {
    /// Nothing of it comes.
    pub fn is_vain(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.since) > VAIN
    }
}
