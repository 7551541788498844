//! All sending flows of a session, sharing one transmission budget. RFC 7016 §3.5.2, §3.6.2.

use std::{
    collections::{BTreeMap, VecDeque},
    time::{Duration, Instant},
};

use bytes::Bytes;

use super::{
    clock::Clock,
    congestion::{AckSummary, Congestion, TimeCritical},
    packet::PacketBuilder,
    send_flow::{Deadline, FlowOptions, NakOutcome, Priority, SendFlow},
};
use crate::wire::chunk::{BufferProbe, DataAck, FlowException};

/// RFC 7016 §3.5.2.3: data packets between acknowledgements or timeouts. A receiver that takes in
/// packets by batches acknowledges many at once: then as many may follow, and as many again for
/// the growth of the window, as had they been acknowledged two by two.
const MAX_BURST: usize = 6;
const FULL_PACKET: usize = 1100;
/// RFC 7016 §3.6.2.9.1.
const FIRST_PROBE: Duration = Duration::from_secs(1);
const MAX_PROBE: Duration = Duration::from_secs(60);
/// RFC 7016 §3.5.2.1.
pub(crate) const TIME_CRITICAL_MEMORY: Duration = Duration::from_millis(800);
/// Flow IDs we start from; the number has no meaning.
const FIRST_FLOW: u64 = 2;

#[derive(Debug, Clone, Copy)]
struct Outstanding {
    tsn: u64,
    flow: u64,
    sequence: u64,
}

#[derive(Debug, Clone, Copy)]
struct Probe {
    at: Instant,
    interval: Duration,
}

/// The sending half of a session.
#[derive(Debug)]
pub(crate) struct Sender {
    flows: BTreeMap<u64, SendFlow>,
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
    /// What was sent before this number was sent before the window was last cut.
    recovered_at: u64,
    /// Data packets that may go out before the next acknowledgement.
    allowance: usize,
    alarm: Option<Instant>,
    probe: Option<Probe>,
    last_time_critical: Option<Instant>,
    congestion: Congestion,
}

impl Sender {
    pub fn new(space: usize) -> Self {
        Self {
            flows: BTreeMap::new(),
            space,
            next_flow: FIRST_FLOW,
            last_served: 0,
            outstanding: VecDeque::new(),
            outstanding_bytes: 0,
            next_tsn: 1,
            max_tsn_acked: 0,
            recovered_at: 0,
            allowance: MAX_BURST,
            alarm: None,
            probe: None,
            last_time_critical: None,
            congestion: Congestion::new(),
        }
    }

    pub fn open(&mut self, metadata: &[u8], association: Option<u64>, options: FlowOptions) -> u64 {
        let id = self.next_flow;
        self.next_flow += 1;
        self.flows.insert(id, SendFlow::new(id, metadata, association, options));
        id
    }

    pub fn flow(&mut self, id: u64) -> Option<&mut SendFlow> {
        self.flows.get_mut(&id)
    }

    pub fn is_open(&self, id: u64) -> bool {
        self.flows.get(&id).is_some_and(SendFlow::is_open)
    }

