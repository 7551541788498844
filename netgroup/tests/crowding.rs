//! Places, memory and uplink that a few would take from all others.

mod lone;

use std::time::Duration;

use bytes::Bytes;
use lone::{MEDIA_CONTROL, Rig, id, key_of};
use netgroup::{
    Action, Channel, GroupEvent, Incoming, Uplink, Way,
    wire::{
        Announcement, Fragment, FragmentStart, MediaControl, StreamKey, StreamParameters, control,
    },
};
use rtmfp::crypto::PeerId;

const CASTER: PeerId = id(20);

/// What was said to `peer` of a stream.
fn said(actions: &[Action], peer: PeerId, key: StreamKey) -> Vec<MediaControl> {
    let all = lone::said(actions, key).into_iter();
    all.filter(|(to, _)| *to == peer).map(|(_, said)| said).collect()
}

fn fragments_to(actions: &[Action], peer: PeerId) -> usize {
    let is_fragment = |action: &&Action| {
        matches!(action, Action::Send(sent)
            if sent.peer == peer && matches!(sent.channel, Channel::Media(_)))
    };
    actions.iter().filter(is_fragment).count()
}

fn announce_own(rig: &mut Rig, peer: PeerId, number: u8) -> StreamKey {
    let key = key_of(peer, number);
    let flow = MEDIA_CONTROL + u64::from(number);
    rig.announce_as(peer, flow, key, StreamParameters::default());
    key
}

fn knows(rig: &Rig, key: StreamKey) -> bool {
    rig.group.streams().any(|known| known == key)
}

#[test]
fn four_casters_of_four_streams_do_not_keep_a_fifth_out() {
    let mut rig = Rig::new();
    let greedy: Vec<PeerId> = (101..=104).map(id).collect();
    for peer in &greedy {
        rig.join(*peer);
        for number in 0..4 {
            announce_own(&mut rig, *peer, number);
        }
    }
    assert_eq!(rig.group.streams().count(), 16);
    rig.join(CASTER);
    let key = announce_own(&mut rig, CASTER, 0);
    assert!(knows(&rig, key));
    for peer in &greedy {
        for number in 4..8 {
            announce_own(&mut rig, *peer, number);
        }
    }
    assert!(knows(&rig, key), "nobody gets a fourth place for somebody's only one");
}

#[test]
fn a_caster_for_whom_there_was_no_room_is_asked_once_there_is() {
    let mut rig = Rig::new();
    let others: Vec<PeerId> = (101..=116).map(id).collect();
    for peer in &others {
        rig.join(*peer);
        announce_own(&mut rig, *peer, 0);
    }
    rig.join(CASTER);
    let key = announce_own(&mut rig, CASTER, 0);
    assert!(!knows(&rig, key));
    for step in 1..10 {
        others.iter().for_each(|peer| rig.show_on(*peer, MEDIA_CONTROL, step * 30));
        rig.run(Duration::from_secs(10));
    }
    assert!(!knows(&rig, key), "none of the others has fallen silent");
    let actions = rig.run(Duration::from_secs(140));
    assert!(knows(&rig, key));
    let asks = |said: &MediaControl| matches!(said, MediaControl::Announce(_));
    assert!(said(&actions, CASTER, key).iter().any(asks));
}

#[test]
fn all_streams_together_take_a_bounded_memory() {
    const PIECE: usize = 1 << 20;
    let mut rig = Rig::new();
    let casters = (101..=104).map(id);
    let keys: Vec<StreamKey> = casters
        .map(|peer| {
            rig.join(peer);
            let key = announce_own(&mut rig, peer, 0);
            rig.group.handle_flow_opened(rig.now, peer, 90, Incoming::Media(key));
            let pieces = (1..=80).map(|number| Fragment::encode(number, None, 0, &[0; PIECE]));
            pieces.for_each(|piece| rig.hear(peer, 90, piece));
            key
        })
        .collect();
    rig.run(Duration::from_millis(200));
    rig.join(id(30));
    let actions = rig.actions();
    let held = keys.iter().flat_map(|key| said(&actions, id(30), *key)).map(|said| match said {
        MediaControl::Availability(map) => (1..=80).filter(|number| map.has(*number)).count(),
        _ => 0,
    });
    let held: usize = held.sum();
    assert!((200..=256).contains(&held), "of 320 pieces of a mebibyte: {held}");
}

