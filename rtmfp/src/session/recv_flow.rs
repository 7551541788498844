//! One receiving flow: reassembly, order, acknowledgement. RFC 7016 §3.6.3.

use std::collections::BTreeMap;

use bytes::{Bytes, BytesMut};

use super::ranges::RangeSet;
use crate::{
    event::FlowEvent,
    wire::chunk::{FlowException, FragmentControl, NextUserData, put_ack_ranges},
};

/// RFC 7016 §2.3.13: the unit of advertised windows.
const BLOCK: usize = 1024;
/// How far ahead of the gap-free part a fragment may be; more is not acknowledged.
const MAX_AHEAD: u64 = 1 << 16;
/// Room made for a message before it is here.
const MAX_EXPECTED: usize = 64 << 10;
/// Bookkeeping counted for each buffered fragment, so that empty ones are not free.
const FRAGMENT_COST: usize = 64;

/// In which order messages reach the application.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReceiveOrder {
    /// As the sender queued them.
    Original,
    /// As they become complete; those of several fragments once nothing before them is missing.
    Network,
}

/// Bounds on what a flow may make us hold.
#[derive(Debug, Clone, Copy)]
pub struct ReceiveLimits {
    /// Bytes held for reordering, and advertised as the window.
    pub buffer: usize,
    /// The largest message; a flow that exceeds it is rejected.
    pub message: usize,
    /// Bytes that all flows of a session may make us hold; the flow that goes beyond is rejected.
    pub session: usize,
}

impl Default for ReceiveLimits {
    fn default() -> Self {
        Self { buffer: 1 << 20, message: 16 << 20, session: 64 << 20 }
    }
}

#[derive(Debug)]
struct Fragment {
    control: FragmentControl,
    data: Bytes,
}

/// When the next acknowledgement of the flow is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum AckDue {
    Nothing,
    /// Within the delayed acknowledgement time, or with the next packet.
    Soon,
    Now,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Open,
    Rejected { code: u64 },
}

/// What comes out of a flow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Delivered {
    Message(Bytes),
    /// RFC 7016 §3.6.1.2: the sender gave up something before what comes next.
    Gap,
}

impl Delivered {
    pub fn event(self, flow: u64) -> FlowEvent {
        match self {
            Self::Message(data) => FlowEvent::Message { flow, data },
            Self::Gap => FlowEvent::Gap { flow },
        }
    }
}

/// A flow that the far end sends.
#[derive(Debug)]
pub(crate) struct RecvFlow {
    id: u64,
    state: State,
    order: ReceiveOrder,
    limits: ReceiveLimits,
    /// The application wants nothing for now.
    is_suspended: bool,
    /// Everything up to here was received or will never come.
    cumulative: u64,
    beyond: RangeSet,
    buffer: BTreeMap<u64, Fragment>,
    buffered: usize,
    /// The message being put together in original order.
    partial: Option<BytesMut>,
    /// What the last fragmented message suggests of the next.
    expected_size: usize,
    /// Next number to look at in original order.
    next_delivery: u64,
    final_sequence: Option<u64>,
    /// The final fragment carries nothing: its number stands for no message.
    is_end_empty: bool,
    is_finished: bool,
    advertised: usize,
    ack_due: AckDue,
}

impl RecvFlow {
    pub fn new(id: u64, limits: ReceiveLimits) -> Self {
        Self {
            id,
            state: State::Open,
            order: ReceiveOrder::Original,
            limits,
            is_suspended: false,
            cumulative: 0,
            beyond: RangeSet::default(),
            buffer: BTreeMap::new(),
            buffered: 0,
            partial: None,
            expected_size: 0,
            next_delivery: 1,
            final_sequence: None,
            is_end_empty: false,
            is_finished: false,
            advertised: limits.buffer,
            ack_due: AckDue::Now,
        }
    }

    pub fn id(&self) -> u64 {
        self.id
    }

    pub fn set_order(&mut self, order: ReceiveOrder) {
        self.order = order;
    }

    /// Stops delivery, or takes it up again. What arrives meanwhile fills the buffer, and the
    /// window that the sender sees goes to zero.
    pub fn suspend(&mut self, is_suspended: bool, mut deliver: impl FnMut(Delivered)) {
        if self.is_suspended == is_suspended {
            return;
        }
        self.is_suspended = is_suspended;
        self.ack_due = AckDue::Now;
        if self.state == State::Open {
            self.deliver_in_order(&mut deliver);
        }
    }

