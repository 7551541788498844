//! Message 01 on the control flow: "I am in this group, and here is the proof."

use rtmfp::{
    crypto::{Discriminator, PeerId},
    wire::{Options, put_option},
};

use super::control;
use crate::groupspec::hex;

/// A decoded join.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Join {
    /// The group, as lowercase hex text on the wire.
    pub group: [u8; 32],
    /// [`crate::GroupSpec::proof`] over the receiver's near nonce.
    pub proof: [u8; 32],
    /// The receiver.
    pub to: PeerId,
}

const GROUP: u64 = 0x00;
const PROOF: u64 = 0x01;
const RECEIVER: u64 = 0x03;

impl Join {
    /// Decodes a message that begins with 01.
    pub fn decode(message: &[u8]) -> Option<Self> {
        let options = Options::new(message.strip_prefix(&[control::JOIN])?);
        let text = std::str::from_utf8(options.find(GROUP)?).ok()?;
        let mut group = [0; 32];
        if text.len() != 64 || !text.is_ascii() {
            return None;
        }
        for (index, byte) in group.iter_mut().enumerate() {
            *byte = u8::from_str_radix(&text[2 * index..2 * index + 2], 16).ok()?;
        }
        let proof = options.find(PROOF)?.try_into().ok()?;
        match Discriminator::decode(options.find(RECEIVER)?) {
            Discriminator::Fingerprint(to) => Some(Self { group, proof, to }),
            _ => None,
        }
    }

    /// As it travels: 137 bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = vec![control::JOIN];
        put_option(&mut out, GROUP, hex(&self.group).as_bytes());
        put_option(&mut out, PROOF, &self.proof);
        put_option(&mut out, RECEIVER, &Discriminator::Fingerprint(self.to).encode());
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn round_trips_in_the_known_shape() {
        let join = Join { group: [0xab; 32], proof: [7; 32], to: PeerId([9; 32]) };
        let bytes = join.encode();
        assert_eq!((bytes.len(), &bytes[..5]), (137, &[0x01, 0x41, 0x00, b'a', b'b'][..]));
        assert_eq!(Join::decode(&bytes), Some(join));
        assert_eq!(Join::decode(&bytes[..130]), None);
    }
}
