//! A caster and its first viewer that come at the same moment.

mod common;

use std::time::Duration;

use common::{Broadcast, add_member, network, subscribe};
use simnet::Link;

/// How many messages a viewer is behind at most, once it had a second to find the stream.
fn worst_lag(seed: u64, first: Duration, viewer_after: Duration) -> usize {
    let link = Link { delay: Duration::from_micros(200), ..Link::default() };
    let mut rig = network(seed, link);
    let caster = add_member(&mut rig, 1);
    let mut broadcast = Broadcast::start(&mut rig, caster);
    rig.run_for(viewer_after);
    let viewer = add_member(&mut rig, 2);
    subscribe(&mut rig, viewer);
    rig.run_for(first);
    let mut worst = 0;
    for index in 0..125 {
        let size = if index % 50 == 0 { 20_000 } else { 1_000 };
        broadcast.run(&mut rig, Duration::from_millis(40), |_| size);
        let received = rig.node(viewer).member().0.received.len();
        if index > 25 {
            worst = worst.max(broadcast.sent.len() - received);
        }
    }
    worst
}

#[test]
fn it_flows_from_the_start() {
    for seed in 0..6 {
        for first in (0..400).step_by(20) {
            for viewer_after in [0, 10, 50] {
                let [first, after] = [first, viewer_after].map(Duration::from_millis);
                let lag = worst_lag(seed, first, after);
                assert!(lag < 10, "seed {seed}, {first:?}, {after:?}: {lag} messages behind");
            }
        }
    }
}
