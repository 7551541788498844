//! Sealing and opening packets: session ID, checksum, AES-128-CBC. RFC 7016 §2.2.2, RFC 7425 §4.7.

use aes::{Aes128, cipher::KeyInit};
use cbc::cipher::{BlockModeDecrypt, BlockModeEncrypt, InnerIvInit, inout::InOutBuf};

use super::checksum::internet_checksum;
use crate::wire::Malformed;

/// The key of startup packets, RFC 7425 §4.1.
const DEFAULT_KEY: [u8; 16] = *b"Adobe Systems 02";
const BLOCK: usize = 16;
const SESSION_ID_LEN: usize = 4;
const CHECKSUM_LEN: usize = 2;

/// Session ID and one cipher block: nothing shorter can be a packet.
pub const MIN_SEALED_LEN: usize = SESSION_ID_LEN + BLOCK;

/// A session's two directions. Key schedules are kept, not rebuilt for each packet.
#[derive(Clone)]
pub struct PacketKeys {
    encrypt: Aes128,
    decrypt: Aes128,
}

impl std::fmt::Debug for PacketKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("PacketKeys(secret)")
    }
}

impl Default for PacketKeys {
    /// The keys of session startup, known to all.
    fn default() -> Self {
        Self::new(&DEFAULT_KEY, &DEFAULT_KEY)
    }
}

impl PacketKeys {
    /// From two AES-128 keys.
    pub fn new(encrypt: &[u8; 16], decrypt: &[u8; 16]) -> Self {
        Self { encrypt: Aes128::new(encrypt.into()), decrypt: Aes128::new(decrypt.into()) }
    }

    /// Decrypts a datagram in place and verifies it; hands out the plain packet from its
    /// flags byte on, with its padding.
    pub fn open<'a>(&self, datagram: &'a mut [u8]) -> Result<&'a [u8], Malformed> {
        let sealed = datagram.get_mut(SESSION_ID_LEN..).ok_or(Malformed)?;
        if sealed.is_empty() || !sealed.len().is_multiple_of(BLOCK) {
            return Err(Malformed);
        }
        let (blocks, _) = InOutBuf::from(&mut *sealed).into_chunks();
        cbc::Decryptor::inner_iv_init(&self.decrypt, &[0; BLOCK].into())
            .decrypt_blocks_inout(blocks);
        let (sum, plain) = sealed.split_first_chunk::<CHECKSUM_LEN>().ok_or(Malformed)?;
        if u16::from_be_bytes(*sum) != internet_checksum(plain) {
            return Err(Malformed);
        }
        Ok(plain)
    }
}

/// Which session a datagram is for: the receiver's ID, or 0 for startup.
pub fn session_id_of(datagram: &[u8]) -> Option<u32> {
    if datagram.len() < MIN_SEALED_LEN {
        return None;
    }
    Some(scramble(datagram))
}

/// XOR is its own inverse: this both hides and shows the session ID.
fn scramble(datagram: &[u8]) -> u32 {
    let word = |at: usize| {
        u32::from_be_bytes([datagram[at], datagram[at + 1], datagram[at + 2], datagram[at + 3]])
    };
    word(0) ^ word(4) ^ word(8)
}

/// Writes `session_id` into the first bytes of an encrypted datagram.
pub fn scramble_session_id(datagram: &mut [u8], session_id: u32) {
    datagram[..SESSION_ID_LEN].copy_from_slice(&session_id.to_be_bytes());
    let hidden = scramble(datagram);
    datagram[..SESSION_ID_LEN].copy_from_slice(&hidden.to_be_bytes());
}

/// Makes room for session ID and checksum at the end of `out`; the plain packet follows.
/// Returns where the datagram starts.
pub fn begin_packet(out: &mut Vec<u8>) -> usize {
    let start = out.len();
    out.extend_from_slice(&[0; SESSION_ID_LEN + CHECKSUM_LEN]);
    start
}

/// Pads, sums and encrypts the packet begun at `start`, in place.
pub fn seal(out: &mut Vec<u8>, start: usize, session_id: u32, keys: &PacketKeys) {
    let plain = out.len() - start - SESSION_ID_LEN;
    out.resize(start + SESSION_ID_LEN + plain.next_multiple_of(BLOCK), 0xff);
    let sealed = &mut out[start + SESSION_ID_LEN..];
    let sum = internet_checksum(&sealed[CHECKSUM_LEN..]);
    sealed[..CHECKSUM_LEN].copy_from_slice(&sum.to_be_bytes());
    let (blocks, _) = InOutBuf::from(sealed).into_chunks();
    cbc::Encryptor::inner_iv_init(&keys.encrypt, &[0; BLOCK].into()).encrypt_blocks_inout(blocks);
    scramble_session_id(&mut out[start..], session_id);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seal_then_open_gives_the_packet_back() {
        let (ours, theirs) =
            (PacketKeys::new(&[1; 16], &[2; 16]), PacketKeys::new(&[2; 16], &[1; 16]));
        let mut out = vec![0xaa; 3];
        let start = begin_packet(&mut out);
        out.extend_from_slice(b"a plain packet");
        seal(&mut out, start, 0x0102_0304, &ours);
        let datagram = &mut out[3..];
        assert_eq!(session_id_of(datagram), Some(0x0102_0304));
        assert_eq!(theirs.open(datagram).unwrap(), b"a plain packet");
    }

    #[test]
    fn damage_and_odd_lengths_are_refused() {
        let keys = PacketKeys::default();
        let mut out = Vec::new();
        let start = begin_packet(&mut out);
        out.extend_from_slice(&[7; 40]);
        seal(&mut out, start, 0, &keys);
        let mut damaged = out.clone();
        damaged[20] ^= 1;
        assert_eq!(keys.open(&mut damaged), Err(Malformed));
        assert_eq!(keys.open(&mut out[..51]), Err(Malformed));
        assert_eq!(keys.open(&mut [0; 4]), Err(Malformed));
        assert_eq!(keys.open(&mut []), Err(Malformed));
        assert_eq!(session_id_of(&[0; 19]), None);
    }
}
