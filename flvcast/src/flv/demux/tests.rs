use super::*;
use crate::flv::{file_header, put_tag};

fn tag(index: usize) -> Tag {
    let kind = if index.is_multiple_of(2) { TagKind::Video } else { TagKind::Audio };
    let payload = (0..40 + index * 13 % 500).map(|at| (at * 7 + index) as u8).collect();
    Tag { kind, timestamp: index as u32 * 40, payload }
}

fn file(count: usize) -> (Vec<u8>, Vec<Tag>) {
    let mut out = file_header(Tracks::BOTH).to_vec();
    let tags: Vec<Tag> = (0..count).map(tag).collect();
    tags.iter().for_each(|tag| put_tag(&mut out, tag));
    (out, tags)
}

fn read_all(bytes: &[u8], step: usize) -> (Vec<Tag>, Demuxer) {
    let (mut demuxer, mut tags) = (Demuxer::default(), Vec::new());
    for chunk in bytes.chunks(step) {
        demuxer.push(chunk);
        while let Some(tag) = demuxer.next_tag().unwrap() {
            tags.push(tag);
        }
    }
    (tags, demuxer)
}

#[test]
fn any_cut_of_the_bytes_gives_the_same_tags() {
    let (bytes, tags) = file(50);
    for step in [1, 7, 100, 4096, usize::MAX] {
        assert_eq!(read_all(&bytes, step).0, tags);
    }
}

#[test]
fn truncation_loses_the_last_tag_only() {
    let (bytes, tags) = file(20);
    let (read, demuxer) = read_all(&bytes[..bytes.len() - 10], 64);
    assert_eq!(read, tags[..19]);
    assert!(!demuxer.pending().is_empty());
}

#[test]
fn damage_loses_only_the_tags_it_hits() {
    let (mut bytes, tags) = file(60);
    let middle = bytes.len() / 2;
    bytes[middle..middle + 600].fill(0xa5);
    let (read, demuxer) = read_all(&bytes, 97);
    assert!(read.len() >= tags.len() - 8, "{} of {}", read.len(), tags.len());
    assert_eq!((&read[0], read.last()), (&tags[0], tags.last()));
    assert!(read.iter().all(|tag| tags.contains(tag)));
    assert_eq!(demuxer.skipped().places, 1);
}

#[test]
fn bytes_lost_in_the_middle_are_survived() {
    let (mut bytes, tags) = file(60);
    bytes.drain(3000..3333);
    let (read, _) = read_all(&bytes, 1000);
    assert!(read.len() >= tags.len() - 5 && read.iter().all(|tag| tags.contains(tag)));
}

#[test]
fn something_else_is_refused_at_once() {
    let mut demuxer = Demuxer::default();
    demuxer.push(b"\x00\x00\x00\x20ftypisom");
    assert_eq!(demuxer.next_tag(), Err(NotFlv));
}

/// A file whose trailing sizes are what `trailer` makes of the payload's.
fn file_with(count: usize, trailer: impl Fn(u32) -> u32) -> (Vec<u8>, Vec<Tag>) {
    let mut out = file_header(Tracks::BOTH).to_vec();
    let tags: Vec<Tag> = (0..count).map(tag).collect();
    for tag in &tags {
        put_tag(&mut out, tag);
        let at = out.len() - TRAILER;
        out[at..].copy_from_slice(&trailer(tag.payload.len() as u32).to_be_bytes());
    }
    (out, tags)
}

#[test]
fn trailing_sizes_of_other_writers() {
    for trailer in [
        |_| 0,
        |size| size,
        |size| size + 10,
        |size| size + 15,
        |size: u32| size.wrapping_sub(1),
        |size| (size * 7919) ^ 0x55aa,
    ] {
        let (bytes, tags) = file_with(30, trailer);
        for step in [1, 13, 5000] {
            let (mut read, mut demuxer) = read_all(&bytes, step);
            demuxer.finish();
            read.extend(demuxer.next_tag().unwrap());
            assert_eq!(read, tags);
            assert_eq!(demuxer.skipped(), Skipped::default());
        }
    }
}

