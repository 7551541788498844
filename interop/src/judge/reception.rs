//! The judge as a server: clients under test come to it.

use std::{
    io,
    net::{SocketAddr, UdpSocket},
    time::{Duration, Instant},
};

use netgroup::GroupSpec;
use rand::RngExt;
use rtmfp::{
    crypto::{
        Certificate, Identity, Policy,
        keying::{KeyingContext, respond},
    },
    wire::{
        Chunk, Mode,
        chunk::{InitiatorKeying, ResponderHello, ResponderKeying},
    },
};

use super::{
    Context, Failure, Probe, Session, failed, probe::Packet, program::Program, session::Ends,
};

/// The size that all servers of Adobe's lineage use, and some clients insist on.
pub const COOKIE: usize = 64;

/// A socket that clients connect to, and how to get one.
#[derive(Debug)]
pub struct Reception {
    socket: UdpSocket,
    /// What starts a client, for the shell.
    command: Option<String>,
    /// How long one may take to come.
    wait: Duration,
    /// Of whose members the judge is one, when members are under test.
    pub(super) group: GroupSpec,
}

impl Reception {
    /// Listens at `address`. `command` starts a client, with `{url}` for where to connect.
    pub fn open(
        address: SocketAddr,
        command: Option<String>,
        wait: Duration,
        group: GroupSpec,
    ) -> io::Result<Self> {
        Ok(Self { socket: UdpSocket::bind(address)?, command, wait, group })
    }

    /// Where clients find us.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    /// The next client's first hello.
    pub(super) fn arrival(&self, context: &Context) -> Result<Arrival, Failure> {
        let no_socket = |error: io::Error| failed("a socket", error.to_string());
        self.forget_earlier().map_err(no_socket)?;
        let mut client = match &self.command {
            Some(command) => Some(
                Program::start(command, &context.url)
                    .map_err(|error| failed("a client that starts", error.to_string()))?,
            ),
            None => None,
        };
        let socket = self.socket.try_clone().map_err(no_socket)?;
        let mut probe = Probe::on(context, socket, context.target);
        let deadline = Instant::now() + self.wait;
        while let Some(packet) = probe.receive(deadline.saturating_duration_since(Instant::now())) {
            if packet.chunks().any(|chunk| matches!(chunk, Chunk::InitiatorHello(_))) {
                probe.turn_to(packet.from);
                let identity = Identity::server(&rand::rng().random());
                return Ok(Arrival::at(probe, packet, identity, client));
            }
        }
        let seconds = self.wait.as_secs_f32();
        Err(match &mut client {
            Some(client) => failed(format!("a hello within {seconds} s"), client.fate()),
            None => Failure::NotApplicable(format!(
                "no client came within {seconds} s; --client COMMAND starts one for each case"
            )),
        })
    }

    /// What clients of earlier cases still sent is of no interest.
    fn forget_earlier(&self) -> io::Result<()> {
        self.socket.set_nonblocking(true)?;
        let mut buffer = [0; 2048];
        while self.socket.recv_from(&mut buffer).is_ok() {}
        self.socket.set_nonblocking(false)
    }
}

/// A client that said hello; a case changes what it wants to be wrong.
#[derive(Debug)]
pub struct Arrival {
    /// Towards the client.
    pub probe: Probe,
    /// Its first packet.
    pub packet: Packet,
    /// Whom it looks for.
    pub epd: Vec<u8>,
    /// To be echoed.
    pub tag: Vec<u8>,
    /// Who we are.
    pub identity: Identity,
    /// What we want of packets.
    pub policy: Policy,
    /// What we would have back.
    pub cookie: Vec<u8>,
    client: Option<Program>,
}

/// What an IIKeying said.
#[derive(Debug, Clone)]
pub struct Keying {
    /// Where the client receives.
    pub session_id: u32,
    /// As echoed.
    pub cookie: Vec<u8>,
    /// The client's.
    pub certificate: Vec<u8>,
    /// Its part of the keys.
    pub component: Vec<u8>,
    /// Of all of it.
    pub signature: Vec<u8>,
    /// The packet it came in.
    pub packet: Packet,
}

