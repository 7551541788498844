//! Endpoint discriminators: which endpoint an initiator wants. RFC 7425 §4.4.

use super::{Certificate, PeerId};
use crate::wire::{Options, put_option};

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
    /// The server with this name in its certificate, which may also have to take a URI.
    Hostname {
        /// Compared byte by byte.
        name: Vec<u8>,
        /// As in [`Self::AncillaryData`].
        ancillary_data: Option<Vec<u8>>,
    },
    /// Nothing that anybody could satisfy.
    Other,
}

impl Discriminator {
    /// Reads a discriminator. A fingerprint decides alone, whatever else is there.
    pub fn decode(bytes: &[u8]) -> Self {
        let options = Options::new(bytes);
        if let Some(value) = options.find(option::FINGERPRINT) {
            return <[u8; 32]>::try_from(value)
                .map_or(Self::Other, |id| Self::Fingerprint(PeerId(id)));
        }
        let ancillary_data = options.find(option::ANCILLARY_DATA).map(<[u8]>::to_vec);
        match (options.find(option::REQUIRED_HOSTNAME), ancillary_data) {
            (Some(name), ancillary_data) => Self::Hostname { name: name.to_vec(), ancillary_data },
            (None, Some(uri)) => Self::AncillaryData(uri),
            (None, None) => Self::Other,
        }
    }

    /// The URI asked for, if one is.
    pub fn uri(&self) -> Option<&[u8]> {
        match self {
            Self::AncillaryData(uri) => Some(uri),
            Self::Hostname { ancillary_data, .. } => ancillary_data.as_deref(),
            _ => None,
        }
    }

    /// As it travels; a fingerprint gives the canonical 34 bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        match self {
            Self::Fingerprint(id) => put_option(&mut out, option::FINGERPRINT, &id.0),
            Self::AncillaryData(uri) => put_option(&mut out, option::ANCILLARY_DATA, uri),
            Self::Hostname { name, ancillary_data } => {
                put_option(&mut out, option::REQUIRED_HOSTNAME, name);
                if let Some(uri) = ancillary_data {
                    put_option(&mut out, option::ANCILLARY_DATA, uri);
                }
            }
            Self::Other => {}
        }
        out
    }

    /// Whether the owner of `certificate` is wanted.
    pub fn selects(&self, certificate: &Certificate) -> bool {
        match self {
            Self::Fingerprint(id) => *id == certificate.peer_id(),
            Self::AncillaryData(_) => certificate.accepts_ancillary_data(),
            Self::Hostname { name, ancillary_data } => {
                certificate.hostname() == Some(name)
                    && (ancillary_data.is_none() || certificate.accepts_ancillary_data())
            }
            Self::Other => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::{Group, Identity, Keys};

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
    fn a_fingerprint_decides_alone() {
        let mut both = Discriminator::AncillaryData(b"rtmfp:".to_vec()).encode();
        both.extend(Discriminator::Fingerprint(PeerId([7; 32])).encode());
        assert_eq!(Discriminator::decode(&both), Discriminator::Fingerprint(PeerId([7; 32])));
        assert_eq!(Discriminator::decode(&[]), Discriminator::Other);
        assert_eq!(Discriminator::decode(&[3, 0x0f, 1, 2]), Discriminator::Other);
    }

    #[test]
    fn a_hostname_must_be_the_certificates() {
        let keys = Keys::Ephemeral { groups: vec![Group::Modp1024], randomness: vec![1; 64] };
        let named = Identity::new(Some("example.com"), true, keys);
        let nameless = Identity::server(&[1; 64]);
        let wants = |name: &str, ancillary_data: Option<&[u8]>| Discriminator::Hostname {
            name: name.into(),
            ancillary_data: ancillary_data.map(<[u8]>::to_vec),
        };
        for (wanted, is_selected) in [
            (wants("example.com", None), true),
            (wants("example.com", Some(b"rtmfp:")), true),
            (wants("example.org", None), false),
        ] {
            assert_eq!(Discriminator::decode(&wanted.encode()), wanted);
            assert_eq!(wanted.selects(named.certificate()), is_selected, "{wanted:?}");
            assert!(!wanted.selects(nameless.certificate()));
        }
    }
}
