//! The cryptography profile of RFC 7425: Diffie-Hellman, certificates, session keys.
//!
//! Packet HMACs and session sequence numbers are negotiated away for now; their place is
//! [`PacketKeys`], which seals and opens every packet, and the two negotiation options that
//! [`keying`] writes.

mod certificate;
mod checksum;
mod cipher;
mod dh;
mod discriminator;
mod identity;
pub mod keying;

pub use certificate::{Certificate, PeerId};
pub use cipher::{
    MIN_SEALED_LEN, PacketKeys, begin_packet, scramble_session_id, seal, session_id_of,
};
pub use dh::{GROUP_2, KeyPair, PublicKeyError, SharedSecret};
pub use discriminator::Discriminator;
pub use identity::Identity;

use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};

/// SHA-256 of the concatenation of `parts`.
pub fn sha256(parts: &[&[u8]]) -> [u8; 32] {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(part);
    }
    hash.finalize().into()
}

/// HMAC-SHA256.
pub fn hmac_sha256(key: &[u8], message: &[u8]) -> [u8; 32] {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of any length");
    mac.update(message);
    mac.finalize().into_bytes().into()
}
