use super::*;

const AVC: &[u8] = &[0x17, 0, 1];
const KEY: &[u8] = &[0x17, 1, 2];
const INTER: &[u8] = &[0x27, 1, 3];
const AAC: &[u8] = &[0xaf, 0, 1];
const SOUND: &[u8] = &[0xaf, 1, 2];
const CUE: &[u8] = b"\x02\0\x0aonCuePoint\x05";

fn tag(timestamp: u32, payload: &[u8]) -> Tag {
    let kind = match payload[0] {
        0xaf | 0x2f => TagKind::Audio,
        2 => TagKind::Script,
        _ => TagKind::Video,
    };
    Tag { kind, timestamp, payload: bytes::Bytes::copy_from_slice(payload) }
}

fn push(programme: &mut Programme, tags: &[(u32, &[u8])]) {
    for (timestamp, payload) in tags {
        let arrived = Duration::from_millis((*timestamp).into());
        programme.push(tag(*timestamp, payload), arrived);
    }
}

/// Times relative to the first, and payloads.
fn shown(programme: &mut Programme) -> Vec<(u64, Vec<u8>)> {
    let all: Vec<Shown> = std::iter::from_fn(|| programme.pop()).collect();
    let zero = all.first().map_or(0, |shown| shown.time);
    all.iter().map(|shown| (shown.time.saturating_sub(zero), shown.tag.payload.to_vec())).collect()
}

fn expect(tags: &[(u64, &[u8])]) -> Vec<(u64, Vec<u8>)> {
    tags.iter().map(|(time, payload)| (*time, payload.to_vec())).collect()
}

#[test]
fn begins_with_headers_and_a_key_frame() {
    let mut programme = Programme::default();
    programme.begin(false);
    let tags: [(u32, &[u8]); 8] = [
        (900, INTER),
        (1000, KEY),
        (1000, AVC),
        (1010, &[0x2f, 5]),
        (2000, KEY),
        (2010, &[0x2f, 6]),
        (2040, INTER),
        (3000, AVC),
    ];
    push(&mut programme, &tags);
    // The first key frame counts once its parameters are there, wherever they stood.
    let expected = expect(&[
        (0, AVC),
        (0, KEY),
        (10, &[0x2f, 5]),
        (1000, KEY),
        (1010, &[0x2f, 6]),
        (1040, INTER),
    ]);
    assert_eq!(shown(&mut programme), expected);
    assert_eq!(programme.tracks(), Tracks::BOTH);
}

#[test]
fn pictures_behind_a_key_frame_wait_with_it_for_its_parameters() {
    let mut programme = Programme::default();
    programme.begin(false);
    let missed: [(u32, &[u8]); 2] = [(1000, KEY), (1040, INTER)];
    push(&mut programme, &missed);
    push(&mut programme, &[(1040, SOUND), (1080, INTER), (1100, AVC), (1120, INTER)]);
    let expected =
        expect(&[(0, AVC), (0, KEY), (40, INTER), (40, SOUND), (80, INTER), (120, INTER)]);
    assert_eq!(shown(&mut programme), expected);
}

#[test]
fn who_joins_midway_gets_no_sound_from_before_the_picture() {
    let mut programme = Programme::default();
    programme.begin(false);
    let tags: [(u32, &[u8]); 7] =
        [(0, AVC), (0, AAC), (0, SOUND), (0, CUE), (40, KEY), (20, SOUND), (45, SOUND)];
    push(&mut programme, &tags);
    // What is stored behind the picture comes with it, if it is a little earlier.
    let expected = expect(&[(0, AVC), (0, AAC), (0, CUE), (0, KEY), (0, SOUND), (5, SOUND)]);
    assert_eq!(shown(&mut programme), expected);
}

#[test]
fn who_is_there_from_the_start_gets_all() {
    let mut programme = Programme::default();
    programme.begin(true);
    push(
        &mut programme,
        &[(0, AVC), (0, AAC), (0, CUE), (0, SOUND), (23, SOUND), (40, KEY), (46, SOUND)],
    );
    let expected =
        expect(&[(0, AVC), (0, AAC), (0, CUE), (0, SOUND), (23, SOUND), (40, KEY), (46, SOUND)]);
    assert_eq!(shown(&mut programme), expected);
}

