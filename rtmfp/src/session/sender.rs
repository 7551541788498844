//! All sending flows of a session, sharing one transmission budget. RFC 7016 §3.5.2, §3.6.2.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    time::{Duration, Instant},
};

use bytes::Bytes;

use super::{
    clock::Clock,
    congestion::{AckSummary, Congestion, TimeCritical},
    critical::TIME_CRITICAL_MEMORY,
    flow_options::{Deadline, FlowOptions, Priority},
    packet::PacketBuilder,
    send_flow::{Arrival, NakOutcome, Place, SendFlow},
};
use crate::wire::chunk::{BufferProbe, DataAck, FlowException};

/// RFC 7016 §3.5.2.3: data packets between acknowledgements or timeouts. A receiver that takes in
/// packets by batches acknowledges many at once: then as many may follow, and as many again for
/// the growth of the window, as had they been acknowledged two by two.
const MAX_BURST: usize = 6;
const FULL_PACKET: usize = 1100;
/// RFC 7016 §3.6.2.5: so often a fragment is overtaken before it counts as lost. Where the network
/// is found to change the order, more often: what only comes late must not be sent again, nor keep
/// the window from growing.
const NAKS_FOR_LOSS: u8 = 3;
const MAX_NAKS_FOR_LOSS: u8 = 96;
/// Round trips are measured in ticks; what is overtaken by less than one is not lost.
const SHORTEST_ROUND_TRIP: Duration = Duration::from_millis(40);
/// Flow IDs we start from; the number has no meaning.
const FIRST_FLOW: u64 = 2;

#[derive(Debug, Clone, Copy)]
struct Outstanding {
    tsn: u64,
    flow: u64,
    sequence: u64,
}

/// The sending half of a session.
#[derive(Debug)]
pub(crate) struct Sender {
    flows: BTreeMap<u64, SendFlow>,
    /// Flows that may have something to send now; the others cost nothing.
    ready: BTreeSet<u64>,
    /// Flows whose receivers take nothing for now.
    suspended: BTreeSet<u64>,
    /// Bytes of chunks that one packet holds.
    space: usize,
    next_flow: u64,
    /// The flow served last, for taking turns.
    last_served: u64,
    /// In order of transmission; may hold entries acknowledged since.
    outstanding: VecDeque<Outstanding>,
    outstanding_bytes: usize,
    next_tsn: u64,
    max_tsn_acked: u64,
    naks_for_loss: u8,
    data_sent: u64,
    data_lost: u64,
    /// What was sent before this number was sent before the window was last cut.
    recovered_at: u64,
    /// Data packets that may go out before the next acknowledgement.
    allowance: usize,
    alarm: Option<Instant>,
    last_time_critical: Option<Instant>,
    congestion: Congestion,
}

impl Sender {
    pub fn new(space: usize) -> Self {
        Self {
            flows: BTreeMap::new(),
            ready: BTreeSet::new(),
            suspended: BTreeSet::new(),
            space,
            next_flow: FIRST_FLOW,
            last_served: 0,
            outstanding: VecDeque::new(),
            outstanding_bytes: 0,
            next_tsn: 1,
            max_tsn_acked: 0,
            naks_for_loss: NAKS_FOR_LOSS,
            data_sent: 0,
            data_lost: 0,
            recovered_at: 0,
            allowance: MAX_BURST,
            alarm: None,
            last_time_critical: None,
            congestion: Congestion::new(),
        }
    }

    /// A new flow, or only the number of one that is over before it began.
    pub fn open(
        &mut self,
        metadata: &[u8],
        association: Option<u64>,
        options: FlowOptions,
        may_begin: bool,
    ) -> u64 {
        let id = self.next_flow;
        self.next_flow += 1;
        if may_begin {
            self.flows.insert(id, SendFlow::new(id, metadata, association, options));
        }
        id
    }

    pub fn flow(&self, id: u64) -> Option<&SendFlow> {
        self.flows.get(&id)
    }

