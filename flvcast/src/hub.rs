//! One programme to many who take it at their own pace: a ring of tags that all share, and a
//! place in it for each. Whoever falls out of it is let go, and costs nobody anything.

mod cuts;
mod follower;
mod viewer;

use std::{
    collections::VecDeque,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::sync::{Notify, futures::Notified};

use crate::{
    flv::{Codec, TagKind, Tracks},
    headers::StreamHeaders,
    programme::{Programme, Shown},
};
use cuts::Cuts;
pub use cuts::{Cut, PAUSE_MS};
pub use follower::{Followed, Follower};
use viewer::Pace;
pub use viewer::{Place, Taken, Viewer};

/// How far behind the newest a viewer may fall before it is let go.
const MAX_LAG_MS: u64 = 8000;
/// The group of pictures that newcomers begin with is always kept, up to this.
const MAX_GROUP_BYTES: usize = 64 << 20;

/// Places to begin with; more are none that anybody looks for.
const MAX_OPENINGS: usize = 4096;

/// How much of the programme is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Memory {
    /// So long.
    pub time: Duration,
    /// And no more than this.
    pub bytes: usize,
}

impl Memory {
    /// As much as viewers need who only watch what comes.
    pub const LIVE: Self = Self { time: Duration::from_millis(MAX_LAG_MS), bytes: 24 << 20 };
    /// Ten minutes, to go back in.
    pub const REPLAY: Self = Self { time: Duration::from_secs(600), bytes: 256 << 20 };
}

#[derive(Debug)]
struct Ring {
    memory: Memory,
    shown: VecDeque<Shown>,
    /// The number of the first of them.
    first: u64,
    bytes: usize,
    headers: StreamHeaders,
    tracks: Tracks,
    /// Of those that are held, oldest first.
    openings: VecDeque<Opening>,
    cuts: Cuts,
    is_over: bool,
}

/// Where newcomers begin.
#[derive(Debug, Clone)]
struct Opening {
    number: u64,
    zero: u64,
    headers: StreamHeaders,
}

impl Ring {
    fn new(memory: Memory) -> Self {
        Self {
            memory,
            shown: VecDeque::new(),
            first: 0,
            bytes: 0,
            headers: StreamHeaders::default(),
            tracks: Tracks::default(),
            openings: VecDeque::new(),
            cuts: Cuts::default(),
            is_over: false,
        }
    }

    /// The time of the newest.
    fn newest(&self) -> u64 {
        self.shown.back().map_or(0, |shown| shown.time)
    }

    /// How far what has a number is behind the newest; nothing of what is not held any more.
    fn lag_of(&self, number: u64) -> Option<u64> {
        if number >= self.end() {
            return Some(0);
        }
        Some(self.newest().saturating_sub(self.get(number)?.time))
    }

    /// The latest opening that is so far behind the newest; else the first.
    fn opening_before(&self, back: u64) -> Option<&Opening> {
        let time = self.newest().saturating_sub(back);
        let count = self.openings.partition_point(|opening| opening.zero <= time);
        self.openings.get(count.saturating_sub(1))
    }

    fn end(&self) -> u64 {
        self.first + self.shown.len() as u64
    }

    fn get(&self, number: u64) -> Option<&Shown> {
        self.shown.get(usize::try_from(number.checked_sub(self.first)?).ok()?)
    }

    fn push(&mut self, shown: Shown) {
        self.headers.note(&shown.tag);
        if let Some(zero) = shown.opening {
            let headers = self.headers.clone();
            let opening = Opening { number: self.end(), zero, headers };
            self.cuts.note_pause(self.newest(), zero);
            self.cuts.note(&opening);
            self.openings.push_back(opening);
            if self.openings.len() > MAX_OPENINGS {
                self.openings.pop_front();
            }
        }
        if shown.tag.kind == TagKind::Audio && shown.tag.anatomy().codec == Some(Codec::MP3) {
            self.cuts.note_mp3();
        }
        self.bytes += size_of(&shown);
        self.shown.push_back(shown);
        self.shorten();
    }

    /// Forgets what nobody may still want.
    fn shorten(&mut self) {
        let (newest, longest) = (self.newest(), self.memory.time.as_millis() as u64);
        while let Some(oldest) = self.shown.front() {
            let group = self.openings.back();
            let is_in_group = group.is_some_and(|opening| opening.number <= self.first);
            let is_old = newest.saturating_sub(oldest.time) > longest;
            let limit = if is_in_group { MAX_GROUP_BYTES } else { self.memory.bytes };
            if self.bytes <= limit && (is_in_group || !is_old) {
                return;
            }
            self.bytes -= size_of(oldest);
            self.shown.pop_front();
            self.first += 1;
            let is_lost = |opening: &Opening| opening.number < self.first;
            if self.openings.front().is_some_and(is_lost) {
                self.openings.pop_front();
            }
            self.cuts.forget_before(self.first);
        }
    }
}

/// What a tag takes of memory: one without a payload is not for nothing.
fn size_of(shown: &Shown) -> usize {
    const BESIDES: usize = 128;
    shown.tag.payload.len() + BESIDES
}

