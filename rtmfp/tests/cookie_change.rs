//! An initiator whose address changes between hello and keying gets a new cookie. RFC 7016 §3.5.1.2.

mod common;

use std::{net::SocketAddr, time::Instant};

use common::{address, opened};
use rand::{SeedableRng, rngs::StdRng};
use rtmfp::{
    Config, Ecn, Endpoint, FlowOptions, Path,
    crypto::{Discriminator, Identity},
};

fn peer(now: Instant, seed: u8) -> Endpoint {
    let identity = Identity::peer(&mut StdRng::seed_from_u64(seed.into()));
    Endpoint::new(Config::default(), identity, now, [seed; 32])
}

/// Hands all that `from` sends to `to`, which sees it come from `source`. How many datagrams.
fn carry(now: Instant, from: &mut Endpoint, source: SocketAddr, to: &mut Endpoint) -> usize {
    let (mut buf, mut count) = (Vec::new(), 0);
    while let Some(transmit) = from.poll_transmit(now, &mut buf) {
        for datagram in buf.chunks_mut(transmit.segment_size) {
            to.handle_datagram(now, Path { socket: 0, remote: source }, Ecn::NotCapable, datagram);
            count += 1;
        }
    }
    count
}

#[test]
fn the_session_opens_from_the_new_address() {
    let now = Instant::now();
    let (mut near, mut far) = (peer(now, 1), peer(now, 2));
    let (before, after) = (address("203.0.113.1:4000"), address("203.0.113.1:4001"));
    let server = address("198.51.100.1:1935");
    near.open(now, Discriminator::Fingerprint(far.peer_id()), &[server]).unwrap();
    assert_eq!(carry(now, &mut near, before, &mut far), 1, "IHello");
    assert_eq!(carry(now, &mut far, server, &mut near), 1, "RHello");
    assert_eq!(carry(now, &mut near, after, &mut far), 1, "IIKeying with the old address's cookie");
    assert!(opened(&mut far).is_none(), "which opens nothing");
    assert_eq!(carry(now, &mut far, server, &mut near), 1, "Cookie Change");
    assert_eq!(carry(now, &mut near, after, &mut far), 1, "IIKeying with the new cookie");
    assert_eq!(carry(now, &mut far, server, &mut near), 1, "RIKeying");
    let session = opened(&mut near).expect("the session is open at the initiator");
    let mut view = near.session(session).unwrap();
    let flow = view.open_flow(b"test", None, FlowOptions::default());
    view.send(now, flow, b"first".as_slice().into(), None).unwrap();
    assert_eq!(carry(now, &mut near, after, &mut far), 1, "data");
    let session = opened(&mut far).expect("the session is open at the responder");
    assert_eq!(far.session(session).unwrap().path().remote, after);
}

#[test]
fn a_cookie_changes_once() {
    let now = Instant::now();
    let (mut near, mut far) = (peer(now, 1), peer(now, 2));
    let server = address("198.51.100.1:1935");
    let at = |port: u16| SocketAddr::from(([203, 0, 113, 1], port));
    near.open(now, Discriminator::Fingerprint(far.peer_id()), &[server]).unwrap();
    assert_eq!(carry(now, &mut near, at(1), &mut far), 1, "IHello");
    assert_eq!(carry(now, &mut far, server, &mut near), 1, "RHello");
    assert_eq!(carry(now, &mut near, at(2), &mut far), 1, "IIKeying");
    assert_eq!(carry(now, &mut far, server, &mut near), 1, "Cookie Change");
    assert_eq!(carry(now, &mut near, at(3), &mut far), 1, "IIKeying from a third address");
    assert_eq!(carry(now, &mut far, server, &mut near), 1, "another Cookie Change");
    assert_eq!(carry(now, &mut near, at(3), &mut far), 0, "which is not heeded");
}
