//! Packets of open sessions, and what they mean to the endpoint. RFC 7016 §3.5.

use std::time::Instant;

use super::{
    Endpoint,
    fragments::{Outcome, Sender},
    responder,
    table::Slot,
};
use crate::{
    crypto::OpenError,
    event::{Elsewhere, Event, EventSink, SessionId},
    path::{Ecn, Path},
    session::{Ending, Received},
    wire::{Chunk, Chunks, Mode, PacketHeader, Reader},
};

impl Endpoint {
    pub(super) fn handle_in_session(
        &mut self,
        now: Instant,
        id: SessionId,
        from: Path,
        mark: Ecn,
        datagram: &mut [u8],
    ) {
        let Some(Slot::Session(session)) = self.table.get_mut(id) else { return };
        let plain = match session.keys.packet.open(datagram) {
            Ok(plain) => plain,
            Err(OpenError::Unverified) => {
                self.stats.dropped_unverified += 1;
                return;
            }
            Err(OpenError::Replayed) => {
                self.stats.dropped_replayed += 1;
                return;
            }
        };
        if !session.is_announced && !proves(plain, session.is_responder()) {
            self.stats.dropped_unverified += 1;
            return;
        }
        session.way.ecn.on_received(mark);
        self.announce(now, id);
        let received = self.take_packet(now, id, from, plain);
        if received.is_valid {
            self.follow(now, id, from, &received);
        }
        self.finish_packet(id, &received);
        self.table.touch(now, id);
    }

    fn take_packet(&mut self, now: Instant, id: SessionId, from: Path, plain: &[u8]) -> Received {
        let surroundings = self.critical.around(now, id);
        let Some(Slot::Session(session)) = self.table.get_mut(id) else {
            return Received::default();
        };
        let mut events = EventSink { session: id, queue: &mut self.events };
        let (identity, mut forwarded) = (&self.identity, Vec::new());
        let mut whole = None;
        let on_elsewhere = |elsewhere: Elsewhere<'_>| match elsewhere {
            Elsewhere::Forwarded(request) => {
                responder::answer_forwarded(identity, from.socket, &request, &mut forwarded);
            }
            Elsewhere::Piece(mode, piece) => {
                match self.fragments.take(now, Sender::Session(id), mode, &piece) {
                    Outcome::Complete(packet) => whole = Some(packet),
                    Outcome::Dropped => self.stats.dropped_fragments += 1,
                    Outcome::Waits => {}
                }
            }
        };
        let mut received =
            session.handle_packet(now, plain, surroundings, &mut events, on_elsewhere);
        if let Some(whole) = whole {
            // Pieces of pieces are not looked for.
            let inner = session.handle_packet(now, &whole, surroundings, &mut events, |_| ());
            received.end = received.end.or(inner.end);
        }
        if received.time_critical {
            self.critical.on_received(now, id);
        }
        for (path, tag) in forwarded {
            let policy = self.config.protection.policy(path.socket, None);
            self.send_hello_answer(now, path, &tag, policy);
        }
        received
    }

    fn finish_packet(&mut self, id: SessionId, received: &Received) {
        match received.end {
            None => {}
            Some(Ending::Lingers(reason)) => {
                self.table.unlist(id);
                self.events.push_back(Event::SessionClosed { session: id, reason });
            }
            Some(Ending::Gone(reason)) => self.end_session(id, Some(reason)),
            Some(Ending::Forgotten) => self.end_session(id, None),
        }
    }

    /// RFC 7016 §3.5.4.2, after all chunks: a packet from elsewhere makes us ask there, and the
    /// answer from there makes us move. The way back is proved even where packets carry HMACs.
    fn follow(&mut self, now: Instant, id: SessionId, from: Path, received: &Received) {
        let Some(Slot::Session(session)) = self.table.get_mut(id) else { return };
        let remote = session.path().remote;
        if !session.is_open() || remote == from.remote {
            return;
        }
        let is_proof = received.check.is_some_and(|check| {
            session.way.mobility.is_proof(now, &self.mobility, id, from.remote, &check)
        });
        if is_proof {
            session.move_to(now, from);
            self.table.relocate(id, remote, from.remote);
            self.stats.sessions_moved += 1;
            self.events.push_back(Event::AddressChanged { session: id, path: from });
        } else if session.way.mobility.may_ask(now) {
            let message = self.mobility.message(now, id, from.remote);
            if let Some(datagram) = session.address_check(now, &message) {
                self.startup.push(from, datagram);
            }
        }
    }
}

/// The first packet shows that the far end holds its certificate's keys. A damaged or forged one
/// passes a 16-bit checksum once in a while; it must not pass for proof as well.
fn proves(plain: &[u8], to_responder: bool) -> bool {
    let mut reader = Reader::new(plain);
    let mode = if to_responder { Mode::Initiator } else { Mode::Responder };
    PacketHeader::read(&mut reader).is_ok_and(|header| header.flags.mode == mode)
        && Chunks::new(reader).any(|chunk| !matches!(chunk, Chunk::Other(..)))
}
