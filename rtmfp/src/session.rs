//! An open session: its path, its keys, its two directions and its end. RFC 7016 §3.5.

mod birth;
pub(crate) mod clock;
pub(crate) mod congestion;
mod control;
mod critical;
mod delay;
mod ecn;
mod flow_options;
mod life;
mod mobility;
mod mtu;
mod packet;
mod ranges;
mod receiver;
mod recv_flow;
mod send_flow;
mod sender;
mod settings;
mod stats;
mod way;

use std::time::{Duration, Instant};

pub(crate) use birth::{Answered, Birth, Far};
pub(crate) use critical::{Surroundings, TIME_CRITICAL_MEMORY};
pub use flow_options::{Deadline, FlowOptions, Priority};
pub(crate) use life::Ending;
pub use life::Liveness;
pub(crate) use mobility::MobilityChecks;
pub(crate) use packet::DEFAULT_DATAGRAM;
pub(crate) use receiver::MAX_METADATA;
pub use recv_flow::{ReceiveLimits, ReceiveOrder};
pub use settings::CongestionSignals;
pub(crate) use settings::Settings;
pub use stats::SessionStats;

use crate::{
    crypto::{Finished, keying::SessionKeys},
    event::{CloseReason, Elsewhere, EventSink, FlowEvent, ForwardRequest},
    path::Path,
    wire::{
        Chunk, Chunks, Flags, Mode, PacketHeader,
        chunk::{self, EcnReport, ForwardedHello, code, put_chunk},
    },
};
use clock::Clock;
use congestion::{AckSummary, TimeCritical};
use control::Control;
use life::Life;
use mobility::CheckMessage;
use mtu::PathMtu;
use packet::{PacketBuilder, chunk_space};
use receiver::Receiver;
use send_flow::Arrival;
use sender::Sender;
use way::Way;

/// An open or closing session.
#[derive(Debug)]
pub(crate) struct Session {
    pub born: Instant,
    /// The mode we send in.
    mode: Mode,
    pub far: Far,
    pub answered: Option<Answered>,
    /// The application knows of it.
    pub is_announced: bool,
    pub keys: SessionKeys,
    pub way: Way,
    clock: Clock,
    pub sender: Sender,
    pub receiver: Receiver,
    control: Control,
    life: Life,
    reverse_notified: Option<Instant>,
    stats: SessionStats,
}

impl Session {
    pub fn new(now: Instant, epoch: Instant, birth: Birth, settings: &Settings) -> Self {
        let way = Way::new(now, birth.path, settings);
        let space = chunk_space(&birth.keys.packet, way.mtu.confirmed());
        Self {
            born: now,
            mode: birth.mode,
            far: birth.far,
            answered: birth.answered,
            is_announced: false,
            keys: birth.keys,
            way,
            clock: Clock::new(epoch),
            sender: Sender::new(space),
            receiver: Receiver::new(settings.limits),
            control: Control::default(),
            life: Life::new(now, settings.liveness, birth.mode == Mode::Responder),
            reverse_notified: None,
            stats: SessionStats::default(),
        }
    }

    /// Where the far end is.
    pub fn path(&self) -> Path {
        self.way.path
    }

    pub fn rtt(&self) -> Option<Duration> {
        self.clock.rtt()
    }

    pub fn stats(&self) -> SessionStats {
        let (data_sent, data_lost) = self.sender.data_sent_and_lost();
        SessionStats { data_sent, data_lost, ..self.stats }
    }

    pub fn queueing(&self, now: Instant) -> Option<Duration> {
        self.way.delay.queueing(now, self.clock.rtt()?)
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
        self.stats.count_received(plain.len());
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
            Chunk::EcnReport(report) => {
                summary.is_congested |= self.way.ecn.on_report(report.count)
            }
            Chunk::BufferProbe(probe) => {
                self.receiver.on_probe(probe.flow);
                self.receiver.ack_soon(arrival.now);
            }
            Chunk::FlowException(exception) => {
                if let Some(code) = self.sender.on_exception(*exception) {
                    events.flow(FlowEvent::Rejected { flow: exception.flow, code });
                }
            }
            Chunk::Ping(message) => self.control.push(|out| {
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
        let rtt = self.clock.rtt().unwrap_or_default();
        self.way.on_acknowledged(now, rtt, self.sender.window(), &mut summary);
        let critical = self.time_critical(now, surroundings);
        self.sender.finish_acks(now, summary, &self.clock, critical);
    }

    /// Ours or not is seen later; an answer to a size probe is dealt with at once.
    fn on_ping_reply(&mut self, message: &[u8]) -> Option<CheckMessage> {
        if self.way.mtu.on_reply(message) {
            self.fit_datagrams();
        }
        mobility::as_check(message)
    }

    /// The far end has proved to be elsewhere now. What was learned of the old path is void.
    pub fn move_to(&mut self, now: Instant, path: Path) {
        self.way.move_to(now, path);
        self.sender.restart_path();
        self.fit_datagrams();
    }

    /// The path carries datagrams of another size than before.
    fn fit_datagrams(&mut self) {
        self.sender.set_space(chunk_space(&self.keys.packet, self.way.mtu.confirmed()));
    }

    /// A probe of a larger datagram, if one is due.
    pub fn due_size_probe(&mut self, now: Instant) -> Option<Vec<u8>> {
        let size = self.is_open().then(|| self.way.mtu.take_due(now, self.clock.erto()))??;
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
        self.stats.count_sent(finished);
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
            self.way.delay.on_rtt(now, rtt);
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

    /// Passes a hello on to the far end.
    pub fn forward_hello(&mut self, hello: &ForwardedHello<'_>) {
        self.control.push(|out| hello.put(out));
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
        self.control.abort();
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
        self.control.write(&mut packet);
        if self.is_open() {
            self.write_flows(now, &mut packet);
        }
        if packet.is_too_large() && self.control.next_goes_in_pieces() {
            let plain = packet.take_back();
            self.control.push_pieces(&plain, self.sender.space());
            return self.write_packet(now, surroundings, out);
        }
        self.life.write(now, &mut packet, &mut self.clock);
        let finished = packet.finish(&mut self.keys.packet)?;
        if self.sender.awaits_acks() {
            self.life.on_unacknowledged(now);
        }
        self.stats.count_sent(finished);
        Some(finished)
    }

    fn write_flows(&mut self, now: Instant, packet: &mut PacketBuilder<'_>) {
        // Before the acknowledgements, which may fill the packet.
        if self.receiver.owes_acks()
            && let Some(count) = self.way.ecn.report()
            && packet.chunk(|out| EcnReport { count }.put(out))
        {
            self.way.ecn.on_reported();
        }
        self.receiver.write_acks(now, packet);
        if self.sender.write_data(now, packet, &self.clock) && self.way.ecn.marks_data() {
            self.way.ecn.on_marked();
        }
        self.sender.write_probes(now, packet, &self.clock);
    }

    /// Seals packets of [`Self::write_packet`].
    pub fn seal(&self, out: &mut [u8], train: &[Finished]) {
        self.keys.packet.seal_train(out, train, self.far.id);
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
            self.way.mtu.next_timeout(),
        ];
        timers.into_iter().flatten().min()
    }

    /// Lets time pass. Returns how the session ended if it did.
    pub fn handle_timeout(&mut self, now: Instant) -> Option<CloseReason> {
        let was_loss = self.sender.handle_timeout(now, &mut self.clock);
        if was_loss && self.way.on_timeout(now) {
            self.fit_datagrams();
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
