//! A peer with a valid session that sends nonsense under its keys breaks nothing.

mod common;

use std::time::{Duration, Instant};

use common::{address, opened};
use rand::{RngExt, SeedableRng, rngs::StdRng};
use rtmfp::{
    Config, Ecn, Endpoint, FlowOptions, Path,
    crypto::{
        Certificate, Discriminator, Identity, PacketKeys, Policy, Protection,
        keying::{InitiatorComponent, KeyingContext},
    },
    wire::{
        Chunk, Chunks, Flags, Mode, PacketHeader, Reader,
        chunk::{InitiatorHello, InitiatorKeying},
        put_vlu,
    },
};

const OUR_ID: u32 = 77;

/// An endpoint and a session with it whose keys the test holds.
struct Rig {
    now: Instant,
    endpoint: Endpoint,
    keys: PacketKeys,
    far_id: u32,
    path: Path,
    buf: Vec<u8>,
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

impl Rig {
    /// Goes through session startup by hand.
    fn new(policy: Policy) -> Self {
        let mut rng = StdRng::seed_from_u64(1);
        let now = Instant::now();
        let (near, far) = (Identity::peer(&mut rng), Identity::peer(&mut rng));
        let wanted = Discriminator::Fingerprint(far.peer_id()).encode();
        let mut endpoint = Endpoint::new(Config::default(), far, now, [2; 32]);
        let path = Path { socket: 0, remote: address("192.0.2.1:1") };
        let mut default = PacketKeys::default();
        let (mut buf, startup) = (Vec::new(), Mode::Startup);

        let mut hello = sealed(&mut default, 0, startup, |out| {
            InitiatorHello { epd: &wanted, tag: &[7; 16] }.put(out)
        });
        endpoint.handle_datagram(now, path, Ecn::NotCapable, &mut hello);
        endpoint.poll_transmit(now, &mut buf).expect("RHello");
        let plain = default.open(&mut buf).unwrap().to_vec();
        let Some(Chunk::ResponderHello(answer)) = chunks(&plain).next() else {
            panic!("no RHello")
        };
        let certificate = Certificate::decode(answer.certificate).unwrap();
        let context = KeyingContext { identity: &near, policy, log: None };
        let component = InitiatorComponent::generate(context, &certificate, &mut rng).unwrap();
        let mut keying = sealed(&mut default, 0, startup, |out| {
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
        let plain = default.open(&mut buf).unwrap().to_vec();
        let Some(Chunk::ResponderKeying(answer)) = chunks(&plain).next() else {
            panic!("no RIKeying")
        };
        let keys = component.combine(context, &certificate, answer.component).unwrap().packet;
        Self { now, endpoint, keys, far_id: answer.session_id, path, buf }
    }

    fn send(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        let mut datagram = sealed(&mut self.keys, self.far_id, Mode::Initiator, write);
        self.endpoint.handle_datagram(self.now, self.path, Ecn::NotCapable, &mut datagram);
    }

    /// Polls as the contract says; there is an end to it.
    fn drain(&mut self) {
        let mut turns = 0;
        while self.endpoint.poll_transmit(self.now, &mut self.buf).is_some() {
            turns += 1;
            assert!(turns < 10_000, "it never stops sending");
        }
        while self.endpoint.poll_event().is_some() {}
    }

    fn pass(&mut self, time: Duration) {
        self.now += time;
        for _ in 0..100 {
            if self.endpoint.poll_timeout().is_none_or(|at| at > self.now) {
                return;
            }
            self.endpoint.handle_timeout(self.now);
            self.drain();
        }
        panic!("the timers never settle");
    }
}

fn chunks(plain: &[u8]) -> Chunks<'_> {
    let mut reader = Reader::new(plain);
    PacketHeader::read(&mut reader).unwrap();
    Chunks::new(reader)
}

fn number(rng: &mut StdRng) -> u64 {
    match rng.random_range(0..6) {
        0..3 => rng.random_range(0..8),
        3 => rng.random_range(0..70_000),
        4 => u64::MAX - rng.random_range(0..3),
        _ => rng.random(),
    }
}

/// Data of one of a few flows, with metadata, about where the flow is.
fn put_plausible_data(payload: &mut Vec<u8>, rng: &mut StdRng) {
    const METADATA: [u8; 4] = [2, 0, b'A', 0];
    payload.push(rng.random::<u8>() & 0x32 | 0x80);
    put_vlu(payload, rng.random_range(1..5));
    let sequence = if rng.random_bool(0.9) { rng.random_range(1..300) } else { number(rng) };
    put_vlu(payload, sequence);
    put_vlu(payload, rng.random_range(0..=sequence.min(40)));
    payload.extend(METADATA);
}

/// Chunks that are nearly right: known types, fields at their edges.
fn put_nonsense(out: &mut Vec<u8>, rng: &mut StdRng) {
    const KINDS: [u8; 14] =
        [0x10, 0x10, 0x10, 0x11, 0x50, 0x51, 0x51, 0x18, 0x5e, 0x01, 0x41, 0x0f, 0x7f, 0x66];
    for _ in 0..rng.random_range(1..6) {
        let mut payload = Vec::new();
        let kind = KINDS[rng.random_range(0..KINDS.len())];
        if kind == 0x10 && rng.random() {
            put_plausible_data(&mut payload, rng);
        } else if matches!(kind, 0x10 | 0x11) {
            payload.push(rng.random());
        }
        (0..rng.random_range(0..8)).for_each(|_| put_vlu(&mut payload, number(rng)));
        payload.extend((0..rng.random_range(0..60)).map(|_| rng.random::<u8>() & 0x1f));
        out.push(kind);
        out.extend_from_slice(&(payload.len() as u16).to_be_bytes());
        out.extend(payload);
    }
}

#[test]
fn nonsense_under_valid_keys_is_survived() {
    survive_nonsense(Policy::both(Protection::Off), 150_000);
}

#[test]
fn nonsense_in_authentic_packets_is_survived() {
    survive_nonsense(Policy::both(Protection::Require), 50_000);
}

fn survive_nonsense(policy: Policy, rounds: usize) {
    let mut rng = StdRng::seed_from_u64(3);
    let mut rig = Rig::new(policy);
    let mut session = opened(&mut rig.endpoint).expect("open");
    for round in 0..rounds {
        if rig.endpoint.session(session).is_none() {
            rig = Rig::new(policy);
            session = opened(&mut rig.endpoint).expect("open");
        }
        if round % 50 == 0 {
            let (now, mut view) = (rig.now, rig.endpoint.session(session).unwrap());
            let flow = view.open_flow(b"ours", None, FlowOptions::default());
            let _ = view.send(now, flow, vec![0; rng.random_range(0..5000)].into(), None);
        }
        rig.send(|out| put_nonsense(out, &mut rng));
        rig.drain();
        if round % 7 == 0 {
            rig.pass(Duration::from_millis(rng.random_range(0..400)));
        }
    }
    let (now, view) = (rig.now, rig.endpoint.session(session).expect("still open"));
    view.close(now);
    rig.drain();
}
