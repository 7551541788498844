//! One who watches: a place in the ring, and a time of its own that begins at zero.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use bytes::{Bytes, BytesMut};

use super::{MAX_LAG_MS, Opening, Ring, Shared};
use crate::flv::{TAG_HEADER_LEN, Tracks, file_header, put_tag_at, tag_header, tag_trailer};

/// Payloads from this size on are shared with the ring, smaller ones copied into one write.
const SHARED_FROM: usize = 4096;

/// Who watches from behind gets so much in advance.
const LEAD: Duration = Duration::from_secs(10);

/// How a viewer follows the programme.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pace {
    /// As it comes, or not at all.
    Live,
    /// So far behind, as fast as it plays.
    Behind(Duration),
    /// As far behind as what is kept goes.
    Patient,
}

/// What a viewer got.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Taken {
    /// Something, or nothing for now.
    UpToDate,
    /// As much as was asked for; there is more.
    More,
    /// All for now: the rest is for later, who watches from behind.
    Early,
    /// The programme is over, and all of it was taken.
    Over,
    /// It was too slow: what follows is lost to it.
    Lagged,
}

/// One who takes the programme at its own pace.
#[derive(Debug)]
pub struct Viewer {
    shared: Arc<Shared>,
    pace: Pace,
    state: State,
    progress: Arc<Progress>,
}

/// How far a viewer is, for those who look after it.
#[derive(Debug)]
struct Progress {
    /// The number of the next tag.
    next: AtomicU64,
    /// How far behind the newest it may be, in milliseconds.
    longest_lag: AtomicU64,
}

impl Progress {
    fn has_lagged(&self, ring: &Ring) -> bool {
        let lag = ring.lag_of(self.next.load(Ordering::Relaxed));
        lag.is_none_or(|lag| lag > self.longest_lag.load(Ordering::Relaxed))
    }
}

#[derive(Debug, Clone, Copy)]
enum State {
    /// Nothing was taken yet. Who was there before anything could be begun with misses nothing.
    Waiting {
        was_first: bool,
    },
    Watching {
        next: u64,
        zero: u64,
        promised: Tracks,
        since: Instant,
    },
}

/// Where a viewer is, for whoever looks after it.
#[derive(Debug)]
pub struct Place {
    shared: Arc<Shared>,
    progress: Arc<Progress>,
}

impl Place {
    /// Whether it is too slow.
    pub fn is_lost(&self) -> bool {
        self.progress.has_lagged(&self.shared.lock())
    }
}

impl Viewer {
    pub(super) fn new(shared: Arc<Shared>, pace: Pace) -> Self {
        let was_first = shared.lock().openings.is_empty();
        let [next, longest_lag] = [AtomicU64::new(u64::MAX), AtomicU64::new(u64::MAX)];
        let progress = Arc::new(Progress { next, longest_lag });
        Self { shared, pace, state: State::Waiting { was_first }, progress }
    }

    /// For whoever looks after it.
    pub fn place(&self) -> Place {
        Place { shared: self.shared.clone(), progress: self.progress.clone() }
    }

    /// Appends FLV to `out`, about `size` bytes at most; a tag is never cut.
    pub fn take(&mut self, size: usize, out: &mut Vec<Bytes>) -> Taken {
        let ring = self.shared.lock();
        let mut writer = Writer::default();
        if let State::Waiting { was_first } = self.state {
            let back = match self.pace {
                Pace::Behind(back) => back.as_millis() as u64,
                Pace::Live | Pace::Patient if was_first => u64::MAX,
                Pace::Live | Pace::Patient => 0,
            };
            let Some(opening) = ring.opening_before(back) else {
                return if ring.is_over { Taken::Over } else { Taken::UpToDate };
            };
            self.state = begin(&ring, opening, &mut writer);
            if self.pace == Pace::Live {
                // The group of pictures that it begins with may be longer.
                let longest = ring.lag_of(opening.number).unwrap_or(0) + MAX_LAG_MS;
                self.progress.longest_lag.store(longest, Ordering::Relaxed);
            }
        }
        let State::Watching { next, zero, since, .. } = &mut self.state else {
            return Taken::UpToDate;
        };
        self.progress.next.store(*next, Ordering::Relaxed);
        if self.progress.has_lagged(&ring) {
            return Taken::Lagged;
        }
        let until = match self.pace {
            Pace::Behind(_) => (since.elapsed() + LEAD).as_millis() as u64,
            Pace::Live | Pace::Patient => u64::MAX,
        };
        let mut taken = Taken::UpToDate;
        while let Some(shown) = ring.get(*next) {
            if writer.size >= size {
                taken = Taken::More;
                break;
            }
            if shown.time.saturating_sub(*zero) > until {
                taken = Taken::Early;
                break;
            }
            *next += 1;
            writer.put(shown, *zero);
        }
        self.progress.next.store(*next, Ordering::Relaxed);
        let is_over = ring.is_over && taken == Taken::UpToDate;
        drop(ring);
        writer.finish(out);
        if is_over { Taken::Over } else { taken }
    }

    /// Which tracks the header promised that was taken, and which there turned out to be.
    pub fn promised(&self) -> Option<(Tracks, Tracks)> {
        let known = self.shared.lock().tracks;
        match self.state {
            State::Waiting { .. } => None,
            State::Watching { promised, .. } => Some((promised, known)),
        }
    }
}

fn begin(ring: &Ring, opening: &Opening, writer: &mut Writer) -> State {
    writer.small.extend_from_slice(&file_header(ring.tracks));
    for header in opening.headers.tags() {
        let mut bytes = Vec::new();
        put_tag_at(&mut bytes, header, 0);
        writer.small.extend_from_slice(&bytes);
    }
    let (next, zero) = (opening.number, opening.zero);
    State::Watching { next, zero, promised: ring.tracks, since: Instant::now() }
}

/// Small things in one piece, large ones shared.
#[derive(Debug, Default)]
struct Writer {
    done: Vec<Bytes>,
    small: BytesMut,
    size: usize,
}

impl Writer {
    fn put(&mut self, shown: &super::Shown, zero: u64) {
        // What is a little earlier than the beginning comes with it.
        let timestamp = shown.time.saturating_sub(zero) as u32;
        let payload = &shown.tag.payload;
        self.small.extend_from_slice(&tag_header(&shown.tag, timestamp));
        if payload.len() < SHARED_FROM {
            self.small.extend_from_slice(payload);
        } else {
            self.done.push(self.small.split().freeze());
            self.done.push(payload.clone());
        }
        self.small.extend_from_slice(&tag_trailer(&shown.tag));
        self.size += TAG_HEADER_LEN + payload.len() + 4;
    }

    fn finish(mut self, out: &mut Vec<Bytes>) {
        out.append(&mut self.done);
        if !self.small.is_empty() {
            out.push(self.small.freeze());
        }
    }
}
