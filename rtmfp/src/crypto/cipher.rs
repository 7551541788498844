//! Sealing and opening packets: session ID, sequence number, checksum or HMAC, AES-128-CBC.
//! RFC 7016 §2.2.2, RFC 7425 §4.7.

use aes::{
    Aes128Dec, Aes128Enc, Block,
    cipher::{BlockCipherEncrypt, KeyInit},
};
use cbc::cipher::{BlockModeDecrypt, InnerIvInit, inout::InOutBuf};
use hmac::{Hmac, Mac};
use sha2::Sha256;
use thiserror::Error;

use super::{checksum::internet_checksum, protection::PacketProtection, replay::ReplayWindow};
use crate::wire::{Reader, put_vlu};

/// The key of startup packets, RFC 7425 §4.1.
const DEFAULT_KEY: [u8; 16] = *b"Adobe Systems 02";
const BLOCK: usize = 16;
/// CBC chains encrypted side by side: as many as the CPU's pipeline holds.
const LANES: usize = 8;
const SESSION_ID_LEN: usize = 4;
const CHECKSUM_LEN: usize = 2;
/// Bytes of the sequence number that a packet's room is reckoned with: 2^42 packets.
const SEQUENCE_ROOM: usize = 6;

/// Session ID and one cipher block: nothing shorter can be a packet.
pub const MIN_SEALED_LEN: usize = SESSION_ID_LEN + BLOCK;

/// A datagram was not taken for a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum OpenError {
    /// Its length cannot be, or its checksum or HMAC is wrong: damaged, forged or not for us.
    #[error("the packet does not verify")]
    Unverified,
    /// It was received before, or is too old to tell.
    #[error("the packet was received before")]
    Replayed,
}

/// The two directions of a session. Key schedules and keyed MACs are kept, not rebuilt for each
/// packet.
#[derive(Clone)]
pub struct PacketKeys {
    encrypt: Aes128Enc,
    decrypt: Aes128Dec,
    protection: Option<Box<Protectors>>,
}

/// What protects packets beyond the checksum.
#[derive(Clone, Default)]
struct Protectors {
    send_mac: Option<PacketMac>,
    receive_mac: Option<PacketMac>,
    next_sequence: Option<u64>,
    window: Option<ReplayWindow>,
}

#[derive(Clone)]
struct PacketMac {
    keyed: Hmac<Sha256>,
    length: usize,
}

impl PacketMac {
    fn new(key: &[u8; 32], length: usize) -> Self {
        let keyed = <Hmac<Sha256> as hmac::KeyInit>::new_from_slice(key)
            .expect("HMAC takes keys of any length");
        Self { keyed, length }
    }

    fn of(&self, sealed: &[u8]) -> [u8; 32] {
        self.keyed.clone().chain_update(sealed).finalize().into_bytes().into()
    }

    /// In constant time.
    fn verifies(&self, sealed: &[u8], mac: &[u8]) -> bool {
        self.keyed.clone().chain_update(sealed).verify_truncated_left(mac).is_ok()
    }
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

/// The four keys of a session, RFC 7425 §4.6.3.
#[derive(Clone)]
pub struct DirectionKeys {
    /// `ENCRYPT_KEY`, of which AES takes the first half.
    pub encrypt: [u8; 32],
    /// `DECRYPT_KEY`
    pub decrypt: [u8; 32],
    /// `HMAC_SEND_KEY`
    pub send_mac: [u8; 32],
    /// `HMAC_RECV_KEY`
    pub receive_mac: [u8; 32],
}

/// A packet being written at the end of a buffer.
#[derive(Debug, Clone, Copy)]
#[must_use = "a packet that is begun must be sealed or taken back"]
pub struct Begun {
    /// Where its datagram starts.
    pub start: usize,
}

/// A packet that is whole but neither encrypted nor signed.
#[derive(Debug, Clone, Copy)]
#[must_use = "a finished packet must be sealed"]
pub struct Finished {
    start: usize,
    mac_at: usize,
    end: usize,
}

impl Finished {
    /// Bytes of the datagram to be.
    pub fn size(&self) -> usize {
        self.end - self.start
    }

    /// The same packet after the buffer's first `bytes` were taken away.
    pub fn moved_back(self, bytes: usize) -> Self {
        Self { start: self.start - bytes, mac_at: self.mac_at - bytes, end: self.end - bytes }
    }
}

impl PacketKeys {
    /// From two AES-128 keys; packets carry checksums.
    pub fn new(encrypt: &[u8; 16], decrypt: &[u8; 16]) -> Self {
        Self {
            encrypt: Aes128Enc::new(encrypt.into()),
            decrypt: Aes128Dec::new(decrypt.into()),
            protection: None,
        }
    }

