//! One programme to many who take it at their own pace: a ring of tags that all share, and a
//! place in it for each. Whoever falls out of it is let go, and costs nobody anything.

mod viewer;

use std::{
    collections::VecDeque,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::sync::Notify;

use crate::{
    flv::Tracks,
    headers::StreamHeaders,
    programme::{Programme, Shown},
};
pub use viewer::{Place, Taken, Viewer};

/// How far behind a viewer may be: longer than that, or larger than this, and it is let go. The
/// group of pictures that newcomers begin with is always kept, up to its own bound.
const MAX_LAG_MS: u64 = 8000;
const MAX_LAG_BYTES: usize = 24 << 20;
const MAX_GROUP_BYTES: usize = 64 << 20;

#[derive(Debug, Default)]
struct Ring {
    shown: VecDeque<Shown>,
    /// The number of the first of them.
    first: u64,
    bytes: usize,
    headers: StreamHeaders,
    tracks: Tracks,
    /// Of those that are held, oldest first.
    openings: VecDeque<Opening>,
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
            self.openings.push_back(Opening { number: self.end(), zero, headers });
        }
        self.bytes += shown.tag.payload.len();
        self.shown.push_back(shown);
        self.shorten();
    }

    /// Forgets what nobody may still want.
    fn shorten(&mut self) {
        let newest = self.shown.back().map_or(0, |shown| shown.time);
        while let Some(oldest) = self.shown.front() {
            let group = self.openings.back();
            let is_in_group = group.is_some_and(|opening| opening.number <= self.first);
            let is_old = newest.saturating_sub(oldest.time) > MAX_LAG_MS;
            let limit = if is_in_group { MAX_GROUP_BYTES } else { MAX_LAG_BYTES };
            if self.bytes <= limit && (is_in_group || !is_old) {
                return;
            }
            self.bytes -= oldest.tag.payload.len();
            self.shown.pop_front();
            self.first += 1;
            let is_lost = |opening: &Opening| opening.number < self.first;
            if self.openings.front().is_some_and(is_lost) {
                self.openings.pop_front();
            }
        }
    }
}

#[derive(Debug, Default)]
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
#[derive(Debug, Clone, Default)]
pub struct Hub {
    shared: Arc<Shared>,
}

impl Hub {
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

    /// Waits for the next news.
    pub async fn news(&self) {
        self.shared.async_news.notified().await;
    }

    fn announce(&self) {
        self.shared.news.notify_all();
        self.shared.async_news.notify_waiters();
    }

    /// A new viewer, who begins with the latest opening, or else with the next.
    pub fn join(&self) -> Viewer {
        Viewer::new(self.shared.clone())
    }

    /// The latest headers.
    pub fn headers(&self) -> StreamHeaders {
        self.shared.lock().headers.clone()
    }

    /// Bits a second, over what is held.
    pub fn bitrate(&self) -> u64 {
        let ring = self.shared.lock();
        let time = |shown: Option<&Shown>| shown.map_or(0, |shown| shown.time);
        let span = time(ring.shown.back()).saturating_sub(time(ring.shown.front()));
        (ring.bytes as u64 * 8000).checked_div(span).unwrap_or(0)
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
