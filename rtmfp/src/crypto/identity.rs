//! Who an endpoint is: its certificate and, for peers, the private key behind it.

use rand::Rng;

use super::{
    certificate::{Certificate, PeerId, option},
    dh::{GROUP_2, KeyPair},
};
use crate::wire::{put_option, put_vlu};

/// An endpoint's certificate with its keys.
#[derive(Debug, Clone)]
pub struct Identity {
    certificate: Certificate,
    static_key: Option<KeyPair>,
}

impl Identity {
    /// A peer as Flash Player makes them: one static key of group 2 and nothing else.
    pub fn peer(rng: &mut impl Rng) -> Self {
        let key = KeyPair::generate(rng);
        let mut value = Vec::new();
        put_vlu(&mut value, GROUP_2);
        value.extend_from_slice(key.public());
        let mut bytes = Vec::new();
        put_option(&mut bytes, option::STATIC_KEY, &value);
        Self { certificate: well_formed(&bytes), static_key: Some(key) }
    }

    /// A server with a fresh key for each session, in the 77-byte shape of Adobe's servers,
    /// which librtmfp reads by size. The same `randomness` gives the same fingerprint.
    pub fn server(randomness: &[u8; 64]) -> Self {
        let mut bytes = Vec::new();
        put_option(&mut bytes, option::ACCEPTS_ANCILLARY_DATA, &[]);
        put_option(&mut bytes, option::EXTRA_RANDOMNESS, randomness);
        for group in ADVERTISED_GROUPS {
            put_option(&mut bytes, option::SUPPORTED_GROUP, &[group]);
        }
        Self { certificate: well_formed(&bytes), static_key: None }
    }

    /// The certificate to show.
    pub fn certificate(&self) -> &Certificate {
        &self.certificate
    }

    /// The certificate's fingerprint.
    pub fn peer_id(&self) -> PeerId {
        self.certificate.peer_id()
    }

    /// The private key, if the certificate is static.
    pub fn static_key(&self) -> Option<&KeyPair> {
        self.static_key.as_ref()
    }
}

/// Adobe's servers name groups 2, 5 and 14 and every clone copies the list, so its length is
/// what clients know. Keying in a group other than 2 is refused for now.
const ADVERTISED_GROUPS: [u8; 3] = [2, 5, 14];

fn well_formed(bytes: &[u8]) -> Certificate {
    Certificate::decode(bytes).expect("we built it by the rules")
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{SeedableRng, rngs::StdRng};

    #[test]
    fn shapes_are_those_that_old_clients_check() {
        let peer = Identity::peer(&mut StdRng::seed_from_u64(3));
        assert_eq!(peer.certificate().bytes().len(), 132);
        assert_eq!(peer.certificate().bytes()[..4], [0x81, 0x02, 0x1d, 0x02]);
        assert!(!peer.certificate().accepts_ancillary_data());
        let server = Identity::server(&[5; 64]);
        assert_eq!(server.certificate().bytes().len(), 77);
        assert!(server.certificate().accepts_ancillary_data());
        assert!(server.certificate().supports_ephemeral(14));
    }
}
