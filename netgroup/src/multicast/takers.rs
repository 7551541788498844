//! Whom we push to. A residue for a neighbour is a place; how many places there are depends on
//! what our uplink was seen to carry.

use std::{
    ops::RangeInclusive,
    time::{Duration, Instant},
};

use super::pushers::{RESIDUES, residues_of};

/// A publisher pushes every residue to so many neighbours; they pass it on.
const SOURCE_TAKERS: u32 = 4;
/// A relay begins with places for twice what it receives of one stream, for all streams together.
const FIRST_PLACES: u32 = 16;
/// A relay has this many at least, whatever its uplink, and at most.
const FEWEST_PLACES: u32 = 1;
const MOST_PLACES: u32 = 256;
/// When all places are taken and nothing piles up, there are more after this: one for each of so
/// many, and one besides.
const GROWTH: Duration = Duration::from_millis(150);
const GROWING: u32 = 3;
/// And after this one more, once the uplink was seen to be full.
const CAREFUL_GROWTH: Duration = Duration::from_secs(1);
/// What is left of the places when the uplink is full.
const LESS: f64 = 0.7;
/// Fewer places show after this.
const SETTLING: Duration = Duration::from_secs(1);
/// After a place too many, none is added for this long.
const RESTRAINT: Duration = Duration::from_secs(10);

/// What a neighbour is known to do for others: who gives comes first, and who gives nothing is
/// served when nobody else wants the place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(super) enum Standing {
    Gives,
    #[default]
    Unknown,
    GivesNothing,
}

/// A neighbour's part in it.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Taker {
    /// Residues that it asks for.
    pub wants: u8,
    /// Those that it gets.
    pub gets: u8,
    /// Since when it gets each.
    since: [Option<Instant>; RESIDUES],
    /// When it asked first; those who came earlier come first.
    pub order: u64,
    pub standing: Standing,
    /// Too slow for what it gets: no more before this.
    pub shunned_until: Option<Instant>,
}

impl Taker {
    pub fn lacks(&self) -> u8 {
        self.wants & !self.gets
    }

    /// Since when it gets a residue.
    pub fn since(&self, residue: usize) -> Option<Instant> {
        self.since[residue].filter(|_| self.gets >> residue & 1 == 1)
    }

    fn take(&mut self, now: Instant, residue: usize) {
        self.gets |= 1 << residue;
        self.since[residue] = Some(now);
    }

    fn may_get_more(&self, now: Instant) -> bool {
        self.shunned_until.is_none_or(|until| until <= now)
    }
}

/// Whose places they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Owner {
    /// All residues are to leave it equally often.
    Source,
    Relay,
}

impl Owner {
    /// As few places as it may have, and as many.
    fn bounds(self) -> (u32, u32) {
        match self {
            Self::Source => (RESIDUES as u32, SOURCE_TAKERS * RESIDUES as u32),
            Self::Relay => (FEWEST_PLACES, MOST_PLACES),
        }
    }
}

/// The places.
#[derive(Debug)]
pub(super) struct Places {
    owner: Owner,
    count: u32,
    /// Streams that use the same uplink.
    sharers: u32,
    next_growth: Option<Instant>,
    next_shrink: Option<Instant>,
    was_full: bool,
}

impl Places {
    pub fn of_source() -> Self {
        Self::new(Owner::Source, SOURCE_TAKERS * RESIDUES as u32)
    }

    pub fn of_relay() -> Self {
        Self::new(Owner::Relay, FIRST_PLACES)
    }

    fn new(owner: Owner, count: u32) -> Self {
        Self { owner, count, sharers: 1, next_growth: None, next_shrink: None, was_full: false }
    }

    /// How many takers a residue may have, in one round after the other: no residue of a source gets
    /// a second taker before each has one.
    fn takers_of_a_residue(&self) -> RangeInclusive<u32> {
        match self.owner {
            Owner::Source => 1..=self.count.div_ceil(RESIDUES as u32),
            Owner::Relay => u32::MAX..=u32::MAX,
        }
    }

    pub fn count(&self) -> u32 {
        self.count
    }

    /// So many streams use the uplink: each begins with less.
    pub fn share(&mut self, streams: usize) {
        let before = self.sharers;
        self.sharers = u32::try_from(streams).unwrap_or(u32::MAX).max(1);
        let is_first = self.next_growth.is_none() && self.owner == Owner::Relay;
        if is_first && self.sharers != before {
            self.count = (FIRST_PLACES / self.sharers).max(FEWEST_PLACES);
        }
    }