#[test]
fn sound_or_pictures_alone_are_known_after_a_second_or_at_the_end() {
    let mut programme = Programme::default();
    programme.begin(false);
    push(&mut programme, &[(0, AAC), (0, SOUND), (500, SOUND)]);
    assert!(programme.pop().is_none());
    push(&mut programme, &[(1000, SOUND)]);
    assert_eq!(shown(&mut programme).len(), 4);
    assert_eq!(programme.tracks(), Tracks { audio: true, video: false });

    let mut clip = Programme::default();
    clip.begin(false);
    push(&mut clip, &[(0, AVC), (0, KEY), (40, INTER)]);
    assert!(clip.pop().is_none());
    clip.end();
    assert_eq!(shown(&mut clip).len(), 3);
    assert_eq!(clip.tracks(), Tracks { audio: false, video: true });
}

#[test]
fn a_broadcast_that_begins_anew_goes_on_in_time_with_a_key_frame() {
    let mut programme = Programme::default();
    programme.begin(false);
    push(&mut programme, &[(90_000, AVC), (90_000, AAC), (90_000, KEY), (90_040, INTER)]);
    programme.begin(false);
    push(&mut programme, &[(0, INTER), (40, KEY), (40, SOUND), (80, INTER)]);
    let times: Vec<u64> = shown(&mut programme).iter().map(|(time, _)| *time).collect();
    assert_eq!(times, [0, 0, 0, 40, 120, 120, 120, 120, 160]);
}

#[test]
fn the_next_broadcast_may_have_sound_alone() {
    let mut programme = Programme::default();
    programme.begin(false);
    push(&mut programme, &[(0, AVC), (0, AAC), (0, KEY), (0, SOUND)]);
    programme.begin(false);
    let sounds: Vec<(u32, &[u8])> = (0..100).map(|at| (at * 23, SOUND)).collect();
    push(&mut programme, &sounds);
    let heard = shown(&mut programme).iter().filter(|(_, payload)| payload == SOUND).count();
    assert_eq!(heard, 101);
}

#[test]
fn openings_are_key_frames_or_every_second_of_sound() {
    let mut programme = Programme::default();
    programme.begin(false);
    push(&mut programme, &[(0, AAC)]);
    let sounds: Vec<(u32, &[u8])> = (0..200).map(|at| (at * 23, SOUND)).collect();
    push(&mut programme, &sounds);
    let openings = std::iter::from_fn(|| programme.pop()).filter(|shown| shown.opening.is_some());
    assert_eq!(openings.count(), 4);
}

#[test]
fn what_cannot_be_decoded_is_held_within_bounds() {
    let mut programme = Programme::default();
    programme.begin(false);
    for at in 0..20_000 {
        push(&mut programme, &[(at * 20, INTER), (at * 20, SOUND)]);
    }
    let Gate::Closed { held, bytes, .. } = &programme.gate else { panic!("it opened") };
    assert!(held.len() <= MAX_HELD);
    assert_eq!(*bytes, held.iter().map(|placed| placed.tag.payload.len()).sum::<usize>());
}

#[test]
fn sound_is_played_without_pictures_that_nobody_can_decode() {
    for ends in [false, true] {
        let mut programme = Programme::default();
        programme.begin(false);
        let seconds = if ends { 5 } else { 12 };
        push(&mut programme, &[(0, AAC)]);
        for at in 0..seconds * 25 {
            push(
                &mut programme,
                &[(at * 40, if at % 25 == 0 { KEY } else { INTER }), (at * 40, SOUND)],
            );
        }
        if ends {
            programme.end();
        }
        assert_eq!(programme.tracks(), Tracks { audio: true, video: false });
        let all = shown(&mut programme);
        assert_eq!(all.iter().filter(|(_, payload)| payload == SOUND).count() as u32, seconds * 25);
        assert!(!all.iter().any(|(_, payload)| payload == KEY || payload == INTER));
        // They are shown as soon as they can be.
        push(
            &mut programme,
            &[(seconds * 1000, AVC), (seconds * 1000, KEY), (seconds * 1000 + 40, INTER)],
        );
        assert_eq!(shown(&mut programme).len(), 3);
        assert_eq!(programme.tracks(), Tracks::BOTH);
    }
}
