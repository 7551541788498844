//! An open session: its path, its keys, its two directions and its end. RFC 7016 §3.5.

mod birth;
pub(crate) mod clock;
pub(crate) mod congestion;
mod delay;
mod ecn;
mod life;
pub(crate) mod mobility;
mod mtu;
mod packet;
mod ranges;
mod receiver;
mod recv_flow;
mod send_flow;
mod sender;

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

pub(crate) use birth::{Answered, Birth};
pub(crate) use packet::DEFAULT_DATAGRAM;
pub use recv_flow::{ReceiveLimits, ReceiveOrder};
use send_flow::Arrival;
pub use send_flow::{Deadline, FlowOptions, Priority};
pub(crate) use sender::TIME_CRITICAL_MEMORY;

use crate::{
    crypto::{Certificate, Finished, keying::SessionKeys},
    endpoint::{Config, Path},
    event::{CloseReason, Elsewhere, EventSink, FlowEvent, ForwardRequest},
    wire::{
        Chunk, Chunks, Flags, Mode, PacketHeader,
        chunk::{self, EcnReport, ForwardedHello, PacketFragment, code, put_chunk},
    },
};
use clock::Clock;
use congestion::{AckSummary, TimeCritical};
use delay::{Advice, DelayWatch};
use ecn::EcnState;
pub(crate) use life::Ending;
use life::Life;
use mobility::{CheckMessage, Mobility};
use mtu::PathMtu;
use packet::{PacketBuilder, chunk_space};
use receiver::Receiver;
use sender::Sender;

/// Ping replies, forwarded hellos and the like that wait for a packet; more are dropped.
const MAX_CONTROL: usize = 64;
/// RFC 7016 §2.3.11.1.1: metadata longer than this gets its flow rejected.
pub(crate) const MAX_METADATA: usize = 512;

/// Counters of one session.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SessionStats {
    /// Datagrams received and verified.
    pub packets_received: u64,
    /// Datagrams sent.
    pub packets_sent: u64,
    /// Their bytes, UDP payload.
    pub bytes_received: u64,
    /// Their bytes, UDP payload.
    pub bytes_sent: u64,
    /// Bytes of messages sent, again too, with their chunks' headers.
    pub data_sent: u64,
    /// Of those, what was lost, as far as acknowledgements tell.
    pub data_lost: u64,
}

/// When to ask whether the far end is there, and when to believe that it is not.
#[derive(Debug, Clone, Copy)]
pub struct Liveness {
    /// Silence before a ping.
    pub keepalive: Duration,
    /// How long something may stay unanswered.
    pub give_up: Duration,
}

/// What several sessions share while packets are handled.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Surroundings {
    /// Time critical data went out on some session lately.
    pub sent_time_critical: bool,
    /// Time critical data came in on another session lately.
    pub time_critical_elsewhere: bool,
}

/// An open or closing session.
#[derive(Debug)]
pub(crate) struct Session {
    pub born: Instant,
    pub far_id: u32,
    pub path: Path,
    pub far: Certificate,
    pub keys: SessionKeys,
    pub answered: Option<Answered>,
    pub signer: Option<Vec<u8>>,
    /// The application knows of it.
    pub is_announced: bool,
    pub mobility: Mobility,
    pub ecn: EcnState,
    delay: DelayWatch,
    mode: Mode,
    mtu: PathMtu,
    clock: Clock,
    pub sender: Sender,
    pub receiver: Receiver,
    control: VecDeque<Vec<u8>>,
    life: Life,
    reverse_notified: Option<Instant>,
    /// Packets that were cut in pieces so far.
    packets_cut: u64,
    /// The last packet that was too large went in pieces.
    sends_pieces: bool,
    stats: SessionStats,
}

impl Session {
    pub fn new(now: Instant, epoch: Instant, birth: Birth, config: &Config) -> Self {
        let mtu = PathMtu::new(now, config.max_datagram);
        let space = chunk_space(&birth.keys.packet, mtu.confirmed());
        Self {
            born: now,
            far_id: birth.far_id,
            path: birth.path,
            far: birth.far,
            keys: birth.keys,
            answered: birth.answered,
            signer: birth.signer,
            is_announced: false,
            mobility: Mobility::default(),
            ecn: EcnState::new(config.congestion.ecn),
            delay: DelayWatch::new(now, config.congestion.delay),
            mode: birth.mode,
            mtu,
            clock: Clock::new(epoch),
            sender: Sender::new(space),
            receiver: Receiver::new(config.limits),
            control: VecDeque::new(),
            life: Life::new(now, config.liveness, birth.mode == Mode::Responder),
            reverse_notified: None,
            packets_cut: 0,
            sends_pieces: false,
            stats: SessionStats::default(),
        }
    }