#[test]
fn one_neighbour_does_not_pull_all_that_a_source_can_answer() {
    let mut rig = Rig::idle();
    let key = rig.group.publish(rig.now, "stream", StreamParameters::default());
    let honest: Vec<PeerId> = (20..28).map(id).collect();
    let greedy = id(101);
    for peer in honest.iter().chain([&greedy]) {
        rig.join(*peer);
        rig.announce_as(*peer, MEDIA_CONTROL, key, StreamParameters::default());
    }
    for time in 0..400 {
        let picture = Bytes::from_static(&[0x27; 900]);
        rig.group.publish_message(rig.now, &key, 9, time * 10, &picture);
        rig.run(Duration::from_millis(10));
    }
    for uplink in [Uplink::Free, Uplink::Full] {
        rig.group.set_uplink(uplink, 1);
        rig.run(Duration::from_secs(2));
        let pull = |rig: &mut Rig, peer: PeerId, number: u64| {
            rig.group.set_way(&peer, Way::default());
            rig.hear(peer, MEDIA_CONTROL, MediaControl::Pull(number).encode());
            fragments_to(&rig.actions(), peer)
        };
        let taken: usize = (1..=400).map(|number| pull(&mut rig, greedy, number)).sum();
        let left: usize = honest.iter().map(|peer| pull(&mut rig, *peer, 390)).sum();
        assert!(taken > 0 && left >= honest.len() / 2, "{uplink:?}: {taken}, {left}");
    }
}

#[test]
fn neighbours_that_never_go_make_room_for_a_member_but_not_for_a_stranger() {
    let mut rig = Rig::idle();
    let stayers: Vec<PeerId> = (100..196).map(id).collect();
    stayers.iter().for_each(|peer| rig.join(*peer));
    assert_eq!(rig.group.stats().neighbours, 96);
    rig.join(CASTER);
    assert_eq!(rig.group.members().find(|peer| *peer == CASTER), None, "nobody was asked yet");
    let actions = rig.run(Duration::from_secs(30));
    let asks = |action: &&Action| matches!(action, Action::Send(sent) if sent.bytes[..] == [control::ASK_DISCONNECT]);
    assert!(actions.iter().filter(asks).count() > 0);
    rig.open(id(21));
    assert_eq!(rig.group.stats().neighbours, 96);
    rig.join(CASTER);
    assert_eq!(rig.group.stats().neighbours, 96);
    assert_eq!(rig.group.members().find(|peer| *peer == CASTER), Some(CASTER));
    let left = stayers.iter().find(|peer| !rig.group.members().any(|member| member == **peer));
    assert!(rig.actions().contains(&Action::Disconnect { peer: *left.unwrap() }));
}

#[test]
fn a_trickle_does_not_hide_that_a_stream_was_cut_off() {
    let mut rig = Rig::new();
    let trickle = id(101);
    for peer in [CASTER, trickle] {
        rig.join(peer);
        let key = announce_own(&mut rig, peer, 0);
        rig.group.handle_flow_opened(rig.now, peer, 90, Incoming::Media(key));
    }
    let mut asked = 0;
    for step in 1..=400u64 {
        let start = Some(FragmentStart { kind: 9, timestamp: step as u32 * 100 });
        let fragment = Fragment::encode(step, start, 0, &[0x17]);
        if step <= 100 {
            rig.hear(CASTER, 90, fragment.clone());
        }
        rig.hear(trickle, 90, fragment);
        let actions = rig.run(Duration::from_millis(100));
        if step > 100 {
            asked += actions.iter().filter(|action| **action == Action::AskServer).count();
        }
    }
    assert!((1..=4).contains(&asked), "in half a minute: {asked}");
}

