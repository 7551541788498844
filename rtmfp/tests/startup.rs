//! Sessions start, collide, end and go silent as RFC 7016 §3.5 says.

mod common;

use std::time::Duration;

use common::{add_peer, add_server, address, events, open_pair, opened};
use rtmfp::{CloseReason, Event, OpenFailure, crypto::Discriminator};
use simnet::{Link, rig::Rig};

#[test]
fn a_session_opens_under_every_loss() {
    for (seed, loss) in [(1, 0.0), (2, 0.01), (3, 0.05), (4, 0.2)] {
        let jitter = Duration::from_millis(30);
        let (mut rig, near, far) =
            open_pair(seed, Link { loss, jitter, duplicates: 0.1, ..Link::default() });
        let (near_nonce, far_nonce) = rig.node(0).session(near).unwrap().nonces();
        assert_eq!(rig.node(1).session(far).unwrap().nonces(), (far_nonce, near_nonce));
    }
}

#[test]
fn a_server_is_found_by_uri() {
    let mut rig = Rig::new(1, Link::default());
    let server = add_server(&mut rig, "198.51.100.1:1935", 9);
    let client = add_peer(&mut rig, "192.0.2.1:1000", 1);
    let now = rig.now;
    let wanted = Discriminator::AncillaryData(b"rtmfp://example/app".to_vec());
    rig.node(client).open(now, wanted, &[address("198.51.100.1:1935")]).unwrap();
    assert!(rig.run_until(Duration::from_secs(5), |rig| opened(rig.node(client)).is_some()));
    assert!(opened(rig.node(server)).is_none(), "the client has proved nothing yet");
    assert!(rig.run_until(Duration::from_secs(2), |rig| opened(rig.node(server)).is_some()));
}

#[test]
fn glare_ends_in_exactly_one_session() {
    for seed in 0..40 {
        let jitter = Duration::from_millis(seed % 4 * 10);
        let loss = if seed % 2 == 0 { 0.0 } else { 0.2 };
        let mut rig = Rig::new(seed, Link { jitter, loss, ..Link::default() });
        let a = add_peer(&mut rig, "192.0.2.1:1000", 1);
        let b = add_peer(&mut rig, "192.0.2.2:1000", 2);
        for (near, far, to) in [(a, b, "192.0.2.2:1000"), (b, a, "192.0.2.1:1000")] {
            let wanted = Discriminator::Fingerprint(rig.node(far).peer_id());
            let now = rig.now;
            rig.node(near).open(now, wanted, &[address(to)]).unwrap();
            rig.run_for(Duration::from_millis(seed % 10));
        }
        rig.run_for(Duration::from_secs(8));
        rig.network.set_link(Link::default());
        rig.run_for(Duration::from_secs(60));
        for (near, far) in [(a, b), (b, a)] {
            let peer = rig.node(far).peer_id();
            assert_eq!(rig.node(near).stats().sessions, 1, "seed {seed}");
            assert!(rig.node(near).session_with(&peer).is_some(), "seed {seed}");
        }
        let (id_a, id_b) = (rig.node(b).peer_id(), rig.node(a).peer_id());
        let (at_a, at_b) =
            (rig.node(a).session_with(&id_a).unwrap(), rig.node(b).session_with(&id_b).unwrap());
        let nonces = rig.node(a).session(at_a).unwrap().nonces();
        assert_eq!(
            rig.node(b).session(at_b).unwrap().nonces(),
            (nonces.1, nonces.0),
            "seed {seed}"
        );
    }
}

#[test]
fn nobody_there_fails_after_95_seconds() {
    let mut rig = Rig::new(1, Link::default());
    let a = add_peer(&mut rig, "192.0.2.1:1000", 1);
    let (now, wanted) = (rig.now, Discriminator::AncillaryData(b"rtmfp:".to_vec()));
    let session = rig.node(a).open(now, wanted, &[address("192.0.2.9:1935")]).unwrap();
    rig.run_for(Duration::from_secs(94));
    assert_eq!(events(rig.node(a)), []);
    rig.run_for(Duration::from_secs(2));
    assert_eq!(events(rig.node(a)), [Event::OpenFailed { session, reason: OpenFailure::TimedOut }]);
}

#[test]
fn an_orderly_close_ends_both_sides() {
    let (mut rig, near, far) = open_pair(1, Link { loss: 0.2, ..Link::default() });
    let now = rig.now;
    rig.node(0).session(near).unwrap().close(now);
    rig.run_for(Duration::from_secs(40));
    assert_eq!(rig.node(0).stats().sessions, 0);
    let closed = Event::SessionClosed { session: far, reason: CloseReason::Far };
    assert!(events(rig.node(1)).contains(&closed));
    rig.run_for(Duration::from_secs(60));
    assert_eq!(rig.node(1).stats().sessions, 0);
}

#[test]
fn a_dead_peer_is_noticed_and_a_live_one_kept() {
    let (mut rig, _, far) = open_pair(1, Link::default());
    rig.run_for(Duration::from_secs(600));
    assert!(rig.node(1).session(far).is_some());
    rig.network.take_down(address("192.0.2.1:1000"));
    rig.run_for(Duration::from_secs(40));
    let closed = Event::SessionClosed { session: far, reason: CloseReason::TimedOut };
    assert_eq!(events(rig.node(1)), [closed]);
}
