//! An open session with the program under test, whose every packet a case writes itself.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use bytes::Bytes;
use rtmfp::{
    crypto::{Certificate, PacketKeys, PacketProtection, PeerId, keying::SessionKeys},
    rtmp::{Command, FlowMetadata, Message, Value},
    wire::{
        Chunk, Flags, Mode, PacketHeader,
        chunk::{FragmentControl, code, put_ack_ranges, put_chunk},
    },
};

use super::{
    Failure, Probe,
    data::{CONTROL, Data, connect_command, options, put_data},
    failed,
    inbox::Inbox,
    probe::{Packet, came_instead, name_of},
    program::Program,
};

/// An open session.
#[derive(Debug)]
pub struct Session {
    /// Our peer ID.
    pub peer_id: PeerId,
    /// The far end.
    pub far: Certificate,
    /// Where we receive.
    pub near_id: u32,
    /// Where the far end receives.
    pub far_id: u32,
    /// Both directions.
    pub keys: PacketKeys,
    /// Our near nonce and our far nonce, for proofs.
    pub nonces: ([u8; 32], [u8; 32]),
    /// What packets carry.
    pub protection: PacketProtection,
    /// Our side.
    pub mode: Mode,
    /// The far end's last timestamp, and when it came.
    pub last_timestamp: Option<(u16, Instant)>,
    /// Of our control flow.
    pub next_sequence: u64,
    /// Leave without a word when dropped.
    pub vanishes: bool,
    /// The flow of the far end that our control flow answers.
    pub answers: Option<u64>,
    /// The program under test, if the judge started it for this session.
    pub client: Option<Program>,
    /// What came and was not asked for yet.
    pub inbox: Inbox,
    /// The socket.
    pub probe: Probe,
}

/// The two ends of a session to be.
#[derive(Debug)]
pub struct Ends {
    /// Our peer ID.
    pub peer_id: PeerId,
    /// The far end.
    pub far: Certificate,
    /// Where we receive.
    pub near_id: u32,
    /// Where the far end receives.
    pub far_id: u32,
    /// Our side.
    pub mode: Mode,
}

/// A later case may get the same port, and a session left open there would be in its way (RFC
/// 7016 §3.5.1.1.2).
impl Drop for Session {
    fn drop(&mut self) {
        if !self.vanishes {
            self.send(|out| put_chunk(out, code::SESSION_CLOSE_ACK, |_| ()));
        }
    }
}

impl Session {
    /// With the keys that both ends made.
    pub fn new(ends: Ends, keys: SessionKeys, probe: Probe, client: Option<Program>) -> Self {
        Self {
            peer_id: ends.peer_id,
            far: ends.far,
            near_id: ends.near_id,
            far_id: ends.far_id,
            nonces: (keys.near_nonce, keys.far_nonce),
            keys: keys.packet,
            protection: keys.protection,
            mode: ends.mode,
            last_timestamp: None,
            next_sequence: 1,
            vanishes: false,
            answers: None,
            client,
            inbox: Inbox::default(),
            probe,
        }
    }

    /// Seals a plain packet of any content.
    pub fn seal(&mut self, plain: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        let begun = self.keys.begin(&mut out);
        out.extend_from_slice(plain);
        self.keys.seal(&mut out, begun, self.far_id);
        out
    }

    /// A packet with chunks, sealed.
    pub fn packet(&mut self, write: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
        let mut plain = Vec::new();
        // Echoes let the far end measure the round trip, on which its retransmissions depend.
        let echo =
            |(stamp, at): (u16, Instant)| stamp.wrapping_add((at.elapsed().as_millis() / 4) as u16);
        let timestamp_echo = self.last_timestamp.map(echo);
        let timestamp = Some(self.probe.timestamp());
        PacketHeader { flags: Flags::new(self.mode), timestamp, timestamp_echo }.put(&mut plain);
        write(&mut plain);
        self.seal(&plain)
    }

    /// Sends chunks.
    pub fn send(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        let datagram = self.packet(write);
        self.probe.send_datagram(&datagram);
    }