    pub fn queue(&mut self, id: u64, message: Bytes, deadline: Deadline) -> bool {
        self.flows.get_mut(&id).is_some_and(|flow| flow.queue(message, deadline, self.space))
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

    /// Bytes not acknowledged yet, of all flows.
    pub fn buffered(&self) -> usize {
        self.flows.values().map(SendFlow::buffered).sum()
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
        while self.outstanding_bytes < self.congestion.window() {
            let Some((flow, sequence)) = self.choose(now, previous.map(|(flow, _)| flow)) else {
                break;
            };
            let follows = previous == Some((flow, sequence.wrapping_sub(1)));
            let tsn = self.next_tsn;
            let Some(entry) = self.flows.get_mut(&flow) else { break };
            let limit = packet.limit();
            let Some(size) = entry.write(packet.out(), limit, sequence, follows, tsn) else {
                break;
            };
            if entry.options.time_critical {
                packet.set_time_critical();
                self.last_time_critical = Some(now);
            }
            self.next_tsn += 1;
            self.outstanding.push_back(Outstanding { tsn, flow, sequence });
            self.outstanding_bytes += size;
            self.last_served = flow;
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
        for flow in self.flows.values_mut() {
            let rank = (flow.options.priority, flow.id < turn);
            if best.is_some_and(|(priority, waits, ..)| (priority, waits) <= rank) {
                continue;
            }
            if let Some(sequence) = flow.next_sendable(now) {
                best = Some((rank.0, rank.1, flow.id, sequence));
            }
        }
        best.map(|(_, _, flow, sequence)| (flow, sequence))
    }

    /// To be called whenever what is queued or the far end's window may have changed.
    pub fn schedule_probe(&mut self, now: Instant, clock: &Clock) {
        if !self.flows.values().any(SendFlow::is_suspended) {
            self.probe = None;
        } else if self.probe.is_none() {
            let interval = FIRST_PROBE.max(clock.erto());
            self.probe = Some(Probe { at: now + FIRST_PROBE, interval });
        }
    }

    /// Writes the probes that are due.
    pub fn write_probes(&mut self, now: Instant, packet: &mut PacketBuilder<'_>) {
        let Some(probe) = self.probe.filter(|probe| probe.at <= now) else { return };
        for flow in self.flows.values().filter(|flow| flow.is_suspended()) {
            packet.chunk(|out| BufferProbe { flow: flow.id }.put(out));
        }
        let interval = probe.interval.mul_f64(std::f64::consts::SQRT_2).min(MAX_PROBE);
        self.probe = Some(Probe { at: now + interval, interval });
    }

    /// True when `write_data` or `write_probes` would write something.
    pub fn has_work(&mut self, now: Instant) -> bool {
        if self.probe.is_some_and(|probe| probe.at <= now) {
            return true;
        }
        self.allowance > 0
            && self.outstanding_bytes < self.congestion.window()
            && self.flows.values_mut().any(|flow| flow.next_sendable(now).is_some())
    }

    /// Takes in one acknowledgement chunk.
    pub fn on_ack(&mut self, ack: &DataAck<'_>, summary: &mut AckSummary) {
        let Some(flow) = self.flows.get_mut(&ack.flow) else { return };
        summary.any_acks = true;
        let acked = flow.on_ack(ack);
        summary.acked_bytes += acked.bytes;
        self.outstanding_bytes -= acked.bytes;
        self.max_tsn_acked = self.max_tsn_acked.max(acked.max_tsn);
        self.allowance = self.allowance.max(MAX_BURST).max(2 * summary.acked_bytes / FULL_PACKET);
        if flow.is_complete() {
            self.flows.remove(&ack.flow);
        }
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
        self.count_naks(&mut summary);
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

    /// RFC 7016 §3.6.2.5: what was sent before something acknowledged, and is not acknowledged.
    fn count_naks(&mut self, summary: &mut AckSummary) {
        let mut overtaken = Vec::new();
        while let Some(front) = self.outstanding.front().copied() {
            if front.tsn >= self.max_tsn_acked {
                break;
            }
            self.outstanding.pop_front();
            let Some(flow) = self.flows.get_mut(&front.flow) else { continue };
            match flow.on_nak(front.sequence, front.tsn) {
                NakOutcome::Stale => {}
                NakOutcome::StillInFlight => {
                    summary.any_naks = true;
                    overtaken.push(front);
                }
                NakOutcome::Lost(bytes) => {
                    summary.any_naks = true;
                    summary.any_loss = true;
                    self.outstanding_bytes -= bytes;
                }
            }
        }
        for entry in overtaken.into_iter().rev() {
            self.outstanding.push_front(entry);
        }
    }

    /// The far end rejected a flow. Its code if that is news.
    pub fn on_exception(&mut self, exception: FlowException) -> Option<u64> {
        let flow = self.flows.get_mut(&exception.flow)?;
        flow.on_exception().then_some(exception.code)
    }

    /// Closes a flow; it goes away when the far end has acknowledged that.
    pub fn close(&mut self, id: u64) {
        if let Some(flow) = self.flows.get_mut(&id) {
            flow.close();
        }
    }

    pub fn next_timeout(&self) -> Option<Instant> {
        self.alarm.into_iter().chain(self.probe.map(|probe| probe.at)).min()
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
                was_loss = true;
            }
        }
        if was_loss {
            clock.back_off();
        }
        self.congestion.on_timeout(was_loss);
        was_loss
    }
}
