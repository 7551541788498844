//! Reading captures: pcap files of UDP over IPv4 or IPv6, and the keys that go with them.

use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use rtmfp::{
    crypto::{PacketKeys, session_id_of},
    wire::{Chunk, Chunks, Mode, PacketHeader, Reader},
};

/// One UDP datagram of a capture.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Captured {
    /// Since the capture's first packet.
    pub at: Duration,
    /// Sender.
    pub from: SocketAddr,
    /// Receiver.
    pub to: SocketAddr,
    /// UDP payload.
    pub payload: Vec<u8>,
}

/// All UDP datagrams of a pcap file (Ethernet, loopback or raw IP; either byte order); what is no
/// UDP is passed over, and a file that is no pcap has none.
pub fn read_pcap(bytes: &[u8]) -> Vec<Captured> {
    read_pcap_counting(bytes).0
}

/// The same, and how many packets are there in part only.
pub fn read_pcap_counting(bytes: &[u8]) -> (Vec<Captured>, usize) {
    let mut reader = Reader::new(bytes);
    let Ok(header) = reader.array::<24>() else { return (Vec::new(), 0) };
    let is_little = match header[..4] {
        [0xd4, 0xc3, 0xb2, 0xa1] | [0x4d, 0x3c, 0xb2, 0xa1] => true,
        [0xa1, 0xb2, 0xc3, 0xd4] | [0xa1, 0xb2, 0x3c, 0x4d] => false,
        _ => return (Vec::new(), 0),
    };
    let number = |bytes: [u8; 4]| {
        if is_little { u32::from_le_bytes(bytes) } else { u32::from_be_bytes(bytes) }
    };
    let link = number([header[20], header[21], header[22], header[23]]);
    // Fractions of a second are nanoseconds in files with these marks, else microseconds.
    let has_nanoseconds = matches!(header[..4], [0x4d, ..] | [.., 0x4d]);
    let (mut datagrams, mut cut) = (Vec::new(), 0);
    let mut began = None;
    while let Ok(record) = reader.array::<16>() {
        let word = |at: usize| number([record[at], record[at + 1], record[at + 2], record[at + 3]]);
        let fraction = u64::from(word(4)) * if has_nanoseconds { 1 } else { 1000 };
        let time = Duration::from_secs(word(0).into()) + Duration::from_nanos(fraction);
        let at = time.saturating_sub(*began.get_or_insert(time));
        let Ok(frame) = reader.bytes(word(8) as usize) else {
            cut += 1;
            break;
        };
        cut += usize::from(word(12) > word(8));
        datagrams.extend(read_frame(at, link, frame));
    }
    (datagrams, cut)
}

fn read_frame(at: Duration, link: u32, frame: &[u8]) -> Option<Captured> {
    const NULL: u32 = 0;
    const ETHERNET: u32 = 1;
    const RAW: u32 = 101;
    const LOOP: u32 = 108;
    const LINUX_COOKED: u32 = 113;
    const LINUX_COOKED_2: u32 = 276;
    const VLAN: [u8; 2] = [0x81, 0];
    let packet = match link {
        NULL | LOOP => frame.get(4..)?,
        ETHERNET if frame.get(12..14)? == VLAN => frame.get(18..)?,
        ETHERNET => frame.get(14..)?,
        RAW => frame,
        LINUX_COOKED => frame.get(16..)?,
        LINUX_COOKED_2 => frame.get(20..)?,
        _ => return None,
    };
    const UDP: u8 = 17;
    let (from, to, udp): (IpAddr, IpAddr, _) = match packet.first()? >> 4 {
        4 => {
            let header = usize::from(packet[0] & 0x0f) * 4;
            let address = |at: usize| Some(IpAddr::from(*packet.get(at..)?.first_chunk::<4>()?));
            // Of a fragmented datagram the first part alone has a UDP header.
            let is_later_part = *packet.get(6)? & 0x1f != 0 || *packet.get(7)? != 0;
            (*packet.get(9)? == UDP && !is_later_part).then_some(())?;
            (address(12)?, address(16)?, packet.get(header..)?)
        }
        6 => {
            let address = |at: usize| Some(IpAddr::from(*packet.get(at..)?.first_chunk::<16>()?));
            (*packet.get(6)? == UDP).then_some(())?;
            (address(8)?, address(24)?, packet.get(40..)?)
        }
        _ => return None,
    };
    let mut reader = Reader::new(udp);
    let (from_port, to_port, length) = (reader.u16().ok()?, reader.u16().ok()?, reader.u16().ok()?);
    reader.u16().ok()?;
    let payload = reader.bytes(usize::from(length).checked_sub(8)?).ok()?.to_vec();
    Some(Captured {
        at,
        from: SocketAddr::new(from, from_port),
        to: SocketAddr::new(to, to_port),
        payload,
    })
}

/// A session key of one direction, and what packets under it carry.
#[derive(Debug, Clone)]
pub struct CaptureKey {
    keys: PacketKeys,
    hmac_length: usize,
    is_numbered: bool,
}

/// Keys of a key log, the default key before them. A line is an AES-128 key in hex; after it may
/// stand `hmac=BYTES` and `sequence`. Other lines are passed over.
pub fn read_keys(text: &str) -> Vec<CaptureKey> {
    let default = CaptureKey { keys: PacketKeys::default(), hmac_length: 0, is_numbered: false };
    std::iter::once(default).chain(text.lines().filter_map(read_key)).collect()
}

