//! A peer with a valid session that sends nonsense under its keys breaks nothing.

use std::time::Duration;

use rand::{RngExt, SeedableRng, rngs::StdRng};
use rtmfp::{
    Config, FlowOptions,
    crypto::{Policy, Protection},
    wire::{Mode, put_vlu},
};
use simnet::forger::Forger;

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
    let mut config = Config::default();
    config.protection.default = policy;
    let mut rng = StdRng::seed_from_u64(3);
    let mut forger = Forger::new(config.clone());
    for round in 0..rounds {
        let session = forger.session;
        if forger.endpoint.session(session).is_none() {
            forger = Forger::new(config.clone());
        }
        if round % 50 == 0 {
            let (now, mut view) = (forger.now, forger.endpoint.session(forger.session).unwrap());
            let flow = view.open_flow(b"ours", None, FlowOptions::default());
            let _ = view.send(now, flow, vec![0; rng.random_range(0..5000)].into(), None);
        }
        forger.send(Mode::Initiator, |out| put_nonsense(out, &mut rng));
        forger.drain(|_| {});
        if round % 7 == 0 {
            forger.pass(Duration::from_millis(rng.random_range(0..400)));
        }
    }
    let now = forger.now;
    forger.endpoint.session(forger.session).expect("still open").close(now);
    forger.drain(|_| {});
}
