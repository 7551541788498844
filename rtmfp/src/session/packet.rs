//! Builds one outgoing packet of an open session in the caller's buffer.

use crate::{
    crypto::{Begun, Finished, PacketKeys},
    wire::{Flags, PacketHeader},
};

/// Flash is said to ignore datagrams over 1192 bytes, and 1200 is what every path carries; this
/// is the largest size below that whole cipher blocks make.
pub(crate) const DEFAULT_DATAGRAM: usize = 4 + 74 * 16;
const MAX_HEADER: usize = 5;

/// Bytes of chunks that fit a datagram of this size.
pub(crate) fn chunk_space(keys: &PacketKeys, datagram: usize) -> usize {
    keys.plain_room(datagram) - MAX_HEADER
}

/// A packet being written at the end of a buffer.
#[derive(Debug)]
pub(crate) struct PacketBuilder<'a> {
    out: &'a mut Vec<u8>,
    begun: Begun,
    header_at: usize,
    body_at: usize,
    space: usize,
    header: PacketHeader,
}

impl<'a> PacketBuilder<'a> {
    /// Begins a packet with `space` bytes for chunks. Echo and notifications are part of
    /// `header`.
    pub fn new(
        out: &'a mut Vec<u8>,
        keys: &PacketKeys,
        space: usize,
        header: PacketHeader,
    ) -> Self {
        let begun = keys.begin(out);
        let header_at = out.len();
        header.put(out);
        let body_at = out.len();
        Self { out, begun, header_at, body_at, space, header }
    }

    /// Where chunks are appended.
    pub fn out(&mut self) -> &mut Vec<u8> {
        self.out
    }

    /// The buffer's length that must not be passed.
    pub fn limit(&self) -> usize {
        self.body_at + self.space
    }

    /// Room left for chunks.
    pub fn room(&self) -> usize {
        self.limit().saturating_sub(self.out.len())
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

    /// It holds a fragment that was cut for a larger packet.
    pub fn is_too_large(&self) -> bool {
        self.out.len() > self.limit()
    }

    /// Takes the packet back; what it was, from its flags byte on.
    pub fn take_back(self) -> Vec<u8> {
        let plain = self.out.split_off(self.header_at);
        self.out.truncate(self.begun.start);
        plain
    }

    /// Finishes the packet, or takes it back if nothing was written. It is still to be sealed.
    pub fn finish(self, keys: &mut PacketKeys) -> Option<Finished> {
        if self.is_empty() {
            self.out.truncate(self.begun.start);
            return None;
        }
        Some(keys.finish(self.out, self.begun))
    }
}
