//! What one member says of others, of us, or of a stream is one member's word.

mod lone;

use std::time::Duration;

use lone::{CONTROL, KEY, MEDIA_CONTROL, Rig, id};
use netgroup::{
    Action, Channel, GroupEvent,
    wire::{Member, Report},
};
use rtmfp::{
    crypto::PeerId,
    wire::{Address, Origin},
};

const LIAR: PeerId = id(101);

fn address(text: &str) -> Address {
    Address::new(text.parse().unwrap(), Origin::Observed)
}

#[test]
fn who_spoke_first_of_a_stream_does_not_have_the_others_dropped() {
    let mut rig = Rig::new();
    rig.meet(LIAR);
    rig.show(LIAR, 1);
    let honest: Vec<PeerId> = (20..30).map(id).collect();
    for peer in &honest {
        rig.meet(*peer);
    }
    for step in 0..200 {
        rig.now += Duration::from_millis(50);
        rig.show(honest[step / 2 % 10], 8000 + step as u64 * 4);
        rig.show(LIAR, 1);
        rig.group.handle_timeout(rig.now);
    }
    let events = std::iter::from_fn(|| rig.group.poll_event());
    let dropped = events.filter(|event| matches!(event, GroupEvent::NeighborBanned { .. }));
    assert_eq!(dropped.collect::<Vec<_>>(), []);
    let newest = rig.group.stream_stats(&KEY).unwrap().newest;
    assert!(newest > 8000, "{newest}");
}

#[test]
fn one_members_word_of_an_address_is_not_passed_on() {
    let mut rig = Rig::new();
    let (victim, invented) = (address("203.0.113.7:53"), id(200));
    [LIAR, id(20), id(21)].into_iter().for_each(|peer| rig.join(peer));
    let tell = |rig: &mut Rig, by| {
        rig.now += Duration::from_secs(2);
        let member = Member { peer: invented, age: 0, addresses: vec![victim] };
        rig.hear(by, CONTROL, Report { members: vec![member], ..Report::default() }.encode());
    };
    let told = |report: Report| {
        report.members.into_iter().find(|member| member.peer == invented).expect("it was named")
    };
    tell(&mut rig, LIAR);
    assert_eq!(told(rig.report_to(id(20))).addresses, []);
    tell(&mut rig, id(21));
    assert_eq!(told(rig.report_to(id(20))).addresses, [victim]);
}

#[test]
fn where_we_are_is_what_two_say() {
    let mut rig = Rig::new();
    let (victim, true_one) = (address("203.0.113.7:53"), address("198.51.100.2:4000"));
    [LIAR, id(20), id(21)].into_iter().for_each(|peer| rig.join(peer));
    let tell = |rig: &mut Rig, by, observed| {
        rig.now += Duration::from_secs(2);
        rig.hear(by, CONTROL, Report { observed: Some(observed), ..Report::default() }.encode());
    };
    tell(&mut rig, id(20), true_one);
    assert_eq!(rig.report_to(id(21)).own, [true_one], "there is no other word yet");
    tell(&mut rig, LIAR, victim);
    assert_eq!(rig.report_to(id(20)).own, []);
    tell(&mut rig, id(21), true_one);
    assert_eq!(rig.report_to(LIAR).own, [true_one]);
}

#[test]
fn flows_of_a_stream_that_is_over_are_ended() {
    let mut rig = Rig::new();
    rig.meet(id(20));
    while rig.group.poll_action().is_some() {}
    rig.now += Duration::from_secs(3600);
    rig.group.handle_timeout(rig.now);
    let actions: Vec<Action> = std::iter::from_fn(|| rig.group.poll_action()).collect();
    let channel = Channel::MediaControl(KEY);
    assert!(actions.contains(&Action::Finish { peer: id(20), channel }), "{actions:?}");
    assert!(actions.contains(&Action::Reject { peer: id(20), flow: MEDIA_CONTROL }), "{actions:?}");
}

#[test]
fn between_one_word_and_another_nobody_is_dropped() {
    let mut rig = Rig::new();
    rig.meet(LIAR);
    rig.show(LIAR, 1);
    rig.meet(id(20));
    for step in 0..20 {
        rig.now += Duration::from_millis(500);
        rig.show(id(20), 8000 + step * 40);
        rig.group.handle_timeout(rig.now);
    }
    let mut events = std::iter::from_fn(|| rig.group.poll_event());
    assert!(!events.any(|event| matches!(event, GroupEvent::NeighborBanned { .. })));
}