    /// A flow has changed: it may be ready or suspended now, or gone.
    fn note(&mut self, id: u64) {
        let flow = self.flows.get(&id);
        if flow.is_some_and(SendFlow::is_complete) {
            self.flows.remove(&id);
            self.ready.remove(&id);
            self.suspended.remove(&id);
        } else if let Some(flow) = flow {
            self.ready.insert(id);
            match flow.is_suspended() {
                true => self.suspended.insert(id),
                false => self.suspended.remove(&id),
            };
        }
    }

    pub fn is_open(&self, id: u64) -> bool {
        self.flows.get(&id).is_some_and(SendFlow::is_open)
    }

    pub fn queue(&mut self, id: u64, message: Bytes, deadline: Deadline) -> bool {
        let flow = self.flows.get_mut(&id);
        let is_queued = flow.is_some_and(|flow| flow.queue(message, deadline, self.space));
        self.note(id);
        is_queued
    }

    pub fn space(&self) -> usize {
        self.space
    }

    /// From now on messages are cut for packets of this size.
    pub fn set_space(&mut self, space: usize) {
        self.space = space;
    }

    /// What is known of the path's capacity is void.
    pub fn restart_path(&mut self) {
        self.congestion = Congestion::new();
    }

    /// The session is closing: nothing more is sent or expected.
    pub fn abort(&mut self) {
        *self = Self { next_flow: self.next_flow, ..Self::new(self.space) };
    }

    /// Bytes not acknowledged yet, of all flows.
    pub fn buffered(&self) -> usize {
        self.flows.values().map(SendFlow::buffered).sum()
    }

    pub fn data_sent_and_lost(&self) -> (u64, u64) {
        (self.data_sent, self.data_lost)
    }

    /// Something is unanswered: the far end should acknowledge.
    pub fn awaits_acks(&self) -> bool {
        self.outstanding_bytes > 0
    }

    pub fn window(&self) -> usize {
        self.congestion.window()
    }

    pub fn sent_time_critical(&self, now: Instant) -> bool {
        self.last_time_critical
            .is_some_and(|at| now.saturating_duration_since(at) < TIME_CRITICAL_MEMORY)
    }

    /// Fills the packet with user data as budget and receivers allow.
    /// True if there was any.
    pub fn write_data(
        &mut self,
        now: Instant,
        packet: &mut PacketBuilder<'_>,
        clock: &Clock,
    ) -> bool {
        if self.allowance == 0 {
            return false;
        }
        let mut previous: Option<(u64, u64)> = None;
        let mut flows_before = Vec::new();
        while self.outstanding_bytes < self.congestion.window() {
            let Some((flow, sequence)) = self.choose(now, previous.map(|(flow, _)| flow)) else {
                break;
            };
            let place = match previous {
                Some(before) if before == (flow, sequence.wrapping_sub(1)) => Place::Next,
                _ if flows_before.contains(&flow) => Place::Behind,
                _ => Place::First,
            };
            let tsn = self.next_tsn;
            let Some(entry) = self.flows.get_mut(&flow) else { break };
            let limit = packet.limit();
            let mut size = entry.write(packet.out(), limit, sequence, place, (tsn, now));
            if size.is_none() && packet.is_empty() {
                // Cut when packets were larger; the session deals with that.
                size = entry.write(packet.out(), usize::MAX, sequence, place, (tsn, now));
            }
            let Some(size) = size else { break };
            if entry.options.time_critical {
                packet.set_time_critical();
                self.last_time_critical = Some(now);
            }
            self.next_tsn += 1;
            self.outstanding.push_back(Outstanding { tsn, flow, sequence });
            self.outstanding_bytes += size;
            self.data_sent += size as u64;
            self.last_served = flow;
            if place == Place::First {
                flows_before.push(flow);
            }
            previous = Some((flow, sequence));
        }
        if previous.is_some() {
            self.allowance -= 1;
            self.alarm = Some(now + clock.erto());
        }
        previous.is_some()
    }