    /// For a session whose ends agreed on `protection`.
    pub fn protected(keys: &DirectionKeys, protection: PacketProtection) -> Self {
        let half = |key: &[u8; 32]| *key.first_chunk::<16>().expect("32 bytes hold 16");
        let protectors = Protectors {
            send_mac: protection.send_hmac.map(|length| PacketMac::new(&keys.send_mac, length)),
            receive_mac: protection
                .receive_hmac
                .map(|length| PacketMac::new(&keys.receive_mac, length)),
            next_sequence: protection.send_sequence.then_some(0),
            window: protection.receive_sequence.then(ReplayWindow::default),
        };
        let is_bare = protection == PacketProtection::default();
        Self {
            protection: (!is_bare).then(|| Box::new(protectors)),
            ..Self::new(&half(&keys.encrypt), &half(&keys.decrypt))
        }
    }

    /// Bytes that a plain packet may have, from its flags byte on, if its datagram is to have
    /// `datagram` bytes at most.
    pub fn plain_room(&self, datagram: usize) -> usize {
        let protectors = self.protection.as_deref();
        let mac = protectors.and_then(|protectors| protectors.send_mac.as_ref());
        let after = mac.map_or(0, |mac| mac.length);
        let sealed = (datagram - SESSION_ID_LEN - after) / BLOCK * BLOCK;
        let numbered = protectors.is_some_and(|protectors| protectors.next_sequence.is_some());
        sealed
            - if mac.is_some() { 0 } else { CHECKSUM_LEN }
            - if numbered { SEQUENCE_ROOM } else { 0 }
    }

    /// Makes room for session ID and checksum at the end of `out`, and writes the sequence
    /// number; the plain packet follows.
    pub fn begin(&self, out: &mut Vec<u8>) -> Begun {
        let start = out.len();
        out.extend_from_slice(&[0; SESSION_ID_LEN]);
        if let Some(sequence) = self.next_sequence() {
            put_vlu(out, sequence);
        }
        if self.send_mac().is_none() {
            out.extend_from_slice(&[0; CHECKSUM_LEN]);
        }
        Begun { start }
    }

    fn next_sequence(&self) -> Option<u64> {
        self.protection.as_ref()?.next_sequence
    }

    fn send_mac(&self) -> Option<&PacketMac> {
        self.protection.as_ref()?.send_mac.as_ref()
    }

    /// Pads the begun packet and makes room for its HMAC; it counts as sent. What comes out must
    /// be sealed with others of its train, or alone.
    pub fn finish(&mut self, out: &mut Vec<u8>, begun: Begun) -> Finished {
        let sealed_at = begun.start + SESSION_ID_LEN;
        let plain = out.len() - sealed_at;
        out.resize(sealed_at + plain.next_multiple_of(BLOCK), 0xff);
        let mac_at = out.len();
        if let Some(mac) = self.send_mac() {
            out.resize(mac_at + mac.length, 0);
        } else {
            let checksum_at = sealed_at + self.next_sequence().map_or(0, crate::wire::vlu_len);
            let sum = internet_checksum(&out[checksum_at + CHECKSUM_LEN..]);
            out[checksum_at..checksum_at + CHECKSUM_LEN].copy_from_slice(&sum.to_be_bytes());
        }
        if let Some(sequence) =
            self.protection.as_mut().and_then(|protectors| protectors.next_sequence.as_mut())
        {
            *sequence += 1;
        }
        Finished { start: begun.start, mac_at, end: out.len() }
    }

    /// Encrypts and signs finished packets in place. Each CBC chain waits for its own last block,
    /// so several side by side take half the time of one after the other.
    pub fn seal_train(&self, out: &mut [u8], train: &[Finished], session_id: u32) {
        for lanes in train.chunks(LANES) {
            self.encrypt_lanes(out, lanes);
        }
        for packet in train {
            if let Some(mac) = self.send_mac() {
                let bytes = mac.of(&out[packet.start + SESSION_ID_LEN..packet.mac_at]);
                out[packet.mac_at..packet.end].copy_from_slice(&bytes[..mac.length]);
            }
            scramble_session_id(&mut out[packet.start..packet.end], session_id);
        }
    }

