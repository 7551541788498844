//! An open session with the program under test, whose every packet a case writes itself.

use std::time::{Duration, Instant};

use bytes::Bytes;
use rand::RngExt;
use rtmfp::{
    crypto::{
        Certificate, Identity, PacketKeys, PacketProtection, PeerId, Policy,
        keying::{InitiatorComponent, KeyingContext},
    },
    rtmp::{Command, FlowMetadata, Message, Value},
    wire::{
        Chunk, Flags, Mode, PacketHeader,
        chunk::{
            FragmentControl, InitiatorKeying, UserDataHeader, code, flow_option, put_ack_ranges,
            put_chunk,
        },
        put_marker, put_option, put_vlu,
    },
};

use super::{
    Context, Failure, Probe, failed,
    inbox::Inbox,
    probe::{Hello, Packet, came_instead, name_of},
    reception::Client,
};

/// Our flow that carries `connect`.
pub const CONTROL: u64 = 2;

/// A session being opened; a case changes what it wants to be wrong.
#[derive(Debug)]
pub struct Handshake {
    /// The socket.
    pub probe: Probe,
    /// Who we are.
    pub identity: Identity,
    /// What we want of packets.
    pub policy: Policy,
    /// The responder's hello.
    pub hello: Hello,
    /// The session ID to receive on.
    pub near_id: u32,
}

impl Handshake {
    /// Says hello, as a peer in Flash Player's shape.
    pub fn new(context: &Context) -> Result<Self, Failure> {
        Self::with_identity(context, Identity::peer(&mut rand::rng()))
    }

    /// Says hello as somebody.
    pub fn with_identity(context: &Context, identity: Identity) -> Result<Self, Failure> {
        let mut probe = context.probe()?;
        let hello = probe.hello()?;
        let near_id = rand::rng().random_range(1..u32::MAX);
        Ok(Self { probe, identity, policy: Policy::default(), hello, near_id })
    }

    /// The component that we would send.
    pub fn component(&self) -> Result<InitiatorComponent, Failure> {
        let far = self.hello.decoded_certificate()?;
        InitiatorComponent::generate(self.context(), &far, &mut rand::rng())
            .map_err(|error| Failure::NotApplicable(error.to_string()))
    }

