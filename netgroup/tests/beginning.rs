//! Where a newcomer begins: with the latest key frame, which neighbours point out.

mod lone;

use std::time::Duration;

use bytes::Bytes;
use lone::{KEY, MEDIA_CONTROL, Rig, id};
use netgroup::wire::{Availability, MediaControl, StreamParameters};
use rtmfp::crypto::PeerId;

const LAST: u64 = 1000;
const KEY_FRAME: u64 = 317;

fn show(rig: &mut Rig, peer: PeerId, first: u64) {
    let map = Availability::of(first, LAST, |_| u64::MAX);
    rig.hear(peer, MEDIA_CONTROL, MediaControl::Availability(map).encode());
}

/// A member that has all, and says where to begin.
fn meet(rig: &mut Rig, peer: PeerId, entrance: u64) {
    rig.meet(peer);
    show(rig, peer, 1);
    show(rig, peer, entrance);
}

/// The first fragment that is looked for within a time.
fn first_pulled(rig: &mut Rig, time: u64) -> Option<u64> {
    let actions = rig.run(Duration::from_millis(time));
    let said = lone::said(&actions, KEY).into_iter().filter_map(|(_, said)| match said {
        MediaControl::Pull(number) => Some(number),
        _ => None,
    });
    said.min()
}

#[test]
fn one_word_is_looked_into_at_once() {
    let mut rig = Rig::new();
    meet(&mut rig, id(20), KEY_FRAME);
    assert_eq!(first_pulled(&mut rig, 200), Some(KEY_FRAME));
}

#[test]
fn what_most_say_counts() {
    let mut rig = Rig::new();
    meet(&mut rig, id(101), LAST - 3);
    meet(&mut rig, id(20), KEY_FRAME);
    meet(&mut rig, id(21), KEY_FRAME);
    assert_eq!(first_pulled(&mut rig, 200), Some(KEY_FRAME));
}

#[test]
fn later_maps_say_nothing_of_where_to_begin() {
    let mut rig = Rig::new();
    rig.join(id(30));
    meet(&mut rig, id(20), KEY_FRAME);
    show(&mut rig, id(20), LAST - 3);
    assert_eq!(first_pulled(&mut rig, 200), Some(KEY_FRAME));
}

#[test]
fn a_member_points_out_the_headers_of_its_latest_key_frame() {
    let mut rig = Rig::idle();
    let key = rig.group.publish(rig.now, "stream", StreamParameters::default());
    let publish = |rig: &mut Rig, time: u32, first_bytes: [u8; 2]| {
        let message = Bytes::from([&first_bytes[..], &[0; 2000]].concat());
        rig.group.publish_message(rig.now, &key, 9, time, &message);
        rig.run(Duration::from_millis(10));
    };
    for time in 0..100 {
        if time % 40 == 0 {
            publish(&mut rig, time, [0x17, 0]);
        }
        publish(&mut rig, time, [if time % 40 == 0 { 0x17 } else { 0x27 }, 1]);
    }
    rig.join(id(20));
    let maps = lone::said(&rig.actions(), key).into_iter().filter_map(|(_, said)| match said {
        MediaControl::Availability(map) => Some((map.first_held(), map.last)),
        _ => None,
    });
    // Of 103 messages of three fragments each, the headers are the 83rd.
    assert_eq!(maps.collect::<Vec<_>>(), [(1, 309), (82 * 3 + 1, 309)]);
}
