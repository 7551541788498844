//! A neighbour's part in a stream: what it has, what it gets, what it gives.

use std::time::{Duration, Instant};

use super::{
    edge::DENSITY,
    pushers::{RESIDUES, residue, residues_of},
    relay_budget::Bucket,
    takers::{Standing, Taker},
};
use crate::wire::{Availability, StreamParameters};

/// Who leaves pulls unanswered so many times in a row, at least a second apart, is a free rider.
const FREE_RIDE: u32 = 3;
const MISS_INTERVAL: Duration = Duration::from_secs(1);
/// Whoever was not asked for so long may be asked as if nothing had been.
const MISS_MEMORY: Duration = Duration::from_secs(30);
/// Who takes from us and never gave us anything is asked for something this often; who did, rarely.
const AUDIT: Duration = Duration::from_millis(400);
/// As long as it is not known how long the way to it and back takes.
const LONG_WAY: Duration = Duration::from_millis(400);
/// It is asked for one of so many that it shows last.
const AUDITED: u64 = 64;
/// What was pushed to it has arrived by then.
const AUDITED_AFTER: Duration = Duration::from_millis(1200);
const RARE_AUDIT: Duration = Duration::from_secs(120);
/// A lead is measured by so many maps.
const LEAD_MEMORY: f32 = 3.0;
/// A map says nothing of the present after this.
const FRESH: Duration = Duration::from_secs(5);
/// What it held at first is gone by then.
const FIRST_MAP_LIFETIME: Duration = Duration::from_secs(15);
const MOST_LEAD: f32 = 3000.0;

/// What was asked for may still come so long after something else was.
const STILL_COMING: Duration = Duration::from_secs(3);
/// Who is behind for so long, or by so much, gets nothing more.
const CHOKED: Duration = Duration::from_millis(1200);
const MAX_BACKLOG: usize = 8 << 20;

/// Whether it serves others, as far as we can see.
#[derive(Debug, Default)]
struct Service {
    delivered_at: Option<Instant>,
    /// Times in a row that it did not answer, and the last of them.
    misses: u32,
    missed_at: Option<Instant>,
    /// When it was last asked for something only to see whether it answers.
    audited_at: Option<Instant>,
}

#[derive(Debug, Default)]
pub(super) struct Neighbour {
    /// It made the stream: its word counts.
    pub is_source: bool,
    /// Since when it has to do with the stream.
    pub linked: Option<Instant>,
    /// How it wants the stream handled.
    pub parameters: StreamParameters,
    /// What it last said it holds.
    pub map: Availability,
    /// What it said at first, which went further back.
    first_map: Availability,
    /// Maps that it sent of something.
    maps: u32,
    /// Where it says that one should begin.
    pub entrance: Option<u64>,
    pub mapped: Option<Instant>,
    /// How far the stream has come, by its maps.
    pub claim: u64,
    /// What it claimed last, and when, if that is too far from what we know.
    doubtful: Option<(u64, Instant)>,
    /// How far it is ahead of us, in milliseconds.
    pub lead: f32,
    /// Where it says that the stream ends.
    pub end: Option<u64>,
    pub taker: Taker,
    /// Residues that we last asked it for, and until when those that we asked for before may come.
    pub asked: u8,
    asked_before: Option<(u8, Instant)>,
    /// The last fragment that it was told of, and when; and what we had then.
    pub told: u64,
    pub told_at: Option<Instant>,
    pub told_revision: u64,
    /// Residues that it asked for in vain, and was told so by a map.
    pub told_refusal: u8,
    /// Since when too much waits for it.
    pub behind_since: Option<Instant>,
    /// Bytes of fragments that wait for it.
    pub backlog: usize,
    pub rtt: Duration,
    /// Bytes that get there soon, once that is known.
    pub soon: Option<f64>,
    /// Pulls that it has not answered yet.
    pub pulls: usize,
    /// Bytes of pulls answered since little waited for it.
    pub answered: usize,
    /// What it may still pull.
    pub pulled: Bucket,
    service: Service,
}

impl Neighbour {
    /// Whether it says, or said at first, that it holds a fragment.
    pub fn has(&self, id: u64) -> bool {
        self.map.has(id) || self.first_map.has(id)
    }

