//! All receiving flows of a session. RFC 7016 §3.6.3.

use std::{
    collections::{BTreeMap, VecDeque},
    ops::Bound::{Excluded, Included, Unbounded},
    time::{Duration, Instant},
};

use bytes::Bytes;

use super::{
    packet::PacketBuilder,
    recv_flow::{AckDue, ReceiveLimits, ReceiveOrder, RecvFlow},
};
use crate::event::{EventSink, FlowEvent};
use crate::wire::{
    OptionItem, Options, Reader,
    chunk::{NextUserData, UserData, flow_option},
};

/// RFC 7016 §2.3.11.1.1: metadata longer than this gets its flow rejected.
pub(crate) const MAX_METADATA: usize = 512;
/// RFC 7016 §3.6.3.4.4.
const DELAYED_ACK: Duration = Duration::from_millis(200);
/// RFC 7016 §3.6.3.8.
const LINGER: Duration = Duration::from_secs(120);
/// Flows of one session, lingering ones included; further ones are not acknowledged.
const MAX_FLOWS: usize = 1024;
/// Separate runs of sequence numbers that all flows together remember beyond their gap-free
/// parts, and how many of them one flow may have, at most and at least.
const MAX_RUNS: usize = 8192;
const MAX_RUNS_A_FLOW: usize = 512;
const MIN_RUNS_A_FLOW: usize = 8;
/// When a packet cannot hold all acknowledgements that are owed, the rest waits a little: whoever
/// asks for many must not get a packet full for each question.
const NEXT_ACKS: Duration = Duration::from_millis(5);

/// The receiving half of a session.
#[derive(Debug)]
pub(crate) struct Receiver {
    flows: BTreeMap<u64, RecvFlow>,
    /// Flows that ended, until when their fragments are still acknowledged.
    lingering: VecDeque<(Instant, u64)>,
    /// Bytes that all flows hold.
    held: usize,
    limits: ReceiveLimits,
    ack_at: Option<Instant>,
    /// Packets with data since acknowledgements were last sent.
    packets_since_ack: u8,
    /// Where the next packet of acknowledgements goes on.
    next_to_ack: u64,
    /// The flow and number of the last fragment in this packet, for Next User Data.
    last: Option<(u64, u64, u64)>,
    touched: Vec<u64>,
}

impl Receiver {
    pub fn new(limits: ReceiveLimits) -> Self {
        Self {
            flows: BTreeMap::new(),
            lingering: VecDeque::new(),
            held: 0,
            limits,
            ack_at: None,
            packets_since_ack: 0,
            next_to_ack: 0,
            last: None,
            touched: Vec::new(),
        }
    }

    /// The session is closing: nothing more is delivered or acknowledged.
    pub fn abort(&mut self) {
        *self = Self::new(self.limits);
    }

    pub fn on_user_data(
        &mut self,
        chunk: &UserData<'_>,
        is_open_send_flow: impl FnOnce(u64) -> bool,
        events: &mut EventSink<'_>,
    ) {
        self.last = Some((chunk.flow, chunk.sequence, chunk.forward_sequence));
        if !self.flows.contains_key(&chunk.flow) {
            if self.flows.len() >= MAX_FLOWS {
                self.last = None;
                return;
            }
            let flow = self.open(chunk, is_open_send_flow, events);
            self.flows.insert(chunk.flow, flow);
        } else if chunk.body.options.is_some_and(has_unknown_mandatory) {
            // RFC 7016 §3.6.3.2: such an option may come at any time.
            self.refuse(chunk.flow, events);
        }
        self.take(chunk.flow, chunk.sequence, chunk.forward_sequence, &chunk.body, events);
    }

    pub fn on_next_user_data(&mut self, chunk: &NextUserData<'_>, events: &mut EventSink<'_>) {
        let Some((flow, sequence, forward)) = self.last else { return };
        let Some(sequence) = sequence.checked_add(1) else { return };
        self.last = Some((flow, sequence, forward));
        if chunk.options.is_some_and(has_unknown_mandatory) {
            self.refuse(flow, events);
        }
        self.take(flow, sequence, forward, chunk, events);
    }

