//! Endpoint discriminators: which endpoint an initiator wants. RFC 7425 §4.4.

use super::{Certificate, PeerId};
use crate::wire::{OptionItem, Options, put_option};

mod option {
    pub const REQUIRED_HOSTNAME: u64 = 0x00;
    pub const ANCILLARY_DATA: u64 = 0x0a;
    pub const FINGERPRINT: u64 = 0x0f;
}

/// A decoded discriminator.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Discriminator {
    /// The one endpoint with this fingerprint.
    Fingerprint(PeerId),
    /// Any server that takes this URI, for example `rtmfp://host/app`.
    AncillaryData(Vec<u8>),
    /// Nothing we could satisfy: a hostname, or nothing known.
    Other,
}

impl Discriminator {
    /// Reads a discriminator. A fingerprint decides alone, whatever else is there.
    pub fn decode(bytes: &[u8]) -> Self {
        let (mut ancillary, mut hostname) = (None, false);
        for item in Options::new(bytes) {
            match item {
                OptionItem::Option(option::FINGERPRINT, value) => {
                    return <[u8; 32]>::try_from(value)
                        .map_or(Self::Other, |id| Self::Fingerprint(PeerId(id)));
                }
                OptionItem::Option(option::ANCILLARY_DATA, value) => {
                    ancillary = Some(value.to_vec())
                }
                OptionItem::Option(option::REQUIRED_HOSTNAME, _) => hostname = true,
                _ => {}
            }
        }
        match ancillary {
            Some(data) if !hostname => Self::AncillaryData(data),
            _ => Self::Other,
        }
    }

    /// As it travels; a fingerprint gives the canonical 34 bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        match self {
            Self::Fingerprint(id) => put_option(&mut out, option::FINGERPRINT, &id.0),
            Self::AncillaryData(uri) => put_option(&mut out, option::ANCILLARY_DATA, uri),
            Self::Other => {}
        }
        out
    }

    /// Whether the owner of `certificate` is wanted.
    pub fn selects(&self, certificate: &Certificate) -> bool {
        match self {
            Self::Fingerprint(id) => *id == certificate.peer_id(),
            Self::AncillaryData(_) => certificate.accepts_ancillary_data(),
            Self::Other => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_kinds_round_trip() {
        let peer = Discriminator::Fingerprint(PeerId([7; 32]));
        assert_eq!(peer.encode()[..2], [0x21, 0x0f]);
        let server = Discriminator::AncillaryData(b"rtmfp://localhost/app".to_vec());
        for discriminator in [peer, server] {
            assert_eq!(Discriminator::decode(&discriminator.encode()), discriminator);
        }
    }

    #[test]
    fn a_fingerprint_decides_alone_and_a_hostname_is_not_ours() {
        let mut both = Discriminator::AncillaryData(b"rtmfp:".to_vec()).encode();
        both.extend(Discriminator::Fingerprint(PeerId([7; 32])).encode());
        assert_eq!(Discriminator::decode(&both), Discriminator::Fingerprint(PeerId([7; 32])));
        let mut hostname = Discriminator::AncillaryData(b"rtmfp:".to_vec()).encode();
        put_option(&mut hostname, option::REQUIRED_HOSTNAME, b"example.com");
        assert_eq!(Discriminator::decode(&hostname), Discriminator::Other);
        assert_eq!(Discriminator::decode(&[]), Discriminator::Other);
    }
}
