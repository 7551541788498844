//! One timeline for a broadcast, whatever the stamps of its tags do: 64 bits, in milliseconds.
//!
//! Sources count from anywhere, wrap at 24, 31 or 32 bits, begin anew, leap, pause for minutes,
//! store sound seconds behind the pictures, and stamp single tags with nonsense. A tag that fits
//! neither its own track nor the others is held until what follows tells which of these it was.

use std::{collections::VecDeque, time::Duration};

use crate::flv::{Tag, TagKind};

/// Where a broadcast begins, so that what belongs before its first tag has a time too.
pub const ORIGIN: u64 = 30_000;
/// Between what ends and what begins anew.
const GAP: i64 = 40;
/// A tag this near to the one before it in its own track is in its place.
const STEP: i64 = 1000;
/// Or a little before it, as pictures in the order of decoding may be.
const BACK: i64 = 300;
/// Or this far ahead of the newest of all tracks, or behind it.
const AHEAD: i64 = 1000;
const BEHIND: i64 = 5000;
/// A track that appears late, or is stored apart from the others, may be as far from them as that.
const APART: i64 = 30_000;
/// Longer than that nothing stands still: it is a leap, and not waited for.
const MAX_PAUSE: i64 = 60_000;
/// How far the time that passed may differ from what stamps say, and still explain them.
const TOLERANCE: i64 = 3000;
/// Where stamps begin again from zero; 32 bits are minded by arithmetic.
const WRAPS: [i64; 2] = [1 << 24, 1 << 31];
/// What is held before it is decided without more.
const MAX_HELD: usize = 64;
const MAX_HELD_BYTES: usize = 8 << 20;

/// A tag and its time in the broadcast.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Placed {
    /// Milliseconds since the beginning of the broadcast, less [`ORIGIN`].
    pub time: u64,
    /// The tag; its stamp is the source's.
    pub tag: Tag,
}

impl Placed {
    /// As it travels: the time modulo 2^32.
    pub fn into_tag(self) -> Tag {
        Tag { timestamp: self.time as u32, ..self.tag }
    }
}

/// Stamps in, times out. Tags come out in the order in which they went in.
#[derive(Debug, Default)]
pub struct Timeline {
    /// Sound and pictures.
    tracks: [Track; 2],
    /// The newest of all tracks.
    newest: Option<Newest>,
    held: VecDeque<(Tag, Option<Duration>)>,
    held_bytes: usize,
    ready: VecDeque<Placed>,
    /// What comes next has stamps of its own.
    is_broken: bool,
}

#[derive(Debug, Clone, Copy)]
struct Newest {
    time: i64,
    /// By the clock of a live source.
    arrived: Option<Duration>,
}

/// How a track's stamps become times.
#[derive(Debug, Default, Clone, Copy)]
struct Track {
    /// A stamp and its time.
    anchor: Option<(u32, i64)>,
    /// That is its own last tag's, not one of another track.
    is_own: bool,
}

impl Track {
    fn time(&self, stamp: u32) -> Option<i64> {
        self.anchor.map(|(from, at)| at + step(from, stamp))
    }

    /// The time of its last tag.
    fn last(&self) -> Option<i64> {
        self.anchor.filter(|_| self.is_own).map(|(_, at)| at)
    }
}

/// How a tag relates to those before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fit {
    /// In its place.
    At(i64),
    /// Out of place; its stamp would have it there.
    Off(i64),
}

/// What a tag out of place turned out to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    /// A single one; its track goes on as before.
    Stray,
    /// Its track goes on from it; the other one as before.
    TrackMoved,
    /// All goes on from it.
    AllMoved,
}

impl Timeline {
    /// Takes a tag. `arrived` is when a live source gave it, on any clock; what is read from a
    /// recording has no such time.
    pub fn push(&mut self, tag: Tag, arrived: Option<Duration>) {
        self.held_bytes += tag.payload.len();
        self.held.push_back((tag, arrived));
        self.settle(false);
    }

    /// What comes next has stamps of its own: another file, another connection. It goes on just
    /// after what there was, however long ago that is, for players stop at holes.
    pub fn break_off(&mut self) {
        self.settle(true);
        self.is_broken = true;
    }

    /// Nothing comes soon that would tell more: what is held is decided now. Whether there is
    /// something to pop.
    pub fn flush(&mut self) -> bool {
        self.settle(true);
        !self.ready.is_empty()
    }

    /// The next tag with its time.
    pub fn pop(&mut self) -> Option<Placed> {
        self.ready.pop_front()
    }

    /// Whether tags wait for what follows them.
    #[cfg(test)]
    pub fn is_holding(&self) -> bool {
        !self.held.is_empty()
    }

    /// Decides on held tags as far as what follows them tells.
    fn settle(&mut self, is_last: bool) {
        while let Some((tag, arrived)) = self.held.front() {
            let (kind, stamp, arrived) = (tag.kind, tag.timestamp, *arrived);
            if !tag.is_media() {
                let time = self.time_of_extra(kind, stamp);
                self.release(time);
                continue;
            }
            if std::mem::take(&mut self.is_broken) {
                self.begin_anew(stamp);
            }
            let (time, is_stray) = match self.fit(kind, stamp) {
                Fit::At(time) => (time, false),
                Fit::Off(time) if self.has_passed(time, arrived) => (time, false),
                Fit::Off(time) => match self.judge(kind, stamp, is_last) {
                    Some(verdict) => {
                        let is_stray = verdict == Verdict::Stray && self.track(kind).is_own;
                        (self.act(verdict, kind, stamp, time, arrived.is_some()), is_stray)
                    }
                    None => return,
                },
            };
            // The track goes on as if a stray had not been.
            if !is_stray {
                *self.track_mut(kind) = Track { anchor: Some((stamp, time)), is_own: true };
            }
            if self.newest.is_none_or(|newest| newest.time <= time) {
                self.newest = Some(Newest { time, arrived });
            }
            self.release(time);
        }
    }

