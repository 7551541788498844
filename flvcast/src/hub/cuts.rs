//! Where segments of HLS begin: at openings, two seconds apart or more, each with a number of its
//! own for ever.

use std::collections::VecDeque;

use super::Opening;
use crate::headers::StreamHeaders;

/// Shorter segments are not worth a request.
const SHORTEST_MS: u64 = 1900;

/// The beginning of a segment.
#[derive(Debug, Clone)]
pub struct Cut {
    /// Counts from 0.
    pub sequence: u64,
    /// The first tag's number.
    pub number: u64,
    /// Its time.
    pub time: u64,
    /// Of the initialisation: the same number, the same tracks and parameters.
    pub version: u64,
    /// The parameters.
    pub headers: StreamHeaders,
    /// There is sound in MP3, which has no parameters.
    pub has_mp3: bool,
}

/// Those that are kept.
#[derive(Debug, Default)]
pub(super) struct Cuts {
    kept: VecDeque<Cut>,
    next: u64,
}

impl Cuts {
    /// One can begin here.
    pub fn note(&mut self, opening: &Opening) {
        let last = self.kept.back();
        let is_same = |last: &Cut| last.headers.has_same_parameters(&opening.headers);
        if last.is_some_and(|last| is_same(last) && opening.zero < last.time + SHORTEST_MS) {
            return;
        }
        let version = match last {
            Some(last) if is_same(last) => last.version,
            Some(last) => last.version + 1,
            None => self.next,
        };
        let has_mp3 = last.is_some_and(|last| last.version == version && last.has_mp3);
        let Opening { number, zero: time, headers } = opening.clone();
        let sequence = self.next;
        self.kept.push_back(Cut { sequence, number, time, version, headers, has_mp3 });
        self.next += 1;
    }

    /// Sound in MP3 came. The segment that it is in was told to nobody yet.
    pub fn note_mp3(&mut self) {
        let mut latest = self.kept.iter_mut().rev();
        let Some(cut) = latest.next().filter(|cut| !cut.has_mp3) else { return };
        cut.has_mp3 = true;
        let is_told = latest.next().is_some_and(|before| before.version == cut.version);
        cut.version += u64::from(is_told);
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