    fn refuse(&mut self, id: u64, events: &mut EventSink<'_>) {
        let Some(flow) = self.flows.get_mut(&id).filter(|flow| flow.is_open()) else { return };
        self.held -= flow.held();
        flow.reject(0);
        events.flow(FlowEvent::Finished { flow: id });
    }

    /// RFC 7016 §3.6.3.1: rejected without metadata, with an option we must know and don't, or
    /// as the answer to a flow we do not send.
    fn open(
        &self,
        chunk: &UserData<'_>,
        is_open_send_flow: impl FnOnce(u64) -> bool,
        events: &mut EventSink<'_>,
    ) -> RecvFlow {
        let mut flow = RecvFlow::new(chunk.flow, self.limits);
        let (mut metadata, mut association, mut is_known) = (None, None, true);
        for item in chunk.body.options.into_iter().flatten() {
            match item {
                OptionItem::Option(flow_option::METADATA, value) => metadata = Some(value),
                OptionItem::Option(flow_option::RETURN_ASSOCIATION, value) => {
                    association = Reader::new(value).vlu().ok();
                    is_known &= association.is_some();
                }
                OptionItem::Option(kind, _) => is_known &= kind >= flow_option::IGNORABLE_FROM,
                OptionItem::Marker => {}
            }
        }
        let is_answer = association.is_none_or(is_open_send_flow);
        match metadata {
            Some(metadata) if is_known && is_answer && metadata.len() <= MAX_METADATA => {
                let metadata = Bytes::copy_from_slice(metadata);
                events.flow(FlowEvent::Opened { flow: chunk.flow, metadata, association });
            }
            _ => flow.reject(0),
        }
        flow
    }

    fn take(
        &mut self,
        id: u64,
        sequence: u64,
        forward: u64,
        body: &NextUserData<'_>,
        events: &mut EventSink<'_>,
    ) {
        let max_runs = (MAX_RUNS / self.flows.len().max(1)).clamp(MIN_RUNS_A_FLOW, MAX_RUNS_A_FLOW);
        let Some(flow) = self.flows.get_mut(&id) else { return };
        let (was_open, held) = (flow.is_open(), flow.held());
        flow.on_fragment(sequence, forward, body, max_runs, |delivered| {
            events.flow(delivered.event(id));
        });
        self.held = self.held - held + flow.held();
        if self.held > self.limits.session {
            self.held -= flow.held();
            flow.reject(0);
        }
        if was_open && !flow.is_open() {
            events.flow(FlowEvent::Finished { flow: id });
        }
        if !self.touched.contains(&id) {
            self.touched.push(id);
        }
    }

    pub fn on_probe(&mut self, flow: u64) {
        if let Some(flow) = self.flows.get_mut(&flow) {
            flow.on_probe();
        }
    }

    /// After all chunks of a packet: decides when acknowledgements are due.
    pub fn on_packet_end(&mut self, now: Instant) {
        self.last = None;
        if self.touched.is_empty() {
            return;
        }
        // RFC 7016 §3.6.3.4.1: every second packet in the session, whichever flows it is about.
        self.packets_since_ack = self.packets_since_ack.saturating_add(1);
        let is_second = self.packets_since_ack >= 2;
        let mut due = AckDue::Nothing;
        for id in self.touched.drain(..) {
            let Some(flow) = self.flows.get_mut(&id) else { continue };
            flow.on_packet_end(is_second);
            due = due.max(flow.ack_due());
            if flow.is_finished() && !self.lingering.iter().any(|(_, other)| *other == id) {
                self.lingering.push_back((now + LINGER, id));
            }
        }
        match due {
            AckDue::Nothing => {}
            AckDue::Soon => self.ack_at = self.ack_at.or(Some(now + DELAYED_ACK)),
            AckDue::Now => self.ack_at = Some(now),
        }
    }

