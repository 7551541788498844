//! Certificates and the fingerprints that name their owners. RFC 7425 §4.3.

use std::{fmt, str::FromStr};

use super::{Group, sha256};
use crate::wire::{Malformed, OptionItem, Options, Reader};

/// Option types of a certificate.
pub(super) mod option {
    pub const HOSTNAME: u64 = 0x00;
    pub const ACCEPTS_ANCILLARY_DATA: u64 = 0x0a;
    pub const EXTRA_RANDOMNESS: u64 = 0x0e;
    pub const SUPPORTED_GROUP: u64 = 0x15;
    pub const STATIC_KEY: u64 = 0x1d;
}

/// A certificate's fingerprint: SHA-256 of its canonical section. Flash's "peer ID".
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PeerId(pub [u8; 32]);

impl fmt::Display for PeerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// 64 hex digits.
impl FromStr for PeerId {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Self, Malformed> {
        let mut id = [0; 32];
        if text.len() != 64 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(Malformed);
        }
        for (index, byte) in id.iter_mut().enumerate() {
            let digits = &text[2 * index..2 * index + 2];
            *byte = u8::from_str_radix(digits, 16).map_err(|_| Malformed)?;
        }
        Ok(Self(id))
    }
}

/// The first four bytes are enough to tell peers apart in a log.
impl fmt::Debug for PeerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0[..4].iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// A well-formed certificate. There is no PKI: every such certificate is authentic.
#[derive(Clone, PartialEq, Eq)]
pub struct Certificate {
    bytes: Box<[u8]>,
    canonical_len: usize,
    peer_id: PeerId,
    accepts_ancillary_data: bool,
    is_static: bool,
}

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Certificate({:?})", self.peer_id)
    }
}

impl Certificate {
    /// Reads a certificate. It must have static keys or support ephemeral groups, not both.
    pub fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(bytes);
        let (mut accepts_ancillary_data, mut is_static, mut is_ephemeral) = (false, false, false);
        let mut canonical_len = None;
        while !reader.is_empty() {
            let before = bytes.len() - reader.remaining();
            match Options::read(&mut reader)? {
                OptionItem::Marker => canonical_len = canonical_len.or(Some(before)),
                OptionItem::Option(..) if canonical_len.is_some() => {}
                OptionItem::Option(option::ACCEPTS_ANCILLARY_DATA, _) => {
                    accepts_ancillary_data = true
                }
                OptionItem::Option(option::STATIC_KEY, _) => is_static = true,
                OptionItem::Option(option::SUPPORTED_GROUP, _) => is_ephemeral = true,
                OptionItem::Option(..) => {}
            }
        }
        if is_static == is_ephemeral {
            return Err(Malformed);
        }
        let canonical_len = canonical_len.unwrap_or(bytes.len());
        let peer_id = PeerId(sha256(&[&bytes[..canonical_len]]));
        Ok(Self { bytes: bytes.into(), canonical_len, peer_id, accepts_ancillary_data, is_static })
    }

    /// As it travels.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Its fingerprint.
    pub fn peer_id(&self) -> PeerId {
        self.peer_id
    }

    /// True of servers: they may be selected by a URI.
    pub fn accepts_ancillary_data(&self) -> bool {
        self.accepts_ancillary_data
    }

    /// True when the owner's keys are in the certificate, false when drawn for each session.
    pub fn is_static(&self) -> bool {
        self.is_static
    }

    /// The name its owner answers to, if it has one.
    pub fn hostname(&self) -> Option<&[u8]> {
        Options::new(self.canonical()).find(option::HOSTNAME)
    }

    fn canonical(&self) -> &[u8] {
        &self.bytes[..self.canonical_len]
    }

    /// The static public key of a group.
    pub fn static_key(&self, group: Group) -> Option<&[u8]> {
        find_group(self.canonical(), option::STATIC_KEY, group)
    }

    /// Whether a session may be keyed in this group, with a static or an ephemeral key.
    pub fn supports(&self, group: Group) -> bool {
        let kind = if self.is_static { option::STATIC_KEY } else { option::SUPPORTED_GROUP };
        find_group(self.canonical(), kind, group).is_some()
    }
}

/// Finds the option of type `kind` whose value begins with `group`, and what follows it.
pub(super) fn find_group(options: &[u8], kind: u64, group: Group) -> Option<&[u8]> {
    Options::new(options).find_map(|item| match item {
        OptionItem::Option(found, value) if found == kind => {
            let mut value = Reader::new(value);
            (value.vlu() == Ok(group.number())).then(|| value.rest())
        }
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{put_marker, put_option};

    #[test]
    fn only_the_canonical_section_names_the_owner() {
        let mut bytes = vec![];
        put_option(&mut bytes, option::SUPPORTED_GROUP, &[2]);
        let bare = Certificate::decode(&bytes).unwrap();
        put_marker(&mut bytes);
        put_option(&mut bytes, option::ACCEPTS_ANCILLARY_DATA, &[]);
        put_option(&mut bytes, option::SUPPORTED_GROUP, &[14]);
        put_option(&mut bytes, option::HOSTNAME, b"name");
        let extended = Certificate::decode(&bytes).unwrap();
        assert_eq!(bare.peer_id(), extended.peer_id());
        assert!(!extended.accepts_ancillary_data());
        assert!(extended.supports(Group::Modp1024) && !extended.supports(Group::Modp2048));
        assert_eq!(extended.hostname(), None);
    }

    #[test]
    fn both_or_neither_kind_of_key_is_refused() {
        let mut both = vec![];
        put_option(&mut both, option::SUPPORTED_GROUP, &[2]);
        put_option(&mut both, option::STATIC_KEY, &[2, 9, 9]);
        assert!(Certificate::decode(&both).is_err());
        assert!(Certificate::decode(&[]).is_err());
        assert!(Certificate::decode(&[9, 0x1d]).is_err());
    }
}
