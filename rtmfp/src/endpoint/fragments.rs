//! Putting fragmented packets together, under hard limits. RFC 7016 §3.4.
//!
//! Anybody may send fragments to session 0, so what they can make us hold is small and fixed:
//! when a limit is reached, the packet that waits longest goes.

use std::{
    collections::{BTreeMap, HashMap},
    net::SocketAddr,
    time::{Duration, Instant},
};

use crate::{
    event::SessionId,
    wire::{Mode, chunk::PacketFragment},
};

/// RFC 7016 §3.4: in all, and between two new fragments.
const LIFETIME: Duration = Duration::from_secs(60);
const PROGRESS: Duration = Duration::from_secs(1);
/// RFC 7016 §3.4's default for one packet.
const MAX_PACKET: usize = 65_536;
const MAX_PIECES: u64 = 128;
const MAX_PACKETS: usize = 256;
const MAX_PACKETS_A_SENDER: usize = 4;
/// Held bytes of all packets together.
const MAX_BYTES: usize = 1 << 20;

/// Who sends a packet: an address during startup, later a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Sender {
    Address(SocketAddr),
    Session(SessionId),
}

#[derive(Debug)]
struct Partial {
    mode: Mode,
    began: Instant,
    progressed: Instant,
    pieces: BTreeMap<u64, Box<[u8]>>,
    /// How many there are, once the final one is here.
    count: Option<u64>,
    size: usize,
}

impl Partial {
    fn is_stale(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.began) > LIFETIME
            || now.saturating_duration_since(self.progressed) > PROGRESS
    }

    /// False if the piece contradicts what is here.
    fn add(&mut self, now: Instant, mode: Mode, piece: &PacketFragment<'_>) -> bool {
        let is_beyond = self.count.is_some_and(|count| piece.number >= count);
        let ends_early = !piece.has_more
            && self.pieces.last_key_value().is_some_and(|(last, _)| *last > piece.number);
        if mode != self.mode
            || is_beyond
            || ends_early
            || piece.number >= MAX_PIECES
            || self.size + piece.bytes.len() > MAX_PACKET
        {
            return false;
        }
        if !piece.has_more {
            self.count = Some(piece.number + 1);
        }
        if let std::collections::btree_map::Entry::Vacant(place) = self.pieces.entry(piece.number) {
            place.insert(piece.bytes.into());
            self.size += piece.bytes.len();
            self.progressed = now;
        }
        true
    }

    fn whole(&self) -> Option<Vec<u8>> {
        (self.count == Some(self.pieces.len() as u64))
            .then(|| self.pieces.values().flat_map(|piece| piece.iter().copied()).collect())
    }
}

/// What became of a piece.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// It is kept.
    Waits,
    /// It was the last one missing: the plain packet, from its flags byte on.
    Complete(Vec<u8>),
    /// It is of no use.
    Dropped,
}

/// All packets being put together.
#[derive(Debug, Default)]
pub(super) struct Fragments {
    partial: HashMap<(Sender, u64), Partial>,
    bytes: usize,
}

impl Fragments {
    /// Takes in a piece that came in a packet of `mode`.
    pub fn take(
        &mut self,
        now: Instant,
        sender: Sender,
        mode: Mode,
        piece: &PacketFragment<'_>,
    ) -> Outcome {
        let key = (sender, piece.packet_id);
        if self.partial.get(&key).is_some_and(|partial| partial.is_stale(now)) {
            self.forget(&key);
        }
        if !self.partial.contains_key(&key) {
            self.make_room(now, sender);
        }
        let partial = self.partial.entry(key).or_insert_with(|| Partial {
            mode,
            began: now,
            progressed: now,
            pieces: BTreeMap::new(),
            count: None,
            size: 0,
        });
        let before = partial.size;
        let is_kept = partial.add(now, mode, piece);
        self.bytes += partial.size - before;
        if let Some(packet) = partial.whole().filter(|_| is_kept) {
            self.forget(&key);
            return Outcome::Complete(packet);
        }
        if partial_is_empty(&self.partial, &key) {
            self.forget(&key);
        }
        while self.bytes > MAX_BYTES {
            self.forget_oldest(|_| true);
        }
        if is_kept { Outcome::Waits } else { Outcome::Dropped }
    }

