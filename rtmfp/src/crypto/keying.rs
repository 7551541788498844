//! Session key components and what follows from them. RFC 7425 §4.5, §4.6.

use rand::Rng;
use thiserror::Error;

use super::{
    Certificate, Identity, KeyPair, PacketKeys, PublicKeyError, SharedSecret,
    certificate::find_group, dh::GROUP_2, hmac_sha256,
};
use crate::wire::{put_option, put_vlu};

mod option {
    pub const EPHEMERAL_KEY: u64 = 0x0d;
    pub const EXTRA_RANDOMNESS: u64 = 0x0e;
    pub const HMAC_NEGOTIATION: u64 = 0x1a;
    pub const GROUP_SELECT: u64 = 0x1d;
    pub const SEQUENCE_NEGOTIATION: u64 = 0x1e;
}

/// Flash draws 64 bytes, and the fixed component sizes of librtmfp follow from that.
const RANDOMNESS: usize = 64;
/// HMAC and sequence numbers "never" (RFC 7425 §4.5.1.4, §4.5.1.5).
const HMAC_NEVER: [u8; 2] = [0, 0];
const SEQUENCE_NEVER: [u8; 1] = [0];

/// Why no session key came about. Blame lies with the far end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum KeyingError {
    /// No Diffie-Hellman group in common, or the component lacks what its certificate demands.
    #[error("no usable Diffie-Hellman group in the key component")]
    NoGroup,
    /// The public key fails the checks.
    #[error(transparent)]
    PublicKey(#[from] PublicKeyError),
}

/// What an open session is keyed with.
#[derive(Clone, Debug)]
pub struct SessionKeys {
    /// Seals and opens packets.
    pub packet: PacketKeys,
    /// `NEAR_NONCE`: names this session, from our component (RFC 7425 §4.6.5).
    pub near_nonce: [u8; 32],
    /// `FAR_NONCE`: the same from the far end's component.
    pub far_nonce: [u8; 32],
}

impl SessionKeys {
    /// RFC 7425 §4.6.4, §4.6.5: components are the exact bytes as sent.
    pub fn derive(secret: &SharedSecret, near: &[u8], far: &[u8]) -> Self {
        let secret = secret.as_bytes();
        let key = |inner: [u8; 32]| -> [u8; 16] {
            let full = hmac_sha256(secret, &inner);
            *full.first_chunk().expect("32 bytes hold 16")
        };
        let encrypt = key(hmac_sha256(far, near));
        let decrypt = key(hmac_sha256(near, far));
        Self {
            packet: PacketKeys::new(&encrypt, &decrypt),
            near_nonce: hmac_sha256(secret, near),
            far_nonce: hmac_sha256(secret, far),
        }
    }
}

/// An initiator's component, with the ephemeral key behind it if it made one.
#[derive(Debug)]
pub struct InitiatorComponent {
    /// As sent.
    pub bytes: Vec<u8>,
    ephemeral: Option<KeyPair>,
}

impl InitiatorComponent {
    /// The component for a session with the owner of `far`.
    pub fn generate(
        identity: &Identity,
        far: &Certificate,
        rng: &mut impl Rng,
    ) -> Result<Self, KeyingError> {
        if far.static_key(GROUP_2).is_none() && !far.supports_ephemeral(GROUP_2) {
            return Err(KeyingError::NoGroup);
        }
        let mut bytes = Vec::new();
        let ephemeral = if identity.static_key().is_some() {
            put_option(&mut bytes, option::GROUP_SELECT, &[GROUP_2 as u8]);
            put_randomness(&mut bytes, rng);
            None
        } else {
            Some(put_ephemeral_key(&mut bytes, rng))
        };
        put_option(&mut bytes, option::HMAC_NEGOTIATION, &HMAC_NEVER);
        put_option(&mut bytes, option::SEQUENCE_NEGOTIATION, &SEQUENCE_NEVER);
        Ok(Self { bytes, ephemeral })
    }

