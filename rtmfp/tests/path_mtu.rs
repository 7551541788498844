//! Larger datagrams where the path carries them. RFC 7016 §3.5.4.3.

mod common;

use std::time::Duration;

use common::{address, events};
use interop::{rig::Rig, simnet::Link};
use rand::{SeedableRng, rngs::StdRng};
use rtmfp::{
    Config, Endpoint, Event, FlowEvent, FlowOptions,
    crypto::{Discriminator, Identity},
};

/// Sends 200 kB over a path with this MTU; the largest datagram that arrived.
fn largest_over(mtu: usize, max_datagram: usize) -> usize {
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
    let now = rig.now;
    let mut view = rig.node(0).session(session).unwrap();
    let flow = view.open_flow(b"test", None, FlowOptions::default());
    view.send(now, flow, vec![7; 200_000].into(), None).unwrap();
    rig.run_for(Duration::from_secs(10));
    let is_whole = |event: Event| matches!(event, Event::Flow { event: FlowEvent::Message { data, .. }, .. } if data.len() == 200_000);
    assert!(events(rig.node(1)).into_iter().any(is_whole), "mtu {mtu}");
    rig.network.stats().largest_delivered
}

#[test]
fn what_the_path_carries_is_used_and_no_more() {
    assert!((1440..=1472).contains(&largest_over(1472, 9000)));
    assert!((1380..=1400).contains(&largest_over(1420, 9000)));
    assert!(largest_over(1200, 9000) <= 1200);
    assert!(largest_over(1472, 1188) <= 1188, "not unless asked for");
}
