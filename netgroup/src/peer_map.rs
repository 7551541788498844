//! What is known of each of some dozens of peers, in the order of their IDs. It is looked up for
//! every message: the first bytes of all IDs lie together and are all that a search reads.

use rtmfp::crypto::PeerId;

/// A sorted map.
#[derive(Debug)]
pub(crate) struct PeerMap<T> {
    /// The first bytes of each of the peers' IDs.
    prefixes: Vec<u64>,
    peers: Vec<PeerId>,
    values: Vec<T>,
}

impl<T> Default for PeerMap<T> {
    fn default() -> Self {
        Self { prefixes: Vec::new(), peers: Vec::new(), values: Vec::new() }
    }
}

fn prefix(peer: &PeerId) -> u64 {
    u64::from_be_bytes(*peer.0.first_chunk().expect("an ID has 32 bytes"))
}

impl<T> PeerMap<T> {
    /// Where a peer is, or where it belongs.
    fn find(&self, peer: &PeerId) -> Result<usize, usize> {
        let prefix = prefix(peer);
        let mut at = self.prefixes.partition_point(|other| *other < prefix);
        while self.prefixes.get(at) == Some(&prefix) && self.peers[at] < *peer {
            at += 1;
        }
        if self.peers.get(at) == Some(peer) { Ok(at) } else { Err(at) }
    }

    pub fn len(&self) -> usize {
        self.peers.len()
    }

    pub fn contains_key(&self, peer: &PeerId) -> bool {
        self.find(peer).is_ok()
    }

    pub fn get(&self, peer: &PeerId) -> Option<&T> {
        self.find(peer).ok().map(|at| &self.values[at])
    }

    pub fn get_mut(&mut self, peer: &PeerId) -> Option<&mut T> {
        self.find(peer).ok().map(|at| &mut self.values[at])
    }

    pub fn get_or_insert_with(&mut self, peer: PeerId, make: impl FnOnce() -> T) -> &mut T {
        let at = self.find(&peer).unwrap_or_else(|at| {
            self.prefixes.insert(at, prefix(&peer));
            self.peers.insert(at, peer);
            self.values.insert(at, make());
            at
        });
        &mut self.values[at]
    }

    /// What was there before.
    pub fn insert(&mut self, peer: PeerId, value: T) -> Option<T> {
        let before = self.remove(&peer);
        self.get_or_insert_with(peer, || value);
        before
    }

    pub fn remove(&mut self, peer: &PeerId) -> Option<T> {
        let at = self.find(peer).ok()?;
        self.prefixes.remove(at);
        self.peers.remove(at);
        Some(self.values.remove(at))
    }

    pub fn keys(&self) -> impl Iterator<Item = &PeerId> {
        self.peers.iter()
    }

    pub fn values(&self) -> impl Iterator<Item = &T> {
        self.values.iter()
    }

    pub fn values_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.values.iter_mut()
    }

    pub fn iter(&self) -> impl Iterator<Item = (&PeerId, &T)> {
        self.peers.iter().zip(&self.values)
    }

    pub fn iter_mut(&mut self) -> impl Iterator<Item = (&PeerId, &mut T)> {
        self.peers.iter().zip(&mut self.values)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use rand::{RngExt, SeedableRng, rngs::StdRng};

    use super::*;

    /// Few different first bytes, and few others.
    fn peer(rng: &mut StdRng) -> PeerId {
        let mut id = [0; 32];
        (id[7], id[8]) = (rng.random_range(0..4), rng.random_range(0..4));
        PeerId(id)
    }

    #[test]
    fn does_what_any_sorted_map_does() {
        let mut rng = StdRng::seed_from_u64(1);
        let (mut map, mut model) = (PeerMap::default(), BTreeMap::new());
        for value in 0..2000 {
            let peer = peer(&mut rng);
            match rng.random_range(0..4) {
                0 => assert_eq!(map.remove(&peer), model.remove(&peer)),
                1 => assert_eq!(map.insert(peer, value), model.insert(peer, value)),
                2 => {
                    let known = *model.entry(peer).or_insert(value);
                    assert_eq!(*map.get_or_insert_with(peer, || value), known);
                }
                _ => assert_eq!(map.get(&peer), model.get(&peer)),
            }
            assert_eq!(map.len(), model.len());
            assert!(map.iter().eq(&model) && map.keys().eq(model.keys()));
        }
        assert!(map.len() > 8);
    }
}