    /// Whatever is owed goes out at once.
    pub fn ack_soon(&mut self, now: Instant) {
        self.ack_at = Some(now);
    }

    pub fn reject(&mut self, now: Instant, flow: u64, code: u64) {
        if let Some(flow) = self.flows.get_mut(&flow) {
            self.held -= flow.held();
            flow.reject(code);
            self.ack_at = Some(now);
        }
    }

    /// Stops delivery of a flow, or takes it up again.
    pub fn suspend(
        &mut self,
        now: Instant,
        id: u64,
        is_suspended: bool,
        events: &mut EventSink<'_>,
    ) {
        let Some(flow) = self.flows.get_mut(&id) else { return };
        let (was_open, held) = (flow.is_open(), flow.held());
        flow.suspend(is_suspended, |delivered| events.flow(delivered.event(id)));
        self.held = self.held - held + flow.held();
        if was_open && !flow.is_open() {
            events.flow(FlowEvent::Finished { flow: id });
        }
        self.ack_at = Some(now);
    }

    pub fn set_order(&mut self, flow: u64, order: ReceiveOrder) {
        if let Some(flow) = self.flows.get_mut(&flow) {
            flow.set_order(order);
        }
    }

    pub fn is_open(&self, flow: u64) -> bool {
        self.flows.get(&flow).is_some_and(RecvFlow::is_open)
    }

    /// The next packet will carry acknowledgements.
    pub fn owes_acks(&self) -> bool {
        self.ack_at.is_some()
    }

    /// Acknowledgements must go out now.
    pub fn has_work(&self, now: Instant) -> bool {
        self.ack_at.is_some_and(|at| at <= now)
    }

    /// Writes all acknowledgements that are owed, due or not: the packet goes anyway.
    pub fn write_acks(&mut self, now: Instant, packet: &mut PacketBuilder<'_>) {
        if self.ack_at.is_none() {
            return;
        }
        self.ack_at = None;
        self.packets_since_ack = 0;
        // Those that found no room last time come first.
        let first = self.next_to_ack;
        for ids in [(Included(first), Unbounded), (Unbounded, Excluded(first))] {
            let owed = |(_, flow): &(_, &mut RecvFlow)| flow.ack_due() > AckDue::Nothing;
            for (id, flow) in self.flows.range_mut(ids).filter(owed) {
                const SHORTEST: usize = 48;
                if packet.room() < SHORTEST {
                    self.next_to_ack = *id;
                    self.ack_at = Some(now + NEXT_ACKS);
                    return;
                }
                let limit = packet.room() - 16;
                flow.write_ack(packet.out(), limit);
            }
        }
    }

    pub fn next_timeout(&self) -> Option<Instant> {
        self.ack_at.into_iter().chain(self.lingering.front().map(|(at, _)| *at)).min()
    }

    /// Forgets flows that have lingered long enough.
    pub fn handle_timeout(&mut self, now: Instant) {
        while let Some((_, flow)) = self.lingering.pop_front_if(|(at, _)| *at <= now) {
            // One that is suspended still has messages for the application.
            match self.flows.get(&flow) {
                Some(flow) if flow.is_open() => self.lingering.push_back((now + LINGER, flow.id())),
                Some(ended) => {
                    self.held -= ended.held();
                    self.flows.remove(&flow);
                }
                None => {}
            }
        }
    }
}

/// RFC 7016 §2.3.11.1: an option that the sender insists on, and nobody knows.
fn has_unknown_mandatory(options: Options<'_>) -> bool {
    options.into_iter().any(|item| match item {
        OptionItem::Option(kind, _) => {
            let is_known = matches!(kind, flow_option::METADATA | flow_option::RETURN_ASSOCIATION);
            !is_known && kind < flow_option::IGNORABLE_FROM
        }
        OptionItem::Marker => false,
    })
}