    /// The earliest fragment that it may have.
    pub fn first(&self) -> u64 {
        match self.first_map.last {
            0 => self.map.first(),
            _ => self.map.first().min(self.first_map.first()),
        }
    }

    /// Takes in a map. `highest` is as far as we know the stream, at so many fragments a second.
    pub fn on_map(&mut self, now: Instant, map: Availability, highest: u64, pace: f64) {
        self.claim = self.claim.max(map.dense_up_to(DENSITY));
        let ahead = self.claim as f64 - highest as f64;
        let lead = (ahead / pace * 1000.0) as f32;
        let weight = if self.mapped.is_some() { LEAD_MEMORY } else { 1.0 };
        self.lead += (lead.clamp(-MOST_LEAD, MOST_LEAD) - self.lead) / weight;
        // The same as the first, but for what a beginner does not need.
        let is_second = self.maps == 1;
        self.maps = self.maps.saturating_add(u32::from(map.last > 0));
        if is_second && map.last == self.map.last && map.first_held() > self.map.first_held() {
            self.entrance = Some(map.first_held());
        }
        let is_old = |at: Instant| now.saturating_duration_since(at) > FIRST_MAP_LIFETIME;
        if self.linked.is_some_and(is_old) {
            self.first_map = Availability::default();
        }
        let before = std::mem::replace(&mut self.map, map);
        self.mapped = Some(now);
        self.doubtful = None;
        if is_second {
            self.first_map = before;
        }
    }

    /// It was told what we have up to `last`.
    pub fn told_of(&mut self, now: Instant, last: u64, revision: u64) {
        (self.told, self.told_at, self.told_revision) = (last, Some(now), revision);
    }

    /// What it says is too far from what we know; it counts for nothing for now.
    pub fn doubt(&mut self, now: Instant) {
        self.doubtful = Some((std::mem::take(&mut self.claim), now));
        self.map = Availability::default();
    }

    /// What it claimed lately though it was doubted.
    pub fn doubted(&self, now: Instant) -> Option<u64> {
        let is_fresh = |at: Instant| now.saturating_duration_since(at) < FRESH;
        self.doubtful.filter(|(_, at)| is_fresh(*at)).map(|(claim, _)| claim)
    }

    /// What was doubted is true.
    pub fn believe(&mut self, now: Instant) {
        if let Some(claim) = self.doubted(now) {
            self.claim = claim;
        }
        self.doubtful = None;
    }

    /// It is asked for these residues from now on.
    pub fn ask(&mut self, now: Instant, mask: u8) {
        let lately =
            self.asked_before.filter(|(_, until)| *until > now).map_or(0, |(mask, _)| mask);
        self.asked_before = Some((lately | self.asked, now + STILL_COMING));
        self.asked = mask;
    }

    /// Whether it was asked for these residues, now or shortly before.
    pub fn is_asked(&self, now: Instant, mask: u8) -> bool {
        let lately =
            self.asked_before.filter(|(_, until)| *until > now).map_or(0, |(mask, _)| mask);
        (self.asked | lately) & mask != 0
    }

    /// What it said it holds is of now.
    pub fn is_fresh(&self, now: Instant) -> bool {
        self.mapped.is_some_and(|at| now.saturating_duration_since(at) < FRESH)
    }

    /// Nothing more is sent to it: it has long been behind, or too much waits for it. A large
    /// message that comes at once is neither.
    pub fn is_choked(&self, now: Instant) -> bool {
        let is_behind = |since: Instant| now.saturating_duration_since(since) >= CHOKED;
        self.behind_since.is_some_and(is_behind) || self.backlog > MAX_BACKLOG
    }

    /// It gave a fragment.
    pub fn serve(&mut self, now: Instant) {
        self.service.delivered_at = Some(now);
        self.service.misses = 0;
    }

    /// It did not answer a pull in time.
    pub fn miss(&mut self, now: Instant) {
        let is_counted = |at: Instant| now.saturating_duration_since(at) >= MISS_INTERVAL;
        if self.service.missed_at.is_none_or(is_counted) {
            self.service.missed_at = Some(now);
            self.service.misses += 1;
        }
    }

    /// What it left unanswered long ago is forgotten: it may have been busy.
    pub fn forgive(&mut self, now: Instant) {
        let is_old = |at: Instant| now.saturating_duration_since(at) > MISS_MEMORY;
        if self.service.missed_at.is_some_and(is_old) {
            self.service.misses = 0;
        }
    }

