//! Fetching single fragments that no push brought.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use rtmfp::crypto::PeerId;

/// An unanswered pull is repeated, to somebody else if possible, after this.
const RETRY: Duration = Duration::from_millis(600);
/// Pulls that may be unanswered at once.
const MAX_OUTSTANDING: usize = 512;

#[derive(Debug, Clone, Copy)]
struct Pull {
    at: Instant,
    from: PeerId,
}

/// What was asked for and did not come yet.
#[derive(Debug, Default)]
pub(super) struct Pulls {
    outstanding: BTreeMap<u64, Pull>,
}

impl Pulls {
    /// Whether to ask for a fragment now; and whom rather not.
    pub fn may_ask(&self, now: Instant, id: u64) -> Result<Option<PeerId>, NotNow> {
        match self.outstanding.get(&id) {
            Some(pull) if now.saturating_duration_since(pull.at) < RETRY => Err(NotNow),
            Some(pull) => Ok(Some(pull.from)),
            None if self.outstanding.len() >= MAX_OUTSTANDING => Err(NotNow),
            None => Ok(None),
        }
    }

    pub fn note(&mut self, now: Instant, id: u64, from: PeerId) {
        self.outstanding.insert(id, Pull { at: now, from });
    }

    /// It came, from whomever.
    pub fn on_fragment(&mut self, id: u64) -> bool {
        self.outstanding.remove(&id).is_some()
    }

    /// Nothing before `id` is wanted any more.
    pub fn forget_before(&mut self, id: u64) {
        self.outstanding = self.outstanding.split_off(&id);
    }

    /// What was asked of `peer` may be asked of others at once.
    pub fn forget_peer(&mut self, peer: &PeerId) {
        self.outstanding.retain(|_, pull| pull.from != *peer);
    }
}

/// Asked already, or too much is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct NotNow;