#[test]
fn any_number_of_rivals_is_told_of_a_few_times() {
    let mut rig = Rig::idle();
    rig.group.publish(rig.now, "stream", StreamParameters::default());
    // Others know of nothing that ended before.
    rig.now += Duration::from_secs(140);
    rig.join(CASTER);
    rig.events();
    let mut told = 0;
    for number in 0..1000u32 {
        let mut key = [0; 32];
        key[..4].copy_from_slice(&number.to_be_bytes());
        let flow = 100 + u64::from(number);
        rig.announce_as(CASTER, flow, StreamKey(key), StreamParameters::default());
        let is_contest = |event: &&GroupEvent| matches!(event, GroupEvent::StreamContested { .. });
        told += rig.events().iter().filter(is_contest).count();
    }
    assert_eq!(told, 8);
}

#[test]
fn what_most_say_of_a_stream_counts_not_what_the_first_said() {
    let mut rig = Rig::new();
    let key = StreamKey([5; 32]);
    let odd = StreamParameters { send_to_all: true, ..StreamParameters::default() };
    rig.join(id(101));
    rig.announce_as(id(101), MEDIA_CONTROL, key, odd);
    for peer in (20..24).map(id) {
        rig.meet(peer);
    }
    rig.actions();
    rig.meet(id(30));
    let said = said(&rig.actions(), id(30), key);
    let announced = said.into_iter().find_map(|said| match said {
        MediaControl::Announce(Announcement { parameters, .. }) => Some(parameters),
        _ => None,
    });
    assert_eq!(announced, Some(StreamParameters::default()));
}

#[test]
fn who_gives_nothing_soon_loses_its_place_to_who_gives() {
    const MEDIA: u64 = 50;
    let mut rig = Rig::idle();
    let key = rig.group.publish(rig.now, "stream", StreamParameters::default());
    let free_riders: Vec<PeerId> = (101..105).map(id).collect();
    let givers: Vec<PeerId> = (20..24).map(id).collect();
    // The free riders come first, and ask for all.
    for peer in free_riders.iter().chain(&givers) {
        rig.join(*peer);
        rig.announce_as(*peer, MEDIA_CONTROL, key, StreamParameters::default());
        rig.group.handle_flow_opened(rig.now, *peer, MEDIA, Incoming::Media(key));
        let rtt = Some(Duration::from_millis(60));
        rig.group.set_way(peer, Way { rtt, ..Way::default() });
        rig.hear(*peer, MEDIA_CONTROL, MediaControl::PushMask(0xff).encode());
    }
    let mut pushed = [0; 2];
    for step in 0..20 {
        for _ in 0..5 {
            let picture = Bytes::from_static(&[0x27; 900]);
            rig.group.publish_message(rig.now, &key, 9, step * 50, &picture);
        }
        let actions = rig.run(Duration::from_millis(50));
        for (peer, said) in lone::said(&actions, key) {
            if let MediaControl::Pull(number) = said
                && givers.contains(&peer)
            {
                rig.hear(peer, MEDIA, Fragment::encode(number, None, 0, &[0x27; 900]));
            }
        }
        if step >= 14 {
            let count = |peers: &[PeerId]| {
                peers.iter().map(|peer| fragments_to(&actions, *peer)).sum::<usize>()
            };
            pushed = [pushed[0] + count(&free_riders), pushed[1] + count(&givers)];
        }
        for peer in free_riders.iter().chain(&givers) {
            rig.show_on(*peer, MEDIA_CONTROL, u64::from(step + 1) * 5);
        }
    }
    assert_eq!(pushed[0], 0);
    assert!(pushed[1] >= 30 * 4, "{}", pushed[1]);
}
