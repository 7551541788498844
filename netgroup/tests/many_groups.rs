//! One connection to the server and one session with each peer carry any number of groups.

mod common;

use std::time::Duration;

use bytes::Bytes;
use common::{Broadcast, Host, add_member, network, subscribe};
use netgroup::{Capabilities, GroupHandle, GroupSpec, wire::StreamParameters};
use simnet::{Link, rig::Rig};

fn spec(name: &str) -> GroupSpec {
    GroupSpec::new(name, Capabilities::CHANNEL, 1).unwrap()
}

fn join(rig: &mut Rig<Host>, member: usize, name: &str) -> GroupHandle {
    let now = rig.now;
    let (member, endpoint) = rig.node(member).member();
    member.node.join(now, endpoint, spec(name)).expect("it is not in it")
}

fn neighbours(rig: &mut Rig<Host>, member: usize, group: GroupHandle) -> usize {
    rig.node(member).member().0.node.group(group).map_or(0, |group| group.stats().neighbours)
}

fn sessions(rig: &mut Rig<Host>, member: usize) -> usize {
    rig.node(member).member().0.node.session_count()
}

#[test]
fn three_groups_of_two_peers_share_one_session() {
    let mut rig = network(1, Link::default());
    let members = [add_member(&mut rig, 1), add_member(&mut rig, 2)];
    let others = members.map(|member| [join(&mut rig, member, "b"), join(&mut rig, member, "c")]);
    subscribe(&mut rig, members[1]);
    for group in others[1] {
        rig.node(members[1]).member().0.node.group(group).unwrap().subscribe("stream");
    }
    let mut broadcast = Broadcast::start(&mut rig, members[0]);
    let now = rig.now;
    let keys = others[0].map(|group| {
        let (caster, endpoint) = rig.node(members[0]).member();
        let stream = caster.node.group(group).unwrap();
        let key = stream.publish(now, "stream", StreamParameters::default());
        caster.node.flush(now, endpoint);
        (group, key)
    });
    for step in 0..500 {
        let now = rig.now;
        for (group, key) in keys {
            let (caster, endpoint) = rig.node(members[0]).member();
            let payload = Bytes::from(vec![0x27; 300]);
            let stream = caster.node.group(group).unwrap();
            stream.publish_message(now, &key, 9, step * 40, &payload);
            caster.node.flush(now, endpoint);
        }
        broadcast.run(&mut rig, Duration::from_millis(40), |_| 500);
    }
    assert_eq!(members.map(|member| sessions(&mut rig, member)), [1, 1]);
    let received = rig.node(members[1]).member().0.received.len();
    assert!(received > 3 * 440, "{received} messages of three streams");
}

#[test]
fn a_session_ends_with_the_last_group_that_wants_it() {
    let mut rig = network(2, Link::default());
    let members = [add_member(&mut rig, 1), add_member(&mut rig, 2)];
    let second = members.map(|member| join(&mut rig, member, "b"));
    rig.run_for(Duration::from_secs(10));
    let first = rig.node(members[0]).member().0.group;
    assert_eq!(neighbours(&mut rig, members[0], first), 1);
    assert_eq!(neighbours(&mut rig, members[0], second[0]), 1);
    for (group, left) in [(first, 1), (second[0], 0)] {
        let now = rig.now;
        let (member, endpoint) = rig.node(members[0]).member();
        member.node.leave(now, endpoint, group);
        rig.run_for(Duration::from_secs(5));
        assert_eq!(members.map(|member| sessions(&mut rig, member)), [left, left]);
        assert_eq!(neighbours(&mut rig, members[1], second[1]), left);
    }
}

#[test]
fn a_group_is_joined_once() {
    let mut rig = network(3, Link::default());
    let member = add_member(&mut rig, 1);
    let now = rig.now;
    let (member, endpoint) = rig.node(member).member();
    assert_eq!(member.node.join(now, endpoint, spec("test")), None);
}
