use super::*;
use TagKind::{Audio, Script, Video};

fn tag(kind: TagKind, timestamp: u32) -> Tag {
    let payload: &[u8] = match kind {
        Video => &[0x22, 1],
        Audio => &[0x2f, 1],
        Script => b"\x02\0\x06onText",
    };
    Tag { kind, timestamp, payload: bytes::Bytes::copy_from_slice(payload) }
}

/// Times since the beginning of what a recording has.
fn place(tags: &[(TagKind, u32)]) -> Vec<i64> {
    let mut timeline = Timeline::default();
    tags.iter().for_each(|(kind, stamp)| timeline.push(tag(*kind, *stamp), None));
    timeline.flush();
    drain(&mut timeline)
}

fn drain(timeline: &mut Timeline) -> Vec<i64> {
    let times = std::iter::from_fn(|| timeline.pop());
    times.map(|placed| placed.time.cast_signed() - ORIGIN.cast_signed()).collect()
}

fn video(stamps: &[u32]) -> Vec<(TagKind, u32)> {
    stamps.iter().map(|stamp| (Video, *stamp)).collect()
}

#[test]
fn what_is_in_order_stays_as_it_is() {
    assert_eq!(place(&video(&[5000, 5040, 5030, 5080])), [0, 40, 30, 80]);
    assert_eq!(place(&[(Script, 1), (Video, 0), (Audio, 23)])[1..], [0, 23]);
    assert_eq!(place(&[(Audio, 23), (Video, 0), (Video, 40)]), [0, -23, 17]);
    assert_eq!(place(&[(Video, 0), (Video, u32::MAX - 32), (Video, 40)]), [0, -33, 40]);
}

#[test]
fn sound_may_be_stored_seconds_apart() {
    for apart in [1500u32, 4000, 20_000] {
        let film: Vec<_> =
            (0..50).flat_map(|i| [(Video, apart + i * 40), (Audio, i * 40)]).collect();
        let expected: Vec<i64> =
            (0..50).flat_map(|i| [i * 40, i * 40 - i64::from(apart)]).collect();
        assert_eq!(place(&film), expected);
        let twice = [&film[..], &film[..]].concat();
        let times = place(&twice);
        assert_eq!(times[100], 49 * 40 + GAP, "the second round comes after the first");
        assert_eq!(times[101], times[100] - i64::from(apart));
    }
}

#[test]
fn a_pause_is_a_pause_and_a_leap_is_not_waited_for() {
    assert_eq!(place(&video(&[0, 1000, 2000, 14_000, 15_000]))[2..], [2000, 14_000, 15_000]);
    assert_eq!(place(&video(&[0, 12_000, 24_000, 60_000])), [0, 12_000, 24_000, 60_000]);
    assert_eq!(place(&video(&[0, 40, 3_600_000, 3_600_040])), [0, 40, 80, 120]);
    assert_eq!(place(&video(&[3_600_000, 3_600_040, 0, 40])), [0, 40, 80, 120]);
}

#[test]
fn single_tags_with_nonsense_cost_nothing() {
    for stray in [0, 8000, 3_600_000, u32::MAX - 5] {
        for kind in [Audio, Video] {
            let mut film: Vec<_> =
                (0..100).flat_map(|i| [(Video, i * 40), (Audio, i * 40)]).collect();
            film.insert(150, (kind, stray));
            let times = place(&film);
            let others: Vec<i64> = (0..100).flat_map(|i| [i * 40, i * 40]).collect();
            let rest = [&times[..150], &times[151..]].concat();
            assert_eq!(rest, others, "{kind:?} {stray}");
            assert!((2900..=3100).contains(&times[150]), "{} is where it stood", times[150]);
        }
    }
}

#[test]
fn headers_and_scripts_never_move_anything() {
    for stamp in [0, 2970, 9_999_999] {
        let mut film = video(&(0..100).map(|i| i * 40).collect::<Vec<_>>());
        film.insert(75, (Script, stamp));
        let times = place(&film);
        assert_eq!(times[76], 3000);
        assert!((2900..=3000).contains(&times[75]));
    }
}

#[test]
fn stamps_wrap_where_writers_wrap_them() {
    for wrap in [1u64 << 24, 1 << 31, 1 << 32] {
        let film: Vec<u32> = (0..6).map(|i| ((wrap - 100 + i * 40) % wrap) as u32).collect();
        assert_eq!(place(&video(&film)), [0, 40, 80, 120, 160, 200], "{wrap}");
    }
}

#[test]
fn tracks_with_clocks_of_their_own_are_put_together() {
    let film: Vec<_> =
        (0..50).flat_map(|i| [(Video, i * 40), (Audio, 1_000_000 + i * 40)]).collect();
    let times = place(&film);
    assert_eq!(times[98], 49 * 40);
    assert!((times[99] - times[98]).abs() <= 40, "{:?}", &times[98..]);
}

#[test]
fn what_was_broken_off_goes_on_just_after() {
    let mut timeline = Timeline::default();
    timeline.push(tag(Video, 700), None);
    timeline.break_off();
    timeline.push(tag(Script, 0), None);
    timeline.push(tag(Video, 500), None);
    timeline.push(tag(Audio, 490), None);
    assert_eq!(drain(&mut timeline), [0, 0, 40, 30]);
}

#[test]
fn live_sources_pause_for_as_long_as_they_do() {
    let at = |seconds| Some(Duration::from_secs(seconds));
    let mut timeline = Timeline::default();
    timeline.push(tag(Video, 0), at(0));
    timeline.push(tag(Video, 7_200_000), at(7200));
    assert_eq!(drain(&mut timeline), [0, 7_200_000], "at once, and however long");
    timeline.push(tag(Video, 7_230_000), at(7200));
    assert!(timeline.is_holding(), "half a minute in no time");
    timeline.push(tag(Video, 7_230_040), at(7200));
    assert_eq!(drain(&mut timeline), [7_200_040, 7_200_080]);
    timeline.break_off();
    timeline.push(tag(Video, 5), at(7212));
    assert_eq!(drain(&mut timeline), [7_200_120], "players stop at holes");
}

#[test]
fn times_go_on_past_32_bits() {
    let mut timeline = Timeline::default();
    let mut stamp = 0u32;
    let mut last = 0;
    for _ in 0..250_000 {
        timeline.push(tag(Video, stamp), None);
        stamp = stamp.wrapping_add(50_000);
        while let Some(placed) = timeline.pop() {
            last = placed.time;
        }
    }
    assert!(last > 2 << 32, "{last}");
}

/// Seeded nonsense: nothing is lost, and time never leaps further than a pause.
#[test]
fn any_stamps_give_a_time_to_every_tag() {
    use rand::{RngExt, SeedableRng};
    for seed in 0..200 {
        let mut rng = rand::rngs::StdRng::seed_from_u64(seed);
        let (mut timeline, mut pushed, mut popped, mut newest) =
            (Timeline::default(), 0, 0, ORIGIN);
        for _ in 0..500 {
            let kind = [Audio, Video, Script][rng.random_range(0..3)];
            let stamp = if rng.random_bool(0.2) { rng.random() } else { pushed * 20 };
            timeline.push(tag(kind, stamp), None);
            pushed += 1;
            assert!(timeline.held.len() <= MAX_HELD);
            while let Some(placed) = timeline.pop() {
                popped += 1;
                assert!(placed.time <= newest + MAX_PAUSE.cast_unsigned() + 1, "seed {seed}");
                newest = newest.max(placed.time);
            }
        }
        timeline.flush();
        popped += std::iter::from_fn(|| timeline.pop()).count() as u32;
        assert_eq!(popped, pushed);
    }
}
