//! A member that proves itself and then sends nonsense breaks nothing.

use std::time::{Duration, Instant};

use bytes::Bytes;
use netgroup::{
    Capabilities, Group, GroupSpec, Incoming, PeerSession,
    wire::{
        Announcement, Availability, Fragment, FragmentStart, Join, MediaControl, StreamKey,
        StreamParameters,
    },
};
use rand::{RngExt, SeedableRng, rngs::StdRng};
use rtmfp::crypto::PeerId;

const KEY: StreamKey = StreamKey([5; 32]);
const CONTROL: u64 = 1;
const MEDIA_CONTROL: u64 = 2;
const MEDIA: u64 = 3;

fn number(rng: &mut StdRng) -> u64 {
    match rng.random_range(0..8) {
        0..4 => rng.random_range(0..600),
        4 => rng.random_range(0..100_000),
        5 => u64::MAX - rng.random_range(0..3),
        6 => (1 << 53) - rng.random_range(0..3),
        _ => rng.random(),
    }
}

fn bytes(rng: &mut StdRng, most: usize) -> Vec<u8> {
    (0..rng.random_range(0..most)).map(|_| rng.random()).collect()
}

fn join(group: &mut Group, spec: &GroupSpec, own: PeerId, now: Instant, peer: PeerId) {
    let session = PeerSession {
        is_initiator: false,
        near_nonce: [1; 32],
        far_nonce: [2; 32],
        remote: "192.0.2.9:9".parse().unwrap(),
    };
    group.handle_peer_opened(now, peer, session);
    group.handle_flow_opened(now, peer, CONTROL, Incoming::Control);
    let join = Join { group: spec.group_id(), proof: spec.proof(&[1; 32]), to: own };
    group.handle_message(now, peer, CONTROL, join.encode().into());
    group.handle_message(now, peer, CONTROL, Bytes::from_static(&[0x0a, 0x01, 0x0a, 0x00]));
    group.handle_flow_opened(now, peer, MEDIA_CONTROL, Incoming::MediaControl);
    let announcement =
        Announcement { name: "stream".into(), key: KEY, parameters: StreamParameters::default() };
    let message = MediaControl::Announce(announcement).encode();
    group.handle_message(now, peer, MEDIA_CONTROL, message.into());
    group.handle_flow_opened(now, peer, MEDIA, Incoming::Media(KEY));
}

fn nonsense(rng: &mut StdRng) -> (u64, Bytes) {
    let start = rng.random::<bool>().then(|| FragmentStart { kind: 9, timestamp: rng.random() });
    match rng.random_range(0..9) {
        0 => (CONTROL, bytes(rng, 80).into()),
        1 => (MEDIA_CONTROL, bytes(rng, 60).into()),
        2 => (MEDIA, bytes(rng, 40).into()),
        3 => (MEDIA_CONTROL, MediaControl::Pull(number(rng)).encode().into()),
        4 => (MEDIA_CONTROL, MediaControl::PushMask(rng.random()).encode().into()),
        5 => {
            let last = number(rng);
            let first = last.saturating_sub(rng.random_range(0..500));
            let map = Availability::of(first, last, |_| u64::MAX);
            (MEDIA_CONTROL, MediaControl::Availability(map).encode().into())
        }
        6 if rng.random_bool(0.05) => {
            (MEDIA_CONTROL, MediaControl::End(number(rng)).encode().into())
        }
        _ => {
            (MEDIA, Fragment::encode(number(rng).max(1), start, rng.random_range(0..3), b"payload"))
        }
    }
}

#[test]
fn nonsense_of_a_member_is_survived() {
    for seed in 0..20 {
        let mut rng = StdRng::seed_from_u64(seed);
        let (own, mut now) = (PeerId([7; 32]), Instant::now());
        let spec = GroupSpec::new("test", Capabilities::CHANNEL, 1).unwrap();
        let mut group = Group::new(now, own, spec.clone(), None, [seed as u8; 32]);
        group.subscribe("stream");
        let peers = [PeerId([8; 32]), PeerId([9; 32])];
        peers.iter().for_each(|peer| join(&mut group, &spec, own, now, *peer));
        assert_eq!(group.stats().neighbours, 2);
        for _ in 0..5_000 {
            let (flow, message) = nonsense(&mut rng);
            group.handle_message(now, peers[rng.random_range(0..2)], flow, message);
            now += Duration::from_millis(rng.random_range(0..60));
            if group.poll_timeout() <= now {
                group.handle_timeout(now);
            }
            let mut actions = 0;
            while group.poll_action().is_some() {
                actions += 1;
            }
            assert!(actions < 2_000, "{actions} actions for one message");
            while group.poll_event().is_some() {}
        }
    }
}
