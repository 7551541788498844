//! HMACs and session sequence numbers on packets: what each end wants, and what comes of it.
//! RFC 7425 §4.5.2.4, §4.5.2.5.

use thiserror::Error;

use crate::wire::{Malformed, Options, Reader, put_option, put_vlu};

/// Option types, the same in both key components.
mod option {
    pub const HMAC_NEGOTIATION: u64 = 0x1a;
    pub const SEQUENCE_NEGOTIATION: u64 = 0x1e;
}

/// Bytes of each HMAC that we send: half of SHA-256's, as RFC 2104 §5 advises.
const HMAC_LENGTH: u8 = 16;
const HMAC_LENGTHS: std::ops::RangeInclusive<u64> = 4..=32;

/// How much one end wants a protection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
#[repr(u8)]
pub enum Protection {
    /// Neither sent nor asked for.
    Off = 0,
    /// Asked for when we open a session; when we answer, used if the other end shows that it
    /// wants it. librtmfp offers what it cannot do and accepts no answer but "never"; everybody
    /// else gets protection. Reaches all known peers.
    #[default]
    Match = 1,
    /// Sent if asked for, and asked for. As responder this shuts out librtmfp.
    Request = 2,
    /// Always sent, and no session without it from the far end.
    Require = 3,
}

/// What an endpoint wants of its packets beyond encryption.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
pub struct Policy {
    /// HMACs in place of 16-bit checksums.
    pub hmac: Protection,
    /// Session sequence numbers, against replay.
    pub sequence_numbers: Protection,
}

impl Policy {
    /// The same for both.
    pub fn both(wanted: Protection) -> Self {
        Self { hmac: wanted, sequence_numbers: wanted }
    }

    /// As one byte, for cookies.
    pub(crate) fn to_byte(self) -> u8 {
        (self.hmac as u8) << 4 | self.sequence_numbers as u8
    }

    pub(crate) fn from_byte(byte: u8) -> Self {
        let protection = |bits: u8| match bits & 3 {
            0 => Protection::Off,
            1 => Protection::Match,
            2 => Protection::Request,
            _ => Protection::Require,
        };
        Self { hmac: protection(byte >> 4), sequence_numbers: protection(byte) }
    }
}

/// The far end does not protect its packets as we require.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("the far end does not offer the packet protection that is required here")]
pub struct Unprotected;

/// Flags of one negotiation option.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Offer(u8);

impl Offer {
    const ALWAYS: u8 = 0x04;
    const ON_REQUEST: u8 = 0x02;
    const REQUEST: u8 = 0x01;

    fn has(self, flag: u8) -> bool {
        self.0 & flag != 0
    }

    fn sends_at_all(self) -> bool {
        self.has(Self::ALWAYS | Self::ON_REQUEST)
    }

    /// Whether packets from `self` to `far` carry the feature.
    fn is_used_towards(self, far: Self) -> bool {
        self.has(Self::ALWAYS) || (self.has(Self::ON_REQUEST) && far.has(Self::REQUEST))
    }

    /// What `wanted` says; `far` is what the initiator said, if we answer one.
    fn of(wanted: Protection, far: Option<Self>) -> Self {
        let is_wanted_there = far.is_none_or(|far| far.has(Self::ALWAYS) || far.has(Self::REQUEST));
        match wanted {
            Protection::Off => Self(0),
            Protection::Match if !is_wanted_there => Self(0),
            Protection::Match | Protection::Request => Self(Self::ON_REQUEST | Self::REQUEST),
            Protection::Require => Self(Self::ALWAYS | Self::REQUEST),
        }
    }
}

/// What one key component says about protection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Negotiation {
    hmac: Offer,
    /// Bytes of the HMACs its sender sends; 0 if it sends none.
    hmac_length: u8,
    sequence: Offer,
}

impl Negotiation {
    /// For an initiator (`far` absent), or in answer to one.
    pub fn new(policy: Policy, far: Option<Self>) -> Self {
        let hmac = Offer::of(policy.hmac, far.map(|far| far.hmac));
        Self {
            hmac,
            hmac_length: if hmac.sends_at_all() { HMAC_LENGTH } else { 0 },
            sequence: Offer::of(policy.sequence_numbers, far.map(|far| far.sequence)),
        }
    }

    /// From the options of a component; what is not there is not offered.
    pub fn decode(component: &[u8]) -> Result<Self, Malformed> {
        let mut read = Self::default();
        if let Some(value) = Options::new(component).find(option::HMAC_NEGOTIATION) {
            let mut reader = Reader::new(value);
            read.hmac = Offer(reader.u8()?);
            let length = reader.vlu()?;
            let is_right = match read.hmac.sends_at_all() {
                true => HMAC_LENGTHS.contains(&length),
                false => length == 0,
            };
            if !is_right {
                return Err(Malformed);
            }
            read.hmac_length = length as u8;
        }
        if let Some(value) = Options::new(component).find(option::SEQUENCE_NEGOTIATION) {
            read.sequence = Offer(Reader::new(value).u8()?);
        }
        Ok(read)
    }