    /// Messages may still come out of it.
    pub fn is_open(&self) -> bool {
        self.state == State::Open && !(self.is_finished && self.next_delivery > self.cumulative)
    }

    /// Bytes that it holds.
    pub fn held(&self) -> usize {
        self.buffered + self.partial.as_ref().map_or(0, BytesMut::capacity)
    }

    /// Every fragment to the final one is accounted for.
    pub fn is_finished(&self) -> bool {
        self.is_finished
    }

    pub fn ack_due(&self) -> AckDue {
        self.ack_due
    }

    /// Refuses the flow from now on. What is buffered is dropped.
    pub fn reject(&mut self, code: u64) {
        self.state = State::Rejected { code };
        self.buffer.clear();
        self.buffered = 0;
        self.partial = None;
        self.ack_due = AckDue::Now;
    }

    /// A packet with data of this flow has been taken in; the session saw two of those, of any
    /// flows, since it last acknowledged.
    pub fn on_packet_end(&mut self, is_second: bool) {
        let is_full = self.state == State::Open && self.free() < BLOCK;
        let due = if is_second || is_full { AckDue::Now } else { AckDue::Soon };
        self.ack_due = self.ack_due.max(due);
    }

    fn free(&self) -> usize {
        self.limits.buffer.saturating_sub(self.buffered)
    }

    /// An acknowledgement was asked for.
    pub fn on_probe(&mut self) {
        self.ack_due = AckDue::Now;
    }

    /// Takes in a fragment; complete messages go to `deliver`. Beyond the gap-free part `max_runs`
    /// separate runs are remembered.
    pub fn on_fragment(
        &mut self,
        sequence: u64,
        forward_sequence: u64,
        body: &NextUserData<'_>,
        max_runs: usize,
        mut deliver: impl FnMut(Delivered),
    ) {
        // Nothing comes behind the end.
        if self.final_sequence.is_some_and(|last| sequence > last) {
            self.ack_due = AckDue::Now;
            return;
        }
        let was_new = !self.knows(sequence);
        self.note_urgency(sequence, forward_sequence, body, was_new);
        let is_delivered_at_once = self.order == ReceiveOrder::Network && self.state == State::Open;
        if is_delivered_at_once && self.loses(sequence, forward_sequence, body) {
            deliver(Delivered::Gap);
        }
        // What the sender gave up frees room, so it counts even if the fragment finds none.
        self.cumulative = self.beyond.advance(self.cumulative.max(forward_sequence));
        let is_new = !self.knows(sequence);
        if !is_new || self.has_room_for(sequence, body.data.len(), max_runs) {
            if body.is_final && self.final_sequence.is_none() {
                self.final_sequence = Some(sequence);
                self.is_end_empty = body.abandoned;
            }
            if is_new && self.state == State::Open && !body.abandoned {
                self.accept(sequence, body, &mut deliver);
            }
            self.account(sequence);
        }
        if self.state == State::Open {
            self.deliver_in_order(&mut deliver);
        }
        self.is_finished |= self.final_sequence.is_some_and(|last| self.cumulative >= last);
    }

    fn knows(&self, sequence: u64) -> bool {
        sequence <= self.cumulative || self.beyond.contains(sequence)
    }

    /// RFC 7016 §3.6.3.4.1: what the sender should hear of at once.
    fn note_urgency(&mut self, sequence: u64, forward: u64, body: &NextUserData<'_>, is_new: bool) {
        let expected = self.cumulative.max(forward) + 1;
        let is_urgent = !is_new
            || body.abandoned
            || body.is_final
            || self.state != State::Open
            || sequence != expected
            || !self.beyond.is_empty()
            || self.advertised < 2 * BLOCK;
        if is_urgent {
            self.ack_due = AckDue::Now;
        }
    }

    /// Whether something that the sender gives up here never came. The number of an empty end
    /// stands for nothing.
    fn loses(&self, sequence: u64, forward: u64, body: &NextUserData<'_>) -> bool {
        let is_empty_end = body.abandoned && body.is_final;
        let gives_up_itself = body.abandoned && !body.is_final && !self.knows(sequence);
        let last = if is_empty_end { forward.min(sequence - 1) } else { forward };
        gives_up_itself || self.beyond.lacks_after(self.cumulative, last)
    }

