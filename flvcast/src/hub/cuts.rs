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
    /// What must precede it; equal numbers, equal parameters.
    pub version: u64,
    /// The parameters.
    pub headers: StreamHeaders,
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
        if last.is_some_and(|last| opening.zero < last.time + SHORTEST_MS) {
            return;
        }
        let version = match last {
            Some(last) if has_same_parameters(&last.headers, &opening.headers) => last.version,
            Some(last) => last.version + 1,
            None => self.next,
        };
        let Opening { number, zero, headers } = opening.clone();
        self.kept.push_back(Cut { sequence: self.next, number, time: zero, version, headers });
        self.next += 1;
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

fn has_same_parameters(one: &StreamHeaders, other: &StreamHeaders) -> bool {
    let of = |headers: &StreamHeaders| -> Vec<_> {
        let parameters = headers.tags().filter(|tag| tag.is_parameters());
        parameters.map(|tag| (tag.kind, tag.payload.clone())).collect()
    };
    of(one) == of(other)
}
