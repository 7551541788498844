//! Packets of a capture that travelled in pieces (RFC 7016 §3.4), put together.

use std::collections::{BTreeMap, HashMap};

use rtmfp::wire::chunk::PacketFragment;

use super::Direction;

/// Packets under way, and pieces of one; what is beyond stays in pieces.
const MAX_PACKETS: usize = 1024;
const MAX_PIECES: usize = 128;

/// Pieces by number: whether more follow, and the bytes.
type Partial = BTreeMap<u64, (bool, Vec<u8>)>;

#[derive(Debug, Default)]
pub(super) struct Pieces {
    packets: HashMap<(Direction, u64), Partial>,
}

impl Pieces {
    /// Takes in a piece: the plain packet that it completes.
    pub fn take(&mut self, direction: Direction, piece: &PacketFragment<'_>) -> Option<Vec<u8>> {
        let key = (direction, piece.packet_id);
        if self.packets.len() >= MAX_PACKETS && !self.packets.contains_key(&key) {
            self.packets.clear();
        }
        let pieces = self.packets.entry(key).or_default();
        if pieces.len() < MAX_PIECES {
            pieces.insert(piece.number, (piece.has_more, piece.bytes.to_vec()));
        }
        let (last, (has_more, _)) = pieces.last_key_value()?;
        if *has_more || pieces.len() as u64 != last + 1 {
            return None;
        }
        let pieces = self.packets.remove(&key)?;
        Some(pieces.into_values().flat_map(|(_, bytes)| bytes).collect())
    }
}
