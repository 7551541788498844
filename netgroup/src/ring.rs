//! The ring of group addresses: positions, and distances on it.

use rtmfp::crypto::{Discriminator, PeerId, sha256};

/// A position on the ring of integers modulo 2^256, big-endian.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct GroupAddress(pub [u8; 32]);

impl GroupAddress {
    /// SHA-256 of the peer's canonical endpoint discriminator; the same in all groups.
    pub fn of(peer: &PeerId) -> Self {
        Self(sha256(&[&Discriminator::Fingerprint(*peer).encode()]))
    }

    /// The position as a part of the ring, in steps of 2^-64.
    pub(crate) fn top(&self) -> u64 {
        let mut bytes = [0; 8];
        bytes.copy_from_slice(&self.0[..8]);
        u64::from_be_bytes(bytes)
    }

    /// The position `distance`, in steps of 2^-64 of the ring, above this one.
    pub(crate) fn above(&self, distance: u64) -> Self {
        let mut moved = *self;
        moved.0[..8].copy_from_slice(&self.top().wrapping_add(distance).to_be_bytes());
        moved
    }
}

/// How many members a ring is likely to have if those nearest to us, ourselves among them, have
/// `gaps` gaps between `first` and `last`.
pub(crate) fn density(first: &GroupAddress, last: &GroupAddress, gaps: u64) -> u64 {
    let span = last.top().wrapping_sub(first.top()).max(1);
    u64::try_from(u128::from(u64::MAX) * u128::from(gaps) / u128::from(span)).unwrap_or(u64::MAX)
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
        let at = |part: u8| GroupAddress([part; 32]);
        assert!((250..=260).contains(&density(&at(98), &at(102), 4)));
        let over_the_end = density(&at(254), &at(1).above(u64::MAX), 2);
        assert!((250..=260).contains(&over_the_end), "{over_the_end}");
    }

    #[test]
    fn positions_above_wrap_around() {
        let top = GroupAddress([255; 32]);
        assert_eq!(top.above(1).top(), 0);
        assert_eq!(top.above(1).0[8..], [255; 24]);
    }
}
