//! A stream that stops for a while: because its caster pauses, or because there is no way to it.

mod lone;

use std::{collections::BTreeSet, time::Duration};

use lone::{KEY, Rig, id};
use netgroup::{
    Action, GroupEvent, Incoming, StreamEvent,
    wire::{Fragment, FragmentStart, MediaControl},
};
use rtmfp::crypto::PeerId;

const MEDIA: u64 = 3;
const STEP: Duration = Duration::from_millis(50);
/// Fragments a second, each a message.
const PACE: u64 = 20;
/// Where it stops.
const STOP: u64 = 200;
const FRIEND: PeerId = id(20);
const LIAR: PeerId = id(24);

fn give(rig: &mut Rig, number: u64) {
    let start = FragmentStart { kind: 8, timestamp: number as u32 };
    rig.hear(FRIEND, MEDIA, Fragment::encode(number, Some(start), 0, b"sound"));
}

fn members() -> impl Iterator<Item = PeerId> {
    (20..=24).map(id)
}

/// A member with five neighbours, one of whom has given it all of the stream so far.
fn watching() -> Rig {
    let mut rig = Rig::new();
    members().for_each(|peer| rig.meet(peer));
    rig.group.handle_flow_opened(rig.now, FRIEND, MEDIA, Incoming::Media(KEY));
    for number in 1..=STOP {
        stream_on(&mut rig, number, members());
    }
    assert_eq!(played(&mut rig).last(), Some(&STOP));
    rig
}

/// The next fragment comes, and these neighbours have it too.
fn stream_on(rig: &mut Rig, number: u64, shown_by: impl Iterator<Item = PeerId>) {
    give(rig, number);
    shown_by.for_each(|peer| rig.show(peer, number));
    rig.run(STEP);
}

fn played(rig: &mut Rig) -> Vec<u64> {
    let messages = rig.events().into_iter().filter_map(|event| match event {
        GroupEvent::Stream { event: StreamEvent::Message(message), .. } => {
            Some(message.timestamp.into())
        }
        _ => None,
    });
    messages.collect()
}

/// What is asked for, of whom.
fn pulls(actions: &[Action]) -> Vec<(PeerId, u64)> {
    let said = lone::said(actions, KEY).into_iter().filter_map(|(peer, said)| match said {
        MediaControl::Pull(number) => Some((peer, number)),
        _ => None,
    });
    said.collect()
}

#[test]
fn one_neighbour_that_sees_it_go_on_is_enough() {
    let mut rig = watching();
    rig.run(Duration::from_secs(30));
    let mut asked = BTreeSet::new();
    for step in 0..PACE * 2 {
        let now_at = STOP + 30 * PACE + step;
        rig.show(FRIEND, now_at);
        give(&mut rig, now_at);
        for (peer, number) in pulls(&rig.run(STEP)) {
            assert_eq!(peer, FRIEND);
            asked.insert(number);
            give(&mut rig, number);
        }
    }
    let played = played(&mut rig);
    let (first, last) = (played[0], played[played.len() - 1]);
    assert!(played.iter().copied().eq(first..=last), "{played:?}");
    assert!(last >= STOP + 31 * PACE, "{last}");
    let oldest_in_time = STOP + 30 * PACE - 8 * PACE;
    assert!(asked.first() > Some(&oldest_in_time), "{:?}", asked.first());
}

#[test]
fn nobody_alone_is_believed_that_it_has_come_further_than_it_can() {
    let mut rig = watching();
    rig.run(Duration::from_secs(30));
    let mut asked = Vec::new();
    for _ in 0..PACE {
        rig.show(LIAR, STOP + 60 * PACE);
        asked.extend(pulls(&rig.run(STEP)));
    }
    assert_eq!(asked, []);
}

#[test]
fn a_lie_while_the_caster_pauses_costs_nothing() {
    for pause in [5, 20] {
        let mut rig = watching();
        rig.run(Duration::from_secs(pause));
        for _ in 0..PACE {
            rig.show(LIAR, STOP + pause * PACE);
            rig.run(STEP);
        }
        for number in STOP + 1..STOP + 10 * PACE {
            rig.show(LIAR, STOP + pause * PACE + number - STOP);
            stream_on(&mut rig, number, members().filter(|peer| *peer != LIAR));
            assert_eq!(played(&mut rig), [number], "after a pause of {pause} s");
        }
    }
}
