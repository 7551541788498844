//! Data Acknowledgement Bitmap and Ranges. RFC 7016 §2.3.13, §2.3.14.

use super::{code, put_chunk};
use crate::wire::reader::{Malformed, Reader, put_vlu};

/// What a receiver has of a flow, and how much more it can take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DataAck<'a> {
    /// A flow that the receiver of this chunk is sending.
    pub flow: u64,
    /// Room in the receiver's buffer, in blocks of 1024 bytes.
    pub buffer_blocks: u64,
    /// Everything up to this number was received.
    pub cumulative: u64,
    beyond: Beyond<'a>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Beyond<'a> {
    Bitmap(&'a [u8]),
    Ranges(&'a [u8]),
}

/// Fragments received: first and last, inclusive.
pub type AckRange = (u64, u64);

impl<'a> DataAck<'a> {
    /// Decodes the payload of a bitmap chunk (0x50).
    pub fn decode_bitmap(payload: &'a [u8]) -> Result<Self, Malformed> {
        Self::decode(payload, Beyond::Bitmap)
    }

    /// Decodes the payload of a ranges chunk (0x51).
    pub fn decode_ranges(payload: &'a [u8]) -> Result<Self, Malformed> {
        Self::decode(payload, Beyond::Ranges)
    }

    fn decode(payload: &'a [u8], beyond: fn(&'a [u8]) -> Beyond<'a>) -> Result<Self, Malformed> {
        let mut reader = Reader::new(payload);
        let (flow, buffer_blocks, cumulative) = (reader.vlu()?, reader.vlu()?, reader.vlu()?);
        Ok(Self { flow, buffer_blocks, cumulative, beyond: beyond(reader.rest()) })
    }

    /// The runs received beyond `cumulative`, increasing. Bounded by the chunk's length.
    pub fn ranges(&self) -> AckRanges<'a> {
        AckRanges { last: self.cumulative, beyond: self.beyond, bit: 0 }
    }
}

/// Iterates the runs of a [`DataAck`]; a truncated last one is left out.
#[derive(Debug, Clone)]
pub struct AckRanges<'a> {
    last: u64,
    beyond: Beyond<'a>,
    bit: u64,
}

impl AckRanges<'_> {
    fn next_in_ranges(&mut self) -> Option<AckRange> {
        let Beyond::Ranges(bytes) = self.beyond else { return None };
        let mut reader = Reader::new(bytes);
        let holes = reader.vlu().ok()?.checked_add(1)?;
        let more = reader.vlu().ok()?;
        let first = self.last.checked_add(holes)?.checked_add(1)?;
        let last = first.checked_add(more)?;
        self.beyond = Beyond::Ranges(reader.rest());
        self.last = last;
        Some((first, last))
    }

    /// Bit 0 stands for cumulative + 2, for + 1 is missing by definition.
    fn next_in_bitmap(&mut self, bitmap: &[u8]) -> Option<AckRange> {
        let is_set = |bit: u64| {
            usize::try_from(bit / 8)
                .ok()
                .and_then(|byte| bitmap.get(byte))
                .map(|byte| byte >> (bit % 8) & 1 == 1)
        };
        while !is_set(self.bit)? {
            self.bit += 1;
        }
        let first = self.last.checked_add(2)?.checked_add(self.bit)?;
        let start = self.bit;
        while is_set(self.bit) == Some(true) {
            self.bit += 1;
        }
        Some((first, first.checked_add(self.bit - start - 1)?))
    }
}

impl Iterator for AckRanges<'_> {
    type Item = AckRange;

    fn next(&mut self) -> Option<AckRange> {
        match self.beyond {
            Beyond::Bitmap(bitmap) => self.next_in_bitmap(bitmap),
            Beyond::Ranges(_) => self.next_in_ranges(),
        }
    }
}

/// Appends a ranges chunk. `runs` are increasing, apart from each other and beyond
/// `cumulative` + 1; those that would take the chunk past `limit` bytes are left out.
pub fn put_ack_ranges(
    out: &mut Vec<u8>,
    flow: u64,
    buffer_blocks: u64,
    cumulative: u64,
    runs: impl Iterator<Item = AckRange>,
    limit: usize,
) {
    const LONGEST_RUN: usize = 20;
    put_chunk(out, code::ACK_RANGES, |out| {
        let start = out.len();
        put_vlu(out, flow);
        put_vlu(out, buffer_blocks);
        put_vlu(out, cumulative);
        let mut last = cumulative;
        for (first, end) in runs {
            if out.len() - start + LONGEST_RUN > limit {
                break;
            }
            put_vlu(out, first - last - 2);
            put_vlu(out, end - first);
            last = end;
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rfc_bitmap_example() {
        // RFC 7016 §2.3.13: bits from cumulative + 2 upwards, least significant first.
        let ack = DataAck::decode_bitmap(&[3, 0x7f, 16, 0b0111_1001, 0b0000_0110]).unwrap();
        assert_eq!((ack.flow, ack.buffer_blocks, ack.cumulative), (3, 127, 16));
        assert_eq!(ack.ranges().collect::<Vec<_>>(), [(18, 18), (21, 24), (27, 28)]);
    }

    #[test]
    fn ranges_round_trip() {
        let runs = [(18, 18), (21, 24), (27, 300)];
        let mut out = Vec::new();
        put_ack_ranges(&mut out, 3, 127, 16, runs.into_iter(), 1000);
        let ack = DataAck::decode_ranges(&out[3..]).unwrap();
        assert_eq!(ack.ranges().collect::<Vec<_>>(), runs);
        let cut = DataAck::decode_ranges(&out[3..out.len() - 1]).unwrap();
        assert_eq!(cut.ranges().collect::<Vec<_>>(), runs[..2]);
    }

    #[test]
    fn ranges_at_the_end_of_numbers_do_not_overflow() {
        let mut payload = vec![1, 1];
        put_vlu(&mut payload, u64::MAX - 1);
        payload.extend_from_slice(&[0x7f, 0x7f]);
        assert_eq!(DataAck::decode_ranges(&payload).unwrap().ranges().count(), 0);
    }
}
