//! Puts messages together in order; what is missing too long is skipped.

use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};

use super::{edge::Edge, store::Store};
use crate::wire::{Fragment, FragmentStart};

/// No RTMP message is larger.
const MAX_MESSAGE: usize = 16 << 20;

/// Delivery in the order of fragment numbers.
#[derive(Debug)]
pub(super) struct Player {
    next: u64,
    partial: Option<(FragmentStart, BytesMut)>,
    /// Fragments never delivered.
    pub lost: u64,
}

impl Player {
    /// Begins with fragment `next`.
    pub fn new(next: u64) -> Self {
        Self { next, partial: None, lost: 0 }
    }

    /// Goes on with a later fragment; what is before it is lost.
    pub fn jump(&mut self, to: u64) {
        if to > self.next {
            self.lost += to - self.next;
            self.next = to;
            self.partial = None;
        }
    }

    /// The next fragment wanted.
    pub fn next(&self) -> u64 {
        self.next
    }

    /// Delivers what follows without a gap.
    pub fn advance(&mut self, store: &Store, deliver: &mut impl FnMut(FragmentStart, Bytes)) {
        while let Some(held) = store.get(self.next) {
            self.next += 1;
            self.take(&held.fragment, deliver);
        }
    }

    fn take(&mut self, fragment: &Fragment, deliver: &mut impl FnMut(FragmentStart, Bytes)) {
        match (fragment.start, fragment.has_more) {
            (Some(start), false) => {
                self.partial = None;
                deliver(start, fragment.payload.clone());
            }
            (Some(start), true) => {
                self.partial = Some((start, BytesMut::from(&fragment.payload[..])))
            }
            (None, has_more) => {
                // Without a start the type is unknown: there is nothing to deliver.
                let Some((start, mut message)) = self.partial.take() else { return };
                if message.len() + fragment.payload.len() > MAX_MESSAGE {
                    return;
                }
                message.extend_from_slice(&fragment.payload);
                if has_more {
                    self.partial = Some((start, message));
                } else {
                    deliver(start, message.freeze());
                }
            }
        }
    }

    /// Gives up a gap that is older than `window`, to the next whole message. Whether there was one.
    pub fn skip_expired(
        &mut self,
        now: Instant,
        store: &Store,
        edge: &Edge,
        window: Duration,
    ) -> bool {
        let is_gap = self.next <= edge.highest() && !store.has(self.next);
        if !is_gap || (edge.age(now, self.next) < window && self.next >= store.first()) {
            return false;
        }
        let Some(start) = store.next_start(self.next) else { return false };
        self.lost += start.fragment.id - self.next;
        self.next = start.fragment.id;
        self.partial = None;
        true
    }
}