    /// Gives free places to those who want them; to make room for others, who gives nothing loses
    /// its own.
    pub fn assign<'a>(&self, now: Instant, takers: impl Iterator<Item = &'a mut Taker>) {
        let mut takers: Vec<&mut Taker> =
            takers.filter(|taker| taker.wants | taker.gets != 0).collect();
        for taker in &mut takers {
            taker.gets &= taker.wants;
        }
        if takers.iter().all(|taker| taker.lacks() == 0) {
            return;
        }
        takers.sort_by_key(|taker| (taker.standing, taker.order));
        let gives_nothing = |taker: &Taker| taker.standing == Standing::GivesNothing;
        if takers.iter().any(|taker| !gives_nothing(taker) && taker.lacks() != 0) {
            takers.iter_mut().filter(|taker| gives_nothing(taker)).for_each(|taker| taker.gets = 0);
        }
        let mut taken: u32 = takers.iter().map(|taker| taker.gets.count_ones()).sum();
        let mut of_residue = [0; RESIDUES];
        for residue in takers.iter().flat_map(|taker| residues_of(taker.gets)) {
            of_residue[residue] += 1;
        }
        takers.retain(|taker| taker.may_get_more(now));
        for most in self.takers_of_a_residue() {
            for taker in &mut takers {
                for residue in residues_of(taker.lacks()) {
                    if taken < self.count && of_residue[residue] < most {
                        taker.take(now, residue);
                        taken += 1;
                        of_residue[residue] += 1;
                    }
                }
            }
        }
    }

    /// Many who get a little can do more for others than few who get all: one residue goes from who
    /// has most to somebody who has less by two.
    pub fn spread<'a>(&self, now: Instant, takers: impl Iterator<Item = &'a mut Taker>) {
        let mut takers: Vec<&mut Taker> = takers.filter(|taker| taker.wants != 0).collect();
        takers.sort_by_key(|taker| (taker.gets.count_ones(), taker.order));
        for poor in 0..takers.len() {
            let has = takers[poor].gets.count_ones();
            if takers[poor].standing == Standing::GivesNothing || takers[poor].lacks() == 0 {
                continue;
            }
            for rich in (poor + 1..takers.len()).rev() {
                let common = takers[rich].gets & takers[poor].lacks();
                if takers[rich].gets.count_ones() < has + 2 {
                    break;
                }
                if let Some(residue) = residues_of(common).next() {
                    takers[rich].gets &= !(1 << residue);
                    takers[poor].take(now, residue);
                    return;
                }
            }
        }
    }

    /// More places while the uplink bears them and all are taken.
    pub fn grow(&mut self, now: Instant, taken: u32) {
        let (_, most) = self.owner.bounds();
        if taken < self.count || self.count >= most {
            return;
        }
        if self.next_growth.is_none_or(|at| at <= now) {
            let more = if self.was_full { 1 } else { 1 + self.count / GROWING };
            self.count = (self.count + more).min(most);
            let pause = if self.was_full { CAREFUL_GROWTH } else { GROWTH };
            self.next_growth = Some(now + pause);
        }
    }

    /// Whether there may be one more shortly.
    pub fn grows_soon(&self, now: Instant) -> bool {
        let (_, most) = self.owner.bounds();
        self.count < most && self.next_growth.is_none_or(|at| at <= now + GROWTH)
    }

    /// The uplink does not bear what is `taken`; the last step's effect is waited for.
    pub fn shrink(&mut self, now: Instant, taken: u32) {
        let is_settling = self.next_shrink.is_some_and(|at| at > now);
        if !is_settling {
            let (fewest, most) = self.owner.bounds();
            self.next_shrink = Some(now + SETTLING);
            self.was_full = true;
            let less = (f64::from(taken) * LESS) as u32;
            self.count = less.clamp(fewest, most);
            self.next_growth = Some(now + RESTRAINT);
        }
    }
}

impl Taker {
    /// Takes a residue from it that somebody else keeps.
    pub fn lose(&mut self, residue: usize) {
        self.gets &= !(1 << residue);
    }

    /// Takes a place from a neighbour that is too slow.
    pub fn shed(&mut self, now: Instant) {
        if let Some(residue) = residues_of(self.gets).last() {
            self.gets &= !(1 << residue);
        }
        self.shun(now);
    }

