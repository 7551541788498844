//! The fragments held, by number; bounded in time, span and bytes.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use bytes::Bytes;

use super::{bits::Bits, sparse::Sparse};
use crate::wire::{Availability, Fragment, is_key_frame};

/// Numbers from the first to the last held: ten seconds of 200 Mbit/s.
const MAX_SPAN: u64 = 1 << 18;
const MAX_BYTES: usize = 96 << 20;
/// The latest key frame and what follows it is kept for newcomers, however old, up to this.
const KEEP_KEY_FRAME: Duration = Duration::from_secs(30);

/// A fragment with the message it came in, which is passed on as it is.
#[derive(Debug)]
pub(super) struct Held {
    pub fragment: Fragment,
    pub message: Bytes,
    arrived: Instant,
}

impl Held {
    /// It begins a picture that needs no other.
    pub fn is_key_frame(&self) -> bool {
        self.fragment.start.is_some_and(|start| is_key_frame(start.kind, &self.fragment.payload))
    }
}

#[derive(Debug, Default)]
pub(super) struct Store {
    fragments: Sparse<Held>,
    held: Bits,
    message_bytes: usize,
    /// Starts of key frames, in order.
    key_frames: VecDeque<u64>,
}

impl Store {
    pub fn get(&self, id: u64) -> Option<&Held> {
        self.fragments.get(id)
    }

    pub fn has(&self, id: u64) -> bool {
        self.held.has(id)
    }

    /// What is held from `first` to `last`, in order.
    pub fn range(&self, first: u64, last: u64) -> impl Iterator<Item = &Held> {
        self.fragments.range(first, last)
    }

    /// First number that is held, if any is.
    pub fn first(&self) -> u64 {
        self.held.first().unwrap_or(0)
    }

    pub fn is_empty(&self) -> bool {
        self.held.first().is_none()
    }

    /// What it takes of memory, about.
    pub fn bytes(&self) -> usize {
        self.message_bytes + self.fragments.bytes()
    }

    /// The last fragment held, up to `limit`.
    pub fn last_up_to(&self, limit: u64) -> Option<u64> {
        self.held.last_up_to(limit)
    }

    /// Numbers not held, in order.
    pub fn missing(&self, from: u64, to: u64) -> impl Iterator<Item = u64> + '_ {
        self.held.missing(from, to)
    }

    /// How many of the `count` numbers up to `last` are held; 64 at most.
    pub fn count_up_to(&self, last: u64, count: u32) -> u32 {
        self.held.count_up_to(last, count)
    }

    /// What is held of the numbers from `first` to `last`, which is held itself.
    pub fn map(&self, first: u64, last: u64) -> Availability {
        Availability::of(first.max(self.first()), last, |id| self.held.up_to(id))
    }

    /// The latest key frame held from `id` on.
    pub fn last_key_frame(&self, id: u64) -> Option<u64> {
        self.key_frames.back().copied().filter(|key| *key >= id)
    }

    /// The first fragment held that begins a message, from `id` on.
    pub fn next_start(&self, id: u64) -> Option<&Held> {
        self.range(id, u64::MAX).find(|held| held.fragment.start.is_some())
    }

    /// Keeps a fragment, and if need be lets the oldest go. False if it is held already, or too
    /// far before the rest.
    pub fn insert(&mut self, now: Instant, fragment: Fragment, message: Bytes) -> bool {
        let id = fragment.id;
        let last = self.held.last_up_to(u64::MAX).unwrap_or(id);
        if self.has(id) || last.saturating_sub(id) >= MAX_SPAN {
            return false;
        }
        while id.saturating_sub(self.first()) >= MAX_SPAN && self.pop_first() {}
        self.message_bytes += message.len();
        let held = Held { fragment, message, arrived: now };
        if held.is_key_frame() {
            let at = self.key_frames.partition_point(|key| *key < id);
            self.key_frames.insert(at, id);
        }
        self.fragments.insert(id, held);
        self.held.set(id);
        self.shrink_to(MAX_BYTES);
        true
    }

    /// Lets the oldest go until the rest takes no more than so many bytes.
    pub fn shrink_to(&mut self, bytes: usize) {
        while self.bytes() > bytes && self.pop_first() {}
    }

    /// False if nothing was there.
    fn pop_first(&mut self) -> bool {
        let Some(id) = self.held.first() else { return false };
        let Some(held) = self.fragments.remove_first(id) else { return false };
        self.message_bytes -= held.message.len();
        self.key_frames.pop_front_if(|key| *key <= id);
        self.held.drop_before(id + 1);
        true
    }

    /// Drops what arrived longer than `keep` ago, but for the latest key frame and what follows
    /// it, and the last.
    pub fn expire(&mut self, now: Instant, keep: Duration) {
        while let Some(held) = self.get(self.first()) {
            let id = held.fragment.id;
            let age = now.saturating_duration_since(held.arrived);
            let serves_newcomers = self.key_frames.back().is_some_and(|key| *key <= id);
            let is_kept = age <= keep || (serves_newcomers && age <= KEEP_KEY_FRAME);
            if is_kept || self.last_up_to(u64::MAX) == Some(id) {
                break;
            }
            self.pop_first();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::FragmentStart;

    fn put(store: &mut Store, now: Instant, id: u64, first_byte: u8) -> bool {
        let start = Some(FragmentStart { kind: 9, timestamp: 0 });
        let message = Fragment::encode(id, start, 0, &[first_byte, 1]);
        store.insert(now, Fragment::decode(&message).unwrap(), message)
    }

    #[test]
    fn grows_both_ways_and_forgets_the_old() {
        let now = Instant::now();
        let mut store = Store::default();
        for id in [100, 103, 98] {
            assert!(put(&mut store, now, id, 0x27));
        }
        assert!(!put(&mut store, now, 100, 0x27));
        assert_eq!((store.first(), store.last_up_to(u64::MAX)), (98, Some(103)));
        assert_eq!(store.last_up_to(102), Some(100));
        put(&mut store, now + Duration::from_secs(9), 104, 0x27);
        store.expire(now + Duration::from_secs(11), Duration::from_secs(10));
        assert_eq!((store.first(), store.last_up_to(u64::MAX)), (104, Some(104)));
        assert!(!store.has(103) && store.has(104));
    }

    #[test]
    fn at_full_span_the_newest_wins() {
        let now = Instant::now();
        let mut store = Store::default();
        assert!(put(&mut store, now, 1, 0x27) && put(&mut store, now, MAX_SPAN + 5, 0x27));
        assert!(!store.has(1) && store.has(MAX_SPAN + 5));
        assert!(put(&mut store, now, MAX_SPAN + 6, 0x27));
        assert!(put(&mut store, now, 1 << 52, 0x27));
        assert_eq!((store.first(), store.range(0, u64::MAX).count()), (1 << 52, 1));
    }

    #[test]
    fn the_latest_key_frame_is_kept_longer() {
        let now = Instant::now();
        let mut store = Store::default();
        let at = |seconds| now + Duration::from_secs(seconds);
        for id in 1..=20 {
            put(&mut store, at(id), id, if id == 3 { 0x17 } else { 0x27 });
        }
        assert_eq!(store.last_key_frame(1), Some(3));
        store.expire(at(20), Duration::from_secs(10));
        assert_eq!(store.first(), 3);
        put(&mut store, at(21), 21, 0x17);
        store.expire(at(21), Duration::from_secs(10));
        assert_eq!((store.first(), store.last_key_frame(1)), (11, Some(21)));
    }
}
