//! What a member is told: of its server, of where playing begins, and of others who publish.

mod common;

use std::time::Duration;

use common::{Broadcast, Host, add_member, add_server, network, subscribe};
use netgroup::{GroupEvent, NodeEvent, StreamEvent};
use simnet::{Link, rig::Rig};

fn told(rig: &mut Rig<Host>, member: usize) -> &[NodeEvent] {
    &rig.node(member).member().0.events
}

fn group_event(rig: &mut Rig<Host>, member: usize, event: GroupEvent) -> NodeEvent {
    NodeEvent::Group { group: rig.node(member).member().0.group, event }
}

fn count(rig: &mut Rig<Host>, member: usize, event: &NodeEvent) -> usize {
    told(rig, member).iter().filter(|told| *told == event).count()
}

#[test]
fn a_server_that_is_missing_is_said_once_and_tried_until_it_comes() {
    let mut rig = Rig::new(1, Link::default());
    let member = add_member(&mut rig, 1);
    rig.run_for(Duration::from_secs(300));
    assert_eq!(told(&mut rig, member), [NodeEvent::NoAnswer]);
    add_server(&mut rig);
    rig.run_for(Duration::from_secs(20));
    assert_eq!(told(&mut rig, member), [NodeEvent::NoAnswer, NodeEvent::Connected]);
}

#[test]
fn who_was_there_from_the_start_is_told_so() {
    let mut rig = network(1, Link::default());
    let (caster, early) = (add_member(&mut rig, 1), add_member(&mut rig, 2));
    subscribe(&mut rig, early);
    rig.run_for(Duration::from_secs(3));
    let mut broadcast = Broadcast::start(&mut rig, caster);
    broadcast.run(&mut rig, Duration::from_secs(15), |_| 500);
    let late = add_member(&mut rig, 3);
    subscribe(&mut rig, late);
    broadcast.run(&mut rig, Duration::from_secs(5), |_| 500);
    for (member, from_start) in [(early, true), (late, false)] {
        let event = StreamEvent::Began { from_start };
        let event = group_event(&mut rig, member, GroupEvent::Stream { key: broadcast.key, event });
        assert_eq!(count(&mut rig, member, &event), 1, "{:?}", told(&mut rig, member));
    }
    assert_eq!(rig.node(early).member().0.received[0], broadcast.sent[0]);
}

#[test]
fn two_who_publish_under_one_name_are_told_once() {
    let mut rig = network(1, Link::default());
    let casters = [add_member(&mut rig, 1), add_member(&mut rig, 2)];
    let viewer = add_member(&mut rig, 3);
    subscribe(&mut rig, viewer);
    let mut broadcasts = casters.map(|caster| Broadcast::start(&mut rig, caster));
    for _ in 0..500 {
        broadcasts[0].publish(&mut rig, 500);
        broadcasts[1].run(&mut rig, Duration::from_millis(40), |_| 500);
    }
    for (caster, other) in [(0, 1), (1, 0)] {
        let key = broadcasts[other].key;
        let event = group_event(&mut rig, casters[caster], GroupEvent::StreamContested { key });
        assert_eq!(count(&mut rig, casters[caster], &event), 1);
    }
}

#[test]
fn what_viewers_still_know_of_an_earlier_publication_is_no_rival() {
    let mut rig = network(1, Link::default());
    let first = add_member(&mut rig, 1);
    for viewer in 3..8 {
        let viewer = add_member(&mut rig, viewer);
        subscribe(&mut rig, viewer);
    }
    let mut broadcast = Broadcast::start(&mut rig, first);
    broadcast.run(&mut rig, Duration::from_secs(10), |_| 500);
    // It goes, without a word.
    let host = rig.nodes[first].0;
    rig.network.take_down(host);
    rig.run_for(Duration::from_secs(20));
    let second = add_member(&mut rig, 2);
    let mut broadcast = Broadcast::start(&mut rig, second);
    broadcast.run(&mut rig, Duration::from_secs(60), |_| 500);
    let is_contest = |event: &&NodeEvent| {
        matches!(event, NodeEvent::Group { event: GroupEvent::StreamContested { .. }, .. })
    };
    let contests = |rig: &mut Rig<Host>| told(rig, second).iter().filter(is_contest).count();
    assert_eq!(contests(&mut rig), 0);
    let rival = add_member(&mut rig, 9);
    let mut other = Broadcast::start(&mut rig, rival);
    for _ in 0..250 {
        broadcast.publish(&mut rig, 500);
        other.run(&mut rig, Duration::from_millis(40), |_| 500);
    }
    assert_eq!(contests(&mut rig), 1);
    let contenders = |rig: &mut Rig<Host>| rig.node(second).member().0.group().stats().contenders;
    assert_eq!(contenders(&mut rig), 1);
    let host = rig.nodes[rival].0;
    rig.network.take_down(host);
    broadcast.run(&mut rig, Duration::from_secs(40), |_| 500);
    assert_eq!(contenders(&mut rig), 0, "it is gone");
}