    /// librtmfp and Mona check this very order.
    pub fn put(&self, out: &mut Vec<u8>) {
        let mut hmac = vec![self.hmac.0];
        put_vlu(&mut hmac, self.hmac_length.into());
        put_option(out, option::HMAC_NEGOTIATION, &hmac);
        put_option(out, option::SEQUENCE_NEGOTIATION, &[self.sequence.0]);
    }

    /// What both said comes to; an error if that is less than `policy` requires.
    pub fn outcome(self, far: Self, policy: Policy) -> Result<PacketProtection, Unprotected> {
        let lacks =
            |wanted: Protection, far: Offer| wanted == Protection::Require && !far.sends_at_all();
        if lacks(policy.hmac, far.hmac) || lacks(policy.sequence_numbers, far.sequence) {
            return Err(Unprotected);
        }
        let sends = self.hmac.is_used_towards(far.hmac);
        let receives = far.hmac.is_used_towards(self.hmac);
        Ok(PacketProtection {
            send_hmac: sends.then_some(self.hmac_length.into()),
            receive_hmac: receives.then_some(far.hmac_length.into()),
            send_sequence: self.sequence.is_used_towards(far.sequence),
            receive_sequence: far.sequence.is_used_towards(self.sequence),
        })
    }
}

/// What the packets of a session carry, each way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PacketProtection {
    /// Bytes of HMAC after each packet that we send; a checksum in each if none.
    pub send_hmac: Option<usize>,
    /// The same for what the far end sends.
    pub receive_hmac: Option<usize>,
    /// Our packets are numbered.
    pub send_sequence: bool,
    /// The far end's packets are numbered.
    pub receive_sequence: bool,
}

impl PacketProtection {
    /// True when nobody without the keys can make or repeat the far end's packets.
    pub fn is_authentic(&self) -> bool {
        self.receive_hmac.is_some() && self.receive_sequence
    }

    /// The same, seen from the far end.
    pub fn reversed(self) -> Self {
        Self {
            send_hmac: self.receive_hmac,
            receive_hmac: self.send_hmac,
            send_sequence: self.receive_sequence,
            receive_sequence: self.send_sequence,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What Flash Player 13 said (`interop/vectors/flash-player-13-session-start.json`).
    const FLASH: [u8; 7] = [3, 0x1a, 2, 0x0a, 2, 0x1e, 2];
    /// What Adobe's server answered.
    const ADOBE: [u8; 7] = [3, 0x1a, 0, 0, 2, 0x1e, 0];

    fn agree(
        near: Protection,
        far: Protection,
    ) -> (Result<PacketProtection, Unprotected>, Result<PacketProtection, Unprotected>) {
        let (near, far) = (Policy::both(near), Policy::both(far));
        let asked = Negotiation::new(near, None);
        let answered = Negotiation::new(far, Some(asked));
        (asked.outcome(answered, near), answered.outcome(asked, far))
    }

    #[test]
    fn both_ends_come_to_the_same_outcome() {
        use Protection::{Match, Off, Request, Require};
        for near in [Off, Match, Request, Require] {
            for far in [Off, Match, Request, Require] {
                let (ours, theirs) = agree(near, far);
                let is_hopeless = [near, far].contains(&Require) && [near, far].contains(&Off);
                assert_eq!(ours.is_err() || theirs.is_err(), is_hopeless, "{near:?} {far:?}");
                if let (Ok(ours), Ok(theirs)) = (ours, theirs) {
                    assert_eq!(ours.reversed(), theirs);
                    assert_eq!(ours.is_authentic(), near != Off && far != Off);
                }
            }
        }
    }

    #[test]
    fn what_flash_and_librtmfp_offer_is_answered_with_never_unless_requested() {
        let flash = Negotiation::decode(&FLASH).unwrap();
        let mut answer = Vec::new();
        Negotiation::new(Policy::default(), Some(flash)).put(&mut answer);
        assert_eq!(answer, ADOBE);
        let policy = Policy::both(Protection::Request);
        let outcome = Negotiation::new(policy, Some(flash)).outcome(flash, policy).unwrap();
        assert_eq!((outcome.receive_hmac, outcome.receive_sequence), (Some(10), true));
        assert_eq!((outcome.send_hmac, outcome.send_sequence), (None, false));
    }

    #[test]
    fn lengths_that_cannot_be_are_malformed() {
        for bad in [[3, 0x1a, 2, 3], [3, 0x1a, 4, 33], [3, 0x1a, 0, 10], [3, 0x1a, 1, 4]] {
            assert_eq!(Negotiation::decode(&bad), Err(Malformed), "{bad:x?}");
        }
        assert_eq!(Negotiation::decode(&[]), Ok(Negotiation::default()));
    }

    #[test]
    fn a_policy_survives_its_byte() {
        let policy = Policy { hmac: Protection::Require, sequence_numbers: Protection::Off };
        assert_eq!(Policy::from_byte(policy.to_byte()), policy);
        assert_eq!(Policy::from_byte(Policy::default().to_byte()), Policy::default());
    }
}
