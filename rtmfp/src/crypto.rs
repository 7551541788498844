//! The cryptography profile of RFC 7425: Diffie-Hellman, certificates, session keys, and the
//! packets sealed with them.

mod certificate;
mod checksum;
mod cipher;
mod dh;
mod discriminator;
mod identity;
mod key_log;
pub mod keying;
mod protection;
mod replay;
mod signature;

pub use certificate::{Certificate, PeerId};
pub use cipher::{
    Begun, DirectionKeys, Finished, MIN_SEALED_LEN, OpenError, PacketKeys, scramble_session_id,
    session_id_of,
};
pub use dh::{Group, KeyPair, PublicKeyError, SharedSecret};
pub use discriminator::Discriminator;
pub use identity::{Identity, Keys};
pub use key_log::KeyLog;
pub use protection::{PacketProtection, Policy, Protection, Unprotected};
pub use signature::{Credential, Signer};
pub(crate) use signature::{sign, verify};

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

/// Compares without telling by its time where the difference is.
pub(crate) fn equal(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len() && a.iter().zip(b).fold(0, |differ, (x, y)| differ | (x ^ y)) == 0
}