#[test]
fn the_last_tag_may_lack_its_size() {
    let (bytes, tags) = file(10);
    for missing in 1..=4 {
        let (mut read, mut demuxer) = read_all(&bytes[..bytes.len() - missing], 64);
        assert_eq!(read, tags[..9]);
        demuxer.finish();
        read.extend(demuxer.next_tag().unwrap());
        assert_eq!(read, tags);
    }
}

#[test]
fn what_stands_before_the_header_is_passed_over() {
    let (bytes, tags) = file(10);
    let id3 = [b"ID3\x04\0\0\0\0\x01\x0a".as_slice(), &[7; 138]].concat();
    for before in [id3.clone(), [id3.clone(), id3].concat(), vec![0; 20]] {
        let bytes = [before, bytes.clone()].concat();
        for step in [1, 50, 5000] {
            assert_eq!(read_all(&bytes, step).0, tags);
        }
    }
}

#[test]
fn files_put_together_are_one_stream_with_two_beginnings() {
    let (bytes, tags) = file(10);
    let (read, demuxer) = read_all(&[&bytes[..], &bytes[..]].concat(), 77);
    assert_eq!(read, [&tags[..], &tags[..]].concat());
    assert_eq!((demuxer.headers(), demuxer.skipped()), (2, Skipped::default()));
}

#[test]
fn stream_numbers_odd_kinds_and_empty_tags() {
    let (mut bytes, mut tags) = file(6);
    tags[2].payload = Bytes::new();
    bytes.truncate(13);
    for (index, tag) in tags.iter().enumerate() {
        let at = bytes.len();
        put_tag(&mut bytes, tag);
        bytes[at + 10] = 1;
        if index == 3 {
            bytes[at] = 15;
        }
    }
    tags.remove(3);
    let (read, demuxer) = read_all(&bytes, 9);
    assert_eq!((read, demuxer.skipped()), (tags, Skipped::default()));
}

#[test]
fn a_damaged_size_costs_its_tag_only() {
    let (bytes, tags) = file(200);
    let third: usize = 13 + tags[..3].iter().map(|tag| tag.payload.len() + 15).sum::<usize>();
    let mut damaged = bytes.clone();
    damaged[third + 1] = 0x7f;
    let (mut read, mut demuxer) = read_all(&damaged, 500);
    assert_eq!(read, tags[..3], "its end is awaited");
    demuxer.finish();
    read.extend(std::iter::from_fn(|| demuxer.next_tag().unwrap()));
    assert_eq!(read, [&tags[..3], &tags[4..]].concat());
    // A live stream has no end to wait for.
    let (more, all) = file(4000);
    let mut damaged = more;
    damaged[third + 1] = 0x7f;
    let (read, demuxer) = read_all(&damaged, 5000);
    assert_eq!(demuxer.skipped().places, 1);
    assert_eq!(read, [&all[..3], &all[4..]].concat());
}

#[test]
fn zeros_over_the_end_of_a_tag_are_damage() {
    let (mut bytes, tags) = file(40);
    let end: usize = 13 + tags[..20].iter().map(|tag| tag.payload.len() + 15).sum::<usize>();
    bytes[end - 30..end + 5].fill(0);
    let (read, _) = read_all(&bytes, 500);
    let odd: Vec<_> = read.iter().filter(|tag| !tags.contains(tag)).collect();
    assert!(odd.is_empty(), "no half tag passes: {odd:?}");
    assert!(read.len() >= 38, "{}", read.len());
}

#[test]
fn the_header_promises_tracks_and_may_lack_its_zero() {
    let (mut bytes, tags) = file(3);
    bytes[4] = 1;
    bytes.drain(9..13);
    let (read, demuxer) = read_all(&bytes, 10);
    assert_eq!(read, tags);
    assert_eq!(demuxer.tracks(), Tracks { audio: false, video: true });
}
