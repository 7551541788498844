//! A socket that sends any packet, and reads those of session startup.

use std::{
    collections::BTreeSet,
    io,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket},
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use rand::RngExt;
use rtmfp::{
    crypto::{Certificate, PacketKeys, session_id_of},
    wire::{
        Address, Chunk, Chunks, Flags, Mode, PacketHeader, Reader,
        chunk::{InitiatorHello, put_chunk},
        put_bytes_vlu,
    },
};

use super::{Context, Failure, failed};

/// Ports of the system's choice that are looked at for one that no probe had.
const MAX_REBINDS: usize = 100;

/// A packet that came in, opened.
#[derive(Debug, Clone)]
pub struct Packet {
    /// The session it was sent to.
    pub session_id: u32,
    /// Where it came from.
    pub from: SocketAddr,
    /// From its flags byte on.
    pub plain: Vec<u8>,
    /// When.
    pub at: Instant,
}

impl Packet {
    /// Its header, if it has one.
    pub fn header(&self) -> Option<PacketHeader> {
        PacketHeader::read(&mut Reader::new(&self.plain)).ok()
    }

    /// Its chunks.
    pub fn chunks(&self) -> Chunks<'_> {
        let mut reader = Reader::new(&self.plain);
        if PacketHeader::read(&mut reader).is_err() {
            reader = Reader::new(&[]);
        }
        Chunks::new(reader)
    }
}

/// What an RHello said.
#[derive(Debug, Clone)]
pub struct Hello {
    /// As echoed.
    pub tag: Vec<u8>,
    /// To be sent back.
    pub cookie: Vec<u8>,
    /// The responder's.
    pub certificate: Vec<u8>,
    /// The packet it came in.
    pub packet: Packet,
}

impl Hello {
    /// The certificate, which must be well-formed.
    pub fn decoded_certificate(&self) -> Result<Certificate, Failure> {
        Certificate::decode(&self.certificate).map_err(|_| {
            failed("a well-formed certificate (RFC 7425 §4.3)", hex(&self.certificate))
        })
    }
}

/// A Redirect.
#[derive(Debug, Clone)]
pub struct Redirected {
    /// As echoed.
    pub tag: Vec<u8>,
    /// Where to look.
    pub addresses: Vec<Address>,
}

/// A socket towards the program under test.
#[derive(Debug)]
pub struct Probe {
    socket: UdpSocket,
    target: SocketAddr,
    patience: Duration,
    silence: Duration,
    url: String,
    keys: PacketKeys,
    epoch: Instant,
}

impl Probe {
    /// On a free port of the interface that leads there.
    pub fn new(context: &Context) -> io::Result<Self> {
        Ok(Self::on(context, socket_towards(context.target)?, context.target))
    }

    /// On a given socket.
    pub fn on(context: &Context, socket: UdpSocket, target: SocketAddr) -> Self {
        Self {
            socket,
            target,
            patience: context.patience,
            silence: context.silence,
            // A fingerprint in it is for whoever connects, not for the server.
            url: context.url.split('#').next().unwrap_or_default().to_owned(),
            keys: PacketKeys::default(),
            // Not at 0, which some take for no timestamp.
            epoch: Instant::now() - Duration::from_secs(3),
        }
    }

    /// Another socket towards the same program.
    pub fn elsewhere(&self) -> Result<Self, Failure> {
        let socket = socket_towards(self.target).map_err(|e| failed("a socket", e.to_string()))?;
        let (url, keys) = (self.url.clone(), PacketKeys::default());
        Ok(Self { socket, url, keys, ..*self })
    }

    /// The same socket once more.
    pub fn again(&self) -> Result<Self, Failure> {
        let socket = self.socket.try_clone().map_err(|e| failed("a socket", e.to_string()))?;
        let (url, keys) = (self.url.clone(), PacketKeys::default());
        Ok(Self { socket, url, keys, ..*self })
    }

    /// Speaks to another address from now on.
    pub fn turn_to(&mut self, target: SocketAddr) {
        self.target = target;
    }

    /// Where the program under test sees us, NATs apart.
    pub fn address(&self) -> SocketAddr {
        self.socket.local_addr().expect("a bound socket has an address")
    }

    /// Whom it speaks to.
    pub fn target(&self) -> SocketAddr {
        self.target
    }

    /// How long an answer may take.
    pub fn patience(&self) -> Duration {
        self.patience
    }