    /// The next packet of the session within `wait`.
    pub fn receive(&mut self, wait: Duration) -> Option<Packet> {
        let deadline = Instant::now() + wait;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let (from, mut datagram) = self.probe.receive_datagram(left)?;
            if rtmfp::crypto::session_id_of(&datagram) != Some(self.near_id) {
                continue;
            }
            if let Ok(plain) = self.keys.open(&mut datagram) {
                let packet = Packet {
                    session_id: self.near_id,
                    from,
                    plain: plain.to_vec(),
                    at: Instant::now(),
                };
                self.inbox.take(&packet);
                let stamp = packet.header().and_then(|header| header.timestamp);
                if let Some(stamp) = stamp
                    && self.last_timestamp.is_none_or(|(last, _)| last != stamp)
                {
                    self.last_timestamp = Some((stamp, packet.at));
                }
                return Some(packet);
            }
        }
    }

    /// Waits for a chunk that `wanted` wants; else a failure says what came instead. What the far
    /// end sends on flows meanwhile is acknowledged.
    pub fn expect<T>(
        &mut self,
        what: &str,
        wanted: impl FnMut(&Packet, Chunk<'_>) -> Option<T>,
    ) -> Result<T, Failure> {
        self.expect_within(self.probe.patience(), what, true, wanted)
    }

    /// The same without acknowledging.
    pub fn expect_unacked<T>(
        &mut self,
        what: &str,
        wanted: impl FnMut(&Packet, Chunk<'_>) -> Option<T>,
    ) -> Result<T, Failure> {
        self.expect_within(self.probe.patience(), what, false, wanted)
    }

    /// The same with a time of its own.
    pub fn expect_within<T>(
        &mut self,
        time: Duration,
        what: &str,
        acknowledges: bool,
        mut wanted: impl FnMut(&Packet, Chunk<'_>) -> Option<T>,
    ) -> Result<T, Failure> {
        let deadline = Instant::now() + time;
        let mut came = Vec::new();
        while let Some(packet) = self.receive(deadline.saturating_duration_since(Instant::now())) {
            if acknowledges {
                self.acknowledge(&packet);
            }
            for chunk in packet.chunks() {
                if let Some(found) = wanted(&packet, chunk) {
                    return Ok(found);
                }
                came.push(name_of(&chunk));
            }
        }
        Err(failed(what, came_instead(&came)))
    }

    /// Acknowledges what a packet carries, as if all before it had arrived.
    pub fn acknowledge(&mut self, packet: &Packet) {
        let mut acks = BTreeMap::<u64, u64>::new();
        for (flow, sequence, _) in fragments(packet) {
            let last = acks.entry(flow).or_default();
            *last = sequence.max(*last);
        }
        if !acks.is_empty() {
            self.send(|out| {
                for (flow, last) in acks {
                    put_ack_ranges(out, flow, 127, last, std::iter::empty(), 100);
                }
            });
        }
    }

    /// Passes if no chunk that `unwanted` names comes.
    pub fn expect_no(
        &mut self,
        after: &str,
        unwanted: impl FnMut(Chunk<'_>) -> bool,
    ) -> Result<(), Failure> {
        self.expect_none_within(self.probe.silence(), after, unwanted)
    }

    /// The same with a time of its own.
    pub fn expect_none_within(
        &mut self,
        time: Duration,
        after: &str,
        mut unwanted: impl FnMut(Chunk<'_>) -> bool,
    ) -> Result<(), Failure> {
        let deadline = Instant::now() + time;
        while let Some(packet) = self.receive(deadline.saturating_duration_since(Instant::now())) {
            for chunk in packet.chunks() {
                if unwanted(chunk) {
                    return Err(failed(
                        format!("nothing of the kind after {after}"),
                        name_of(&chunk),
                    ));
                }
            }
        }
        Ok(())
    }

    /// Sends a Ping and waits for a reply, whatever it says: librtmfp's are empty.
    pub fn ping(&mut self, message: &[u8]) -> Result<Packet, Failure> {
        self.send(|out| put_chunk(out, code::PING, |out| out.extend_from_slice(message)));
        self.expect("a Ping Reply", |packet, chunk| {
            matches!(chunk, Chunk::PingReply(_)).then(|| packet.clone())
        })
    }

    /// Sends a Ping and waits for its reply.
    pub fn ping_echo(&mut self, message: &[u8]) -> Result<Packet, Failure> {
        self.send(|out| put_chunk(out, code::PING, |out| out.extend_from_slice(message)));
        self.expect("a Ping Reply with our message", |packet, chunk| match chunk {
            Chunk::PingReply(reply) if reply == message => Some(packet.clone()),
            _ => None,
        })
    }

    /// The flow on which the far end last said something.
    pub fn last_flow(&self) -> Result<u64, Failure> {
        self.inbox.last_flow().ok_or_else(|| failed("a flow of the far end", "none"))
    }

    /// Acknowledges all that came on a flow, with a window of so many blocks.
    pub fn shut_window(&mut self, flow: u64, blocks: u64) {
        let last = self.inbox.last_sequence(flow);
        self.send(|out| put_ack_ranges(out, flow, blocks, last, std::iter::empty(), 100));
    }

    /// Takes in what comes for a while without acknowledging it.
    pub fn probe_silently(&mut self) {
        let deadline = Instant::now() + self.probe.silence();
        while self.receive(deadline.saturating_duration_since(Instant::now())).is_some() {}
    }

    /// Passes if the session works: a server answers `connect`, or else another call; a client
    /// answers a Ping.
    pub fn prove(&mut self) -> Result<(), Failure> {
        if self.mode == Mode::Responder {
            return self.ping(b"still there?").map(|_| ());
        }
        if self.next_sequence == 1 {
            return self.connect().map(|_| ());
        }
        const TRANSACTION: f64 = 4711.0;
        self.call(&Command::new("createStream", TRANSACTION, Vec::new()));
        self.expect_command("_result", TRANSACTION).map(|_| ())
    }

    /// Passes if a Ping gets no reply.
    pub fn expect_gone(&mut self, after: &str) -> Result<(), Failure> {
        self.send(|out| put_chunk(out, code::PING, |out| out.extend_from_slice(b"gone?")));
        self.expect_no(after, |chunk| matches!(chunk, Chunk::PingReply(b"gone?")))
    }

    /// Sends one whole message, or a piece of one.
    pub fn send_data(&mut self, data: &Data<'_>) {
        self.send(|out| put_data(out, data));
    }

    /// Waits for an acknowledgement of a flow for which `holds`.
    pub fn expect_ack(
        &mut self,
        what: &str,
        flow: u64,
        mut holds: impl FnMut(u64, &[(u64, u64)]) -> bool,
    ) -> Result<Packet, Failure> {
        self.expect(what, |packet, chunk| match chunk {
            Chunk::DataAck(ack) if ack.flow == flow => {
                let ranges: Vec<_> = ack.ranges().take(64).collect();
                holds(ack.cumulative, &ranges).then(|| packet.clone())
            }
            _ => None,
        })
    }

    /// Waits for the exception of a flow: its code.
    pub fn expect_rejection(&mut self, flow: u64) -> Result<u64, Failure> {
        self.expect("a Flow Exception Report", |_, chunk| match chunk {
            Chunk::FlowException(exception) if exception.flow == flow => Some(exception.code),
            _ => None,
        })
    }

    /// Options of the connection's own flow; a server's answers the client's.
    pub fn control_options(&self) -> Vec<u8> {
        options(&FlowMetadata::CONTROL.encode(), self.answers)
    }

    /// Sends the next message on the control flow.
    pub fn send_control(&mut self, message: &Bytes) {
        let sequence = self.next_sequence;
        self.next_sequence += 1;
        let options = self.control_options();
        self.send_data(&Data {
            flow: CONTROL,
            sequence,
            forward_sequence: sequence - 1,
            options: &options,
            payload: message,
            ..Data::default()
        });
    }

    /// Sends the next message on the control flow, in as many fragments as it takes.
    pub fn send_large(&mut self, message: &[u8]) {
        const PIECE: usize = 1000;
        let (options, count) = (self.control_options(), message.len().div_ceil(PIECE));
        for (number, payload) in message.chunks(PIECE).enumerate() {
            let fragment = match (number, number + 1 == count) {
                (0, true) => FragmentControl::Whole,
                (0, false) => FragmentControl::Begin,
                (_, true) => FragmentControl::End,
                (_, false) => FragmentControl::Middle,
            };
            let sequence = self.next_sequence;
            self.next_sequence += 1;
            let forward_sequence = sequence - 1;
            let options = if number < 8 { &options[..] } else { &[] };
            self.send_data(&Data {
                sequence,
                forward_sequence,
                options,
                fragment,
                payload,
                ..Data::default()
            });
        }
    }

    /// Calls a command on the control flow.
    pub fn call(&mut self, command: &Command) {
        self.send_control(&command.encode());
    }

    /// Waits for a command with this name and transaction.
    pub fn expect_command(&mut self, name: &str, transaction: f64) -> Result<Command, Failure> {
        self.expect_command_within(self.probe.patience(), name, transaction)
    }

    /// The same with a time of its own.
    pub fn expect_command_within(
        &mut self,
        time: Duration,
        name: &str,
        transaction: f64,
    ) -> Result<Command, Failure> {
        let what = format!("the command {name} for transaction {transaction}");
        self.expect_message_within(time, &what, |message| {
            let message = Message::decode(&Bytes::copy_from_slice(&message.bytes)).ok()?;
            let command = Command::decode(&message).ok()?;
            (command.name == name && command.transaction == transaction).then_some(command)
        })
    }

    /// The mode in which the far end sends.
    pub fn far_mode(&self) -> Mode {
        if self.mode == Mode::Responder { Mode::Initiator } else { Mode::Responder }
    }

    /// Waits for the client's `connect`; its flow is the one to answer. The command, and the
    /// metadata of its flow.
    pub fn expect_connect(&mut self) -> Result<(Command, Vec<u8>), Failure> {
        let (flow, request) = self.expect_message("the command connect", |message| {
            let content = Message::decode(&Bytes::copy_from_slice(&message.bytes)).ok()?;
            let command = Command::decode(&content).ok()?;
            let metadata = message.metadata.clone();
            (command.name == "connect").then_some((message.flow, (command, metadata)))
        })?;
        self.answers = Some(flow);
        Ok(request)
    }

    /// Waits for the client's `connect` and accepts it.
    pub fn accept(&mut self) -> Result<(), Failure> {
        let (request, _) = self.expect_connect()?;
        let mut answer = Command::new("_result", request.transaction, Vec::new());
        answer.arguments = vec![Value::object([
            ("level", Value::string("status")),
            ("code", Value::string("NetConnection.Connect.Success")),
            ("description", Value::string("Connection succeeded.")),
            ("objectEncoding", Value::Number(3.0)),
        ])];
        self.call(&answer);
        Ok(())
    }

    /// Sends `connect` and waits for its acceptance.
    pub fn connect(&mut self) -> Result<Command, Failure> {
        let command = connect_command(self.probe.url());
        self.call(&command);
        self.expect_command("_result", 1.0)
    }
}

/// The fragments of a packet: flow, sequence number, and whether the chunk is the first of its run.
pub fn fragments(packet: &Packet) -> Vec<(u64, u64, bool)> {
    let mut found: Vec<(u64, u64, bool)> = Vec::new();
    for chunk in packet.chunks() {
        match (chunk, found.last()) {
            (Chunk::UserData(data), _) => found.push((data.flow, data.sequence, true)),
            (Chunk::NextUserData(_), Some((flow, sequence, _))) => {
                found.push((*flow, sequence + 1, false));
            }
            _ => {}
        }
    }
    found
}
