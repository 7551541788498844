//! One who watches: a place in the ring, and a time of its own that begins at zero.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use bytes::{Bytes, BytesMut};

use super::{Ring, Shared};
use crate::flv::{TAG_HEADER_LEN, Tracks, file_header, put_tag_at, tag_header, tag_trailer};

/// Payloads from this size on are shared with the ring, smaller ones copied into one write.
const SHARED_FROM: usize = 4096;

/// What a viewer got.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Taken {
    /// Something, or nothing for now.
    UpToDate,
    /// As much as was asked for; there is more.
    More,
    /// The programme is over, and all of it was taken.
    Over,
    /// It was too slow: what follows is lost to it.
    Lagged,
}

/// One who takes the programme at its own pace.
#[derive(Debug)]
pub struct Viewer {
    shared: Arc<Shared>,
    state: State,
    /// The number of the next tag, for those who look after it.
    next: Arc<AtomicU64>,
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
    },
}

/// Where a viewer is, for whoever looks after it.
#[derive(Debug)]
pub struct Place {
    shared: Arc<Shared>,
    next: Arc<AtomicU64>,
}

impl Place {
    /// Whether it fell out of the ring.
    pub fn is_lost(&self) -> bool {
        self.next.load(Ordering::Relaxed) < self.shared.lock().first
    }
}

impl Viewer {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        let was_first = shared.lock().openings.is_empty();
        Self {
            shared,
            state: State::Waiting { was_first },
            next: Arc::new(AtomicU64::new(u64::MAX)),
        }
    }

    /// For whoever looks after it.
    pub fn place(&self) -> Place {
        Place { shared: self.shared.clone(), next: self.next.clone() }
    }

    /// Appends FLV to `out`, about `size` bytes at most; a tag is never cut.
    pub fn take(&mut self, size: usize, out: &mut Vec<Bytes>) -> Taken {
        let ring = self.shared.lock();
        let mut writer = Writer::default();
        if let State::Waiting { was_first } = self.state {
            match begin(&ring, was_first, &mut writer) {
                Some(watching) => self.state = watching,
                None if ring.is_over => return Taken::Over,
                None => return Taken::UpToDate,
            }
        }
        let State::Watching { next, zero, .. } = &mut self.state else { return Taken::UpToDate };
        if *next < ring.first {
            return Taken::Lagged;
        }
        let mut taken = Taken::UpToDate;
        while let Some(shown) = ring.get(*next) {
            if writer.size >= size {
                taken = Taken::More;
                break;
            }
            *next += 1;
            writer.put(shown, *zero);
        }
        self.next.store(*next, Ordering::Relaxed);
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

fn begin(ring: &Ring, was_first: bool, writer: &mut Writer) -> Option<State> {
    let opening = if was_first { ring.openings.front() } else { ring.openings.back() }?;
    writer.small.extend_from_slice(&file_header(ring.tracks));
    for header in opening.headers.tags() {
        let mut bytes = Vec::new();
        put_tag_at(&mut bytes, header, 0);
        writer.small.extend_from_slice(&bytes);
    }
    Some(State::Watching { next: opening.number, zero: opening.zero, promised: ring.tracks })
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
