//! Commands to one open session.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use bytes::Bytes;
use thiserror::Error;

use super::table::{Slot, Table};
use crate::{
    crypto::{Discriminator, PacketProtection, PeerId},
    event::{Event, EventSink, SessionId},
    path::Path,
    session::{Deadline, FlowOptions, Liveness, MAX_METADATA, ReceiveOrder, Session, SessionStats},
    wire::{Address, chunk::ForwardedHello},
};

/// A message was not queued.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("the flow is closed or was never opened")]
pub struct FlowClosed;

/// A view of an open session. What it does is sent by the next polls.
#[derive(Debug)]
pub struct SessionMut<'a> {
    table: &'a mut Table,
    events: &'a mut VecDeque<Event>,
    id: SessionId,
}

impl<'a> SessionMut<'a> {
    /// Nothing if the session is not open.
    pub(super) fn new(
        table: &'a mut Table,
        events: &'a mut VecDeque<Event>,
        id: SessionId,
    ) -> Option<Self> {
        let is_open =
            matches!(table.get_mut(id), Some(Slot::Session(session)) if session.is_open());
        is_open.then_some(Self { table, events, id })
    }

    fn session(&mut self) -> &mut Session {
        match self.table.get_mut(self.id) {
            Some(Slot::Session(session)) => session,
            _ => unreachable!("a view is made of open sessions only and holds their table"),
        }
    }

    /// Who is at the far end.
    pub fn peer_id(&mut self) -> PeerId {
        self.session().far.certificate.peer_id()
    }

    /// Whether the far end has proved with static keys that its fingerprint is its own; without
    /// them, whoever has seen a certificate can show it.
    pub fn has_static_keys(&mut self) -> bool {
        self.session().far.certificate.is_static()
    }

    /// Whose password signed the far end's keying, if [`crate::Passwords`] knows it.
    pub fn signer(&mut self) -> Option<&[u8]> {
        self.session().far.signer.as_deref()
    }

    /// What packets of this session carry beside what they say.
    pub fn protection(&mut self) -> PacketProtection {
        self.session().keys.protection
    }

    /// Where the far end is.
    pub fn path(&mut self) -> Path {
        self.session().path()
    }

    /// `NEAR_NONCE` and `FAR_NONCE` of RFC 7425 §4.6.5, for proofs bound to this session.
    pub fn nonces(&mut self) -> ([u8; 32], [u8; 32]) {
        let keys = &self.session().keys;
        (keys.near_nonce, keys.far_nonce)
    }

    /// Smoothed round trip time, once measured.
    pub fn rtt(&mut self) -> Option<Duration> {
        self.session().rtt()
    }

    /// What queues on the way add to the shortest round trip of the last minutes; nothing if no
    /// round trip was measured in the last second.
    pub fn queueing(&mut self, now: Instant) -> Option<Duration> {
        self.session().queueing(now)
    }

    /// Counters of this session.
    pub fn stats(&mut self) -> SessionStats {
        self.session().stats()
    }

    /// Bytes queued or in flight on all its flows.
    pub fn buffered(&mut self) -> usize {
        self.session().sender.buffered()
    }

    /// Bytes queued or in flight on one flow; 0 if it does not exist.
    pub fn buffered_on(&mut self, flow: u64) -> usize {
        self.session().sender.flow(flow).map_or(0, |flow| flow.buffered())
    }

    /// Bytes queued on one flow that are not in flight: they wait for the network.
    pub fn waiting_on(&mut self, flow: u64) -> usize {
        self.session().sender.flow(flow).map_or(0, |flow| flow.waiting())
    }

    /// The congestion window in bytes.
    pub fn congestion_window(&mut self) -> usize {
        self.session().sender.window()
    }

    /// Other keepalive and death times for this session alone.
    pub fn set_liveness(&mut self, now: Instant, liveness: Liveness) {
        self.session().set_liveness(liveness);
        self.touch(now);
    }

    /// Opens a flow. `metadata` (at most 512 bytes, the rest is cut off) says what it is for;
    /// `association` names a flow of the far end that it answers. If that is over, so is the new
    /// flow: nothing is sent on it (RFC 7016 §3.6.2.1).
    pub fn open_flow(
        &mut self,
        metadata: &[u8],
        association: Option<u64>,
        options: FlowOptions,
    ) -> u64 {
        let metadata = &metadata[..metadata.len().min(MAX_METADATA)];
        let session = self.session();
        let has_ended = association.is_some_and(|flow| !session.receiver.is_open(flow));
        session.sender.open(metadata, association, options, !has_ended)
    }

    /// Queues a message. With a deadline it is given up when that passes before it arrived.
    pub fn send(
        &mut self,
        now: Instant,
        flow: u64,
        message: Bytes,
        deadline: Deadline,
    ) -> Result<(), FlowClosed> {
        let is_queued = self.session().sender.queue(flow, message, deadline);
        self.touch(now);
        if is_queued { Ok(()) } else { Err(FlowClosed) }
    }

    /// Ends a flow of ours after what is queued.
    pub fn close_flow(&mut self, now: Instant, flow: u64) {
        self.session().sender.close(flow);
        self.touch(now);
    }

    /// Refuses a flow of the far end.
    pub fn reject_flow(&mut self, now: Instant, flow: u64, code: u64) {
        self.session().receiver.reject(now, flow, code);
        self.touch(now);
    }

    /// Stops delivery of a flow of the far end, or takes it up again; the far end sees a closed
    /// window once our buffer is full. Messages already handed out as events still come.
    pub fn suspend_flow(&mut self, now: Instant, flow: u64, is_suspended: bool) {
        let id = self.id;
        let Some(Slot::Session(session)) = self.table.get_mut(id) else { return };
        let mut events = EventSink { session: id, queue: self.events };
        session.receiver.suspend(now, flow, is_suspended, &mut events);
        self.touch(now);
    }

    /// Chooses how messages of a flow of the far end are ordered; original order if not said.
    pub fn set_receive_order(&mut self, flow: u64, order: ReceiveOrder) {
        self.session().receiver.set_order(flow, order);
    }

    /// True while the far end has the flow open.
    pub fn is_receiving(&mut self, flow: u64) -> bool {
        self.session().receiver.is_open(flow)
    }

    /// Passes on to this peer that somebody at `reply_address` looks for it.
    pub fn forward_hello(&mut self, now: Instant, reply_address: Address, tag: &[u8]) {
        let epd = Discriminator::Fingerprint(self.peer_id()).encode();
        self.session().forward_hello(&ForwardedHello { epd: &epd, reply_address, tag });
        self.touch(now);
    }

    /// Begins an orderly close; [`crate::Event::SessionClosed`] does not follow.
    pub fn close(mut self, now: Instant) {
        self.session().close(now);
        self.table.unlist(self.id);
        self.touch(now);
    }

    fn touch(&mut self, now: Instant) {
        self.table.touch(now, self.id);
    }
}