    /// How long nothing must come.
    pub fn silence(&self) -> Duration {
        self.silence
    }

    /// The URL that is asked for.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The endpoint discriminator with the URL.
    pub fn epd(&self) -> Vec<u8> {
        rtmfp::crypto::Discriminator::AncillaryData(self.url.clone().into_bytes()).encode()
    }

    /// Milliseconds since the probe began, in the 4 ms ticks of timestamps.
    pub fn timestamp(&self) -> u16 {
        (self.epoch.elapsed().as_millis() / 4) as u16
    }

    /// Sends a datagram as it is.
    pub fn send_datagram(&self, datagram: &[u8]) {
        // A refused port shows in what does not come back.
        let _ = self.socket.send_to(datagram, self.target);
    }

    /// Seals `plain` with the default key.
    pub fn seal(&mut self, session_id: u32, plain: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        let begun = self.keys.begin(&mut out);
        out.extend_from_slice(plain);
        self.keys.seal(&mut out, begun, session_id);
        out
    }

    /// A plain packet in startup mode with a timestamp.
    pub fn startup_packet(&self, write: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
        self.packet(Mode::Startup, write)
    }

    /// A plain packet in any mode with a timestamp.
    pub fn packet(&self, mode: Mode, write: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
        let mut plain = Vec::new();
        PacketHeader {
            flags: Flags::new(mode),
            timestamp: Some(self.timestamp()),
            timestamp_echo: None,
        }
        .put(&mut plain);
        write(&mut plain);
        plain
    }

    /// Sends startup chunks to session 0.
    pub fn send_startup(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        let plain = self.startup_packet(write);
        self.send_plain(&plain);
    }

    /// Sends a plain packet to session 0 under the default key.
    pub fn send_plain(&mut self, plain: &[u8]) {
        let datagram = self.seal(0, plain);
        self.send_datagram(&datagram);
    }

    /// The next datagram within `wait`.
    pub fn receive_datagram(&mut self, wait: Duration) -> Option<(SocketAddr, Vec<u8>)> {
        let deadline = Instant::now() + wait;
        let mut buffer = [0; 65_536];
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return None;
            }
            self.socket.set_read_timeout(Some(left)).ok()?;
            match self.socket.recv_from(&mut buffer) {
                Ok((size, from)) => return Some((from, buffer[..size].to_vec())),
                Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return None,
            }
        }
    }

    /// The next packet under the default key within `wait`; others are passed over.
    pub fn receive(&mut self, wait: Duration) -> Option<Packet> {
        let deadline = Instant::now() + wait;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let (from, mut datagram) = self.receive_datagram(left)?;
            let Some(session_id) = session_id_of(&datagram) else { continue };
            if let Ok(plain) = self.keys.open(&mut datagram) {
                return Some(Packet {
                    session_id,
                    from,
                    plain: plain.to_vec(),
                    at: Instant::now(),
                });
            }
        }
    }

    /// Waits for a chunk that `wanted` wants; else a failure says what came instead.
    pub fn expect<T>(
        &mut self,
        what: &str,
        mut wanted: impl FnMut(&Packet, Chunk<'_>) -> Option<T>,
    ) -> Result<T, Failure> {
        let deadline = Instant::now() + self.patience;
        let mut came = Vec::new();
        while let Some(packet) = self.receive(deadline.saturating_duration_since(Instant::now())) {
            for chunk in packet.chunks() {
                if let Some(found) = wanted(&packet, chunk) {
                    return Ok(found);
                }
                came.push(name_of(&chunk));
            }
        }
        Err(failed(what, came_instead(&came)))
    }

    /// Passes if nothing comes under the default key.
    pub fn expect_silence(&mut self, after: &str) -> Result<(), Failure> {
        match self.receive(self.silence) {
            None => Ok(()),
            Some(packet) => {
                let came: Vec<String> = packet.chunks().map(|chunk| name_of(&chunk)).collect();
                Err(failed(format!("no answer to {after}"), came_instead(&came)))
            }
        }
    }

    /// A tag that nobody else has.
    pub fn tag(&self) -> [u8; 16] {
        rand::rng().random()
    }

    /// Waits for the RHello with this tag.
    pub fn expect_hello(&mut self, tag: &[u8]) -> Result<Hello, Failure> {
        self.expect("an RHello with our tag", |packet, chunk| match chunk {
            Chunk::ResponderHello(hello) if hello.tag == tag => Some(Hello {
                tag: hello.tag.to_vec(),
                cookie: hello.cookie.to_vec(),
                certificate: hello.certificate.to_vec(),
                packet: packet.clone(),
            }),
            _ => None,
        })
    }

    /// Sends an IHello for our URL and waits for its answer.
    pub fn hello(&mut self) -> Result<Hello, Failure> {
        let epd = self.epd();
        self.hello_for(&epd)
    }

    /// Sends an IHello and waits for its answer.
    pub fn hello_for(&mut self, epd: &[u8]) -> Result<Hello, Failure> {
        let tag = self.tag();
        self.send_startup(|out| InitiatorHello { epd, tag: &tag }.put(out));
        self.expect_hello(&tag).or_else(|_| {
            self.send_startup(|out| InitiatorHello { epd, tag: &tag }.put(out));
            self.expect_hello(&tag)
        })
    }
}