    fn context(&self) -> KeyingContext<'_> {
        KeyingContext { identity: &self.identity, policy: self.policy, log: None }
    }

    /// The IIKeying chunk for a component.
    pub fn keying_chunk(&self, component: &[u8], signature: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        let certificate = self.identity.certificate().bytes();
        InitiatorKeying {
            session_id: self.near_id,
            cookie: &self.hello.cookie,
            certificate,
            component,
            signature,
            signed: &[],
        }
        .put(&mut out);
        out
    }

    /// Sends the chunk in a startup packet.
    pub fn send(&mut self, chunk: &[u8]) {
        self.probe.send_startup(|out| out.extend_from_slice(chunk));
    }

    /// Waits for the RIKeying: the responder's session ID, its component, and the packet.
    pub fn answer(&mut self) -> Result<(u32, Vec<u8>, Packet), Failure> {
        let near_id = self.near_id;
        self.probe.expect("an RIKeying on our session ID", |packet, chunk| match chunk {
            Chunk::ResponderKeying(answer) if packet.session_id == near_id => {
                Some((answer.session_id, answer.component.to_vec(), packet.clone()))
            }
            _ => None,
        })
    }

    /// Goes through with it.
    pub fn open(self) -> Result<Session, Failure> {
        self.open_signed(b"X")
    }

    /// Goes through with it under some signature.
    pub fn open_signed(mut self, signature: &[u8]) -> Result<Session, Failure> {
        let component = self.component()?;
        let chunk = self.keying_chunk(&component.bytes, signature);
        // Datagrams get lost, and servers may be busy: initiators repeat themselves.
        const TRIES: usize = 3;
        let mut answered = Err(failed("an RIKeying on our session ID", "nothing"));
        for _ in 0..TRIES {
            self.send(&chunk);
            answered = self.answer();
            if answered.is_ok() {
                break;
            }
        }
        let (far_id, answer, _) = answered?;
        self.into_session(&component, far_id, &answer)
    }

    /// The session that an answer makes.
    pub fn into_session(
        self,
        component: &InitiatorComponent,
        far_id: u32,
        answer: &[u8],
    ) -> Result<Session, Failure> {
        let far = self.hello.decoded_certificate()?;
        let keys = component
            .combine(self.context(), &far, answer)
            .map_err(|error| failed("a component that makes keys", error.to_string()))?;
        Ok(Session {
            peer_id: self.identity.peer_id(),
            far,
            near_id: self.near_id,
            far_id,
            nonces: (keys.near_nonce, keys.far_nonce),
            keys: keys.packet,
            protection: keys.protection,
            mode: Mode::Initiator,
            last_timestamp: None,
            next_sequence: 1,
            vanishes: false,
            answers: None,
            client: None,
            inbox: Inbox::default(),
            probe: self.probe,
        })
    }
}

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
    /// The far end's last timestamp.
    pub last_timestamp: Option<u16>,
    /// Of our control flow.
    pub next_sequence: u64,
    /// Leave without a word when dropped.
    pub vanishes: bool,
    /// The flow of the far end that our control flow answers.
    pub answers: Option<u64>,
    /// The program under test, if the judge started it for this session.
    pub client: Option<Client>,
    /// What came and was not asked for yet.
    pub inbox: Inbox,
    /// The socket.
    pub probe: Probe,
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
        let timestamp = Some(self.probe.timestamp());
        PacketHeader { flags: Flags::new(self.mode), timestamp, timestamp_echo: None }
            .put(&mut plain);
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
                self.last_timestamp =
                    packet.header().and_then(|header| header.timestamp).or(self.last_timestamp);
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
        let acks: Vec<(u64, u64)> = packet
            .chunks()
            .filter_map(|chunk| match chunk {
                Chunk::UserData(data) => Some((data.flow, data.sequence)),
                _ => None,
            })
            .collect();
        // Next User Data count on from there.
        let following =
            packet.chunks().filter(|chunk| matches!(chunk, Chunk::NextUserData(_))).count() as u64;
        if !acks.is_empty() {
            self.send(|out| {
                for (flow, sequence) in acks {
                    let none = std::iter::empty();
                    put_ack_ranges(out, flow, 127, sequence + following, none, 100);
                }
            });
        }
    }

    /// Passes if no chunk that `unwanted` names comes.
    pub fn expect_no(
        &mut self,
        after: &str,
        mut unwanted: impl FnMut(Chunk<'_>) -> bool,
    ) -> Result<(), Failure> {
        let deadline = Instant::now() + self.probe.silence();
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

    /// Writes a User Data chunk with any options.
    pub fn put_data(out: &mut Vec<u8>, data: &Data<'_>) {
        let start = out.len();
        let header = UserDataHeader {
            flow: data.flow,
            sequence: data.sequence,
            forward_sequence: data.forward_sequence,
            fragment: data.fragment,
            abandoned: data.is_abandoned,
            is_final: data.is_final,
        };
        header.put(out, data.options);
        out.extend_from_slice(data.payload);
        let length = (out.len() - start - 3) as u16;
        out[start + 1..start + 3].copy_from_slice(&length.to_be_bytes());
    }

    /// Sends one whole message, or a piece of one.
    pub fn send_data(&mut self, data: &Data<'_>) {
        self.send(|out| Self::put_data(out, data));
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

    /// Calls a command on the control flow.
    pub fn call(&mut self, command: &Command) {
        self.send_control(&command.encode());
    }

    /// Waits for a command with this name and transaction.
    pub fn expect_command(&mut self, name: &str, transaction: f64) -> Result<Command, Failure> {
        let what = format!("the command {name} for transaction {transaction}");
        self.expect_message(&what, |message| {
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

/// A User Data chunk to be.
#[derive(Debug, Clone, Copy)]
pub struct Data<'a> {
    /// Our number for the flow.
    pub flow: u64,
    /// From 1.
    pub sequence: u64,
    /// Nothing up to here comes any more.
    pub forward_sequence: u64,
    /// Encoded, with a marker; or empty.
    pub options: &'a [u8],
    /// Its part of the message.
    pub fragment: FragmentControl,
    /// ABN
    pub is_abandoned: bool,
    /// FIN
    pub is_final: bool,
    /// The fragment.
    pub payload: &'a [u8],
}

impl Default for Data<'_> {
    fn default() -> Self {
        Self {
            flow: CONTROL,
            sequence: 1,
            forward_sequence: 0,
            options: &[],
            fragment: FragmentControl::Whole,
            is_abandoned: false,
            is_final: false,
            payload: &[],
        }
    }
}

/// Options of a flow with this metadata.
pub fn options(metadata: &[u8], association: Option<u64>) -> Vec<u8> {
    let mut out = Vec::new();
    put_option(&mut out, flow_option::METADATA, metadata);
    if let Some(flow) = association {
        let mut value = Vec::new();
        put_vlu(&mut value, flow);
        put_option(&mut out, flow_option::RETURN_ASSOCIATION, &value);
    }
    put_marker(&mut out);
    out
}

/// `connect` with what Flash Player says of itself.
pub fn connect_command(url: &str) -> Command {
    let path = url.splitn(4, '/').nth(3).unwrap_or_default();
    let mut command = Command::new("connect", 1.0, Vec::new());
    command.object = Value::object([
        ("app", Value::string(path)),
        ("flashVer", Value::string("MAC 13,0,0,214")),
        ("tcUrl", Value::string(url)),
        ("fpad", Value::Boolean(false)),
        ("capabilities", Value::Number(235.0)),
        ("audioCodecs", Value::Number(3575.0)),
        ("videoCodecs", Value::Number(252.0)),
        ("videoFunction", Value::Number(1.0)),
        ("objectEncoding", Value::Number(3.0)),
    ]);
    command
}
