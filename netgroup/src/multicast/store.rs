//! The fragments held, by number; bounded in time, span and bytes.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use bytes::Bytes;

use crate::wire::Fragment;

/// Numbers from the first to the last held.
const MAX_SPAN: u64 = 1 << 16;
const MAX_BYTES: usize = 64 << 20;

/// A fragment with the message it came in, which is passed on as it is.
#[derive(Debug)]
pub(super) struct Held {
    pub fragment: Fragment,
    pub message: Bytes,
    arrived: Instant,
}

#[derive(Debug, Default)]
pub(super) struct Store {
    /// Number of the front slot.
    base: u64,
    slots: VecDeque<Option<Held>>,
    bytes: usize,
}

impl Store {
    pub fn get(&self, id: u64) -> Option<&Held> {
        self.slots.get(usize::try_from(id.checked_sub(self.base)?).ok()?)?.as_ref()
    }

    pub fn has(&self, id: u64) -> bool {
        self.get(id).is_some()
    }

    /// First number that could be held.
    pub fn first(&self) -> u64 {
        self.base
    }

    /// The last fragment held.
    pub fn last(&self) -> Option<u64> {
        (!self.slots.is_empty()).then(|| self.base + self.slots.len() as u64 - 1)
    }

    /// The first fragment held that begins a message, from `id` on.
    pub fn next_start(&self, id: u64) -> Option<&Held> {
        let from = usize::try_from(id.saturating_sub(self.base)).ok()?;
        self.slots
            .range(from.min(self.slots.len())..)
            .flatten()
            .find(|held| held.fragment.start.is_some())
    }

    /// The last fragment held that begins a message.
    pub fn last_start(&self) -> Option<&Held> {
        self.slots.iter().rev().flatten().find(|held| held.fragment.start.is_some())
    }

    /// Keeps a fragment. False if it is held already or too far from the others.
    pub fn insert(&mut self, now: Instant, fragment: Fragment, message: Bytes) -> bool {
        let id = fragment.id;
        if self.slots.is_empty() {
            self.base = id;
        }
        while id < self.base && self.slots.len() as u64 + (self.base - id) <= MAX_SPAN {
            self.slots.push_front(None);
            self.base -= 1;
        }
        let Some(index) = id.checked_sub(self.base).filter(|index| *index < MAX_SPAN) else {
            return false;
        };
        let index = index as usize;
        while self.slots.len() <= index {
            self.slots.push_back(None);
        }
        let slot = &mut self.slots[index];
        if slot.is_some() {
            return false;
        }
        self.bytes += message.len();
        *slot = Some(Held { fragment, message, arrived: now });
        while self.bytes > MAX_BYTES {
            self.pop_front();
        }
        true
    }

    fn pop_front(&mut self) {
        if let Some(Some(held)) = self.slots.pop_front() {
            self.bytes -= held.message.len();
        }
        self.base += 1;
    }

    /// Drops what arrived longer than `keep` ago, and the gaps before what is left.
    pub fn expire(&mut self, now: Instant, keep: Duration) {
        let is_old = |slot: &Option<Held>| match slot {
            Some(held) => now.saturating_duration_since(held.arrived) > keep,
            None => true,
        };
        while self.slots.len() > 1 && self.slots.front().is_some_and(is_old) {
            self.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(store: &mut Store, now: Instant, id: u64) -> bool {
        let message = Fragment::encode(id, None, 0, b"x");
        store.insert(now, Fragment::decode(&message).unwrap(), message)
    }

    #[test]
    fn grows_both_ways_and_forgets_the_old() {
        let now = Instant::now();
        let mut store = Store::default();
        assert!(put(&mut store, now, 100) && put(&mut store, now, 103) && put(&mut store, now, 98));
        assert!(!put(&mut store, now, 100) && !put(&mut store, now, 100 + MAX_SPAN));
        assert_eq!((store.first(), store.last()), (98, Some(103)));
        put(&mut store, now + Duration::from_secs(9), 104);
        store.expire(now + Duration::from_secs(11), Duration::from_secs(10));
        assert_eq!((store.first(), store.last(), store.bytes), (104, Some(104), 3));
    }
}
