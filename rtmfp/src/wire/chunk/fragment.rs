//! Packet Fragment: a piece of a packet too large for its path. RFC 7016 §2.3.1.

use super::{code, put_chunk};
use crate::wire::reader::{Malformed, Reader, put_vlu};

/// One piece.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PacketFragment<'a> {
    /// Further pieces follow.
    pub has_more: bool,
    /// Names the packet among those of its sender.
    pub packet_id: u64,
    /// Which piece it is, from 0.
    pub number: u64,
    /// At least one byte of the plain packet.
    pub bytes: &'a [u8],
}

const MORE: u8 = 0x80;

impl<'a> PacketFragment<'a> {
    /// Decodes a payload; an empty piece is malformed.
    pub fn decode(payload: &'a [u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(payload);
        let has_more = reader.u8()? & MORE != 0;
        let (packet_id, number) = (reader.vlu()?, reader.vlu()?);
        let bytes = reader.rest();
        if bytes.is_empty() {
            return Err(Malformed);
        }
        Ok(Self { has_more, packet_id, number, bytes })
    }

    /// Appends the chunk.
    pub fn put(&self, out: &mut Vec<u8>) {
        put_chunk(out, code::FRAGMENT, |out| {
            out.push(if self.has_more { MORE } else { 0 });
            put_vlu(out, self.packet_id);
            put_vlu(out, self.number);
            out.extend_from_slice(self.bytes);
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{Chunk, Chunks};

    #[test]
    fn round_trips_and_is_never_empty() {
        let piece = PacketFragment { has_more: true, packet_id: 300, number: 2, bytes: b"abc" };
        let mut out = Vec::new();
        piece.put(&mut out);
        assert_eq!(Chunks::new(Reader::new(&out)).next(), Some(Chunk::Fragment(piece)));
        assert_eq!(PacketFragment::decode(&[0x80, 1, 0]), Err(Malformed));
    }
}
