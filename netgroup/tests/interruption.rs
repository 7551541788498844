//! A stream that stops for a while: because its caster pauses, or because there is no way to it.

mod lone;

use std::{collections::BTreeSet, time::Duration};

use lone::{KEY, Rig, id};
use netgroup::{
    Action, GroupEvent, Incoming, Parting, StreamEvent,
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

/// A third of all neighbours, and more.
const LOST: [u8; 3] = [30, 31, 32];

fn members() -> impl Iterator<Item = PeerId> {
    (20..=24).map(id)
}

/// A member with five neighbours, one of whom has given it all of the stream so far.
fn watching() -> Rig {
    let mut rig = Rig::new();
    members().chain(LOST.map(id)).for_each(|peer| rig.meet(peer));
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

/// The group falls apart: some neighbours fall silent, and so does the stream.
fn tear(rig: &mut Rig) {
    rig.run(Duration::from_secs(8));
    LOST.map(id).iter().for_each(|peer| {
        rig.group.handle_peer_closed(rig.now, peer, Parting::Lost);
    });
    rig.run(Duration::from_secs(22));
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
    tear(&mut rig);
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
    tear(&mut rig);
    let mut asked = Vec::new();
    for _ in 0..PACE {
        rig.show(LIAR, STOP + 60 * PACE);
        asked.extend(pulls(&rig.run(STEP)));
    }
    assert_eq!(asked, []);
}

#[test]
fn what_two_show_goes_before_what_one_shows() {
    let mut rig = watching();
    tear(&mut rig);
    let mut first_played = None;
    for step in 0..PACE * 5 {
        let now_at = STOP + 30 * PACE + step;
        rig.show(LIAR, now_at + PACE * 10);
        rig.show(FRIEND, now_at);
        for (peer, number) in pulls(&rig.run(STEP)) {
            if peer == FRIEND {
                give(&mut rig, number);
            }
        }
        first_played = first_played.or(played(&mut rig).first().map(|_| step));
    }
    assert!(first_played.is_some_and(|step| step < PACE), "{first_played:?}");
}

#[test]
fn what_was_shown_first_does_not_say_where_to_go_on() {
    let mut rig = watching();
    rig.run(Duration::from_secs(3));
    LOST.map(id).iter().for_each(|peer| {
        rig.group.handle_peer_closed(rig.now, peer, Parting::Lost);
    });
    let mut asked = BTreeSet::new();
    for step in 0..PACE * 30 {
        // It shows one fragment only for long, and all at last.
        let is_back = step > PACE * 27;
        rig.show(FRIEND, if is_back { STOP + 3 * PACE + step } else { STOP + 1 });
        for (_, number) in pulls(&rig.run(STEP)).into_iter().filter(|_| is_back) {
            asked.insert(number);
            give(&mut rig, number);
        }
    }
    assert!(asked.first() > Some(&(STOP + 20 * PACE)), "{:?}", asked.first());
    assert!(played(&mut rig).last() > Some(&(STOP + 29 * PACE)));
}

/// No neighbour was lost: of a pause nobody says how long it is but the caster.
#[test]
fn lies_and_forgeries_while_the_caster_pauses_cost_nothing() {
    for pause in [5, 9, 20, 60] {
        let mut rig = watching();
        rig.group.handle_flow_opened(rig.now, LIAR, MEDIA, Incoming::Media(KEY));
        rig.run(Duration::from_secs(pause));
        for number in STOP + 1..STOP + 12 * PACE {
            // It shows as much as could be, and answers with something else.
            rig.show(LIAR, STOP + pause * PACE + 100 + number - STOP);
            let asked = if number < STOP + PACE {
                rig.run(STEP)
            } else {
                give(&mut rig, number - PACE + 1);
                members().filter(|peer| *peer != LIAR).for_each(|peer| {
                    rig.show(peer, number - PACE + 1);
                });
                rig.run(STEP)
            };
            for (_, number) in pulls(&asked).into_iter().filter(|(peer, _)| *peer == LIAR) {
                let start = FragmentStart { kind: 8, timestamp: 1_000_000 };
                let forged = Fragment::encode(number, Some(start), 0, b"noise");
                rig.hear(LIAR, MEDIA, forged);
            }
            let wanted = (number >= STOP + PACE).then(|| number - PACE + 1);
            assert!(played(&mut rig).into_iter().eq(wanted), "{number} after {pause} s");
        }
    }
}
