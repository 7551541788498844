//! Builds one outgoing packet of an open session in the caller's buffer.

use crate::{
    crypto::{PacketKeys, begin_packet, seal},
    wire::{Flags, PacketHeader},
};

/// Cipher blocks in the largest packet. With the session ID that makes 1188 bytes: Flash is said
/// to ignore datagrams over 1192 bytes, and 1200 is what every path carries.
const MAX_SEALED: usize = 74 * 16;
const CHECKSUM: usize = 2;
const MAX_HEADER: usize = 5;

/// A packet being written at the end of a buffer.
#[derive(Debug)]
pub(crate) struct PacketBuilder<'a> {
    out: &'a mut Vec<u8>,
    start: usize,
    header_at: usize,
    body_at: usize,
    header: PacketHeader,
}

impl<'a> PacketBuilder<'a> {
    /// Bytes of chunks that fit one packet.
    pub const SPACE: usize = MAX_SEALED - CHECKSUM - MAX_HEADER;

    /// Begins a packet. Echo and notifications are part of `header`.
    pub fn new(out: &'a mut Vec<u8>, header: PacketHeader) -> Self {
        let start = begin_packet(out);
        let header_at = out.len();
        header.put(out);
        let body_at = out.len();
        Self { out, start, header_at, body_at, header }
    }

    /// Where chunks are appended.
    pub fn out(&mut self) -> &mut Vec<u8> {
        self.out
    }

    /// The buffer's length that must not be passed.
    pub fn limit(&self) -> usize {
        self.body_at + Self::SPACE
    }

    /// Room left for chunks.
    pub fn room(&self) -> usize {
        self.limit() - self.out.len()
    }

    pub fn is_empty(&self) -> bool {
        self.out.len() == self.body_at
    }

    /// Marks the packet as carrying real-time data.
    pub fn set_time_critical(&mut self) {
        let Flags { time_critical_reverse, mode, .. } = self.header.flags;
        self.header.flags = Flags { time_critical: true, time_critical_reverse, mode };
        self.out[self.header_at] = self.header.flags_byte();
    }

    /// Appends what `write` appends if it fits; says whether it did.
    pub fn chunk(&mut self, write: impl FnOnce(&mut Vec<u8>)) -> bool {
        let before = self.out.len();
        write(self.out);
        let fits = self.out.len() <= self.limit();
        if !fits {
            self.out.truncate(before);
        }
        fits
    }

    /// Seals the packet, or takes it back if nothing was written. Returns its size.
    pub fn finish(self, session_id: u32, keys: &PacketKeys) -> Option<usize> {
        if self.is_empty() {
            self.out.truncate(self.start);
            return None;
        }
        seal(self.out, self.start, session_id, keys);
        Some(self.out.len() - self.start)
    }
}