fn read_key(line: &str) -> Option<CaptureKey> {
    let mut words = line.split_ascii_whitespace();
    let digits = words.next().filter(|digits| digits.len() == 32 && digits.is_ascii())?;
    let mut key = [0; 16];
    for (index, byte) in key.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&digits[2 * index..2 * index + 2], 16).ok()?;
    }
    let mut read =
        CaptureKey { keys: PacketKeys::new(&key, &key), hmac_length: 0, is_numbered: false };
    for word in words {
        match word.strip_prefix("hmac=") {
            Some(length) => read.hmac_length = length.parse().ok()?,
            None => read.is_numbered |= word == "sequence",
        }
    }
    Some(read)
}

/// A packet that a key opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Opened {
    /// Which key of the list.
    pub key: usize,
    /// Session sequence number, if packets under that key have one.
    pub sequence: Option<u64>,
    /// From its flags byte on, with padding.
    pub plain: Vec<u8>,
}

/// Opens a datagram with the key that is expected, or else with the first that fits.
pub fn open(keys: &[CaptureKey], expected: Option<usize>, datagram: &[u8]) -> Option<Opened> {
    let mut copy = Vec::new();
    expected.into_iter().chain(0..keys.len()).find_map(|key| {
        let candidate = keys.get(key)?;
        if !candidate.fits(datagram.len()) {
            return None;
        }
        copy.clear();
        copy.extend_from_slice(datagram);
        let (sequence, plain) = candidate.keys.decrypt_captured(
            &mut copy,
            candidate.hmac_length,
            candidate.is_numbered,
        )?;
        // Without its checksum a packet is known by its looks alone.
        let is_credible = candidate.hmac_length == 0 || makes_sense(plain);
        is_credible.then(|| Opened { key, sequence, plain: plain.to_vec() })
    })
}

impl CaptureKey {
    /// Whether a datagram of this size can be under the key: whole cipher blocks, and the rest.
    fn fits(&self, size: usize) -> bool {
        const SESSION_ID: usize = 4;
        const BLOCK: usize = 16;
        size.checked_sub(SESSION_ID.saturating_add(self.hmac_length))
            .is_some_and(|sealed| sealed > 0 && sealed.is_multiple_of(BLOCK))
    }
}

/// A session ID and one cipher block.
const SMALLEST_DATAGRAM: usize = 20;
/// Larger datagrams do not travel.
const MAX_DATAGRAM: usize = 1472;

/// The datagrams of a train (UDP GSO) that the kernel had not yet cut when it was recorded: all of
/// one size, but for a smaller one at the end, and all of one session. No other cut shows one
/// session ID in each piece; where none does, it was one datagram.
pub fn split_train(recorded: &[u8]) -> Vec<&[u8]> {
    let is_train = |size: &usize| {
        let first = session_id_of(recorded);
        recorded.chunks(*size).all(|piece| first.is_some() && session_id_of(piece) == first)
    };
    let largest = MAX_DATAGRAM.min(recorded.len().saturating_sub(1));
    match (SMALLEST_DATAGRAM..=largest).find(is_train) {
        Some(size) => recorded.chunks(size).collect(),
        None => vec![recorded],
    }
}

fn makes_sense(plain: &[u8]) -> bool {
    let mut reader = Reader::new(plain);
    let Ok(header) = PacketHeader::read(&mut reader) else { return false };
    if header.flags.mode == Mode::Startup {
        return false;
    }
    let mut chunks = Chunks::new(reader);
    let mut known = 0;
    // Those of startup are not for sessions.
    let is_known = chunks.by_ref().all(|chunk| {
        known += 1;
        !matches!(
            chunk,
            Chunk::Other(..)
                | Chunk::InitiatorHello(_)
                | Chunk::ResponderHello(_)
                | Chunk::Redirect(_)
                | Chunk::InitiatorKeying(_)
                | Chunk::ResponderKeying(_)
                | Chunk::CookieChange(_)
        )
    });
    is_known && known > 0 && chunks.malformed == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Pieces of one session and these sizes.
    fn train(sizes: &[usize]) -> Vec<u8> {
        let piece = |(index, size): (usize, &usize)| {
            let mut bytes: Vec<u8> = (0..*size).map(|at| (at * 31 + index * 97) as u8).collect();
            let id = [0, 1, 2, 3].map(|at| 0x5a ^ bytes[4 + at] ^ bytes[8 + at]);
            bytes[..4].copy_from_slice(&id);
            bytes
        };
        sizes.iter().enumerate().flat_map(piece).collect()
    }

    #[test]
    fn trains_are_cut_where_one_session_begins_anew() {
        for sizes in [&[500, 500, 500][..], &[900, 100], &[20, 20, 20], &[1472], &[1100, 1100, 40]]
        {
            let recorded = train(sizes);
            let cut: Vec<usize> = split_train(&recorded).iter().map(|piece| piece.len()).collect();
            assert_eq!(cut, sizes);
        }
        assert_eq!(split_train(&[1, 2, 3]), [&[1, 2, 3]]);
    }
}
