use rand::{SeedableRng, rngs::StdRng};
use rtmfp::wire::Origin;

use super::*;

fn peer(number: u32) -> PeerId {
    let mut id = [0; 32];
    id[..4].copy_from_slice(&number.to_be_bytes());
    PeerId(id)
}

fn list(count: u32, informant: impl Fn(u32) -> Informant) -> (HeardList, Instant) {
    let now = Instant::now();
    let mut list = HeardList::new(peer(u32::MAX));
    for number in 0..count {
        list.hear(now, peer(number), &[], informant(number));
    }
    (list, now)
}

#[test]
fn best_lists_hold_ring_neighbours_and_have_the_right_size() {
    let (list, _) = list(200, |_| Informant::Server);
    let own = peer(u32::MAX);
    let best = list.best_for(&own, &[], 20, &mut StdRng::seed_from_u64(1));
    assert!((18..=20).contains(&best.len()), "{}", best.len());
    let center = GroupAddress::of(&own);
    for near in list.above(&center).take(3).chain(list.below(&center).take(3)) {
        assert!(best.iter().any(|heard| heard.peer == near.peer));
    }
}

#[test]
fn we_are_not_on_our_own_list() {
    let (mut list, now) = list(0, |_| Informant::Server);
    assert!(!list.hear(now, peer(u32::MAX), &[], Informant::Server));
    assert!(list.hear(now, peer(1), &[], Informant::Server));
    assert!(!list.hear(now, peer(1), &[], Informant::Server));
    assert_eq!(list.size(), Size { members: 2, is_estimate: false });
}

#[test]
fn newcomers_near_us_find_a_place_in_a_full_list() {
    let (mut list, now) = list(5000, |number| Informant::Peer(peer(10_000 + number / 50)));
    assert_eq!(list.len(), MAX_MEMBERS);
    let own = GroupAddress::of(&peer(u32::MAX));
    let near = (10_000..200_000)
        .map(peer)
        .min_by_key(|peer| GroupAddress::of(peer).top().wrapping_sub(own.top()));
    let near = near.unwrap();
    assert!(list.hear(now, near, &[], Informant::Peer(peer(7))));
    assert_eq!(list.above(&own).next().unwrap().peer, near);
}

#[test]
fn who_proved_itself_is_not_displaced_by_the_invented() {
    let (mut list, now) = list(100, |_| Informant::Server);
    for number in 0..100 {
        list.get_mut(&peer(number)).unwrap().connect(now);
        list.get_mut(&peer(number)).unwrap().part(now);
    }
    for number in 1000..9000 {
        list.hear(now + EXPIRY / 2, peer(number), &[], Informant::Peer(peer(number % 40)));
    }
    assert!((0..100).all(|number| list.get(&peer(number)).is_some()));
}

#[test]
fn one_informant_fills_no_more_than_its_share() {
    let (list, _) = list(4000, |_| Informant::Peer(peer(9999)));
    assert_eq!(list.len(), QUOTA);
}

#[test]
fn a_stranger_is_not_knocked_at_on_one_members_word() {
    let (mut list, now) = list(0, |_| Informant::Server);
    let victim = Address::new("192.0.2.7:53".parse().unwrap(), Origin::Observed);
    let told_by = |list: &mut HeardList, by| {
        list.hear(now, peer(1), &[victim], Informant::Peer(peer(by)));
        list.get(&peer(1)).unwrap().trusted_addresses(false).count()
    };
    assert_eq!(told_by(&mut list, 2), 0);
    assert_eq!(told_by(&mut list, 2), 0);
    assert_eq!(told_by(&mut list, 3), 1);
}

#[test]
fn who_failed_is_tried_again_later_and_later_and_who_left_is_remembered() {
    let (mut list, now) = list(1, |_| Informant::Server);
    let after = |seconds| now + Duration::from_secs(seconds);
    let heard = list.get_mut(&peer(0)).unwrap();
    assert!(heard.may_try(now));
    heard.fail(now);
    assert!(!heard.may_try(after(4)) && heard.may_try(after(5)));
    heard.fail(after(5));
    assert!(!heard.may_try(after(14)) && heard.may_try(after(15)));
    heard.connect(after(15));
    heard.leave(after(16));
    assert!(!heard.is_alive() && !heard.may_try(after(17)) && heard.may_try(after(76)));
    list.hear(after(20), peer(0), &[], Informant::Server);
    let heard = list.get(&peer(0)).unwrap();
    assert!(heard.is_alive() && heard.may_try(after(20)), "the server knows that it is back");
}

#[test]
fn large_groups_are_estimated_and_small_ones_counted() {
    let (small, _) = list(20, |_| Informant::Server);
    assert_eq!(small.size(), Size { members: 21, is_estimate: false });
    let (large, _) = list(400, |_| Informant::Server);
    let size = large.size();
    assert!(size.is_estimate && (401..900).contains(&size.members), "{size:?}");
}
