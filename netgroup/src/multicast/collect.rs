//! Joining a stream that runs: the latest key frame is looked for, back from where the stream was
//! met, so that a picture shows soon.

use std::time::{Duration, Instant};

use super::store::Store;

/// After this, what is there must do.
const PATIENCE: Duration = Duration::from_secs(4);
/// What directly precedes a key frame at its time, its headers, is waited for so long. Without them
/// nothing shows until they are repeated, and a residue whose pusher died takes 400 ms to come.
const HEADER_PATIENCE: Duration = Duration::from_millis(700);
/// Fragments that headers take, at most.
const MAX_HEADERS: u64 = 64;
/// A stream without pictures begins so far back.
const BACKLOG_MS: u32 = 2000;
/// A step back is made when so much of what was looked for is there, or after so long.
const ENOUGH: f64 = 0.6;
const STEP_PATIENCE: Duration = Duration::from_millis(400);
/// The first step back; each is twice the one before.
const FIRST_STEP: u64 = 128;
const MAX_STEP: u64 = 4096;
/// No stream is looked through further than this.
const MAX_DISTANCE: u64 = 1 << 16;
const VIDEO: u8 = 9;

/// Going back in steps from where the stream was met.
#[derive(Debug)]
pub(super) struct Collecting {
    since: Instant,
    met: u64,
    floor: u64,
    /// Where neighbours said last that one should begin.
    led_to: Option<u64>,
    step: u64,
    stepped: Instant,
    /// When a key frame was first found whose headers are still missing.
    found: Option<Instant>,
}

impl Collecting {
    /// The stream was met at fragment `met`.
    pub fn new(now: Instant, met: u64) -> Self {
        let floor = met.saturating_sub(FIRST_STEP).max(1);
        Self { since: now, met, floor, led_to: None, step: FIRST_STEP, stepped: now, found: None }
    }

    /// The earliest fragment wanted.
    pub fn floor(&self) -> u64 {
        self.floor
    }

    /// Nothing came of what was looked for, though there is something else.
    pub fn is_fruitless(&self, now: Instant, store: &Store) -> bool {
        let is_overdue = now.saturating_duration_since(self.since) > PATIENCE;
        is_overdue && store.last_up_to(u64::MAX).is_some_and(|last| last < self.floor)
    }

    /// Neighbours say where the latest picture begins that needs no other: there is no need to look
    /// for it.
    pub fn be_led(&mut self, entrance: u64) {
        let is_news = self.led_to.replace(entrance) != Some(entrance);
        if is_news && self.met.saturating_sub(entrance) < MAX_DISTANCE {
            self.floor = entrance;
        }
    }

    /// Goes further back, or says where to begin playing. `earliest` is the first fragment that is
    /// to be had, `last` the last that there is.
    pub fn advance(
        &mut self,
        now: Instant,
        store: &Store,
        last: u64,
        earliest: u64,
    ) -> Option<u64> {
        self.floor = self.floor.max(earliest);
        let last = last.min(self.floor.saturating_add(2 * MAX_DISTANCE));
        if let Some(key) = store.last_key_frame(self.floor) {
            let (first, is_whole) = with_headers(store, key, earliest);
            let found = *self.found.get_or_insert(now);
            if is_whole || now.saturating_duration_since(found) > HEADER_PATIENCE {
                return Some(first);
            }
            // Headers lie before what was looked for so far.
            self.floor = self.floor.min(first.saturating_sub(1).max(earliest).max(1));
            return None;
        }
        let span = last.saturating_sub(self.floor) + 1;
        let missing = store.missing(self.floor, last).count() as u64;
        let is_whole = missing == 0;
        let is_at_start =
            self.floor <= earliest.max(1) || self.met.saturating_sub(self.floor) >= MAX_DISTANCE;
        let is_overdue = now.saturating_duration_since(self.since) > PATIENCE;
        if is_overdue || (is_whole && (is_at_start || self.is_sound_enough(store, last))) {
            return store.next_start(self.floor).map(|held| held.fragment.id);
        }
        let has_enough = (span - missing) as f64 >= span as f64 * ENOUGH;
        let has_waited = now.saturating_duration_since(self.stepped) > STEP_PATIENCE;
        if (has_enough || has_waited) && !is_at_start {
            self.step = (self.step * 2).min(MAX_STEP);
            self.floor = self.floor.saturating_sub(self.step).max(earliest).max(1);
            self.stepped = now;
        }
        None
    }

    /// There are no pictures at all, and enough of the rest.
    fn is_sound_enough(&self, store: &Store, last: u64) -> bool {
        let starts = store.range(self.floor, last).filter_map(|held| held.fragment.start);
        let mut range: Option<(u32, u32)> = None;
        for start in starts {
            if start.kind == VIDEO {
                return false;
            }
            let (from, _) = *range.get_or_insert((start.timestamp, start.timestamp));
            range = Some((from, start.timestamp));
        }
        range.is_some_and(|(from, to)| to.wrapping_sub(from) >= BACKLOG_MS)
    }
}