impl Keying {
    fn of(chunk: &InitiatorKeying<'_>, packet: &Packet) -> Self {
        Self {
            session_id: chunk.session_id,
            cookie: chunk.cookie.to_vec(),
            certificate: chunk.certificate.to_vec(),
            component: chunk.component.to_vec(),
            signature: chunk.signature.to_vec(),
            packet: packet.clone(),
        }
    }

    /// The certificate, which must be well-formed.
    pub fn decoded_certificate(&self) -> Result<Certificate, Failure> {
        Certificate::decode(&self.certificate)
            .map_err(|_| failed("a well-formed certificate (RFC 7425 §4.3)", "something else"))
    }
}

impl Arrival {
    /// Of a packet with an IHello.
    pub(super) fn at(
        probe: Probe,
        packet: Packet,
        identity: Identity,
        client: Option<Program>,
    ) -> Self {
        let hello = packet.chunks().find_map(|chunk| match chunk {
            Chunk::InitiatorHello(hello) => Some((hello.epd.to_vec(), hello.tag.to_vec())),
            _ => None,
        });
        let (epd, tag) = hello.unwrap_or_default();
        let cookie = rand::rng().random::<[u8; COOKIE]>().to_vec();
        Self { probe, packet, epd, tag, identity, policy: Policy::default(), cookie, client }
    }

    /// Sends an RHello with any tag and certificate.
    pub fn send_hello(&mut self, tag: &[u8], certificate: &[u8]) {
        let cookie = self.cookie.clone();
        self.probe
            .send_startup(|out| ResponderHello { tag, cookie: &cookie, certificate }.put(out));
    }

    /// Answers the hello.
    pub fn hello(&mut self) {
        let (tag, certificate) = (self.tag.clone(), self.identity.certificate().bytes().to_vec());
        self.send_hello(&tag, &certificate);
    }

    /// Waits for an IIKeying with our cookie.
    pub fn keying(&mut self) -> Result<Keying, Failure> {
        let cookie = self.cookie.clone();
        self.probe.expect("an IIKeying with our cookie", |packet, chunk| match chunk {
            Chunk::InitiatorKeying(keying) if keying.cookie == cookie => {
                Some(Keying::of(&keying, packet))
            }
            _ => None,
        })
    }

    /// Passes if no IIKeying comes.
    pub fn expect_no_keying(&mut self, after: &str) -> Result<(), Failure> {
        let deadline = Instant::now() + self.probe.silence();
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let Some(packet) = self.probe.receive(left) else { return Ok(()) };
            if packet.chunks().any(|chunk| matches!(chunk, Chunk::InitiatorKeying(_))) {
                return Err(failed(format!("no IIKeying after {after}"), "IIKeying"));
            }
        }
    }

    /// Sends an RIKeying to where the client receives.
    pub fn send_keying(&mut self, to: u32, near_id: u32, component: &[u8]) {
        let plain = self.probe.startup_packet(|out| {
            ResponderKeying { session_id: near_id, component, signature: b"X", signed: &[] }
                .put(out);
        });
        let datagram = self.probe.seal(to, &plain);
        self.probe.send_datagram(&datagram);
    }

    /// Goes through with it.
    pub fn open(mut self) -> Result<Session, Failure> {
        self.hello();
        let keying = self.keying()?;
        self.answer(&keying)
    }

    /// Answers the keying: the session.
    pub fn answer(mut self, keying: &Keying) -> Result<Session, Failure> {
        let far = keying.decoded_certificate()?;
        let near = KeyingContext { identity: &self.identity, policy: self.policy, log: None };
        let (component, keys) = respond(near, &far, &keying.component, &mut rand::rng())
            .map_err(|error| failed("a component that makes keys", error.to_string()))?;
        let near_id = rand::rng().random_range(1..u32::MAX);
        self.send_keying(keying.session_id, near_id, &component);
        let ends = Ends {
            peer_id: self.identity.peer_id(),
            far,
            near_id,
            far_id: keying.session_id,
            mode: Mode::Responder,
        };
        Ok(Session::new(ends, keys, self.probe, self.client))
    }
}

impl Session {
    /// Waits for the client's first data, and notes its flow as the one to answer.
    pub(super) fn met(mut self) -> Result<Self, Failure> {
        let flow = self.expect("the client's first data", |_, chunk| match chunk {
            Chunk::UserData(data) => Some(data.flow),
            _ => None,
        })?;
        self.answers = Some(flow);
        Ok(self)
    }
}
