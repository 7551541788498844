//! Chunks of a session that belong to no flow and wait for a packet.

use std::collections::VecDeque;

use super::packet::PacketBuilder;
use crate::wire::chunk::PacketFragment;

/// Ping replies, forwarded hellos and the like that wait for a packet; more are dropped.
const MAX_CONTROL: usize = 64;
/// The most that a piece's packet holds beside its bytes.
const PIECE_HEADER: usize = 16;

/// Ping replies, forwarded hellos, pieces of packets.
#[derive(Debug, Default)]
pub(crate) struct Control {
    chunks: VecDeque<Vec<u8>>,
    /// Packets that were cut in pieces so far.
    packets_cut: u64,
    /// The last packet that was too large went in pieces.
    sends_pieces: bool,
}

impl Control {
    pub fn push(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        if self.chunks.len() < MAX_CONTROL {
            let mut chunk = Vec::new();
            write(&mut chunk);
            self.chunks.push_back(chunk);
        }
    }

    /// The session is closing: nothing of this is said any more.
    pub fn abort(&mut self) {
        self.chunks.clear();
    }

    pub fn is_empty(&self) -> bool {
        self.chunks.is_empty()
    }

    /// Writes what fits. A chunk that no packet holds is dropped.
    pub fn write(&mut self, packet: &mut PacketBuilder<'_>) {
        while let Some(chunk) = self.chunks.front() {
            let fits = packet.chunk(|out| out.extend_from_slice(chunk));
            if !fits && !packet.is_empty() {
                break;
            }
            self.chunks.pop_front();
        }
    }

    /// RFC 7016 §3.4: a packet that became too large for its path goes in pieces. Every other
    /// one goes whole all the same, for not everybody puts pieces together (rtmfp-cpp does not).
    pub fn next_goes_in_pieces(&mut self) -> bool {
        self.sends_pieces = !self.sends_pieces;
        self.sends_pieces
    }

    /// Cuts a plain packet for packets with `space` bytes for chunks.
    pub fn push_pieces(&mut self, plain: &[u8], space: usize) {
        self.packets_cut += 1;
        let packet_id = self.packets_cut;
        let pieces = plain.chunks(space - PIECE_HEADER);
        let last = pieces.len() - 1;
        for (number, bytes) in pieces.enumerate() {
            let (has_more, number) = (number < last, number as u64);
            self.push(|out| PacketFragment { has_more, packet_id, number, bytes }.put(out));
        }
    }
}