    /// The next fragment: best priority first, flows of one priority in turn; a flow begun in
    /// this packet goes on while it can, for its chunks are shorter.
    fn choose(&mut self, now: Instant, current: Option<u64>) -> Option<(u64, u64)> {
        let turn = current.unwrap_or(self.last_served + 1);
        let mut best: Option<(Priority, bool, u64, u64)> = None;
        let flows = &mut self.flows;
        self.ready.retain(|id| {
            let Some(flow) = flows.get_mut(id) else { return false };
            let rank = (flow.options.priority, flow.id < turn);
            if best.is_some_and(|(priority, waits, ..)| (priority, waits) <= rank) {
                return true;
            }
            let next = flow.next_sendable(now);
            if let Some(sequence) = next {
                best = Some((rank.0, rank.1, flow.id, sequence));
            }
            next.is_some()
        });
        best.map(|(_, _, flow, sequence)| (flow, sequence))
    }

    /// To be called whenever what is queued or the far end's window may have changed.
    pub fn schedule_probe(&mut self, now: Instant, clock: &Clock) {
        for id in &self.suspended {
            if let Some(flow) = self.flows.get_mut(id) {
                flow.schedule_probe(now, clock.erto());
            }
        }
    }

    fn due_probes(&self, now: Instant) -> impl Iterator<Item = u64> {
        self.probes().filter(move |(_, at)| *at <= now).map(|(id, _)| id)
    }

    /// When which flow is to be probed.
    fn probes(&self) -> impl Iterator<Item = (u64, Instant)> {
        self.suspended.iter().filter_map(|id| Some((*id, self.flows.get(id)?.probe_at()?)))
    }

    /// Writes the probes that are due.
    pub fn write_probes(&mut self, now: Instant, packet: &mut PacketBuilder<'_>, clock: &Clock) {
        let due: Vec<u64> = self.due_probes(now).collect();
        for flow in due {
            if packet.chunk(|out| BufferProbe { flow }.put(out))
                && let Some(flow) = self.flows.get_mut(&flow)
            {
                flow.on_probed(now, clock.erto());
            }
        }
    }

    /// True when `write_data` or `write_probes` would write something.
    pub fn has_work(&mut self, now: Instant) -> bool {
        self.due_probes(now).next().is_some()
            || (self.allowance > 0
                && self.outstanding_bytes < self.congestion.window()
                && self.choose(now, None).is_some())
    }

    /// Takes in one acknowledgement chunk.
    pub fn on_ack(&mut self, ack: &DataAck<'_>, arrival: Arrival, summary: &mut AckSummary) {
        let Some(flow) = self.flows.get_mut(&ack.flow) else { return };
        summary.any_acks = true;
        let acked = flow.on_ack(ack, arrival);
        if acked.was_overtaken {
            self.naks_for_loss = (self.naks_for_loss * 2).min(MAX_NAKS_FOR_LOSS);
            self.congestion.undo_cut();
        }
        summary.acked_bytes += acked.bytes;
        self.outstanding_bytes -= acked.bytes;
        self.max_tsn_acked = self.max_tsn_acked.max(acked.max_tsn);
        self.allowance = self.allowance.max(MAX_BURST).max(2 * summary.acked_bytes / FULL_PACKET);
        self.note(ack.flow);
    }

    /// A summary for one packet, to be taken before its chunks.
    pub fn begin_summary(&self) -> AckSummary {
        AckSummary { outstanding_before: self.outstanding_bytes, ..AckSummary::default() }
    }

    /// After all chunks of a packet with acknowledgements: losses, window, alarm.
    pub fn finish_acks(
        &mut self,
        now: Instant,
        mut summary: AckSummary,
        clock: &Clock,
        critical: TimeCritical,
    ) {
        self.count_naks(&mut summary, self.overdue_since(now, clock));
        // One cut for what was in flight together.
        if summary.calls_for_cut() && self.max_tsn_acked < self.recovered_at {
            summary.is_recovering = true;
        } else if summary.calls_for_cut() {
            self.recovered_at = self.next_tsn;
        }
        self.congestion.on_packet(summary, critical);
        if self.outstanding_bytes == 0 {
            self.outstanding.clear();
        }
        if self.alarm.is_some() {
            self.alarm = Some(now + clock.erto());
        }
    }