    /// It gets no more for a while.
    pub fn shun(&mut self, now: Instant) {
        self.shunned_until = Some(now + RESTRAINT);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taker(order: u64, wants: u8) -> Taker {
        Taker { wants, order, ..Taker::default() }
    }

    #[test]
    fn a_source_serves_each_residue_equally_and_the_first_first() {
        let now = Instant::now();
        let mut takers: Vec<_> = (0..10).map(|order| taker(order, 0xff)).collect();
        let places = Places::of_source();
        places.assign(now, takers.iter_mut());
        for (index, taker) in takers.iter().enumerate() {
            assert_eq!(taker.gets, if index < 4 { 0xff } else { 0 });
        }
        takers[0].wants = 0x0f;
        places.assign(now, takers.iter_mut());
        assert_eq!((takers[0].gets, takers[4].gets), (0x0f, 0xf0));
    }

    #[test]
    fn a_source_with_little_uplink_serves_each_residue_once_at_least() {
        let (mut places, mut now) = (Places::of_source(), Instant::now());
        for _ in 0..10 {
            now += SETTLING;
            places.shrink(now, places.count());
        }
        assert_eq!(places.count(), RESIDUES as u32);
        let mut takers: Vec<_> = (0..10).map(|order| taker(order, 0xff)).collect();
        places.assign(now, takers.iter_mut());
        assert_eq!(takers.iter().map(|taker| taker.gets).collect::<Vec<_>>()[..2], [0xff, 0]);
        for step in 0..100 {
            places.grow(now + RESTRAINT + CAREFUL_GROWTH * step, places.count());
        }
        assert_eq!(places.count(), SOURCE_TAKERS * RESIDUES as u32);
    }

    #[test]
    fn a_source_serves_many_rather_than_few() {
        let now = Instant::now();
        let places = Places::of_source();
        let mut takers: Vec<_> = (0..12).map(|order| taker(order, 0xff)).collect();
        places.assign(now, takers.iter_mut());
        for _ in 0..100 {
            places.spread(now, takers.iter_mut());
        }
        let counts: Vec<u32> = takers.iter().map(|taker| taker.gets.count_ones()).collect();
        assert!(counts.iter().all(|count| (2..=3).contains(count)), "{counts:?}");
        for residue in 0..RESIDUES {
            let count = takers.iter().filter(|taker| taker.gets >> residue & 1 == 1).count();
            assert_eq!(count, 4);
        }
    }

    #[test]
    fn free_riders_get_what_nobody_else_wants() {
        let now = Instant::now();
        let mut takers = [taker(0, 0xff), taker(1, 0xff), taker(2, 0xff)];
        takers[0].standing = Standing::GivesNothing;
        let places = Places::of_relay();
        places.assign(now, takers.iter_mut());
        let counts = |takers: &[Taker]| -> Vec<u32> {
            takers.iter().map(|taker| taker.gets.count_ones()).collect()
        };
        assert_eq!(counts(&takers), [0, 8, 8]);
        takers[1].wants = 0x0f;
        places.assign(now, takers.iter_mut());
        assert_eq!(counts(&takers), [FIRST_PLACES - 12, 4, 8]);
    }

    #[test]
    fn places_follow_what_the_uplink_bears() {
        let (mut places, now) = (Places::of_relay(), Instant::now());
        let start = places.count();
        places.grow(now, start);
        assert!(places.count() > start + 1, "quickly, while it never was full");
        let grown = places.count();
        places.grow(now + GROWTH / 2, grown);
        places.grow(now + GROWTH, grown - 1);
        assert_eq!(places.count(), grown);
        places.shrink(now + GROWTH, 10);
        assert_eq!(places.count(), 7);
        places.shrink(now + GROWTH * 2, 7);
        assert_eq!(places.count(), 7, "the last step's effect is waited for");
        places.grow(now + GROWTH * 2, 7);
        assert_eq!(places.count(), 7);
        let rested = now + RESTRAINT * 2;
        places.grow(rested, 7);
        places.grow(rested + GROWTH, 8);
        assert_eq!(places.count(), 8, "carefully, after it was full");
        places.grow(rested + CAREFUL_GROWTH, 8);
        assert_eq!(places.count(), 9);
    }
    #[test]
    fn streams_share_what_an_uplink_is_trusted_with_at_first() {
        let (mut places, now) = (Places::of_relay(), Instant::now());
        places.share(3);
        assert_eq!(places.count(), FIRST_PLACES / 3);
        places.share(1);
        assert_eq!(places.count(), FIRST_PLACES);
        places.grow(now, FIRST_PLACES);
        let grown = places.count();
        places.share(4);
        assert_eq!(places.count(), grown, "what it was seen to bear stays");
        let mut source = Places::of_source();
        source.share(4);
        assert_eq!(source.count(), SOURCE_TAKERS * RESIDUES as u32);
    }
}
