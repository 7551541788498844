//! A session follows its far end to another address, once the new address is proved. RFC 7016
//! §3.5.4.2.

mod common;

use std::time::Duration;

use common::{address, events, open_pair};
use rtmfp::{Ecn, Endpoint, Event, FlowOptions, Path, SessionId};
use simnet::{Link, rig::Rig};

fn send(rig: &mut Rig<Endpoint>, node: usize, session: SessionId, text: &'static [u8]) {
    let now = rig.now;
    let mut view = rig.node(node).session(session).unwrap();
    let flow = view.open_flow(b"test", None, FlowOptions::default());
    view.send(now, flow, text.into(), None).unwrap();
}

#[test]
fn both_directions_go_on_at_the_new_address() {
    let (mut rig, near, far) = open_pair(1, Link::default());
    let moved = address("198.51.100.9:4444");
    rig.nodes[0].0 = moved;
    send(&mut rig, 0, near, b"from elsewhere");
    rig.run_for(Duration::from_secs(1));
    let expected = Event::AddressChanged { session: far, path: Path { socket: 0, remote: moved } };
    assert!(events(rig.node(1)).contains(&expected));
    send(&mut rig, 1, far, b"and back");
    rig.run_for(Duration::from_secs(1));
    let got = events(rig.node(0));
    assert!(got.iter().any(|event| format!("{event:?}").contains("and back")), "{got:?}");
    assert_eq!(rig.node(1).stats().sessions_moved, 1);
}

#[test]
fn a_packet_that_somebody_else_sends_on_moves_nothing() {
    let (mut rig, near, far) = open_pair(2, Link::default());
    let (now, home) = (rig.now, rig.nodes[0].0);
    send(&mut rig, 0, near, b"overheard");
    // Whoever overheard it sends it from an address where nobody answers for the session.
    let mut datagram = Vec::new();
    rig.node(0).poll_transmit(now, &mut datagram).expect("a packet");
    let thief = Path { socket: 0, remote: address("203.0.113.66:6666") };
    rig.node(1).handle_datagram(now, thief, Ecn::NotCapable, &mut datagram);
    rig.run_for(Duration::from_secs(3));
    assert_eq!(rig.node(1).session(far).unwrap().path().remote, home);
    assert_eq!(rig.node(1).stats().sessions_moved, 0);
}