    /// Keys from the responder's component.
    pub fn combine(
        &self,
        identity: &Identity,
        far: &Certificate,
        responder: &[u8],
    ) -> Result<SessionKeys, KeyingError> {
        let near_key =
            self.ephemeral.as_ref().or(identity.static_key()).ok_or(KeyingError::NoGroup)?;
        let far_key = if far.is_static() {
            far.static_key(GROUP_2)
        } else {
            find_group(responder, option::EPHEMERAL_KEY, GROUP_2)
        };
        let secret = near_key.agree(far_key.ok_or(KeyingError::NoGroup)?)?;
        Ok(SessionKeys::derive(&secret, &self.bytes, responder))
    }
}

/// Answers an initiator's component: the responder's component and the session's keys.
pub fn respond(
    identity: &Identity,
    far: &Certificate,
    initiator: &[u8],
    rng: &mut impl Rng,
) -> Result<(Vec<u8>, SessionKeys), KeyingError> {
    let far_key = if far.is_static() {
        let selects_group_2 = find_group(initiator, option::GROUP_SELECT, GROUP_2).is_some();
        selects_group_2.then(|| far.static_key(GROUP_2)).flatten()
    } else {
        find_group(initiator, option::EPHEMERAL_KEY, GROUP_2)
    };
    let far_key = far_key.ok_or(KeyingError::NoGroup)?;
    // librtmfp and Mona check this very order: HMAC, sequence numbers, then the key.
    let mut component = Vec::new();
    put_option(&mut component, option::HMAC_NEGOTIATION, &HMAC_NEVER);
    put_option(&mut component, option::SEQUENCE_NEGOTIATION, &SEQUENCE_NEVER);
    let secret = match identity.static_key() {
        Some(key) => {
            put_randomness(&mut component, rng);
            key.agree(far_key)?
        }
        None => put_ephemeral_key(&mut component, rng).agree(far_key)?,
    };
    let keys = SessionKeys::derive(&secret, &component, initiator);
    Ok((component, keys))
}

fn put_randomness(out: &mut Vec<u8>, rng: &mut impl Rng) {
    let mut randomness = [0; RANDOMNESS];
    rng.fill_bytes(&mut randomness);
    put_option(out, option::EXTRA_RANDOMNESS, &randomness);
}

fn put_ephemeral_key(out: &mut Vec<u8>, rng: &mut impl Rng) -> KeyPair {
    let key = KeyPair::generate(rng);
    let mut value = Vec::new();
    put_vlu(&mut value, GROUP_2);
    value.extend_from_slice(key.public());
    put_option(out, option::EPHEMERAL_KEY, &value);
    key
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{SeedableRng, rngs::StdRng};

    #[test]
    fn all_four_combinations_agree() {
        let mut rng = StdRng::seed_from_u64(4);
        let (peer_a, peer_b) = (Identity::peer(&mut rng), Identity::peer(&mut rng));
        let (server_a, server_b) = (Identity::server(&[1; 64]), Identity::server(&[2; 64]));
        for (near, far) in
            [(&peer_a, &peer_b), (&peer_a, &server_b), (&server_a, &peer_b), (&server_a, &server_b)]
        {
            let component =
                InitiatorComponent::generate(near, far.certificate(), &mut rng).unwrap();
            let (answer, far_keys) =
                respond(far, near.certificate(), &component.bytes, &mut rng).unwrap();
            let near_keys = component.combine(near, far.certificate(), &answer).unwrap();
            assert_eq!(near_keys.near_nonce, far_keys.far_nonce);
            assert_eq!(near_keys.far_nonce, far_keys.near_nonce);
        }
    }

    #[test]
    fn component_sizes_are_those_librtmfp_checks() {
        let mut rng = StdRng::seed_from_u64(5);
        let (peer, server) = (Identity::peer(&mut rng), Identity::server(&[1; 64]));
        let component = InitiatorComponent::generate(&peer, peer.certificate(), &mut rng).unwrap();
        assert_eq!(component.bytes.len(), 76);
        let (from_peer, _) =
            respond(&peer, peer.certificate(), &component.bytes, &mut rng).unwrap();
        assert_eq!((from_peer.len(), &from_peer[..7]), (73, &[3, 0x1a, 0, 0, 2, 0x1e, 0][..]));
        let (from_server, _) =
            respond(&server, peer.certificate(), &component.bytes, &mut rng).unwrap();
        assert_eq!(from_server.len(), 139);
        assert_eq!(from_server[7..11], [0x81, 0x02, 0x0d, 0x02]);
    }
}