    fn release(&mut self, time: i64) {
        if let Some((tag, _)) = self.held.pop_front() {
            self.held_bytes -= tag.payload.len();
            self.ready.push_back(Placed { time: time.max(0).cast_unsigned(), tag });
        }
    }

    fn track(&self, kind: TagKind) -> &Track {
        &self.tracks[usize::from(kind == TagKind::Video)]
    }

    fn track_mut(&mut self, kind: TagKind) -> &mut Track {
        &mut self.tracks[usize::from(kind == TagKind::Video)]
    }

    /// By its own track, else by the other one.
    fn time_by_tracks(&self, kind: TagKind, stamp: u32) -> Option<i64> {
        let other = if kind == TagKind::Video { TagKind::Audio } else { TagKind::Video };
        self.track(kind).time(stamp).or_else(|| self.track(other).time(stamp))
    }

    /// Where headers and scripts belong: by their stamp if that makes sense, else here.
    fn time_of_extra(&self, kind: TagKind, stamp: u32) -> i64 {
        let newest = self.newest.map_or(ORIGIN.cast_signed(), |newest| newest.time);
        self.time_by_tracks(kind, stamp)
            .filter(|time| !self.is_broken && (newest - STEP..=newest + AHEAD).contains(time))
            .unwrap_or(newest)
    }

    fn fit(&self, kind: TagKind, stamp: u32) -> Fit {
        let (Some(newest), Some(time)) = (self.newest, self.time_by_tracks(kind, stamp)) else {
            return Fit::At(ORIGIN.cast_signed());
        };
        let from_newest = time - newest.time;
        let is_in_place = match self.track(kind).last() {
            None => from_newest.abs() <= APART,
            // Back in its own track it is a beginning, however near the other one is.
            Some(last) => {
                (-BACK..=STEP).contains(&(time - last))
                    || (time > last && (-BEHIND..=AHEAD).contains(&from_newest))
            }
        };
        if is_in_place { Fit::At(time) } else { Fit::Off(time) }
    }

    /// A live source stood still for as long as its stamps say.
    fn has_passed(&self, time: i64, arrived: Option<Duration>) -> bool {
        let Some(newest) = self.newest else { return false };
        let (Some(before), Some(now)) = (newest.arrived, arrived) else { return false };
        let passed = now.saturating_sub(before).as_millis() as i64;
        time > newest.time && (time - newest.time - passed).abs() <= TOLERANCE
    }

    /// What the first of the held tags is, by those behind it; nothing until more have come.
    fn judge(&self, kind: TagKind, stamp: u32, is_last: bool) -> Option<Verdict> {
        let mut other_goes_on = false;
        for (tag, _) in self.held.iter().skip(1).filter(|(tag, _)| tag.is_media()) {
            let follows = step(stamp, tag.timestamp).abs() <= STEP;
            let goes_on = matches!(self.fit(tag.kind, tag.timestamp), Fit::At(_));
            match (tag.kind == kind, goes_on && !follows) {
                (true, true) => return Some(Verdict::Stray),
                (true, false) if other_goes_on => return Some(Verdict::TrackMoved),
                (true, false) => return Some(Verdict::AllMoved),
                (false, true) => other_goes_on = true,
                (false, false) if follows => return Some(Verdict::AllMoved),
                (false, false) => {}
            }
        }
        let is_full = self.held.len() >= MAX_HELD || self.held_bytes >= MAX_HELD_BYTES;
        let verdict = if other_goes_on { Verdict::TrackMoved } else { Verdict::AllMoved };
        (is_last || is_full).then_some(verdict)
    }

    /// Carries out a verdict; the tag's time.
    fn act(
        &mut self,
        verdict: Verdict,
        kind: TagKind,
        stamp: u32,
        time: i64,
        is_live: bool,
    ) -> i64 {
        let newest = self.newest.map_or(time, |newest| newest.time);
        let is_pause = !is_live && time > newest && time - newest <= MAX_PAUSE;
        match verdict {
            // It is the next of its track, whatever its stamp.
            Verdict::Stray => self.track(kind).last().unwrap_or(newest),
            Verdict::TrackMoved if (time - newest).abs() <= BEHIND => time,
            Verdict::TrackMoved => newest,
            Verdict::AllMoved if is_pause => time,
            Verdict::AllMoved => {
                self.begin_anew(stamp);
                self.time_by_tracks(kind, stamp).unwrap_or(newest)
            }
        }
    }

    /// All tracks count from here: the stamp is the time just after the newest.
    fn begin_anew(&mut self, stamp: u32) {
        if let Some(newest) = self.newest {
            let anchor = Some((stamp, newest.time + GAP));
            self.tracks = [Track { anchor, is_own: false }; 2];
        }
    }
}

/// From one stamp to another, over any of the places where stamps wrap.
fn step(from: u32, to: u32) -> i64 {
    let plain = i64::from(to.wrapping_sub(from).cast_signed());
    let wrapped = WRAPS.into_iter().filter(|wrap| i64::from(from) < *wrap).map(|wrap| plain + wrap);
    wrapped.into_iter().find(|step| (0..=MAX_PAUSE).contains(step)).unwrap_or(plain)
}

#[cfg(test)]
mod tests;
