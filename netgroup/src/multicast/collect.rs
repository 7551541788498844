//! Joining a stream that runs: the last seconds are fetched first, so that a picture shows soon.

use std::time::{Duration, Instant};

use super::{known::Known, store::Store};

/// How much of the past is wanted: key frames are mostly two seconds apart.
const BACKLOG_MS: u32 = 3000;
/// After this, what is there must do.
const PATIENCE: Duration = Duration::from_millis(1500);
/// The first step back; each is twice the one before.
const FIRST_STEP: u64 = 64;
const MAX_STEP: u64 = 4096;

/// Going back in steps from where the stream was met.
#[derive(Debug)]
pub(super) struct Collecting {
    since: Instant,
    floor: u64,
    step: u64,
}

impl Collecting {
    /// The stream was met at fragment `last`.
    pub fn new(now: Instant, last: u64) -> Self {
        Self { since: now, floor: last.saturating_sub(FIRST_STEP).max(1), step: FIRST_STEP }
    }

    /// The earliest fragment wanted.
    pub fn floor(&self) -> u64 {
        self.floor
    }

    /// Nothing came of what was looked for, though there is something else.
    pub fn is_fruitless(&self, now: Instant, store: &Store) -> bool {
        let is_overdue = now.saturating_duration_since(self.since) > PATIENCE;
        is_overdue && store.last().is_some_and(|last| last < self.floor)
    }

    /// Goes further back, or says where to begin playing. `earliest` is the first fragment that
    /// any neighbour has.
    pub fn advance(
        &mut self,
        now: Instant,
        store: &Store,
        known: &Known,
        earliest: u64,
    ) -> Option<u64> {
        self.floor = self.floor.max(earliest);
        let is_overdue = now.saturating_duration_since(self.since) > PATIENCE;
        let is_whole = (self.floor..=known.highest()).all(|id| store.has(id));
        if !is_overdue && !is_whole {
            return None;
        }
        let first = store.next_start(self.floor)?;
        let covered = store.last_start().and_then(|last| {
            Some(last.fragment.start?.timestamp.saturating_sub(first.fragment.start?.timestamp))
        });
        if is_overdue
            || self.floor <= earliest.max(1)
            || covered.is_some_and(|covered| covered >= BACKLOG_MS)
        {
            return Some(first.fragment.id);
        }
        self.step = (self.step * 2).min(MAX_STEP);
        self.floor = self.floor.saturating_sub(self.step).max(earliest).max(1);
        None
    }
}
