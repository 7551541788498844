//! Ten megabytes arrive whole and in order, whatever the network does.

mod common;

use std::time::Duration;

use bytes::Bytes;
use common::open_pair;
use rtmfp::{Event, FlowEvent, FlowOptions};
use simnet::Link;

const TOTAL: usize = 10 << 20;
const MESSAGE: usize = 10_000;

fn pattern(index: usize) -> Bytes {
    let size = MESSAGE.min(TOTAL - index * MESSAGE);
    (0..size).map(|at| (at * 31 + index * 7) as u8).collect()
}

fn transfer(seed: u64, link: Link) -> Duration {
    let (mut rig, near, _) = open_pair(seed, link);
    let start = rig.now;
    let mut session = rig.node(0).session(near).unwrap();
    let flow = session.open_flow(b"test", None, FlowOptions::default());
    let count = TOTAL.div_ceil(MESSAGE);
    for index in 0..count {
        session.send(start, flow, pattern(index), None).unwrap();
    }
    session.close_flow(start, flow);
    let (mut received, mut is_finished) = (0, false);
    let is_done = rig.run_until(Duration::from_secs(3600), |rig| {
        while let Some(event) = rig.node(1).poll_event() {
            match event {
                Event::Flow { event: FlowEvent::Message { data, .. }, .. } => {
                    assert_eq!(data, pattern(received), "message {received}");
                    received += 1;
                }
                Event::Flow { event: FlowEvent::Finished { .. }, .. } => is_finished = true,
                _ => {}
            }
        }
        is_finished
    });
    assert!(is_done, "finished with {received} of {count} messages");
    assert_eq!(received, count);
    rig.run_for(Duration::from_secs(1));
    assert_eq!(rig.node(0).session(near).expect("still open").buffered(), 0);
    rig.now - start
}

#[test]
fn without_loss() {
    transfer(1, Link::default());
}

#[test]
fn with_1_percent_loss() {
    transfer(2, Link { loss: 0.01, ..Link::default() });
}

#[test]
fn with_5_percent_loss() {
    transfer(3, Link { loss: 0.05, ..Link::default() });
}

#[test]
fn with_20_percent_loss() {
    transfer(4, Link { loss: 0.2, ..Link::default() });
}

#[test]
fn with_reordering_and_duplication() {
    transfer(5, Link { jitter: Duration::from_millis(8), duplicates: 0.1, ..Link::default() });
}

#[test]
fn with_everything_at_once() {
    let jitter = Duration::from_millis(20);
    transfer(
        6,
        Link { loss: 0.05, jitter, duplicates: 0.05, rate: Some(2_000_000), ..Link::default() },
    );
}
