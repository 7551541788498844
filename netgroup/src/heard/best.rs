//! Whom a member should be connected to, of those heard of.

use std::time::Duration;

use rand::{RngExt, rngs::StdRng};
use rtmfp::crypto::PeerId;

use super::{Heard, HeardList};
use crate::ring::GroupAddress;

/// Nearest neighbours on the ring, on each side.
pub(crate) const NEAREST_A_SIDE: usize = 3;
pub(crate) const LOWEST_LATENCY: usize = 6;

impl HeardList {
    /// The nearest to a position on the ring, on each side, of those wanted.
    pub fn nearest<'a>(
        &'a self,
        of: &PeerId,
        a_side: usize,
        is_wanted: impl Fn(&Heard) -> bool + Copy + 'a,
    ) -> Vec<&'a Heard> {
        let center = GroupAddress::of(of);
        let of = *of;
        let is_other = move |heard: &&Heard| heard.peer != of && is_wanted(heard);
        let mut nearest: Vec<&Heard> = self.above(&center).filter(is_other).take(a_side).collect();
        for heard in self.below(&center).filter(is_other).take(a_side) {
            if nearest.iter().all(|other| other.peer != heard.peer) {
                nearest.push(heard);
            }
        }
        nearest
    }

    /// One at half the ring's length, one at a quarter, and so on: each the next from there that is
    /// wanted.
    pub fn at_distances<'a>(
        &'a self,
        of: &PeerId,
        is_wanted: impl Fn(&Heard) -> bool + Copy + 'a,
    ) -> impl Iterator<Item = &'a Heard> {
        /// Distances below the nearest neighbours' bring nothing new.
        const OCTAVES: u32 = 20;
        /// A sparse octave is not looked through to its end.
        const LOOK: usize = 8;
        let center = GroupAddress::of(of);
        (1..=OCTAVES).filter_map(move |octave| {
            let from = center.above(1 << (64 - octave));
            self.above(&from).take(LOOK).find(|heard| is_wanted(heard))
        })
    }

    /// Somebody, wherever.
    pub fn anybody<'a>(
        &'a self,
        rng: &mut StdRng,
        is_wanted: impl Fn(&Heard) -> bool + 'a,
    ) -> Option<&'a Heard> {
        let from = GroupAddress(std::array::from_fn(|_| rng.random()));
        self.above(&from).find(|heard| is_wanted(heard))
    }

    /// The members that `of` should be told of: the nearest on its ring, those nearest to us in
    /// time, one at random, and some at growing distances; up to `count`.
    pub fn best_for(
        &self,
        of: &PeerId,
        latencies: &[(Duration, PeerId)],
        count: usize,
        rng: &mut StdRng,
    ) -> Vec<&Heard> {
        let of_them = |heard: &Heard| heard.is_alive();
        let mut best = self.nearest(of, NEAREST_A_SIDE, of_them);
        let near = latencies.iter().filter_map(|(_, peer)| self.get(peer)).take(LOWEST_LATENCY);
        let random = self.anybody(rng, of_them);
        // In small groups distances soon bring the same again: chance fills up.
        let fill: Vec<&Heard> = (0..count).filter_map(|_| self.anybody(rng, of_them)).collect();
        for heard in near.chain(random).chain(self.at_distances(of, of_them)).chain(fill) {
            let is_new = heard.peer != *of && best.iter().all(|other| other.peer != heard.peer);
            if is_new && best.len() < count {
                best.push(heard);
            }
        }
        best
    }
}
