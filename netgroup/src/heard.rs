//! The heard list: members known, connected or not.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use rand::{rngs::StdRng, seq::IteratorRandom};
use rtmfp::{
    crypto::PeerId,
    wire::{Address, Origin},
};

use crate::ring::{GroupAddress, estimate_members};

/// A member not heard of for this long is forgotten, and older news is not believed.
pub(crate) const EXPIRY: Duration = Duration::from_secs(300);
/// A member that could not be reached is not tried again before this.
const DEAD_FOR: Duration = Duration::from_secs(30);
const MAX_MEMBERS: usize = 4096;
/// Addresses kept of one member, its relay apart.
const MAX_ADDRESSES: usize = 7;
/// Nearest neighbours on the ring, on each side.
const NEAREST_A_SIDE: usize = 3;
const LOWEST_LATENCY: usize = 6;

/// What is known of a member.
#[derive(Debug, Clone)]
pub(crate) struct Heard {
    pub peer: PeerId,
    pub addresses: Vec<Address>,
    pub at: Instant,
}

impl Heard {
    /// New knowledge of where it is; a new relay replaces the old.
    fn learn(&mut self, addresses: &[Address]) {
        for address in addresses.iter().filter(|address| address.is_connectable()) {
            if address.origin == Origin::Relay {
                self.addresses.retain(|known| known.origin != Origin::Relay);
                self.addresses.insert(0, *address);
            } else if !self.addresses.contains(address) && self.addresses.len() <= MAX_ADDRESSES {
                self.addresses.push(*address);
            }
        }
    }
}

/// Members by group address, ourselves excluded.
#[derive(Debug)]
pub(crate) struct HeardList {
    own: PeerId,
    own_address: GroupAddress,
    members: BTreeMap<GroupAddress, Heard>,
    dead: BTreeMap<PeerId, Instant>,
}

impl HeardList {
    pub fn new(own: PeerId) -> Self {
        let own_address = GroupAddress::of(&own);
        Self { own, own_address, members: BTreeMap::new(), dead: BTreeMap::new() }
    }

    /// Takes in news of a member. True if it is a new one.
    pub fn hear(&mut self, at: Instant, peer: PeerId, addresses: &[Address]) -> bool {
        if peer == self.own || (self.members.len() >= MAX_MEMBERS && !self.knows(&peer)) {
            return false;
        }
        let mut is_new = false;
        let heard = self.members.entry(GroupAddress::of(&peer)).or_insert_with(|| {
            is_new = true;
            Heard { peer, addresses: Vec::new(), at }
        });
        heard.at = heard.at.max(at);
        heard.learn(addresses);
        is_new
    }

    pub fn knows(&self, peer: &PeerId) -> bool {
        self.members.contains_key(&GroupAddress::of(peer))
    }

    pub fn get(&self, peer: &PeerId) -> Option<&Heard> {
        self.members.get(&GroupAddress::of(peer))
    }

    /// It is connected and well.
    pub fn revive(&mut self, peer: &PeerId) {
        self.dead.remove(peer);
    }

    /// It could not be reached, or is gone.
    pub fn bury(&mut self, now: Instant, peer: &PeerId) {
        self.members.remove(&GroupAddress::of(peer));
        if self.dead.len() < MAX_MEMBERS {
            self.dead.insert(*peer, now);
        }
    }

    pub fn is_dead(&self, now: Instant, peer: &PeerId) -> bool {
        self.dead.get(peer).is_some_and(|at| now.saturating_duration_since(*at) < DEAD_FOR)
    }

    pub fn expire(&mut self, now: Instant, is_connected: impl Fn(&PeerId) -> bool) {
        self.members.retain(|_, heard| {
            is_connected(&heard.peer) || now.saturating_duration_since(heard.at) < EXPIRY
        });
        self.dead.retain(|_, at| now.saturating_duration_since(*at) < DEAD_FOR);
    }

    /// Likely size of the group, ourselves included.
    pub fn estimate(&self) -> u64 {
        let others: Vec<_> = self.members.keys().copied().collect();
        estimate_members(&self.own_address, &others)
    }

    /// The neighbours that `of` should have: the nearest on its ring, the nearest in time, one at
    /// random, and some at growing distances. `latencies` are of those connected.
    pub fn best_for(
        &self,
        of: &PeerId,
        latencies: &[(Duration, PeerId)],
        rng: &mut StdRng,
    ) -> Vec<PeerId> {
        let center = GroupAddress::of(of);
        let ring: Vec<PeerId> = self
            .members
            .range(center..)
            .chain(self.members.range(..center))
            .map(|(_, heard)| heard.peer)
            .filter(|peer| peer != of)
            .collect();
        if ring.len() <= 2 * NEAREST_A_SIDE {
            return ring;
        }
        let mut best: Vec<PeerId> = ring[..NEAREST_A_SIDE].to_vec();
        best.extend(&ring[ring.len() - NEAREST_A_SIDE..]);
        let mut add = |peer: PeerId| {
            let is_news = !best.contains(&peer);
            if is_news {
                best.push(peer);
            }
            is_news
        };
        let mut by_latency = latencies.to_vec();
        by_latency.sort_unstable();
        let near = by_latency.iter().filter(|(_, peer)| ring.contains(peer));
        near.take(LOWEST_LATENCY).for_each(|(_, peer)| {
            add(*peer);
        });
        if let Some(peer) = ring.iter().choose(rng) {
            add(*peer);
        }
        let target = (self.estimate().max(1).ilog2() as usize + 13).min(ring.len());
        let mut distance = ring.len();
        for _ in best.len()..target {
            distance = (distance / 2).max(1);
            let mut at = distance % ring.len();
            for _ in 0..ring.len() {
                if !best.contains(&ring[at]) {
                    best.push(ring[at]);
                    break;
                }
                at = (at + 1) % ring.len();
            }
        }
        best
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;

    #[test]
    fn best_lists_hold_ring_neighbours_and_have_the_right_size() {
        let (now, own) = (Instant::now(), PeerId([255; 32]));
        let mut list = HeardList::new(own);
        for seed in 0..200u8 {
            list.hear(now, PeerId([seed; 32]), &[]);
        }
        let best = list.best_for(&own, &[], &mut StdRng::seed_from_u64(1));
        assert!((18..=22).contains(&best.len()), "{}", best.len());
        let mut unique = best.clone();
        unique.sort();
        unique.dedup();
        assert_eq!(unique.len(), best.len());
        let center = GroupAddress::of(&own);
        let above = list.members.range(center..).chain(list.members.range(..center));
        assert!(above.take(3).all(|(_, heard)| best.contains(&heard.peer)));
    }

    #[test]
    fn we_are_not_on_our_own_list_and_the_dead_stay_dead_a_while() {
        let (now, own, other) = (Instant::now(), PeerId([1; 32]), PeerId([2; 32]));
        let mut list = HeardList::new(own);
        assert!(
            !list.hear(now, own, &[]) && list.hear(now, other, &[]) && !list.hear(now, other, &[])
        );
        assert_eq!(list.estimate(), 2);
        list.bury(now, &other);
        assert!(list.is_dead(now, &other) && !list.knows(&other));
        assert!(!list.is_dead(now + DEAD_FOR, &other));
    }
}