    /// How often in a row it did not answer.
    pub fn misses(&self) -> u32 {
        self.service.misses
    }

    /// What to ask it for now, to see if it serves others; the last time counts as a miss if
    /// nothing came since. `before`: what we pushed to it a second ago goes up to this.
    pub fn audit(&mut self, now: Instant, before: u64, holds: impl Fn(u64) -> bool) -> Option<u64> {
        let since =
            |at: Option<Instant>| at.map_or(Duration::MAX, |at| now.saturating_duration_since(at));
        let Service { delivered_at, audited_at, misses, .. } = self.service;
        let way = if self.rtt.is_zero() { LONG_WAY } else { self.rtt };
        let is_proven = delivered_at.is_some() && misses == 0;
        let interval = if is_proven { RARE_AUDIT } else { AUDIT + way * 3 / 2 };
        if since(audited_at) < interval || since(delivered_at) < interval {
            return None;
        }
        let id = self.must_have(now, before, holds)?;
        if audited_at.is_some_and(|at| delivered_at.is_none_or(|delivered| delivered < at)) {
            self.miss(now);
        }
        self.service.audited_at = Some(now);
        Some(id)
    }

    /// A fragment that it shows of the residues that it wants of us, or that it got of us. What we
    /// do not hold ourselves would not be taken of it.
    fn must_have(&self, now: Instant, before: u64, holds: impl Fn(u64) -> bool) -> Option<u64> {
        let is_wanted = |id: &u64| self.taker.wants >> residue(*id) & 1 == 1;
        let latest = (self.map.last.saturating_sub(AUDITED)..=self.map.last).rev();
        let mut shown = latest.filter(is_wanted).filter(|id| self.map.has(*id) && holds(*id));
        if let Some(id) = shown.next().filter(|_| self.is_fresh(now)) {
            return Some(id);
        }
        let residue = residues_of(self.taker.gets).next()?;
        let is_settled = self.taker.since(residue).is_some_and(|at| at + AUDITED_AFTER < now);
        let id = before.checked_sub((before + RESIDUES as u64 - residue as u64) % RESIDUES as u64);
        id.filter(|id| is_settled && *id > 0)
    }

    /// How it comes off when places are given.
    pub fn standing(&self) -> Standing {
        match (self.seems_to_give_nothing(), self.service.delivered_at) {
            (true, _) => Standing::GivesNothing,
            (false, Some(_)) => Standing::Gives,
            (false, None) => Standing::Unknown,
        }
    }

    /// It is a free rider, or was asked for something and never gave anything: others come first.
    pub fn seems_to_give_nothing(&self) -> bool {
        let has_given_nothing = self.service.delivered_at.is_none() && self.service.misses > 0;
        has_given_nothing || self.is_free_rider()
    }

    /// It takes from others and gives nothing.
    pub fn is_free_rider(&self) -> bool {
        self.service.misses >= FREE_RIDE
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(first: u64, last: u64) -> Availability {
        Availability::of(first, last, |_| u64::MAX)
    }

    #[test]
    fn only_the_second_map_says_where_to_begin() {
        let start = Instant::now();
        let at = |second| start + Duration::from_secs(second);
        let mut other = Neighbour { linked: Some(start), ..Neighbour::default() };
        other.on_map(at(1), map(1, 100), 100, 20.0);
        other.on_map(at(1), map(60, 100), 100, 20.0);
        assert_eq!(other.entrance, Some(60));
        let mut other = Neighbour { linked: Some(start), ..Neighbour::default() };
        for (second, first, last) in [(1, 1, 100), (2, 1, 120), (20, 300, 500), (21, 372, 500)] {
            other.on_map(at(second), map(first, last), last, 20.0);
        }
        assert_eq!(other.entrance, None);
    }

    #[test]
    fn what_was_held_at_first_is_gone_after_a_while() {
        let start = Instant::now();
        let mut other = Neighbour { linked: Some(start), ..Neighbour::default() };
        other.on_map(start, map(1, 100), 100, 20.0);
        other.on_map(start, map(60, 100), 100, 20.0);
        assert!(other.has(10));
        other.on_map(start + FIRST_MAP_LIFETIME * 2, map(400, 500), 500, 20.0);
        assert!(!other.has(10));
    }
}
