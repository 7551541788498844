use std::io::Write;

use super::*;
use crate::flv::{Tag, TagKind, Tracks, file_header, put_tag};

const HEADER: &[u8] = &[0x17, 0, 9];

struct Writer {
    _folder: tempfile::TempDir,
    path: PathBuf,
    file: File,
    follow: Follow,
}

fn tag(timestamp: u32, is_key: bool) -> Tag {
    let payload = [&[if is_key { 0x17 } else { 0x27 }, 1][..], &timestamp.to_be_bytes()].concat();
    Tag { kind: TagKind::Video, timestamp, payload: payload.into() }
}

fn bytes_of(tags: &[Tag]) -> Vec<u8> {
    let mut out = Vec::new();
    tags.iter().for_each(|tag| put_tag(&mut out, tag));
    out
}

/// A file with a header, parameters, and pictures up to `until`, a key frame a second.
fn recording(until: u32) -> Vec<u8> {
    let mut out = file_header(Tracks { audio: false, video: true }).to_vec();
    let header = Tag { payload: bytes::Bytes::from_static(HEADER), ..tag(0, true) };
    out.extend(bytes_of(&[header]));
    out.extend(bytes_of(&pictures(0, until)));
    out
}

fn pictures(from: u32, until: u32) -> Vec<Tag> {
    (from..until).step_by(100).map(|at| tag(at, at % 1000 == 0)).collect()
}

impl Writer {
    fn new(bytes: &[u8]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("growing.flv");
        let mut file = File::create(&path).unwrap();
        file.write_all(bytes).unwrap();
        let mut follow = Follow::new(&path, &Cancel::default());
        follow.look = Duration::ZERO;
        Self { _folder: folder, path, file, follow }
    }

    fn write(&mut self, bytes: &[u8]) {
        self.file.write_all(bytes).unwrap();
    }

    /// What comes until nothing does: stamps, and whether it restarts.
    fn read(&mut self) -> Vec<Option<u32>> {
        let (mut found, mut idle) = (Vec::new(), 0);
        while idle < 4 {
            match self.follow.next().unwrap() {
                Piece::Tag(tag) if tag.is_media() => found.push(Some(tag.timestamp)),
                Piece::Tag(_) | Piece::Notice(_) => {}
                Piece::Restart => found.push(None),
                Piece::Nothing | Piece::Rest(_) | Piece::Read(..) => {
                    idle += 1;
                    continue;
                }
                Piece::End => panic!("a growing file has no end"),
            }
            idle = 0;
        }
        found
    }
}

fn stamps(tags: &[Tag]) -> Vec<Option<u32>> {
    tags.iter().map(|tag| Some(tag.timestamp)).collect()
}

#[test]
fn begins_with_the_newest_key_frame_and_the_headers_of_the_beginning() {
    let mut writer = Writer::new(&recording(3500));
    let mut tags = Vec::new();
    while tags.len() < 6 {
        if let Piece::Tag(tag) = writer.follow.next().unwrap() {
            tags.push(tag);
        }
    }
    assert_eq!((&tags[0].payload[..], tags[0].timestamp), (HEADER, 3000));
    assert_eq!(stamps(&tags[1..]), stamps(&pictures(3000, 3500)));
    writer.write(&bytes_of(&pictures(3500, 4000)));
    assert_eq!(writer.read(), stamps(&pictures(3500, 4000)));
}

#[test]
fn tags_come_whole_however_they_are_written() {
    let mut writer = Writer::new(&recording(1000));
    writer.read();
    let mut found = Vec::new();
    for piece in bytes_of(&pictures(1000, 1500)).chunks(9) {
        writer.write(piece);
        found.extend(writer.follow_some());
    }
    found.extend(writer.read());
    assert_eq!(found, stamps(&pictures(1000, 1500)));
}

impl Writer {
    fn follow_some(&mut self) -> Vec<Option<u32>> {
        let pieces = (0..2).map(|_| self.follow.next().unwrap());
        let tags = pieces.filter_map(|piece| match piece {
            Piece::Tag(tag) if tag.is_media() => Some(Some(tag.timestamp)),
            _ => None,
        });
        tags.collect()
    }
}

#[test]
fn zeros_that_stand_for_what_is_to_come_are_waited_for() {
    let mut writer = Writer::new(&recording(1000));
    writer.read();
    let end = writer.path.metadata().unwrap().len();
    writer.file.set_len(end + 10_000).unwrap();
    assert_eq!(writer.read(), []);
    writer.write(&bytes_of(&pictures(1000, 1300)));
    assert_eq!(writer.read(), stamps(&pictures(1000, 1300)));
}

#[test]
fn a_file_cut_short_or_replaced_begins_anew() {
    let mut writer = Writer::new(&recording(2000));
    writer.read();
    writer.file = File::create(&writer.path).unwrap();
    writer.write(&recording(500));
    let expected = [vec![None], stamps(&pictures(0, 500))].concat();
    assert_eq!(writer.read(), expected, "cut short");

    let old = writer.path.with_extension("1.flv");
    std::fs::rename(&writer.path, &old).unwrap();
    writer.write(&bytes_of(&pictures(500, 700)));
    assert_eq!(writer.read(), stamps(&pictures(500, 700)), "the rest of what was moved away");
    writer.file = File::create(&writer.path).unwrap();
    writer.write(&recording(300));
    let expected = [vec![None], stamps(&pictures(0, 300))].concat();
    assert_eq!(writer.read(), expected, "rotated");
}

#[test]
fn a_file_that_is_not_there_yet_is_waited_for_and_a_late_header_too() {
    let mut writer = Writer::new(b"");
    std::fs::remove_file(&writer.path).unwrap();
    assert_eq!(writer.read(), []);
    writer.file = File::create(&writer.path).unwrap();
    writer.write(&recording(300)[..5]);
    assert_eq!(writer.read(), []);
    writer.write(&recording(300)[5..]);
    assert_eq!(writer.read(), stamps(&pictures(0, 300)));
}

/// Room for all of it is made first; then it is written, in pieces that know nothing of tags.
#[test]
fn what_is_written_into_room_made_ahead_comes_whole() {
    for zero_trailers in [false, true] {
        for piece in [7, 100, 4096] {
            let mut bytes = recording(0);
            for tag in pictures(0, 3000) {
                bytes.extend(bytes_of(&[Tag {
                    payload: [&tag.payload[..], &[0; 90]].concat().into(),
                    ..tag
                }]));
                if zero_trailers {
                    let end = bytes.len();
                    bytes[end - 4..].fill(0);
                }
            }
            let mut writer = Writer::new(&[]);
            writer.file.set_len(1 << 20).unwrap();
            let mut found = Vec::new();
            for piece in bytes.chunks(piece) {
                writer.write(piece);
                found.extend(writer.follow_some());
            }
            found.extend(writer.read());
            let mut expected = stamps(&pictures(0, 3000));
            // Where sizes are zero, the tag that follows proves one.
            expected.truncate(if zero_trailers { 29 } else { 30 });
            // What is all there at the first look begins with its newest key frame.
            let newest = if piece < 1000 { 0 } else { 20 };
            assert_eq!(found, expected[newest..], "{zero_trailers} {piece}");
        }
    }
}
