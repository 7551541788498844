//! Pictures and sound that come from playlists of their own, put together by time.

use std::collections::VecDeque;

use crate::{
    flv::Tag,
    remux::{Unit, to_tag},
    source::Piece,
};

/// Units that may wait for those of the other rendition.
const MAX_WAITING: usize = 20_000;

#[derive(Default)]
struct Lane {
    /// With their times; parameters have that of the frame behind them.
    units: VecDeque<(i64, Unit)>,
    is_over: bool,
    /// It waits for the other to break off too.
    is_broken: bool,
}

/// One lane a rendition.
pub struct Merge {
    lanes: Vec<Lane>,
    ready: VecDeque<Piece>,
}

impl Merge {
    /// One, or two if sound is apart.
    pub fn new(is_apart: bool) -> Self {
        let count = if is_apart { 2 } else { 1 };
        let lanes = (0..count).map(|_| Lane::default()).collect();
        Self { lanes, ready: VecDeque::new() }
    }

    /// Whether more of a rendition is of use now.
    pub fn wants(&self, lane: usize) -> bool {
        let lane = &self.lanes[lane];
        lane.units.is_empty() && !lane.is_over && !lane.is_broken
    }

    /// Whether something can be popped.
    pub fn has_more(&self) -> bool {
        !self.ready.is_empty()
    }

    /// Whether all is over and was given.
    pub fn is_over(&self) -> bool {
        self.ready.is_empty() && self.lanes.iter().all(|lane| lane.is_over && lane.units.is_empty())
    }

    /// Takes units of a rendition, a segment at a time.
    pub fn push(&mut self, lane: usize, units: Vec<Unit>) {
        self.lanes[lane].units.extend(in_time(units));
        self.advance();
    }

    /// Takes what needs no merging.
    pub fn push_tags(&mut self, begin_anew: bool, tags: Vec<Tag>) {
        self.ready.extend(begin_anew.then_some(Piece::Restart));
        self.ready.extend(tags.into_iter().map(Piece::Tag));
    }

    /// A rendition has no more.
    pub fn end(&mut self, lane: usize) {
        self.lanes[lane].is_over = true;
        self.advance();
    }

    /// What a rendition gives next has times of its own.
    pub fn break_off(&mut self, lane: usize) {
        self.lanes[lane].is_broken = true;
        self.advance();
    }

    /// The next piece.
    pub fn pop(&mut self) -> Option<Piece> {
        self.ready.pop_front()
    }

    /// Gives what is earliest, as long as no other rendition may have something earlier.
    fn advance(&mut self) {
        loop {
            if self
                .lanes
                .iter()
                .all(|lane| lane.units.is_empty() && (lane.is_broken || lane.is_over))
                && self.lanes.iter().any(|lane| lane.is_broken)
            {
                self.lanes.iter_mut().for_each(|lane| lane.is_broken = false);
                self.ready.push_back(Piece::Restart);
                return;
            }
            let is_waited_for =
                |lane: &Lane| lane.units.is_empty() && !lane.is_over && !lane.is_broken;
            let is_overfull = self.lanes.iter().any(|lane| lane.units.len() > MAX_WAITING);
            if self.lanes.iter().any(is_waited_for) && !is_overfull {
                return;
            }
            let times = self
                .lanes
                .iter()
                .enumerate()
                .filter_map(|(at, lane)| lane.units.front().map(|(time, _)| (*time, at)));
            let Some((_, lane)) = times.min() else { return };
            if let Some((time, unit)) = self.lanes[lane].units.pop_front() {
                self.ready.push_back(Piece::Tag(to_tag(&unit, time)));
            }
        }
    }
}

/// Units in the order of their times, which that of packets is only nearly.
fn in_time(units: Vec<Unit>) -> Vec<(i64, Unit)> {
    let mut next = [None; 2];
    let mut timed: Vec<(i64, Unit)> = units
        .into_iter()
        .rev()
        .map(|unit| {
            let next = &mut next[usize::from(unit.is_video())];
            if let Unit::Frame(frame) = &unit {
                *next = Some(frame.dts);
            }
            (*next, unit)
        })
        .map(|(time, unit)| (time.unwrap_or(i64::MIN), unit))
        .collect();
    timed.reverse();
    // Without a frame behind them, parameters belong to the next segment's.
    timed.sort_by_key(|(time, _)| *time);
    timed
}
