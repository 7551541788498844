//! The heard list: members known, connected or not. It is bounded; the nearest on the ring and
//! those who proved themselves have their places in it, and nobody can fill it by hearsay.

mod best;
mod member;

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use rtmfp::{crypto::PeerId, wire::Address};

use crate::ring::{GroupAddress, density};
pub(crate) use best::{LOWEST_LATENCY, NEAREST_A_SIDE};
pub(crate) use member::{Heard, Informant};

/// A member not heard of for this long is forgotten, and older news is not believed.
pub(crate) const EXPIRY: Duration = Duration::from_secs(300);
const MAX_MEMBERS: usize = 512;
/// Those so near on the ring, on each side, are kept before all others.
const KEPT_A_SIDE: usize = 16;
/// Members that one informant may have told of alone.
const QUOTA: usize = 64;
/// Members on each side from which the size of the group is estimated.
const MEASURED_A_SIDE: usize = 8;
/// Groups up to this size are heard of whole.
const COUNTABLE: usize = 32;

/// How many members a group has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Size {
    pub members: u64,
    /// There are more than we have heard of.
    pub is_estimate: bool,
}

/// Members by group address, ourselves excluded.
#[derive(Debug)]
pub(crate) struct HeardList {
    own: PeerId,
    own_address: GroupAddress,
    members: BTreeMap<GroupAddress, Heard>,
}

impl HeardList {
    pub fn new(own: PeerId) -> Self {
        Self { own, own_address: GroupAddress::of(&own), members: BTreeMap::new() }
    }

    /// Takes in news of a member. True if it is a new one.
    pub fn hear(
        &mut self,
        at: Instant,
        peer: PeerId,
        addresses: &[Address],
        informant: Informant,
    ) -> bool {
        if peer == self.own {
            return false;
        }
        let address = GroupAddress::of(&peer);
        if let Some(heard) = self.members.get_mut(&address) {
            heard.learn(at, addresses, informant);
            return false;
        }
        self.keep_to_quota(informant);
        let mut heard = Heard::new(at, peer, informant);
        heard.learn(at, addresses, informant);
        self.members.insert(address, heard);
        self.keep_to_size();
        self.members.contains_key(&address)
    }

    /// Who tells of too many loses the one that is furthest from us.
    fn keep_to_quota(&mut self, informant: Informant) {
        let Informant::Peer(_) = informant else { return };
        let is_theirs = |heard: &&Heard| heard.is_hearsay_of(informant);
        if self.members.values().filter(is_theirs).count() < QUOTA {
            return;
        }
        let theirs = self.members.iter().filter(|(_, heard)| heard.is_hearsay_of(informant));
        let furthest = theirs.max_by_key(|(address, _)| self.distance(address));
        if let Some(address) = furthest.map(|(address, _)| *address) {
            self.members.remove(&address);
        }
    }

    fn keep_to_size(&mut self) {
        if self.members.len() <= MAX_MEMBERS {
            return;
        }
        let nearest: Vec<GroupAddress> = self
            .above(&self.own_address)
            .take(KEPT_A_SIDE)
            .chain(self.below(&self.own_address).take(KEPT_A_SIDE))
            .map(|heard| GroupAddress::of(&heard.peer))
            .collect();
        let others = self.members.iter().filter(|(address, heard)| {
            let is_near = heard.failures == 0 && nearest.contains(address);
            !heard.is_connected && !is_near
        });
        let worst =
            others.min_by_key(|(_, heard)| (heard.is_proven, heard.failures == 0, heard.at));
        if let Some(address) = worst.map(|(address, _)| *address) {
            self.members.remove(&address);
        }
    }

    fn distance(&self, address: &GroupAddress) -> u64 {
        let above = address.top().wrapping_sub(self.own_address.top());
        above.min(above.wrapping_neg())
    }

    pub fn get(&self, peer: &PeerId) -> Option<&Heard> {
        self.members.get(&GroupAddress::of(peer))
    }

    pub fn get_mut(&mut self, peer: &PeerId) -> Option<&mut Heard> {
        self.members.get_mut(&GroupAddress::of(peer))
    }

    /// How many are heard of.
    /// All members.
    pub fn peers(&self) -> impl Iterator<Item = PeerId> + '_ {
        self.members.values().map(|heard| heard.peer)
    }

    pub fn len(&self) -> usize {
        self.members.len()
    }

    /// Members from a position upwards, around the ring.
    pub fn above(&self, position: &GroupAddress) -> impl Iterator<Item = &Heard> {
        self.members
            .range(*position..)
            .chain(self.members.range(..*position))
            .map(|(_, heard)| heard)
    }

    /// Members from a position downwards, around the ring.
    pub fn below(&self, position: &GroupAddress) -> impl Iterator<Item = &Heard> {
        let below = self.members.range(..*position).rev();
        below.chain(self.members.range(*position..).rev()).map(|(_, heard)| heard)
    }

    /// Forgets who was not heard of for long, or could not be reached again and again.
    pub fn expire(&mut self, now: Instant) {
        self.members.retain(|_, heard| {
            heard.is_connected
                || (now.saturating_duration_since(heard.at) < EXPIRY && !heard.is_hopeless())
        });
    }

    /// Likely size of the group, ourselves included; never less than those known to be there.
    pub fn size(&self) -> Size {
        let counted = 1 + self.members.values().filter(|heard| heard.is_alive()).count();
        let side = MEASURED_A_SIDE.min((counted - 1) / 2);
        let alive = |heard: &&Heard| heard.is_alive();
        let last = self.above(&self.own_address).filter(alive).nth(side.saturating_sub(1));
        let first = self.below(&self.own_address).filter(alive).nth(side.saturating_sub(1));
        let (Some(first), Some(last)) = (first, last) else {
            return Size { members: counted as u64, is_estimate: false };
        };
        let [first, last] = [first, last].map(|heard| GroupAddress::of(&heard.peer));
        let estimate = density(&first, &last, 2 * side as u64);
        if counted <= COUNTABLE {
            return Size { members: counted as u64, is_estimate: false };
        }
        Size { members: estimate.max(counted as u64), is_estimate: true }
    }
}

#[cfg(test)]
mod tests;
