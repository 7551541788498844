//! A relay's places: who answers what it is asked for keeps its own.

mod lone;

use std::time::Duration;

use bytes::Bytes;
use lone::{KEY, MEDIA_CONTROL, Rig, id};
use netgroup::{
    Action, Channel, Incoming, Uplink, Way,
    wire::{Fragment, FragmentStart, MediaControl},
};
use rtmfp::crypto::PeerId;

const MEDIA: u64 = 3;
const STEP: Duration = Duration::from_millis(50);
const PUSHER: PeerId = id(20);
/// It came first, and takes half of the places.
const FIRST: PeerId = id(30);

fn fragment(number: u64) -> Bytes {
    let start = FragmentStart { kind: 8, timestamp: number as u32 };
    Fragment::encode(number, Some(start), 0, b"sound")
}

fn pushed_to(actions: &[Action], peer: PeerId) -> usize {
    let is_push = |action: &&Action| {
        matches!(action, Action::Send(sent)
            if sent.peer == peer && matches!(sent.channel, Channel::Media(_)))
    };
    actions.iter().filter(is_push).count()
}

/// What the first gets of a second's stream, second by second: it is so far away, shows so much
/// more than we hold, and answers what it is asked for. Others lack places all the time.
fn first_gets(round_trip: Duration, ahead: u64) -> Vec<usize> {
    let mut rig = Rig::new();
    let takers: Vec<PeerId> = (30..34).map(id).collect();
    rig.meet(PUSHER);
    for peer in [PUSHER].iter().chain(&takers) {
        if *peer != PUSHER {
            rig.meet(*peer);
        }
        rig.group.handle_flow_opened(rig.now, *peer, MEDIA, Incoming::Media(KEY));
    }
    rig.group.set_uplink(Uplink::Busy, 1);
    let (mut got, mut waiting) = (Vec::new(), Vec::new());
    for number in 1..=300 {
        for peer in &takers {
            let rtt = if *peer == FIRST { round_trip } else { STEP };
            rig.group.set_way(peer, Way { rtt: Some(rtt), ..Way::default() });
        }
        rig.hear(PUSHER, MEDIA, fragment(number));
        rig.show(PUSHER, number);
        if number == 60 {
            for peer in &takers {
                rig.hear(*peer, MEDIA_CONTROL, MediaControl::PushMask(0xff).encode());
            }
        }
        let actions = rig.run(STEP);
        takers.iter().for_each(|peer| {
            rig.show(*peer, if *peer == FIRST { number + ahead } else { number - 1 });
        });
        for (peer, said) in lone::said(&actions, KEY) {
            let takes = if peer == FIRST { round_trip } else { STEP };
            if let MediaControl::Pull(number) = said {
                waiting.push((rig.now + takes, peer, number));
            }
        }
        for (_, peer, number) in waiting.extract_if(.., |(at, ..)| *at <= rig.now) {
            rig.group.handle_message(rig.now, peer, MEDIA, fragment(number));
        }
        got.push(pushed_to(&actions, FIRST));
    }
    got[80..].chunks(20).map(|second| second.iter().sum()).collect()
}

#[test]
fn a_long_way_costs_no_place() {
    for round_trip in [100, 500, 800, 1200] {
        let got = first_gets(Duration::from_millis(round_trip), 0);
        assert!(got.iter().all(|pushed| *pushed >= 19), "{round_trip} ms: {got:?}");
    }
}

#[test]
fn who_is_ahead_of_us_keeps_its_place() {
    for ahead in [2, 5] {
        let got = first_gets(Duration::from_millis(100), ahead);
        assert!(got.iter().all(|pushed| *pushed >= 19), "{ahead}: {got:?}");
    }
}