    fn encrypt_lanes(&self, out: &mut [u8], lanes: &[Finished]) {
        let mut chains = [Block::default(); LANES];
        let blocks = |packet: &Finished| (packet.mac_at - packet.start - SESSION_ID_LEN) / BLOCK;
        let most = lanes.iter().map(blocks).max().unwrap_or(0);
        for number in 0..most {
            let place = |packet: &Finished| {
                let at = packet.start + SESSION_ID_LEN + number * BLOCK;
                (number < blocks(packet)).then_some(at..at + BLOCK)
            };
            for (chain, packet) in chains.iter_mut().zip(lanes) {
                if let Some(place) = place(packet) {
                    chain.iter_mut().zip(&out[place]).for_each(|(chain, plain)| *chain ^= plain);
                }
            }
            self.encrypt.encrypt_blocks(&mut chains[..lanes.len()]);
            for (chain, packet) in chains.iter().zip(lanes) {
                if let Some(place) = place(packet) {
                    out[place].copy_from_slice(chain);
                }
            }
        }
    }

    /// Finishes and seals one packet.
    pub fn seal(&mut self, out: &mut Vec<u8>, begun: Begun, session_id: u32) {
        let finished = self.finish(out, begun);
        self.seal_train(out, &[finished], session_id);
    }

    /// Verifies a datagram and decrypts it in place; hands out the plain packet from its flags
    /// byte on, with its padding.
    pub fn open<'a>(&mut self, datagram: &'a mut [u8]) -> Result<&'a [u8], OpenError> {
        let protectors = self.protection.as_deref_mut();
        let (receive_mac, window) = match protectors {
            Some(protectors) => (protectors.receive_mac.as_ref(), protectors.window.as_mut()),
            None => (None, None),
        };
        let mut sealed = datagram.get_mut(SESSION_ID_LEN..).ok_or(OpenError::Unverified)?;
        if let Some(mac) = receive_mac {
            let at = sealed.len().checked_sub(mac.length).ok_or(OpenError::Unverified)?;
            let (before, code) = sealed.split_at_mut(at);
            if !mac.verifies(before, code) {
                return Err(OpenError::Unverified);
            }
            sealed = before;
        }
        if sealed.is_empty() || !sealed.len().is_multiple_of(BLOCK) {
            return Err(OpenError::Unverified);
        }
        let (blocks, _) = InOutBuf::from(&mut *sealed).into_chunks();
        cbc::Decryptor::inner_iv_init(&self.decrypt, &[0; BLOCK].into())
            .decrypt_blocks_inout(blocks);
        let mut reader = Reader::new(sealed);
        let sequence = match window {
            Some(window) => Some((window, reader.vlu().map_err(|_| OpenError::Unverified)?)),
            None => None,
        };
        let sum = match receive_mac {
            Some(_) => None,
            None => Some(reader.u16().map_err(|_| OpenError::Unverified)?),
        };
        let plain = reader.rest();
        if sum.is_some_and(|sum| sum != internet_checksum(plain)) {
            return Err(OpenError::Unverified);
        }
        // Only what is authentic may move the window.
        if let Some((window, sequence)) = sequence
            && !window.accept(sequence)
        {
            return Err(OpenError::Replayed);
        }
        Ok(plain)
    }
}

