//! A stream reaches every member whole and in order, in virtual time.

mod common;

use std::time::Duration;

use common::{Broadcast, add_member, network, subscribe};
use simnet::Link;

fn small(index: usize) -> usize {
    300 + index % 7 * 400
}

#[test]
fn eight_viewers_get_everything_and_the_caster_is_spared() {
    let mut rig = network(1, Link::default());
    let caster = add_member(&mut rig, 1);
    let mut broadcast = Broadcast::start(&mut rig, caster);
    let viewers: Vec<_> = (2..10).map(|seed| add_member(&mut rig, seed)).collect();
    for viewer in &viewers {
        subscribe(&mut rig, *viewer);
    }
    broadcast.run(&mut rig, Duration::from_secs(30), small);
    for viewer in viewers {
        broadcast.assert_received(&mut rig, viewer, 600, 30);
    }
    let stats = rig.node(caster).member().0.group().stream_stats(&broadcast.key).unwrap();
    assert!(stats.bytes_sent <= 6 * stats.bytes_published, "{stats:?}");
}

#[test]
fn loss_and_jitter_cost_nothing() {
    for (seed, loss) in [(1, 0.01), (2, 0.05)] {
        let mut rig =
            network(seed, Link { loss, jitter: Duration::from_millis(20), ..Link::default() });
        let caster = add_member(&mut rig, 1);
        let mut broadcast = Broadcast::start(&mut rig, caster);
        let viewers: Vec<_> = (2..7).map(|seed| add_member(&mut rig, seed)).collect();
        for viewer in &viewers {
            subscribe(&mut rig, *viewer);
        }
        broadcast.run(&mut rig, Duration::from_secs(30), small);
        for viewer in viewers {
            broadcast.assert_received(&mut rig, viewer, 500, 100);
        }
    }
}

#[test]
fn three_megabytes_in_one_message_cross() {
    let mut rig = network(3, Link::default());
    let caster = add_member(&mut rig, 1);
    let mut broadcast = Broadcast::start(&mut rig, caster);
    let viewers: Vec<_> = (2..5).map(|seed| add_member(&mut rig, seed)).collect();
    for viewer in &viewers {
        subscribe(&mut rig, *viewer);
    }
    broadcast.run(&mut rig, Duration::from_secs(5), small);
    broadcast.publish(&mut rig, 3 << 20);
    broadcast.run(&mut rig, Duration::from_secs(15), small);
    for viewer in viewers {
        broadcast.assert_received(&mut rig, viewer, 400, 60);
    }
}

#[test]
fn a_late_viewer_starts_with_the_past_seconds() {
    let mut rig = network(4, Link::default());
    let caster = add_member(&mut rig, 1);
    let mut broadcast = Broadcast::start(&mut rig, caster);
    let early = add_member(&mut rig, 2);
    subscribe(&mut rig, early);
    broadcast.run(&mut rig, Duration::from_secs(10), small);
    let sent_before = broadcast.sent.len();
    let late = add_member(&mut rig, 3);
    subscribe(&mut rig, late);
    broadcast.run(&mut rig, Duration::from_millis(1500), small);
    let first = rig.node(late).member().0.received.first().expect("shows something").timestamp;
    let joined_at = sent_before as u32 * 40;
    assert!(joined_at - first >= 2500, "starts {} ms before it joined", joined_at - first);
    broadcast.run(&mut rig, Duration::from_secs(5), small);
    broadcast.assert_received(&mut rig, late, 150, 30);
}

#[test]
fn a_viewer_killed_costs_the_others_nothing() {
    let mut rig = network(5, Link::default());
    let caster = add_member(&mut rig, 1);
    let mut broadcast = Broadcast::start(&mut rig, caster);
    let viewers: Vec<_> = (2..9).map(|seed| add_member(&mut rig, seed)).collect();
    for viewer in &viewers {
        subscribe(&mut rig, *viewer);
    }
    broadcast.run(&mut rig, Duration::from_secs(15), small);
    let victim = rig.nodes[viewers[0]].0;
    rig.network.take_down(victim);
    broadcast.run(&mut rig, Duration::from_secs(30), small);
    for viewer in &viewers[1..] {
        broadcast.assert_received(&mut rig, *viewer, 1000, 60);
    }
}

#[test]
fn the_end_of_a_stream_is_told_after_its_last_message() {
    let mut rig = network(6, Link::default());
    let caster = add_member(&mut rig, 1);
    let mut broadcast = Broadcast::start(&mut rig, caster);
    let viewer = add_member(&mut rig, 2);
    subscribe(&mut rig, viewer);
    broadcast.run(&mut rig, Duration::from_secs(5), small);
    let now = rig.now;
    let key = broadcast.key;
    let (member, endpoint) = rig.node(caster).member();
    member.group().unpublish(now, &key);
    member.node.flush(now, endpoint);
    rig.run_for(Duration::from_secs(5));
    broadcast.assert_received(&mut rig, viewer, 50, 0);
    assert!(rig.node(viewer).member().0.ended);
}

/// Flows of streams that are over do not pile up.
#[test]
fn a_caster_may_begin_anew_as_often_as_it_likes() {
    let mut rig = network(1, Link::default());
    let caster = add_member(&mut rig, 1);
    let viewers: Vec<_> = (2..4).map(|seed| add_member(&mut rig, seed)).collect();
    for viewer in &viewers {
        subscribe(&mut rig, *viewer);
    }
    for _ in 0..40 {
        let mut broadcast = Broadcast::start(&mut rig, caster);
        broadcast.run(&mut rig, Duration::from_secs(4), small);
        for viewer in &viewers {
            let received = std::mem::take(&mut rig.node(*viewer).member().0.received);
            assert!(received.len() > 60, "{}", received.len());
        }
        let now = rig.now;
        let (member, endpoint) = rig.node(caster).member();
        member.group().unpublish(now, &broadcast.key);
        member.node.flush(now, endpoint);
        rig.run_for(Duration::from_secs(100));
    }
}