#[derive(Debug)]
struct Shared {
    ring: Mutex<Ring>,
    /// Something new, for threads.
    news: Condvar,
    /// Something new, for tasks.
    async_news: Notify,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Ring> {
        self.ring.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A handle to the programme, for the one who feeds it and those who watch.
#[derive(Debug, Clone)]
pub struct Hub {
    shared: Arc<Shared>,
}

impl Hub {
    /// Nothing was shown yet.
    pub fn new(memory: Memory) -> Self {
        let (ring, news) = (Mutex::new(Ring::new(memory)), Condvar::new());
        Self { shared: Arc::new(Shared { ring, news, async_news: Notify::new() }) }
    }

    /// So many bytes are kept at most, from now on.
    pub fn limit(&self, bytes: usize) {
        self.shared.lock().memory.bytes = bytes;
    }

    /// Takes what the programme has for players.
    pub fn take(&self, programme: &mut Programme) {
        let mut ring = self.shared.lock();
        ring.tracks = programme.tracks();
        let before = ring.end();
        while let Some(shown) = programme.pop() {
            ring.push(shown);
        }
        if ring.end() > before {
            drop(ring);
            self.announce();
        }
    }

    /// Nothing more will come: viewers get the rest and a proper end.
    pub fn close(&self) {
        self.shared.lock().is_over = true;
        self.announce();
    }

    /// The next news, from now on.
    pub fn news(&self) -> Notified<'_> {
        self.shared.async_news.notified()
    }

    fn announce(&self) {
        self.shared.news.notify_all();
        self.shared.async_news.notify_waiters();
    }

    /// A new viewer, who begins with the latest opening, or else with the next.
    pub fn join(&self) -> Viewer {
        Viewer::new(self.shared.clone(), Pace::Live)
    }

    /// One who begins so long before the newest, or with the first that is kept, and stays behind.
    pub fn join_behind(&self, back: Duration) -> Viewer {
        Viewer::new(self.shared.clone(), Pace::Behind(back))
    }

    /// One who must have everything, however late: all that is kept waits for it.
    pub fn join_patiently(&self) -> Viewer {
        Viewer::new(self.shared.clone(), Pace::Patient)
    }

    /// Somebody who puts the programme into another form; begins with the first that is kept.
    pub fn follow(&self) -> Follower {
        Follower::new(self.shared.clone())
    }

    /// The same for what comes from now on; begins with the latest opening.
    pub fn follow_live(&self) -> Follower {
        Follower::live(self.shared.clone())
    }

    /// The number of the latest tag that one can begin with.
    pub fn latest_opening(&self) -> Option<u64> {
        self.shared.lock().openings.back().map(|opening| opening.number)
    }

    /// Where segments begin, and whether and when the last one is over.
    pub fn cuts(&self) -> (Vec<Cut>, Option<u64>) {
        let ring = self.shared.lock();
        (ring.cuts.kept().iter().cloned().collect(), ring.is_over.then(|| ring.newest()))
    }

    /// What is shown from one number to another, and what comes next of each kind: picture, sound.
    pub fn between(&self, from: u64, to: Option<u64>) -> (Vec<Shown>, [Option<u64>; 2]) {
        let ring = self.shared.lock();
        let to = to.unwrap_or(ring.end());
        let shown = (from..to).filter_map(|number| ring.get(number).cloned()).collect();
        let next = [TagKind::Video, TagKind::Audio].map(|kind| {
            let mut following = (to..ring.end()).filter_map(|number| ring.get(number));
            let is_next = |shown: &&Shown| shown.tag.kind == kind && shown.tag.is_media();
            following.find(is_next).map(|shown| shown.time)
        });
        (shown, next)
    }

    /// How far one can go back.
    pub fn kept(&self) -> Duration {
        let ring = self.shared.lock();
        let first = ring.openings.front().map_or(ring.newest(), |opening| opening.zero);
        Duration::from_millis(ring.newest().saturating_sub(first))
    }

    /// Whether nothing more will come.
    pub fn is_over(&self) -> bool {
        self.shared.lock().is_over
    }

    /// The latest headers.
    pub fn headers(&self) -> StreamHeaders {
        self.shared.lock().headers.clone()
    }

    /// Bits a second, over the last seconds.
    pub fn bitrate(&self) -> u64 {
        let ring = self.shared.lock();
        let newest = ring.newest();
        let is_recent = |shown: &&Shown| newest.saturating_sub(shown.time) <= MAX_LAG_MS;
        let (mut bytes, mut span) = (0, 0);
        for shown in ring.shown.iter().rev().take_while(is_recent) {
            bytes += shown.tag.payload.len() as u64;
            span = newest.saturating_sub(shown.time).max(span);
        }
        (bytes * 8000).checked_div(span).unwrap_or(0)
    }

    /// Blocks until there is something new, or for as long as `patience`.
    pub fn wait(&self, patience: Duration) {
        let ring = self.shared.lock();
        let waited = self.shared.news.wait_timeout(ring, patience);
        drop(waited);
    }
}

#[cfg(test)]
mod tests;