    /// Stale packets go first, then the sender's oldest, then anybody's oldest.
    fn make_room(&mut self, now: Instant, sender: Sender) {
        if self.partial.len() >= MAX_PACKETS {
            let stale = self.partial.iter().filter(|(_, partial)| partial.is_stale(now));
            for key in stale.map(|(key, _)| *key).collect::<Vec<_>>() {
                self.forget(&key);
            }
        }
        let of_sender = self.partial.keys().filter(|(other, _)| *other == sender).count();
        if of_sender >= MAX_PACKETS_A_SENDER {
            self.forget_oldest(|other| other == sender);
        }
        if self.partial.len() >= MAX_PACKETS {
            self.forget_oldest(|_| true);
        }
    }

    fn forget_oldest(&mut self, of: impl Fn(Sender) -> bool) {
        let candidates = self.partial.iter().filter(|((sender, _), _)| of(*sender));
        let oldest = candidates.min_by_key(|(_, partial)| partial.began).map(|(key, _)| *key);
        if let Some(key) = oldest {
            self.forget(&key);
        }
    }

    fn forget(&mut self, key: &(Sender, u64)) {
        if let Some(partial) = self.partial.remove(key) {
            self.bytes -= partial.size;
        }
    }
}

fn partial_is_empty(partial: &HashMap<(Sender, u64), Partial>, key: &(Sender, u64)) -> bool {
    partial.get(key).is_some_and(|partial| partial.pieces.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from(port: u16) -> Sender {
        Sender::Address(SocketAddr::from(([192, 0, 2, 1], port)))
    }

    fn piece(packet_id: u64, number: u64, has_more: bool, bytes: &[u8]) -> PacketFragment<'_> {
        PacketFragment { has_more, packet_id, number, bytes }
    }

    #[test]
    fn pieces_in_any_order_make_the_packet_of_their_sender() {
        let (now, mut all) = (Instant::now(), Fragments::default());
        let mut take =
            |sender, piece: &PacketFragment<'_>| all.take(now, sender, Mode::Startup, piece);
        assert_eq!(take(from(1), &piece(9, 2, false, b"c")), Outcome::Waits);
        assert_eq!(take(from(1), &piece(9, 0, true, b"a")), Outcome::Waits);
        assert_eq!(take(from(2), &piece(9, 1, true, b"other")), Outcome::Waits);
        assert_eq!(take(from(1), &piece(9, 0, true, b"again")), Outcome::Waits);
        assert_eq!(take(from(1), &piece(9, 1, true, b"b")), Outcome::Complete(b"abc".to_vec()));
        assert_eq!(all.partial.len(), 1);
    }

    #[test]
    fn contradictions_are_dropped() {
        let (now, mut all) = (Instant::now(), Fragments::default());
        assert_eq!(
            all.take(now, from(1), Mode::Startup, &piece(1, 1, false, b"z")),
            Outcome::Waits
        );
        for (mode, bad) in [
            (Mode::Initiator, piece(1, 0, true, b"mode")),
            (Mode::Startup, piece(1, 2, true, b"beyond")),
            (Mode::Startup, piece(1, 0, false, b"ends early")),
            (Mode::Startup, piece(2, MAX_PIECES, true, b"too many")),
        ] {
            assert_eq!(all.take(now, from(1), mode, &bad), Outcome::Dropped, "{bad:?}");
        }
        assert_eq!(all.partial.len(), 1);
    }

    #[test]
    fn a_packet_without_progress_for_a_second_begins_anew() {
        let (mut now, mut all) = (Instant::now(), Fragments::default());
        all.take(now, from(1), Mode::Startup, &piece(1, 0, true, b"a"));
        now += Duration::from_millis(1001);
        let outcome = all.take(now, from(1), Mode::Startup, &piece(1, 1, false, b"b"));
        assert_eq!(outcome, Outcome::Waits);
    }

    #[test]
    fn memory_is_bounded_whatever_comes() {
        let (now, mut all) = (Instant::now(), Fragments::default());
        for step in 0..20_000u64 {
            let sender = from((step % 997) as u16);
            let bytes = vec![7; 1 + (step % 1400) as usize];
            all.take(now, sender, Mode::Startup, &piece(step % 5, step % 40, true, &bytes));
            assert!(all.partial.len() <= MAX_PACKETS && all.bytes <= MAX_BYTES);
            let of_sender = all.partial.keys().filter(|(other, _)| *other == sender).count();
            assert!(of_sender <= MAX_PACKETS_A_SENDER);
        }
        let counted: usize = all.partial.values().map(|partial| partial.size).sum();
        assert_eq!(counted, all.bytes);
    }
}
