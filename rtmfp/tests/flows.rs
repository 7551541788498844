//! Flows as applications see them: order, expiry, rejection, association, a slow receiver.

mod common;

use std::time::Duration;

use bytes::Bytes;
use common::{events, open_pair};
use rtmfp::{Config, Endpoint, Event, FlowEvent, FlowOptions, ReceiveOrder, SessionId};
use simnet::{Link, rig::Rig};

fn open_flow(rig: &mut Rig<Endpoint>, session: SessionId, association: Option<u64>) -> u64 {
    rig.node(0).session(session).unwrap().open_flow(b"test", association, FlowOptions::default())
}

fn send(
    rig: &mut Rig<Endpoint>,
    session: SessionId,
    flow: u64,
    number: u32,
    life: Option<Duration>,
) {
    let (now, message) = (rig.now, Bytes::copy_from_slice(&number.to_be_bytes()));
    let deadline = life.map(|life| now + life);
    rig.node(0).session(session).unwrap().send(now, flow, message, deadline).unwrap();
}

fn numbers(events: &[Event]) -> Vec<u32> {
    let message = |event: &Event| match event {
        Event::Flow { event: FlowEvent::Message { data, .. }, .. } => {
            Some(u32::from_be_bytes(data[..].try_into().unwrap()))
        }
        _ => None,
    };
    events.iter().filter_map(message).collect()
}

#[test]
fn network_order_delivers_all_but_not_in_order() {
    let jitter = Duration::from_millis(60);
    let (mut rig, near, far) = open_pair(1, Link { jitter, loss: 0.1, ..Link::default() });
    let flow = open_flow(&mut rig, near, None);
    send(&mut rig, near, flow, 0, None);
    rig.run_for(Duration::from_secs(5));
    assert_eq!(numbers(&events(rig.node(1))), [0]);
    rig.node(1).session(far).unwrap().set_receive_order(flow, ReceiveOrder::Network);
    for number in 1..500 {
        send(&mut rig, near, flow, number, None);
        rig.run_for(Duration::from_millis(5));
    }
    rig.run_for(Duration::from_secs(20));
    let mut got = numbers(&events(rig.node(1)));
    assert!(!got.is_sorted(), "the network reordered something");
    got.sort_unstable();
    assert_eq!(got, (1..500).collect::<Vec<_>>());
}

#[test]
fn expired_messages_do_not_hold_up_later_ones() {
    let (mut rig, near, _) = open_pair(2, Link { loss: 0.3, ..Link::default() });
    let flow = open_flow(&mut rig, near, None);
    for number in 0..1000 {
        send(&mut rig, near, flow, number, Some(Duration::from_millis(100)));
        rig.run_for(Duration::from_millis(5));
    }
    send(&mut rig, near, flow, 1000, None);
    rig.run_for(Duration::from_secs(20));
    let got = numbers(&events(rig.node(1)));
    assert!(got.is_sorted() && got.len() > 400 && got.len() < 1000, "{}", got.len());
    assert_eq!(got.last(), Some(&1000));
    assert_eq!(rig.node(0).session(near).unwrap().buffered(), 0);
}

#[test]
fn a_rejected_flow_tells_its_sender_and_goes_away() {
    let (mut rig, near, far) = open_pair(3, Link { loss: 0.2, ..Link::default() });
    let flow = open_flow(&mut rig, near, None);
    send(&mut rig, near, flow, 1, None);
    rig.run_for(Duration::from_secs(5));
    let now = rig.now;
    rig.node(1).session(far).unwrap().reject_flow(now, flow, 7);
    rig.run_for(Duration::from_secs(10));
    let rejected = Event::Flow { session: near, event: FlowEvent::Rejected { flow, code: 7 } };
    assert_eq!(events(rig.node(0)), [rejected]);
    let (now, mut view) = (rig.now, rig.nodes[0].1.session(near).unwrap());
    assert!(view.send(now, flow, Bytes::from_static(b"more"), None).is_err());
}

