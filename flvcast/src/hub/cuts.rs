//! Where segments of HLS begin: at openings, two seconds apart or more, each with a number of its
//! own for ever.

use std::collections::VecDeque;

use super::Opening;
use crate::headers::StreamHeaders;

/// Shorter segments are not worth a request.
const SHORTEST_MS: u64 = 1900;

/// A silence of so long is none of a segment's: it ends before, and what follows is discontinuous.
pub const PAUSE_MS: u64 = 3000;
/// Segments that a playlist names: ten minutes of them, three times.
const MAX_CUTS: usize = 1000;
/// What comes last before it is shown for so long.
const LAST_MS: u64 = 40;

/// The beginning of a segment.
#[derive(Debug, Clone)]
pub struct Cut {
    /// Counts from 0.
    pub sequence: u64,
    /// The first tag's number.
    pub number: u64,
    /// Its time.
    pub time: u64,
    /// Where the segment ends, if it is before the next one begins.
    pub until: Option<u64>,
    /// Of the initialisation: the same number, the same tracks and parameters.
    pub version: u64,
    /// How many times something broke off before.
    pub discontinuity: u64,
    /// The parameters.
    pub headers: StreamHeaders,
    /// There is sound in MP3, which has no parameters.
    pub has_mp3: bool,
}

/// Those that are kept.
#[derive(Debug, Default)]
pub(super) struct Cuts {
    kept: VecDeque<Cut>,
    /// The next one's numbers.
    sequence: u64,
    version: u64,
    discontinuity: u64,
}

impl Cuts {
    /// One can begin here.
    pub fn note(&mut self, opening: &Opening) {
        let last = self.kept.back();
        let is_same = last.is_some_and(|last| last.headers.has_same_parameters(&opening.headers));
        let has_broken = last.is_some_and(|last| last.until.is_some());
        let is_early = last.is_some_and(|last| opening.zero < last.time + SHORTEST_MS);
        if is_same && !has_broken && is_early {
            return;
        }
        if self.sequence > 0 {
            self.version += u64::from(!is_same);
            self.discontinuity += u64::from(!is_same || has_broken);
        }
        let (version, discontinuity) = (self.version, self.discontinuity);
        let has_mp3 = last.is_some_and(|last| last.version == version && last.has_mp3);
        let Opening { number, zero: time, headers } = opening.clone();
        let (sequence, until) = (self.sequence, None);
        self.sequence += 1;
        self.kept.push_back(Cut {
            sequence,
            number,
            time,
            until,
            version,
            discontinuity,
            headers,
            has_mp3,
        });
        if self.kept.len() > MAX_CUTS {
            self.kept.pop_front();
        }
    }

    /// Nothing came between these times, and one can begin at the second.
    pub fn note_pause(&mut self, from: u64, to: u64) {
        if let Some(last) = self.kept.back_mut().filter(|_| to >= from + PAUSE_MS) {
            last.until = Some((from + LAST_MS).max(last.time + 1));
        }
    }

    /// Sound in MP3 came. The segment that it is in was told to nobody yet.
    pub fn note_mp3(&mut self) {
        let before = self.kept.iter().rev().nth(1).map(|cut| (cut.version, cut.discontinuity));
        let Some(cut) = self.kept.back_mut().filter(|cut| !cut.has_mp3) else { return };
        cut.has_mp3 = true;
        let Some((version, discontinuity)) = before.filter(|(version, _)| *version == cut.version)
        else {
            return;
        };
        (self.version, cut.version) = (version + 1, version + 1);
        if discontinuity == cut.discontinuity {
            (self.discontinuity, cut.discontinuity) = (discontinuity + 1, discontinuity + 1);
        }
    }

    /// What is before this number is not kept any more.
    pub fn forget_before(&mut self, first: u64) {
        while self.kept.front().is_some_and(|cut| cut.number < first) {
            self.kept.pop_front();
        }
    }

    /// All of them, the oldest first.
    pub fn kept(&self) -> &VecDeque<Cut> {
        &self.kept
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flv::{Tag, TagKind};

    fn cuts(openings: &[(u64, u8)]) -> Vec<(u64, u64)> {
        let mut cuts = Cuts::default();
        for (index, (zero, parameter)) in openings.iter().enumerate() {
            let payload = bytes::Bytes::from(vec![0x17, 0, 0, 0, 0, *parameter]);
            let mut headers = StreamHeaders::default();
            headers.note(&Tag { kind: TagKind::Video, timestamp: 0, payload });
            cuts.note(&Opening { number: index as u64, zero: *zero, headers });
        }
        cuts.kept().iter().map(|cut| (cut.time, cut.version)).collect()
    }

    #[test]
    fn segments_are_two_seconds_or_more_but_where_parameters_change() {
        assert_eq!(cuts(&[(0, 1), (500, 1), (2000, 1)]), [(0, 0), (2000, 0)]);
        assert_eq!(cuts(&[(0, 1), (500, 2), (600, 2), (3000, 1)]), [(0, 0), (500, 1), (3000, 2)]);
    }

    #[test]
    fn a_pause_is_in_no_segment() {
        let mut cuts = Cuts::default();
        let opening = |number, zero| Opening { number, zero, headers: StreamHeaders::default() };
        cuts.note(&opening(0, 0));
        cuts.note_pause(1960, 2000);
        cuts.note(&opening(1, 2000));
        cuts.note_pause(2400, 60_000);
        cuts.note(&opening(2, 60_000));
        cuts.note(&opening(3, 62_000));
        let seen: Vec<_> =
            cuts.kept().iter().map(|cut| (cut.until, cut.version, cut.discontinuity)).collect();
        assert_eq!(seen, [(None, 0, 0), (Some(2440), 0, 0), (None, 0, 1), (None, 0, 1)]);
        cuts.forget_before(9);
        cuts.note(&opening(9, 99_000));
        let cut = &cuts.kept()[0];
        assert_eq!((cut.sequence, cut.version, cut.discontinuity), (4, 1, 2), "nothing twice");
    }

    #[test]
    fn sound_without_parameters_that_begins_late_is_a_new_version() {
        let mut cuts = Cuts::default();
        let opening = |number, zero| Opening { number, zero, headers: StreamHeaders::default() };
        cuts.note(&opening(0, 0));
        cuts.note(&opening(1, 2000));
        cuts.note_mp3();
        cuts.note_mp3();
        cuts.note(&opening(2, 4000));
        let seen: Vec<_> = cuts.kept().iter().map(|cut| (cut.version, cut.has_mp3)).collect();
        assert_eq!(seen, [(0, false), (1, true), (1, true)]);
    }
}
