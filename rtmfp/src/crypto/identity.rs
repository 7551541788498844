//! Who an endpoint is: its certificate and the private keys behind it.

use rand::Rng;

use super::{
    Group,
    certificate::{Certificate, PeerId, option},
    dh::KeyPair,
};
use crate::wire::{put_option, put_vlu};

/// What an endpoint keys its sessions with.
#[derive(Debug, Clone)]
pub enum Keys {
    /// Kept keys, one a group. Nobody else can have the fingerprint that they make.
    Static(Vec<KeyPair>),
    /// A fresh key for each session, in one of the groups. The randomness makes the fingerprint,
    /// which anybody can copy.
    Ephemeral {
        /// Offered to initiators, in this order.
        groups: Vec<Group>,
        /// Any bytes.
        randomness: Vec<u8>,
    },
}

/// An endpoint's certificate with its keys.
#[derive(Debug, Clone)]
pub struct Identity {
    certificate: Certificate,
    static_keys: Vec<KeyPair>,
}

impl Identity {
    /// Any identity. `hostname` can be asked for in discriminators; `accepts_ancillary_data`
    /// makes it a server, to be found by URI.
    ///
    /// # Panics
    ///
    /// If there is no key or group at all.
    pub fn new(hostname: Option<&str>, accepts_ancillary_data: bool, keys: Keys) -> Self {
        let mut bytes = Vec::new();
        if let Some(name) = hostname {
            put_option(&mut bytes, option::HOSTNAME, name.as_bytes());
        }
        if accepts_ancillary_data {
            put_option(&mut bytes, option::ACCEPTS_ANCILLARY_DATA, &[]);
        }
        let static_keys = match keys {
            Keys::Static(pairs) => {
                pairs.iter().for_each(|pair| put_static_key(&mut bytes, pair));
                pairs
            }
            Keys::Ephemeral { groups, randomness } => {
                put_option(&mut bytes, option::EXTRA_RANDOMNESS, &randomness);
                for group in groups {
                    let mut value = Vec::new();
                    put_vlu(&mut value, group.number());
                    put_option(&mut bytes, option::SUPPORTED_GROUP, &value);
                }
                Vec::new()
            }
        };
        let certificate = Certificate::decode(&bytes).expect("it has keys or groups, not both");
        Self { certificate, static_keys }
    }

    /// An identity whose certificate was made elsewhere. Whether the keys are those of the
    /// certificate is not checked: keying fails if they are not.
    pub fn with_certificate(certificate: Certificate, static_keys: Vec<KeyPair>) -> Self {
        Self { certificate, static_keys }
    }

    /// A peer as Flash Player makes them: one static key of group 2 and nothing else.
    pub fn peer(rng: &mut impl Rng) -> Self {
        let key = KeyPair::generate(Group::Modp1024, rng);
        Self::new(None, false, Keys::Static(vec![key]))
    }

    /// A server with a fresh key for each session, in the 77-byte shape of Adobe's servers,
    /// which librtmfp reads by size. The same `randomness` gives the same fingerprint.
    pub fn server(randomness: &[u8; 64]) -> Self {
        let groups = Group::ADOBE.to_vec();
        Self::new(None, true, Keys::Ephemeral { groups, randomness: randomness.to_vec() })
    }

    /// The certificate to show.
    pub fn certificate(&self) -> &Certificate {
        &self.certificate
    }

    /// The certificate's fingerprint.
    pub fn peer_id(&self) -> PeerId {
        self.certificate.peer_id()
    }

    /// True when the certificate holds its owner's keys.
    pub fn is_static(&self) -> bool {
        self.certificate.is_static()
    }

    /// The private key of a group, if the certificate is static.
    pub fn static_key(&self, group: Group) -> Option<&KeyPair> {
        self.static_keys.iter().find(|pair| pair.group() == group)
    }
}

fn put_static_key(out: &mut Vec<u8>, pair: &KeyPair) {
    let mut value = Vec::new();
    put_vlu(&mut value, pair.group().number());
    value.extend_from_slice(pair.public());
    put_option(out, option::STATIC_KEY, &value);
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
        assert!(server.certificate().supports(Group::Modp2048));
    }

    #[test]
    fn a_static_server_has_its_keys_and_its_name_in_its_certificate() {
        let mut rng = StdRng::seed_from_u64(4);
        let pairs =
            [Group::Modp1024, Group::Modp2048].map(|group| KeyPair::generate(group, &mut rng));
        let server = Identity::new(Some("example.com"), true, Keys::Static(pairs.to_vec()));
        assert_eq!(server.certificate().hostname(), Some(&b"example.com"[..]));
        assert_eq!(server.certificate().static_key(Group::Modp2048), Some(pairs[1].public()));
        assert!(!server.certificate().supports(Group::Modp4096));
        assert!(server.is_static() && server.static_key(Group::Modp1024).is_some());
    }
}