/// Where the messages begin that directly precede a key frame and have its time; and whether that
/// is certain, because what is before them is there.
pub(super) fn with_headers(store: &Store, key: u64, earliest: u64) -> (u64, bool) {
    let Some(time) = time_of(store, key) else { return (key, true) };
    let mut first = key;
    let floor = key.saturating_sub(MAX_HEADERS).max(earliest).max(1);
    while first > floor {
        let Some(held) = store.get(first - 1) else { return (first, false) };
        let begins = held.fragment.start;
        // A message of several fragments is followed back to its start.
        let start = (floor..first)
            .rev()
            .find(|id| store.get(*id).is_none_or(|held| held.fragment.start.is_some()));
        let Some(start) = begins.map(|_| first - 1).or(start) else { break };
        if !store.has(start) {
            return (first, false);
        }
        if time_of(store, start) != Some(time) {
            break;
        }
        first = start;
    }
    (first, true)
}

fn time_of(store: &Store, id: u64) -> Option<u32> {
    Some(store.get(id)?.fragment.start?.timestamp)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{Fragment, FragmentStart};

    const KEY: &[u8] = &[0x17, 1];
    const PICTURE: &[u8] = &[0x27, 1];

    fn put(store: &mut Store, now: Instant, id: u64, kind: u8, timestamp: u32, payload: &[u8]) {
        let message = Fragment::encode(id, Some(FragmentStart { kind, timestamp }), 0, payload);
        store.insert(now, Fragment::decode(&message).unwrap(), message);
    }

    /// Everything from 1 to `last`, key frames every `gop`, each after a header of its time.
    fn film(now: Instant, last: u64, gop: u64) -> Store {
        let mut store = Store::default();
        for id in 1..=last {
            let (timestamp, payload) = match id % gop {
                0 => (id as u32 * 40, KEY),
                rest if rest == gop - 1 => ((id as u32 + 1) * 40, &[0x17, 0][..]),
                _ => (id as u32 * 40, PICTURE),
            };
            put(&mut store, now, id, 9, timestamp, payload);
        }
        store
    }

    #[test]
    fn play_begins_with_the_headers_of_the_latest_key_frame() {
        let now = Instant::now();
        let store = film(now, 1000, 300);
        let mut collecting = Collecting::new(now, 1000);
        let first = (0..5).find_map(|_| collecting.advance(now, &store, 1000, 1));
        assert_eq!(first, Some(899));
    }

    #[test]
    fn headers_not_there_yet_are_waited_for() {
        let now = Instant::now();
        let mut store = Store::default();
        put(&mut store, now, 950, 9, 77, KEY);
        let mut collecting = Collecting::new(now, 1000);
        assert_eq!(collecting.advance(now, &store, 1000, 1), None);
        put(&mut store, now, 949, 9, 77, &[0x17, 0]);
        assert_eq!(collecting.advance(now, &store, 1000, 1), None);
        put(&mut store, now, 948, 9, 40, PICTURE);
        assert_eq!(collecting.advance(now, &store, 1000, 1), Some(949));
    }

    #[test]
    fn sound_alone_begins_two_seconds_back() {
        let now = Instant::now();
        let mut store = Store::default();
        (1..=1000).for_each(|id| put(&mut store, now, id, 8, id as u32 * 23, &[0xaf, 1]));
        let mut collecting = Collecting::new(now, 1000);
        let first = (0..5).find_map(|_| collecting.advance(now, &store, 1000, 1)).unwrap();
        assert!((1000 - first) * 23 >= BACKLOG_MS.into() && first > 500, "{first}");
    }

    #[test]
    fn a_word_that_leads_nowhere_is_gone_back_from() {
        let now = Instant::now();
        let mut store = Store::default();
        (1..=1000).for_each(|id| put(&mut store, now, id, 9, id as u32 * 40, PICTURE));
        let mut collecting = Collecting::new(now, 1000);
        for _ in 0..2 {
            collecting.be_led(997);
            assert_eq!(collecting.advance(now, &store, 1000, 1), None);
        }
        assert!(collecting.floor() < 300, "both steps count: {}", collecting.floor());
        collecting.be_led(720);
        assert_eq!(collecting.floor(), 720);
    }

    #[test]
    fn what_is_there_must_do_in_the_end() {
        let now = Instant::now();
        let mut store = Store::default();
        put(&mut store, now, 990, 9, 7, PICTURE);
        let mut collecting = Collecting::new(now, 1000);
        assert_eq!(collecting.advance(now, &store, 1000, 1), None);
        let later = now + PATIENCE * 2;
        assert_eq!(collecting.advance(later, &store, 1000, 1), Some(990));
    }
}