    /// What was sent before this and is overtaken now is lost: an acknowledgement had the time to
    /// come (as RFC 8985 has it). On a path that changes the order it gets more.
    fn overdue_since(&self, now: Instant, clock: &Clock) -> Option<Instant> {
        let rtt = clock.rtt()?;
        let late = rtt.max(SHORTEST_ROUND_TRIP) / 4 * u32::from(self.naks_for_loss / NAKS_FOR_LOSS);
        now.checked_sub(rtt + late)
    }

    /// RFC 7016 §3.6.2.5: what was sent before something acknowledged, and is not acknowledged.
    fn count_naks(&mut self, summary: &mut AckSummary, overdue_since: Option<Instant>) {
        let mut overtaken = Vec::new();
        while let Some(front) = self.outstanding.front().copied() {
            if front.tsn >= self.max_tsn_acked {
                break;
            }
            self.outstanding.pop_front();
            let Some(flow) = self.flows.get_mut(&front.flow) else { continue };
            match flow.on_nak(front.sequence, front.tsn, self.naks_for_loss, overdue_since) {
                NakOutcome::Stale => {}
                NakOutcome::StillInFlight(naks) => {
                    summary.any_naks |= naks > self.naks_for_loss - NAKS_FOR_LOSS;
                    overtaken.push(front);
                }
                NakOutcome::Lost(bytes) => {
                    summary.any_naks = true;
                    summary.any_loss = true;
                    self.outstanding_bytes -= bytes;
                    self.data_lost += bytes as u64;
                    self.ready.insert(front.flow);
                }
            }
        }
        for entry in overtaken.into_iter().rev() {
            self.outstanding.push_front(entry);
        }
    }

    /// The far end rejected a flow. Its code if that is news.
    pub fn on_exception(&mut self, exception: FlowException) -> Option<u64> {
        let is_news = self.flows.get_mut(&exception.flow)?.on_exception();
        self.note(exception.flow);
        is_news.then_some(exception.code)
    }

    /// Closes a flow; it goes away when the far end has acknowledged that.
    pub fn close(&mut self, id: u64) {
        if let Some(flow) = self.flows.get_mut(&id) {
            flow.close();
        }
        self.note(id);
    }

    pub fn next_timeout(&self) -> Option<Instant> {
        self.alarm.into_iter().chain(self.probes().map(|(_, at)| at)).min()
    }

    /// RFC 7016 §3.6.2.6. True when all that was in flight is lost.
    pub fn handle_timeout(&mut self, now: Instant, clock: &mut Clock) -> bool {
        if self.alarm.is_none_or(|alarm| alarm > now) {
            return false;
        }
        self.alarm = None;
        self.allowance = MAX_BURST;
        let mut was_loss = false;
        for entry in std::mem::take(&mut self.outstanding) {
            let flow = self.flows.get_mut(&entry.flow);
            if let Some(bytes) = flow.and_then(|flow| flow.on_timeout(entry.sequence, entry.tsn)) {
                self.outstanding_bytes -= bytes;
                self.data_lost += bytes as u64;
                self.ready.insert(entry.flow);
                was_loss = true;
            }
        }
        if was_loss {
            clock.back_off();
            self.naks_for_loss = NAKS_FOR_LOSS;
        }
        self.congestion.on_timeout(was_loss);
        was_loss
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_flows_are_never_used_again() {
        let mut sender = Sender::new(1000);
        let (first, now) = (sender.open(b"x", None, FlowOptions::default(), true), Instant::now());
        sender.queue(first, Bytes::from_static(b"x"), None);
        sender.close(first);
        let mut summary = sender.begin_summary();
        let (arrival, bytes) = (Arrival { now, rtt: Duration::ZERO }, [first as u8, 64, 1]);
        // Sent, and acknowledged to its end.
        let flow = sender.flows.get_mut(&first).unwrap();
        flow.write(&mut Vec::new(), 1000, 1, Place::First, (1, now)).unwrap();
        sender.outstanding_bytes = 1000;
        let ack = DataAck::decode_ranges(&bytes).unwrap();
        sender.on_ack(&ack, arrival, &mut summary);
        assert!(sender.flow(first).is_none());
        assert!(sender.open(b"x", None, FlowOptions::default(), true) > first);
        sender.abort();
        assert!(sender.open(b"x", None, FlowOptions::default(), true) > first + 1);
    }
}