    pub fn rtt(&self) -> Option<Duration> {
        self.clock.rtt()
    }

    pub fn stats(&self) -> SessionStats {
        let (data_sent, data_lost) = self.sender.data_sent_and_lost();
        SessionStats { data_sent, data_lost, ..self.stats }
    }

    pub fn queueing(&self, now: Instant) -> Option<Duration> {
        self.delay.queueing(now, self.clock.rtt()?)
    }

    pub fn set_liveness(&mut self, liveness: Liveness) {
        self.life.set_liveness(liveness);
    }

    /// The far end asked for it.
    pub fn is_responder(&self) -> bool {
        self.mode == Mode::Responder
    }

    /// Neither end has begun to close it.
    pub fn is_open(&self) -> bool {
        self.life.is_open()
    }

    /// Takes in a verified packet. Returns how the session ended if it did.
    pub fn handle_packet(
        &mut self,
        now: Instant,
        plain: &[u8],
        surroundings: Surroundings,
        events: &mut EventSink<'_>,
        mut on_elsewhere: impl FnMut(Elsewhere<'_>),
    ) -> Received {
        let mut reader = crate::wire::Reader::new(plain);
        let Ok(header) = PacketHeader::read(&mut reader) else { return Received::default() };
        if header.flags.mode == self.mode || header.flags.mode == Mode::Startup {
            return Received::default();
        }
        self.stats.packets_received += 1;
        self.stats.bytes_received += plain.len() as u64;
        self.life.on_received(now);
        self.note_header(now, &header);
        let arrival = Arrival { now, rtt: self.clock.rtt().unwrap_or_default() };
        let mut summary = self.sender.begin_summary();
        let time_critical = header.flags.time_critical;
        let mut received = Received { is_valid: true, time_critical, ..Received::default() };
        for chunk in Chunks::new(reader) {
            match chunk {
                Chunk::SessionClose => {
                    received.end = received.end.or(self.life.on_close(now));
                    self.abort_flows();
                }
                Chunk::SessionCloseAck => received.end = received.end.or(self.life.on_close_ack()),
                // A session that is closing hears nothing else.
                _ if !self.is_open() => {}
                Chunk::PingReply(message) => {
                    received.check = received.check.or(self.on_ping_reply(message));
                }
                Chunk::ForwardedHello(hello) => {
                    on_elsewhere(Elsewhere::Forwarded(ForwardRequest {
                        epd: hello.epd,
                        reply_address: hello.reply_address,
                        tag: hello.tag,
                    }));
                }
                Chunk::Fragment(piece) => on_elsewhere(Elsewhere::Piece(header.flags.mode, piece)),
                chunk => self.on_chunk(arrival, &chunk, &mut summary, events),
            }
        }
        if summary.any_acks {
            self.on_acknowledged(now, summary, surroundings);
        }
        self.receiver.on_packet_end(now);
        received
    }

    /// What concerns flows and the path, and nobody but this session.
    fn on_chunk(
        &mut self,
        arrival: Arrival,
        chunk: &Chunk<'_>,
        summary: &mut AckSummary,
        events: &mut EventSink<'_>,
    ) {
        match chunk {
            Chunk::UserData(data) => {
                let sender = &self.sender;
                self.receiver.on_user_data(data, |flow| sender.is_open(flow), events);
            }
            Chunk::NextUserData(data) => self.receiver.on_next_user_data(data, events),
            Chunk::DataAck(ack) => self.sender.on_ack(ack, arrival, summary),
            Chunk::EcnReport(report) => summary.is_congested |= self.ecn.on_report(report.count),
            Chunk::BufferProbe(probe) => {
                self.receiver.on_probe(probe.flow);
                self.receiver.ack_soon(arrival.now);
            }
            Chunk::FlowException(exception) => {
                if let Some(code) = self.sender.on_exception(*exception) {
                    events.flow(FlowEvent::Rejected { flow: exception.flow, code });
                }
            }
            Chunk::Ping(message) => self.push_control(|out| {
                put_chunk(out, code::PING_REPLY, |out| out.extend_from_slice(message));
            }),
            _ => {}
        }
    }

    fn on_acknowledged(
        &mut self,
        now: Instant,
        mut summary: AckSummary,
        surroundings: Surroundings,
    ) {
        self.life.on_acknowledged();
        self.mtu.on_progress();
        self.ecn.on_acknowledged();
        self.heed_delay(now, &mut summary);
        let critical = self.time_critical(now, surroundings);
        self.sender.finish_acks(now, summary, &self.clock, critical);
    }

    /// Ours or not is seen later; an answer to a size probe is dealt with at once.
    fn on_ping_reply(&mut self, message: &[u8]) -> Option<CheckMessage> {
        if self.mtu.on_reply(message) {
            self.sender.set_space(chunk_space(&self.keys.packet, self.mtu.confirmed()));
        }
        mobility::as_check(message)
    }

    /// The far end has proved to be elsewhere now. What was learned of the old path is void.
    pub fn move_to(&mut self, now: Instant, path: Path) {
        self.path = path;
        self.mtu.restart(now);
        self.sender.set_space(chunk_space(&self.keys.packet, self.mtu.confirmed()));
        self.sender.restart_path();
        self.delay.reset();
    }

    fn heed_delay(&mut self, now: Instant, summary: &mut AckSummary) {
        let is_busy = summary.outstanding_before > self.sender.window() / 2;
        let smoothed = self.clock.rtt().unwrap_or_default();
        summary.is_way_clear = self.delay.is_way_clear(now, smoothed);
        match self.delay.advice(now, smoothed, is_busy) {
            Advice::Nothing => {}
            Advice::Congestion => summary.is_congested = true,
            Advice::Drain => summary.drains = true,
        }
    }

    /// A probe of a larger datagram, if one is due.
    pub fn due_size_probe(&mut self, now: Instant) -> Option<Vec<u8>> {
        let size = self.is_open().then(|| self.mtu.take_due(now, self.clock.erto()))??;
        let message = PathMtu::message(size);
        // RFC 7016 §3.5.4.3: padding first, so that what a truncated probe says is not heard.
        let chunks = 2 * chunk::HEADER_LEN + message.len();
        let padding = chunk_space(&self.keys.packet, size).saturating_sub(chunks);
        self.aside(now, |out| {
            put_chunk(out, code::PADDING_ZERO, |out| out.resize(out.len() + padding, 0));
            put_chunk(out, code::PING, |out| out.extend_from_slice(&message));
        })
    }

    /// A Ping to be sent to an address that the session may move to.
    pub fn address_check(&mut self, now: Instant, message: &CheckMessage) -> Option<Vec<u8>> {
        self.aside(now, |out| put_chunk(out, code::PING, |out| out.extend_from_slice(message)))
    }

    /// A sealed packet beside the stream of others.
    fn aside(&mut self, now: Instant, write: impl FnOnce(&mut Vec<u8>)) -> Option<Vec<u8>> {
        let mut out = Vec::new();
        let header = PacketHeader {
            flags: Flags::new(self.mode),
            timestamp: Some(self.clock.timestamp(now)),
            timestamp_echo: None,
        };
        let mut packet =
            PacketBuilder::new(&mut out, &self.keys.packet, usize::from(u16::MAX), header);
        packet.chunk(write);
        let finished = packet.finish(&mut self.keys.packet)?;
        self.count_sent(finished);
        self.seal(&mut out, &[finished]);
        Some(out)
    }

    fn note_header(&mut self, now: Instant, header: &PacketHeader) {
        if let Some(stamp) = header.timestamp {
            self.clock.on_timestamp(now, stamp);
        }
        if let Some(echo) = header.timestamp_echo
            && let Some(rtt) = self.clock.on_echo(now, echo)
        {
            self.delay.on_rtt(now, rtt);
        }
        if header.flags.time_critical_reverse {
            self.reverse_notified = Some(now);
        }
    }

    fn time_critical(&self, now: Instant, surroundings: Surroundings) -> TimeCritical {
        let is_recent = |at: Instant| now.saturating_duration_since(at) < TIME_CRITICAL_MEMORY;
        TimeCritical {
            sent_here: self.sender.sent_time_critical(now),
            sent_anywhere: surroundings.sent_time_critical,
            reverse_received: self.reverse_notified.is_some_and(is_recent),
        }
    }

    fn push_control(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        if self.control.len() < MAX_CONTROL {
            let mut chunk = Vec::new();
            write(&mut chunk);
            self.control.push_back(chunk);
        }
    }

    /// Passes a hello on to the far end.
    pub fn forward_hello(&mut self, hello: &ForwardedHello<'_>) {
        self.push_control(|out| hello.put(out));
    }

    /// Begins an orderly close.
    pub fn close(&mut self, now: Instant) {
        self.life.close(now);
        self.abort_flows();
    }

    /// RFC 7016 §3.5.5: flows exist in open sessions only.
    fn abort_flows(&mut self) {
        self.sender.abort();
        self.receiver.abort();
        self.control.clear();
    }

    /// True when [`Self::write_packet`] would write something.
    pub fn has_work(&mut self, now: Instant) -> bool {
        self.sender.schedule_probe(now, &self.clock);
        !self.control.is_empty()
            || self.life.has_work(now)
            || (self.is_open() && (self.receiver.has_work(now) || self.sender.has_work(now)))
    }

    /// Appends one packet to `out`, to be sealed with its train; nothing when there is nothing to
    /// say.
    pub fn write_packet(
        &mut self,
        now: Instant,
        surroundings: Surroundings,
        out: &mut Vec<u8>,
    ) -> Option<Finished> {
        if !self.has_work(now) {
            return None;
        }
        let flags = Flags {
            time_critical_reverse: surroundings.time_critical_elsewhere,
            ..Flags::new(self.mode)
        };
        let timestamp = Some(self.clock.timestamp(now));
        let timestamp_echo = self.clock.take_echo(now);
        let header = PacketHeader { flags, timestamp, timestamp_echo };
        let mut packet = PacketBuilder::new(out, &self.keys.packet, self.sender.space(), header);
        self.write_control(&mut packet);
        if self.is_open() {
            self.write_flows(now, &mut packet);
        }
        if packet.is_too_large() && self.next_goes_in_pieces() {
            let plain = packet.take_back();
            self.push_pieces(&plain);
            return self.write_packet(now, surroundings, out);
        }
        self.life.write(now, &mut packet, &mut self.clock);
        let finished = packet.finish(&mut self.keys.packet)?;
        if self.sender.awaits_acks() {
            self.life.on_unacknowledged(now);
        }
        self.count_sent(finished);
        Some(finished)
    }

    fn write_control(&mut self, packet: &mut PacketBuilder<'_>) {
        while let Some(chunk) = self.control.front() {
            let fits = packet.chunk(|out| out.extend_from_slice(chunk));
            if !fits && !packet.is_empty() {
                break;
            }
            self.control.pop_front();
        }
    }

    fn write_flows(&mut self, now: Instant, packet: &mut PacketBuilder<'_>) {
        // Before the acknowledgements, which may fill the packet.
        if self.receiver.owes_acks()
            && let Some(count) = self.ecn.report()
            && packet.chunk(|out| EcnReport { count }.put(out))
        {
            self.ecn.on_reported();
        }
        self.receiver.write_acks(now, packet);
        if self.sender.write_data(now, packet, &self.clock) && self.ecn.marks_data() {
            self.ecn.on_marked();
        }
        self.sender.write_probes(now, packet, &self.clock);
    }

    /// RFC 7016 §3.4: a packet that became too large for its path goes in pieces. Every other
    /// one goes whole all the same, for not everybody puts pieces together (rtmfp-cpp does not).
    fn next_goes_in_pieces(&mut self) -> bool {
        self.sends_pieces = !self.sends_pieces;
        self.sends_pieces
    }

    fn push_pieces(&mut self, plain: &[u8]) {
        const HEADER: usize = 16;
        self.packets_cut += 1;
        let packet_id = self.packets_cut;
        let pieces = plain.chunks(self.sender.space() - HEADER);
        let last = pieces.len() - 1;
        for (number, bytes) in pieces.enumerate() {
            let (has_more, number) = (number < last, number as u64);
            self.push_control(|out| PacketFragment { has_more, packet_id, number, bytes }.put(out));
        }
    }

    fn count_sent(&mut self, packet: Finished) {
        self.stats.packets_sent += 1;
        self.stats.bytes_sent += packet.size() as u64;
    }

    /// Seals packets of [`Self::write_packet`].
    pub fn seal(&self, out: &mut [u8], train: &[Finished]) {
        self.keys.packet.seal_train(out, train, self.far_id);
    }

    /// When [`Self::handle_timeout`] has something to do.
    pub fn next_timeout(&self) -> Option<Instant> {
        if !self.is_open() {
            return self.life.next_timeout();
        }
        let timers = [
            self.sender.next_timeout(),
            self.receiver.next_timeout(),
            self.life.next_timeout(),
            self.mtu.next_timeout(),
        ];
        timers.into_iter().flatten().min()
    }

    /// Lets time pass. Returns how the session ended if it did.
    pub fn handle_timeout(&mut self, now: Instant) -> Option<CloseReason> {
        let was_loss = self.sender.handle_timeout(now, &mut self.clock);
        if was_loss {
            self.delay.reset();
        }
        if was_loss && self.mtu.on_timeout(now) {
            self.sender.set_space(chunk_space(&self.keys.packet, self.mtu.confirmed()));
        }
        self.receiver.handle_timeout(now);
        self.life.handle_timeout(now)
    }
}

/// What a packet did to its session as a whole.
#[derive(Debug, Default)]
pub(crate) struct Received {
    /// It was a packet of this session at all.
    pub is_valid: bool,
    /// A Ping Reply that may be the answer to a mobility check.
    pub check: Option<CheckMessage>,
    pub end: Option<Ending>,
    pub time_critical: bool,
}