    /// The fragment that closes the first gap is always taken, or the flow could not go on.
    fn has_room_for(&self, sequence: u64, size: usize, max_runs: usize) -> bool {
        if sequence == self.cumulative + 1 && !self.is_suspended {
            return true;
        }
        sequence - self.cumulative <= MAX_AHEAD
            && self.beyond.len() < max_runs
            && self.buffered + size + FRAGMENT_COST <= self.limits.buffer
    }

    fn accept(
        &mut self,
        sequence: u64,
        body: &NextUserData<'_>,
        deliver: &mut impl FnMut(Delivered),
    ) {
        let is_next = sequence == self.next_delivery && self.partial.is_none();
        let is_whole = body.fragment == FragmentControl::Whole;
        if !self.is_suspended && is_whole && (is_next || self.order == ReceiveOrder::Network) {
            deliver(Delivered::Message(Bytes::copy_from_slice(body.data)));
            if is_next {
                self.next_delivery += 1;
            }
            return;
        }
        // What comes in order is put together at once, without a place in the buffer.
        let is_in_order = sequence == self.next_delivery && sequence == self.cumulative + 1;
        if !self.is_suspended && is_in_order {
            self.next_delivery += 1;
            self.assemble(body.fragment, body.data, deliver);
            return;
        }
        self.buffered += body.data.len() + FRAGMENT_COST;
        let fragment = Fragment { control: body.fragment, data: Bytes::copy_from_slice(body.data) };
        self.buffer.insert(sequence, fragment);
    }

    /// Notes that `sequence` arrived.
    fn account(&mut self, sequence: u64) {
        if sequence > self.cumulative {
            self.beyond.insert(sequence);
            self.cumulative = self.beyond.advance(self.cumulative);
        }
    }

    /// Walks the gap-free part: puts messages together, skips what was abandoned.
    fn deliver_in_order(&mut self, deliver: &mut impl FnMut(Delivered)) {
        while self.state == State::Open
            && !self.is_suspended
            && self.next_delivery <= self.cumulative
        {
            let sequence = self.next_delivery;
            let Some(fragment) = self.buffer.remove(&sequence) else {
                // Abandoned, or delivered already: jump to what comes next.
                let next = self.buffer.keys().next().copied().unwrap_or(u64::MAX);
                let next = next.min(self.cumulative + 1);
                let is_end = self.is_end_empty && self.final_sequence == Some(sequence);
                self.next_delivery = next;
                self.partial = None;
                if self.order == ReceiveOrder::Original && !is_end {
                    deliver(Delivered::Gap);
                }
                continue;
            };
            self.next_delivery += 1;
            self.buffered -= fragment.data.len() + FRAGMENT_COST;
            if fragment.control == FragmentControl::Whole {
                self.partial = None;
                deliver(Delivered::Message(fragment.data));
            } else {
                self.assemble(fragment.control, &fragment.data, deliver);
            }
        }
    }

    fn assemble(
        &mut self,
        control: FragmentControl,
        data: &[u8],
        deliver: &mut impl FnMut(Delivered),
    ) {
        match control {
            FragmentControl::Whole => {
                self.partial = None;
                deliver(Delivered::Message(Bytes::copy_from_slice(data)));
            }
            FragmentControl::Begin => {
                let mut partial = BytesMut::with_capacity(self.expected_size.max(data.len()));
                partial.extend_from_slice(data);
                self.partial = Some(partial);
            }
            FragmentControl::Middle | FragmentControl::End => {
                let Some(partial) = &mut self.partial else { return };
                if partial.len() + data.len() > self.limits.message {
                    self.reject(0);
                    return;
                }
                partial.extend_from_slice(data);
                if control == FragmentControl::End {
                    let message = self.partial.take().unwrap_or_default();
                    self.expected_size = message.len().min(MAX_EXPECTED);
                    deliver(Delivered::Message(message.freeze()));
                }
            }
        }
    }

    /// Appends the acknowledgement, after an exception report if the flow is rejected.
    pub fn write_ack(&mut self, out: &mut Vec<u8>, limit: usize) {
        if let State::Rejected { code } = self.state {
            FlowException { flow: self.id, code }.put(out);
        }
        // RFC 7016 §3.6.3.5: at least one block, or the sender could never fill the gap.
        let least = if self.is_suspended { 0 } else { BLOCK };
        let blocks = self.free().max(least).div_ceil(BLOCK);
        self.advertised = blocks * BLOCK;
        put_ack_ranges(out, self.id, blocks as u64, self.cumulative, self.beyond.runs(), limit);
        self.ack_due = AckDue::Nothing;
    }
}

#[cfg(test)]
mod tests;