/// A connected probe finds the interface; the socket itself stays open to all senders.
fn socket_towards(target: SocketAddr) -> io::Result<UdpSocket> {
    let any: SocketAddr = match target {
        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    };
    let finder = UdpSocket::bind(any)?;
    finder.connect(target)?;
    let fresh = SocketAddr::new(finder.local_addr()?.ip(), 0);
    let mut socket = UdpSocket::bind(fresh)?;
    for _ in 0..MAX_REBINDS {
        if has_not_been_used(socket.local_addr()?.port()) {
            break;
        }
        socket = UdpSocket::bind(fresh)?;
    }
    Ok(socket)
}

/// The system gives out ports again, and a server that still has the session of a probe that
/// vanished rightly refuses another one at its address (RFC 7016 §3.5.1.1.2).
fn has_not_been_used(port: u16) -> bool {
    static USED: Mutex<BTreeSet<u16>> = Mutex::new(BTreeSet::new());
    USED.lock().unwrap_or_else(PoisonError::into_inner).insert(port)
}

/// Appends a chunk with a payload of any bytes.
pub fn put_raw(out: &mut Vec<u8>, kind: u8, payload: &[u8]) {
    put_chunk(out, kind, |out| out.extend_from_slice(payload));
}

/// The payload of an IHello, for those that are not well-formed.
pub fn hello_payload(epd: &[u8], tag: &[u8]) -> Vec<u8> {
    let mut payload = Vec::new();
    put_bytes_vlu(&mut payload, epd);
    payload.extend_from_slice(tag);
    payload
}

/// A chunk in a word.
pub fn name_of(chunk: &Chunk<'_>) -> String {
    match chunk {
        Chunk::InitiatorHello(_) => "IHello".into(),
        Chunk::ForwardedHello(_) => "FIHello".into(),
        Chunk::ResponderHello(_) => "RHello".into(),
        Chunk::Redirect(_) => "Redirect".into(),
        Chunk::CookieChange(_) => "Cookie Change".into(),
        Chunk::InitiatorKeying(_) => "IIKeying".into(),
        Chunk::ResponderKeying(_) => "RIKeying".into(),
        Chunk::Ping(_) => "Ping".into(),
        Chunk::PingReply(_) => "Ping Reply".into(),
        Chunk::UserData(data) => {
            format!("User Data flow {} sequence {}", data.flow, data.sequence)
        }
        Chunk::NextUserData(_) => "Next User Data".into(),
        Chunk::DataAck(ack) => format!("Ack of flow {} up to {}", ack.flow, ack.cumulative),
        Chunk::BufferProbe(_) => "Buffer Probe".into(),
        Chunk::FlowException(exception) => {
            format!("Exception of flow {} code {}", exception.flow, exception.code)
        }
        Chunk::SessionClose => "Close".into(),
        Chunk::SessionCloseAck => "Close Ack".into(),
        Chunk::Fragment(_) => "Packet Fragment".into(),
        Chunk::EcnReport(_) => "ECN Report".into(),
        Chunk::Other(code, _) => format!("chunk 0x{code:02x}"),
    }
}

/// A list of what came, or that nothing did.
pub fn came_instead(came: &[String]) -> String {
    const SHOWN: usize = 12;
    match came.len() {
        0 => "nothing".into(),
        count if count > SHOWN => {
            format!("{}, and {} more", came[..SHOWN].join(", "), count - SHOWN)
        }
        _ => came.join(", "),
    }
}

/// Lower-case hex.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
