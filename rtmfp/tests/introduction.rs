//! Two peers behind NATs meet through a server. RFC 7016 §3.5.1.6.

mod common;

use std::time::{Duration, Instant};

use common::{add_peer, add_server, address, open_pair, opened};
use rtmfp::{
    Endpoint, Event, OpenError, PeerOpenings,
    crypto::Discriminator,
    wire::{Address, Origin},
};
use simnet::{Link, NatKind, rig::Rig};

const SERVER: &str = "198.51.100.1:1935";

/// What a rendezvous server does with a hello for one of its clients.
fn introduce(server: &mut Endpoint, now: Instant) {
    while let Some(event) = server.poll_event() {
        let Event::Wanted { from, peer, tag } = event else { continue };
        let Some(id) = server.session_with(&peer) else { continue };
        let mut session = server.session(id).unwrap();
        let observed = Address::new(session.path().remote, Origin::Observed);
        session.forward_hello(now, Address::new(from.remote, Origin::Observed), &tag);
        server.redirect(now, from, &tag, &[observed]);
    }
}

fn meet(kind: NatKind, seed: u64) -> bool {
    let mut rig = Rig::new(seed, Link { loss: 0.05, ..Link::default() });
    let server = add_server(&mut rig, SERVER, 9);
    let peers = [("10.0.0.2:4000", "203.0.113.1", 1), ("10.1.0.2:4000", "203.0.113.2", 2)].map(
        |(at, public, seed)| {
            rig.network.add_nat(address(at).ip(), public.parse().unwrap(), kind);
            add_peer(&mut rig, at, seed)
        },
    );
    for peer in peers {
        let (now, wanted) = (rig.now, Discriminator::AncillaryData(b"rtmfp://x/".to_vec()));
        rig.node(peer).open(now, wanted, &[address(SERVER)]).unwrap();
        assert!(rig.run_until(Duration::from_secs(30), |rig| opened(rig.node(peer)).is_some()));
    }
    let (now, wanted) = (rig.now, Discriminator::Fingerprint(rig.node(peers[1]).peer_id()));
    rig.node(peers[0]).open(now, wanted, &[address(SERVER)]).unwrap();
    let (mut near, mut far) = (false, false);
    rig.run_until(Duration::from_secs(30), |rig| {
        let now = rig.now;
        introduce(rig.node(server), now);
        near |= opened(rig.node(peers[0])).is_some();
        far |= opened(rig.node(peers[1])).is_some();
        near && far
    })
}

#[test]
fn port_restricted_nats_are_opened() {
    for seed in 0..10 {
        assert!(meet(NatKind::PortRestricted, seed), "seed {seed}");
    }
}

#[test]
fn full_cones_are_opened() {
    assert!(meet(NatKind::FullCone, 1));
}

#[test]
fn two_symmetric_nats_are_not() {
    assert!(!meet(NatKind::Symmetric, 1));
}

#[test]
fn a_session_that_is_open_is_not_waited_for() {
    let (mut rig, near, _) = open_pair(3, Link::default());
    let (now, candidates) = (rig.now, [address(SERVER)]);
    let peer = rig.node(0).session(near).unwrap().peer_id();
    let mut openings = PeerOpenings::default();
    let opening = openings.open(now, rig.node(0), peer, &candidates);
    assert_eq!((opening, openings.count()), (Err(OpenError::Exists(near)), 0));
    rig.node(0).session(near).unwrap().close(now);
    rig.run_for(Duration::from_secs(60));
    let now = rig.now;
    assert_eq!(openings.open(now, rig.node(0), peer, &candidates), Ok(()));
    assert_eq!(openings.open(now, rig.node(0), peer, &candidates), Ok(()), "once is enough");
    assert_eq!(openings.count(), 1);
    openings.cancel(rig.node(0), &peer);
    assert_eq!((openings.count(), openings.on_opened(&peer)), (0, false));
}
