//! A peer that writes each of its packets by hand, in a session with an endpoint under test.

use std::time::{Duration, Instant};

use rand::{SeedableRng, rngs::StdRng};
use rtmfp::{
    Config, Ecn, Endpoint, Event, Path, SessionId,
    crypto::{
        Certificate, Discriminator, Identity, PacketKeys,
        keying::{InitiatorComponent, KeyingContext},
        session_id_of,
    },
    wire::{
        Chunk, Chunks, Flags, Mode, PacketHeader, Reader,
        chunk::{InitiatorHello, InitiatorKeying, code, put_chunk},
    },
};

const OUR_ID: u32 = 77;
/// More in a row than an endpoint ever has to send to one peer.
const MAX_SENT: usize = 10_000;

/// An endpoint, and a session with it whose keys the forger holds.
#[derive(Debug)]
pub struct Forger {
    /// Virtual time.
    pub now: Instant,
    /// Under test.
    pub endpoint: Endpoint,
    /// Of the session, as the endpoint named it at first.
    pub session: SessionId,
    /// Where the forger sends from.
    pub path: Path,
    keys: PacketKeys,
    default: PacketKeys,
    far_id: u32,
    buf: Vec<u8>,
}

impl Forger {
    /// Goes through session startup by hand. `config` is the endpoint's.
    ///
    /// # Panics
    /// If the endpoint does not answer as it should.
    pub fn new(config: Config) -> Self {
        let mut rng = StdRng::seed_from_u64(1);
        let now = Instant::now();
        let (near, far) = (Identity::peer(&mut rng), Identity::peer(&mut rng));
        let wanted = Discriminator::Fingerprint(far.peer_id()).encode();
        let context =
            KeyingContext { identity: &near, policy: config.protection.default, log: None };
        let mut endpoint = Endpoint::new(config.clone(), far, now, [2; 32]);
        let path = Path { socket: 0, remote: ([192, 0, 2, 1], 1).into() };
        let mut default = PacketKeys::default();
        let mut buf = Vec::new();

        let mut hello = sealed(&mut default, 0, Mode::Startup, |out| {
            InitiatorHello { epd: &wanted, tag: &[7; 16] }.put(out);
        });
        endpoint.handle_datagram(now, path, Ecn::NotCapable, &mut hello);
        endpoint.poll_transmit(now, &mut buf).expect("RHello");
        let plain = default.open(&mut buf).expect("default keys").to_vec();
        let Some(Chunk::ResponderHello(answer)) = chunks(&plain).next() else {
            panic!("no RHello")
        };
        let certificate = Certificate::decode(answer.certificate).expect("a certificate");
        let component =
            InitiatorComponent::generate(context, &certificate, &mut rng).expect("a group");
        let mut keying = sealed(&mut default, 0, Mode::Startup, |out| {
            InitiatorKeying {
                session_id: OUR_ID,
                cookie: answer.cookie,
                certificate: near.certificate().bytes(),
                component: &component.bytes,
                signature: b"X",
                signed: &[],
            }
            .put(out);
        });
        endpoint.handle_datagram(now, path, Ecn::NotCapable, &mut keying);
        endpoint.poll_transmit(now, &mut buf).expect("RIKeying");
        let plain = default.open(&mut buf).expect("default keys").to_vec();
        let Some(Chunk::ResponderKeying(answer)) = chunks(&plain).next() else {
            panic!("no RIKeying")
        };
        let agreed = component.combine(context, &certificate, answer.component).expect("keys");
        let (mut keys, far_id) = (agreed.packet, answer.session_id);
        // Proof that we hold our certificate's keys.
        let mut proof = sealed(&mut keys, far_id, Mode::Initiator, |out| {
            put_chunk(out, code::PING_REPLY, |_| ());
        });
        endpoint.handle_datagram(now, path, Ecn::NotCapable, &mut proof);
        let session = match endpoint.poll_event() {
            Some(Event::SessionOpened { session, .. }) => session,
            other => panic!("not open but {other:?}"),
        };
        Self { now, endpoint, session, path, keys, default, far_id, buf }
    }

    /// A packet of the session, whose chunks `write` appends.
    pub fn send(&mut self, mode: Mode, write: impl FnOnce(&mut Vec<u8>)) {
        let datagram = sealed(&mut self.keys, self.far_id, mode, write);
        self.send_raw(datagram);
    }

    /// A packet under the default key.
    pub fn send_startup(&mut self, mode: Mode, write: impl FnOnce(&mut Vec<u8>)) {
        let datagram = sealed(&mut self.default, 0, mode, write);
        self.send_raw(datagram);
    }

    /// Any datagram.
    pub fn send_raw(&mut self, mut datagram: Vec<u8>) {
        self.endpoint.handle_datagram(self.now, self.path, Ecn::NotCapable, &mut datagram);
    }

    /// Polls as the contract says, and looks at each event.
    ///
    /// # Panics
    /// If there is no end to it.
    pub fn drain(&mut self, mut look: impl FnMut(&Event)) {
        let mut turns = 0;
        while self.endpoint.poll_transmit(self.now, &mut self.buf).is_some() {
            turns += 1;
            assert!(turns < MAX_SENT, "it never stops sending");
        }
        while let Some(event) = self.endpoint.poll_event() {
            look(&event);
        }
    }

    /// What the endpoint has to say to the forger: packets from their flags byte on, under whatever
    /// key, and the sizes of their datagrams.
    ///
    /// # Panics
    /// If there is no end to it, or a packet does not open.
    pub fn answers(&mut self) -> Vec<(Vec<u8>, usize)> {
        let mut packets = Vec::new();
        while let Some(transmit) = self.endpoint.poll_transmit(self.now, &mut self.buf) {
            for datagram in self.buf.chunks_mut(transmit.segment_size) {
                let is_startup = session_id_of(datagram) == Some(0);
                let keys = if is_startup { &mut self.default } else { &mut self.keys };
                let size = datagram.len();
                packets.push((keys.open(datagram).expect("our keys").to_vec(), size));
            }
            assert!(packets.len() < MAX_SENT, "it never stops sending");
        }
        packets
    }

    /// Lets time pass, with all timers that come due.
    ///
    /// # Panics
    /// If a timer is due again and again.
    pub fn pass(&mut self, time: Duration) {
        self.now += time;
        for _ in 0..100 {
            if self.endpoint.poll_timeout().is_none_or(|at| at > self.now) {
                return;
            }
            self.endpoint.handle_timeout(self.now);
            self.drain(|_| {});
        }
        panic!("the timers never settle");
    }
}

fn sealed(
    keys: &mut PacketKeys,
    session: u32,
    mode: Mode,
    write: impl FnOnce(&mut Vec<u8>),
) -> Vec<u8> {
    let mut out = Vec::new();
    let begun = keys.begin(&mut out);
    PacketHeader { flags: Flags::new(mode), timestamp: Some(1), timestamp_echo: None }
        .put(&mut out);
    write(&mut out);
    keys.seal(&mut out, begun, session);
    out
}

fn chunks(plain: &[u8]) -> Chunks<'_> {
    let mut reader = Reader::new(plain);
    PacketHeader::read(&mut reader).expect("a packet header");
    Chunks::new(reader)
}