impl PacketKeys {
    /// Decrypts a datagram of a capture in place, without the means to verify its HMAC: the
    /// session sequence number and the packet from its flags byte on. What comes out is to be
    /// judged by whether it makes sense.
    pub fn decrypt_captured<'a>(
        &self,
        datagram: &'a mut [u8],
        hmac_length: usize,
        is_numbered: bool,
    ) -> Option<(Option<u64>, &'a [u8])> {
        let end = datagram.len().checked_sub(hmac_length)?;
        let sealed = datagram.get_mut(SESSION_ID_LEN..end)?;
        if sealed.is_empty() || !sealed.len().is_multiple_of(BLOCK) {
            return None;
        }
        let (blocks, _) = InOutBuf::from(&mut *sealed).into_chunks();
        cbc::Decryptor::inner_iv_init(&self.decrypt, &[0; BLOCK].into())
            .decrypt_blocks_inout(blocks);
        let mut reader = Reader::new(sealed);
        let number = if is_numbered { Some(reader.vlu().ok()?) } else { None };
        if hmac_length > 0 {
            return Some((number, reader.rest()));
        }
        let (sum, plain) = (reader.u16().ok()?, reader.rest());
        (sum == internet_checksum(plain)).then_some((number, plain))
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

#[cfg(test)]
mod tests {
    use super::*;

    /// The two ends of a session.
    fn ends(protection: PacketProtection) -> (PacketKeys, PacketKeys) {
        let near = DirectionKeys {
            encrypt: [1; 32],
            decrypt: [2; 32],
            send_mac: [3; 32],
            receive_mac: [4; 32],
        };
        let far = DirectionKeys {
            encrypt: [2; 32],
            decrypt: [1; 32],
            send_mac: [4; 32],
            receive_mac: [3; 32],
        };
        (
            PacketKeys::protected(&near, protection),
            PacketKeys::protected(&far, protection.reversed()),
        )
    }

    fn sealed(keys: &mut PacketKeys, plain: &[u8]) -> Vec<u8> {
        let mut out = vec![0xaa; 3];
        let begun = keys.begin(&mut out);
        out.extend_from_slice(plain);
        keys.seal(&mut out, begun, 0x0102_0304);
        out.split_off(3)
    }

    fn every_protection() -> impl Iterator<Item = PacketProtection> {
        [(None, false), (Some(10), false), (None, true), (Some(32), true)].into_iter().map(
            |(hmac, sequence)| PacketProtection {
                send_hmac: hmac,
                receive_hmac: Some(4),
                send_sequence: sequence,
                receive_sequence: false,
            },
        )
    }

    #[test]
    fn seal_then_open_gives_the_packet_back() {
        for protection in every_protection() {
            let (mut near, mut far) = ends(protection);
            for _ in 0..300 {
                let mut datagram = sealed(&mut near, b"a plain packet");
                assert_eq!(session_id_of(&datagram), Some(0x0102_0304));
                assert!(far.open(&mut datagram).unwrap().starts_with(b"a plain packet"));
                let mut back = sealed(&mut far, b"and back");
                assert!(near.open(&mut back).unwrap().starts_with(b"and back"));
            }
        }
    }

    #[test]
    fn packets_of_a_train_are_what_they_would_be_alone() {
        for protection in every_protection() {
            let ((mut alone, _), (mut together, _)) = (ends(protection), ends(protection));
            let (mut one_by_one, mut out, mut train) = (Vec::new(), vec![0xaa; 3], Vec::new());
            for length in [100, 100, 7, 100, 1100, 100, 100, 33, 40, 100, 1] {
                let plain = vec![length as u8; length];
                one_by_one.extend(sealed(&mut alone, &plain));
                let begun = together.begin(&mut out);
                out.extend_from_slice(&plain);
                train.push(together.finish(&mut out, begun));
            }
            together.seal_train(&mut out, &train, 0x0102_0304);
            assert_eq!(out[3..], one_by_one);
        }
    }

    #[test]
    fn the_largest_plain_packet_fits_its_datagram() {
        for protection in every_protection() {
            let (mut near, _) = ends(protection);
            let plain = vec![7; near.plain_room(1188)];
            assert!((1150..=1188).contains(&sealed(&mut near, &plain).len()), "{protection:?}");
        }
    }

    #[test]
    fn damage_and_odd_lengths_are_refused() {
        for protection in every_protection() {
            let (mut near, mut far) = ends(protection);
            let datagram = sealed(&mut near, &[7; 40]);
            for at in 4..datagram.len() {
                let mut damaged = datagram.clone();
                damaged[at] ^= 1;
                assert_eq!(far.open(&mut damaged), Err(OpenError::Unverified));
            }
            for length in 0..datagram.len() {
                assert!(far.open(&mut datagram.clone()[..length]).is_err());
            }
            assert!(far.open(&mut datagram.clone()).is_ok(), "refusals moved no window");
        }
        assert_eq!(session_id_of(&[0; 19]), None);
    }

    #[test]
    fn a_numbered_packet_is_taken_once() {
        let protection = PacketProtection {
            send_hmac: Some(16),
            send_sequence: true,
            ..PacketProtection::default()
        };
        let (mut near, mut far) = ends(protection);
        let (first, second) = (sealed(&mut near, b"first"), sealed(&mut near, b"second"));
        assert!(far.open(&mut second.clone()).is_ok());
        assert!(far.open(&mut first.clone()).is_ok());
        assert_eq!(far.open(&mut first.clone()), Err(OpenError::Replayed));
        assert_eq!(far.open(&mut second.clone()), Err(OpenError::Replayed));
    }
}