#[test]
fn an_answer_to_a_flow_that_is_not_there_is_not_begun() {
    let (mut rig, near, _) = open_pair(4, Link::default());
    let flow = open_flow(&mut rig, near, Some(99));
    let now = rig.now;
    let mut view = rig.node(0).session(near).unwrap();
    assert!(view.send(now, flow, Bytes::from_static(b"lost"), None).is_err());
}

#[test]
fn messages_larger_than_the_window_cross() {
    let (mut rig, near, _) = open_pair(5, Link { loss: 0.05, ..Link::default() });
    let flow = open_flow(&mut rig, near, None);
    let large: Bytes =
        (0..Config::default().limits.buffer * 4).map(|at| (at % 251) as u8).collect();
    let now = rig.now;
    rig.node(0).session(near).unwrap().send(now, flow, large.clone(), None).unwrap();
    let mut got = None;
    rig.run_until(Duration::from_secs(120), |rig| {
        got = events(rig.node(1)).into_iter().find_map(|event| match event {
            Event::Flow { event: FlowEvent::Message { data, .. }, .. } => Some(data),
            _ => None,
        });
        got.is_some()
    });
    assert!(got == Some(large));
}

#[test]
fn a_suspended_flow_closes_its_window_and_loses_nothing() {
    let (mut rig, near, far) = open_pair(9, Link::default());
    let now = rig.now;
    let mut view = rig.node(0).session(near).unwrap();
    let flow = view.open_flow(b"test", None, FlowOptions::default());
    view.send(now, flow, vec![0; 10].into(), None).unwrap();
    rig.run_for(Duration::from_secs(1));
    let now = rig.now;
    rig.node(1).session(far).unwrap().suspend_flow(now, flow, true);
    let messages = 300;
    let mut view = rig.node(0).session(near).unwrap();
    for number in 0..messages {
        view.send(now, flow, vec![number as u8; 10_000].into(), None).unwrap();
    }
    view.close_flow(now, flow);
    events(rig.node(1));
    rig.run_for(Duration::from_secs(100));
    assert_eq!(events(rig.node(1)), [], "nothing is delivered meanwhile");
    let held = rig.node(0).session(near).unwrap().buffered_on(flow);
    assert!((1_000_000..3_000_000).contains(&held), "the rest waits at the sender: {held}");
    let now = rig.now;
    rig.node(1).session(far).unwrap().suspend_flow(now, flow, false);
    rig.run_for(Duration::from_secs(70));
    let got = events(rig.node(1));
    assert_eq!(got.len(), messages + 1, "all messages, then the end");
    for (number, event) in got[..messages].iter().enumerate() {
        let Event::Flow { event: FlowEvent::Message { data, .. }, .. } = event else { panic!() };
        assert_eq!(data[..], vec![number as u8; 10_000]);
    }
}

#[test]
fn a_flow_given_up_beyond_a_full_buffer_goes_on() {
    let (mut rig, near, far) = open_pair(10, Link { loss: 0.2, ..Link::default() });
    let now = rig.now;
    let mut view = rig.node(0).session(near).unwrap();
    let flow = view.open_flow(b"test", None, FlowOptions::default());
    // Far more than the receiver buffers, all of it worthless soon.
    for _ in 0..4000 {
        view.send(now, flow, vec![1; 1000].into(), Some(now + Duration::from_millis(300))).unwrap();
    }
    view.send(now, flow, (&b"last"[..]).into(), None).unwrap();
    rig.run_for(Duration::from_secs(20));
    let last = events(rig.node(1)).into_iter().any(|event| {
        matches!(event, Event::Flow { event: FlowEvent::Message { data, .. }, .. } if *data == b"last"[..])
    });
    assert!(last && rig.node(1).session(far).is_some());
}

#[test]
fn timers_that_are_put_off_wake_nobody() {
    let (mut rig, near, _) = open_pair(6, Link::default());
    let flow = open_flow(&mut rig, near, None);
    for number in 0..500 {
        send(&mut rig, near, flow, number, None);
        rig.run_for(Duration::from_millis(10));
        let retransmission = rig.now + Duration::from_millis(200);
        let next = rig.node(0).poll_timeout().expect("something is unacknowledged");
        assert!(number < 50 || next > retransmission, "message {number}");
    }
}
