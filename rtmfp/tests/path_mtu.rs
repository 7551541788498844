//! Larger datagrams where the path carries them. RFC 7016 §3.5.4.3.

mod common;

use std::time::Duration;

use common::{address, events};
use rand::{SeedableRng, rngs::StdRng};
use rtmfp::{
    Config, Endpoint, Event, FlowEvent, FlowOptions, SessionId,
    crypto::{Discriminator, Identity},
};
use simnet::{Link, rig::Rig};

/// Two peers on a path with this MTU, and a session and a flow of the first; the path is probed.
fn pair_over(mtu: usize, max_datagram: usize) -> (Rig<Endpoint>, SessionId, u64) {
    let mut rig = Rig::new(3, Link { mtu, ..Link::default() });
    let config = Config { max_datagram, ..Config::default() };
    for seed in [1, 2] {
        let identity = Identity::peer(&mut StdRng::seed_from_u64(seed.into()));
        let endpoint = Endpoint::new(config.clone(), identity, rig.now, [seed; 32]);
        rig.add(address(&format!("192.0.2.{seed}:1000")), endpoint);
    }
    let (now, wanted) = (rig.now, Discriminator::Fingerprint(rig.node(1).peer_id()));
    rig.node(0).open(now, wanted, &[address("192.0.2.2:1000")]).unwrap();
    rig.run_for(Duration::from_secs(15));
    let far = rig.node(1).peer_id();
    let session = rig.node(0).session_with(&far).expect("a session");
    let mut view = rig.node(0).session(session).unwrap();
    let flow = view.open_flow(b"test", None, FlowOptions::default());
    (rig, session, flow)
}

fn send(rig: &mut Rig<Endpoint>, session: SessionId, flow: u64, message: Vec<u8>) {
    let now = rig.now;
    rig.node(0).session(session).unwrap().send(now, flow, message.into(), None).unwrap();
}

fn messages(rig: &mut Rig<Endpoint>) -> Vec<usize> {
    let size = |event| match event {
        Event::Flow { event: FlowEvent::Message { data, .. }, .. } => Some(data.len()),
        _ => None,
    };
    events(rig.node(1)).into_iter().filter_map(size).collect()
}

/// Sends 200 kB over a path with this MTU; the largest datagram that arrived.
fn largest_over(mtu: usize, max_datagram: usize) -> usize {
    let (mut rig, session, flow) = pair_over(mtu, max_datagram);
    send(&mut rig, session, flow, vec![7; 200_000]);
    rig.run_for(Duration::from_secs(10));
    assert_eq!(messages(&mut rig), [200_000], "mtu {mtu}");
    rig.network.stats().largest_delivered
}

#[test]
fn what_the_path_carries_is_used_and_no_more() {
    assert!((1440..=1472).contains(&largest_over(1472, 9000)));
    assert!((1380..=1400).contains(&largest_over(1420, 9000)));
    assert!(largest_over(1200, 9000) <= 1200);
    assert!(largest_over(1472, 1188) <= 1188, "not unless asked for");
}

#[test]
fn what_was_cut_for_a_larger_path_still_gets_through_a_smaller_one() {
    let (mut rig, session, flow) = pair_over(1472, 9000);
    send(&mut rig, session, flow, vec![7; 100_000]);
    rig.run_for(Duration::from_millis(30));
    rig.network.set_link(Link { mtu: 1200, ..Link::default() });
    rig.run_for(Duration::from_secs(60));
    assert_eq!(messages(&mut rig), [100_000]);
    send(&mut rig, session, flow, vec![7; 10_000]);
    rig.run_for(Duration::from_secs(5));
    assert_eq!(messages(&mut rig), [10_000]);
}
