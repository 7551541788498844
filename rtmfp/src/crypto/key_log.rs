//! Session keys for those who decode captures of their own sessions.

use super::{DirectionKeys, PacketProtection};

/// Takes lines of a key log. Whoever has them can read and forge the sessions.
pub trait KeyLog: Send + Sync + std::fmt::Debug {
    /// One line, without its end: an AES-128 key in hex, then what packets under it carry
    /// (`hmac=BYTES`, `sequence`), if anything.
    fn log(&self, line: &str);
}

/// The two lines of a session.
pub(super) fn lines(keys: &DirectionKeys, protection: PacketProtection) -> [String; 2] {
    let line = |key: &[u8; 32], hmac: Option<usize>, sequence: bool| {
        let mut line: String = key[..16].iter().map(|byte| format!("{byte:02x}")).collect();
        if let Some(length) = hmac {
            line += &format!(" hmac={length}");
        }
        if sequence {
            line += " sequence";
        }
        line
    };
    [
        line(&keys.encrypt, protection.send_hmac, protection.send_sequence),
        line(&keys.decrypt, protection.receive_hmac, protection.receive_sequence),
    ]
}
