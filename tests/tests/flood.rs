//! A million random and mutated datagrams leave the server serving, with flat memory.

use std::{
    net::UdpSocket,
    time::{Duration, Instant},
};

use rand::{RngExt, SeedableRng, rngs::StdRng};
use rtmfp::{
    crypto::PacketKeys,
    wire::{Flags, Mode, PacketHeader, chunk::InitiatorHello},
};
use tests::{Process, Server};

const DATAGRAMS: usize = 1_000_000;
/// Answers that one address may have at once, and in a second from then on.
const BURST: u64 = 4000;
const RATE: u64 = 1000;
/// Sent between looks at what comes back, so that loopback's buffers pass most of them on.
const BATCH: usize = 64;

fn hello(rng: &mut StdRng) -> Vec<u8> {
    let (mut out, tag) = (Vec::new(), rng.random::<[u8; 16]>());
    let mut keys = PacketKeys::default();
    let begun = keys.begin(&mut out);
    PacketHeader { flags: Flags::new(Mode::Startup), timestamp: Some(1), timestamp_echo: None }
        .put(&mut out);
    let epd = rtmfp::crypto::Discriminator::AncillaryData(b"rtmfp://x/".to_vec()).encode();
    InitiatorHello { epd: &epd, tag: &tag }.put(&mut out);
    keys.seal(&mut out, begun, 0);
    out
}

/// Valid under the default key, with anything inside.
fn garbage_chunks(rng: &mut StdRng) -> Vec<u8> {
    let mut out = Vec::new();
    let mut keys = PacketKeys::default();
    let begun = keys.begin(&mut out);
    out.push(rng.random::<u8>() & 0xcf | 3);
    for _ in 0..rng.random_range(0..4) {
        let kind = [0x30, 0x38, 0x70, 0x71, 0x78, 0x79, 0x7f, 0x0f, 0x10][rng.random_range(0..9)];
        let size = rng.random_range(0..200u16);
        out.push(kind);
        out.extend_from_slice(&size.to_be_bytes());
        out.extend((0..size).map(|_| rng.random::<u8>()));
    }
    keys.seal(&mut out, begun, 0);
    out
}

fn datagram(rng: &mut StdRng) -> Vec<u8> {
    match rng.random_range(0..4) {
        0 => (0..rng.random_range(0..300)).map(|_| rng.random()).collect(),
        1 => hello(rng),
        2 => garbage_chunks(rng),
        _ => {
            let mut mutated = hello(rng);
            let at = rng.random_range(0..mutated.len());
            mutated[at] ^= 1 << rng.random_range(0..8);
            mutated.truncate(rng.random_range(1..=mutated.len()));
            mutated
        }
    }
}

#[test]
fn a_million_strange_datagrams() {
    let server = Server::start();
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.connect(server.address()).unwrap();
    socket.set_nonblocking(true).unwrap();
    let mut rng = StdRng::seed_from_u64(7);
    // Made beforehand: what is measured is the server, and its patience with repetition.
    let datagrams: Vec<Vec<u8>> = (0..20_000).map(|_| datagram(&mut rng)).collect();
    let began = Instant::now();
    let (mut answers, mut buffer, mut memory) = (0u64, [0; 2048], Vec::new());
    for batch in 0..DATAGRAMS / BATCH {
        for index in 0..BATCH {
            let _ = socket.send(&datagrams[(batch * BATCH + index * 7) % datagrams.len()]);
        }
        while socket.recv(&mut buffer).is_ok() {
            answers += 1;
        }
        if batch % 1000 == 999 {
            memory.push(server.process.memory());
        }
    }
    std::thread::sleep(Duration::from_millis(500));
    memory.push(server.process.memory());
    let allowed = BURST + RATE * (began.elapsed().as_secs() + 1);
    assert!((BURST..=allowed).contains(&answers), "{answers} hellos were answered");
    let (first, last) = (memory[0], memory[memory.len() - 1]);
    assert!(last < first + 4096, "memory grew from {first} to {last} KiB: {memory:?}");

    let mut watcher = Process::start(
        "flvcast",
        &["watch", "--server", &server.url, "--channel", "x", "--for", "2s"],
    );
    watcher.wait(Duration::from_secs(20));
    assert!(
        watcher.stderr().contains("nobody cast"),
        "the server still serves: {}",
        watcher.stderr()
    );
}
