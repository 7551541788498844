//! Who is here and in which groups. In memory; one type, so that another store can take its place.

use std::collections::{BTreeMap, HashMap};

use netgroup::{GroupAddress, wire::GroupId};
use rtmfp::{crypto::PeerId, wire::Address};

/// Ring neighbours told on each side: what NetGroup members keep connected.
const NEIGHBOURS_A_SIDE: usize = 3;

/// What the server knows of its clients.
#[derive(Debug, Default)]
pub struct Registry {
    addresses: HashMap<PeerId, Vec<Address>>,
    groups: HashMap<GroupId, BTreeMap<GroupAddress, PeerId>>,
    memberships: HashMap<PeerId, Vec<GroupId>>,
}

impl Registry {
    /// Replaces the addresses that a client said it has.
    pub fn set_addresses(&mut self, peer: PeerId, addresses: Vec<Address>) {
        self.addresses.insert(peer, addresses);
    }

    /// The addresses that a client said it has.
    pub fn addresses(&self, peer: &PeerId) -> &[Address] {
        self.addresses.get(peer).map_or(&[], Vec::as_slice)
    }

    /// Adds a member; returns those nearest to it on the ring, itself excluded.
    pub fn join(&mut self, group: GroupId, peer: PeerId) -> Vec<PeerId> {
        let members = self.groups.entry(group).or_default();
        let address = GroupAddress::of(&peer);
        if members.insert(address, peer).is_none() {
            self.memberships.entry(peer).or_default().push(group);
        }
        let above = members.range(address..).chain(members.range(..address)).skip(1);
        let below = members.range(..address).rev().chain(members.range(address..).rev());
        let mut neighbours: Vec<PeerId> =
            above.take(NEIGHBOURS_A_SIDE).map(|(_, peer)| *peer).collect();
        for (_, other) in below.take(NEIGHBOURS_A_SIDE) {
            if *other != peer && !neighbours.contains(other) {
                neighbours.push(*other);
            }
        }
        neighbours
    }

    /// A member is in this group no longer.
    pub fn leave(&mut self, group: &GroupId, peer: &PeerId) {
        if let Some(groups) = self.memberships.get_mut(peer) {
            groups.retain(|other| other != group);
        }
        if let Some(members) = self.groups.get_mut(group) {
            members.remove(&GroupAddress::of(peer));
            if members.is_empty() {
                self.groups.remove(group);
            }
        }
    }

    /// Whether the peer is in the group now.
    pub fn is_member(&self, group: &GroupId, peer: &PeerId) -> bool {
        self.groups.get(group).is_some_and(|members| members.contains_key(&GroupAddress::of(peer)))
    }

    /// A client is gone: it is in no group any more, and its addresses are forgotten.
    pub fn leave_all(&mut self, peer: &PeerId) {
        self.addresses.remove(peer);
        for group in self.memberships.remove(peer).unwrap_or_default() {
            self.leave(&group, peer);
        }
    }

    /// How many groups have members.
    pub fn group_count(&self) -> usize {
        self.groups.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GROUP: GroupId = [1; 32];

    #[test]
    fn small_groups_hear_of_everybody_but_themselves() {
        let mut registry = Registry::default();
        for count in 0..7u8 {
            let neighbours = registry.join(GROUP, PeerId([count; 32]));
            assert_eq!(neighbours.len(), usize::from(count));
            assert!(!neighbours.contains(&PeerId([count; 32])));
        }
        assert_eq!(registry.join(GROUP, PeerId([99; 32])).len(), 6);
    }

    #[test]
    fn neighbours_are_the_nearest_on_the_ring() {
        let mut registry = Registry::default();
        let mut ring: Vec<_> = (0..50u8).map(|seed| PeerId([seed; 32])).collect();
        for peer in &ring {
            registry.join(GROUP, *peer);
        }
        ring.sort_by_key(GroupAddress::of);
        let mut neighbours = registry.join(GROUP, ring[1]);
        let mut expected = vec![ring[2], ring[3], ring[4], ring[0], ring[49], ring[48]];
        neighbours.sort();
        expected.sort();
        assert_eq!(neighbours, expected);
    }

    #[test]
    fn who_is_gone_is_in_no_group() {
        let mut registry = Registry::default();
        let (a, b) = (PeerId([1; 32]), PeerId([2; 32]));
        registry.join(GROUP, a);
        registry.join([2; 32], a);
        registry.join(GROUP, b);
        registry.leave_all(&a);
        assert!(!registry.is_member(&GROUP, &a) && registry.is_member(&GROUP, &b));
        assert_eq!(registry.group_count(), 1);
    }
}
