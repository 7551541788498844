//! The ring of group addresses: positions, neighbours, and how many members there may be.

use rtmfp::crypto::{Discriminator, PeerId, sha256};

/// A position on the ring of integers modulo 2^256, big-endian.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct GroupAddress(pub [u8; 32]);

impl GroupAddress {
    /// SHA-256 of the peer's canonical endpoint discriminator; the same in all groups.
    pub fn of(peer: &PeerId) -> Self {
        Self(sha256(&[&Discriminator::Fingerprint(*peer).encode()]))
    }

    fn top(&self) -> u64 {
        let mut bytes = [0; 8];
        bytes.copy_from_slice(&self.0[..8]);
        u64::from_be_bytes(bytes)
    }
}

/// How many members the group is likely to have, ourselves included, from how densely `others`
/// (sorted) lie around `own`: two on each side span four gaps.
pub fn estimate_members(own: &GroupAddress, others: &[GroupAddress]) -> u64 {
    let count = others.len();
    if count < 4 {
        return count as u64 + 1;
    }
    let at = others.partition_point(|address| address < own);
    let before = others[(at + count - 2) % count].top();
    let after = others[(at + 1) % count].top();
    let gap = (after.wrapping_sub(before) / 4).max(1);
    u64::MAX / gap + 1
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::groupspec::hex;

    #[test]
    fn group_address_vector() {
        let peer = PeerId(std::array::from_fn(|index| index as u8));
        let expected = "b899a498e581c1b05a163df2329c20db35411de8eeeed68e12ecdc2ba9e15ebc";
        assert_eq!(hex(&GroupAddress::of(&peer).0), expected);
    }

    #[test]
    fn evenly_spread_members_are_counted() {
        let mut others: Vec<_> = (0..=255u8).map(|first| GroupAddress([first; 32])).collect();
        let own = others.remove(100);
        let estimate = estimate_members(&own, &others);
        assert!((200..=300).contains(&estimate), "{estimate}");
        assert_eq!(estimate_members(&own, &others[..2]), 3);
    }
}
