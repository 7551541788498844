use rand::{RngExt, SeedableRng, rngs::StdRng};

use super::*;
use crate::{
    flv::{Demuxer, Tag, TagKind},
    hub::Memory,
    programme::Programme,
    source::{Cancel, Piece, Recording as Kept, ReplayFrom, SourceSpec},
};

/// A channel that shows a film of pictures and sounds, a key frame a second.
struct Show {
    hub: Hub,
    programme: Programme,
    shown: Vec<Tag>,
    time: u32,
}

impl Show {
    fn new() -> Self {
        let mut show = Self {
            hub: Hub::new(Memory::REPLAY),
            programme: Programme::default(),
            shown: Vec::new(),
            time: 0,
        };
        show.programme.begin(true);
        show
    }

    fn push(&mut self, kind: TagKind, payload: Vec<u8>) {
        let tag = Tag { kind, timestamp: self.time, payload: payload.into() };
        self.programme.push(tag.clone(), Duration::from_millis(self.time.into()));
        self.hub.take(&mut self.programme);
        self.shown.push(tag);
    }

    fn run(&mut self, seconds: u32) {
        for at in 0..seconds * 25 {
            let first = if at.is_multiple_of(25) { 0x12 } else { 0x22 };
            let size = 50 + (at as usize * 37) % 400;
            self.push(TagKind::Video, [&[first][..], &vec![at as u8; size]].concat());
            self.push(TagKind::Audio, vec![0x2f, at as u8, 1, 2, 3]);
            self.time += 40;
        }
    }
}

fn recorded(folder: &std::path::Path, show: &Show, segment: Duration) -> Shelf {
    let recorder = Recorder::start(Journal::default()).unwrap();
    let config = RecordConfig { segment, ..RecordConfig::new(folder.to_owned()) };
    recorder.add("news", &show.hub, config);
    drop(recorder);
    Shelf::of_channel(folder, "news")
}

/// What a replay gives.
fn replayed(shelf: &Shelf, from: ReplayFrom) -> Vec<Tag> {
    let spec = SourceSpec::Recording(Kept { folder: shelf.folder().to_owned(), from });
    let mut opened = spec.open(&Cancel::default()).unwrap();
    let mut tags = Vec::new();
    loop {
        match opened.source.next().unwrap() {
            Piece::Tag(tag) if tag.kind != TagKind::Script => tags.push(tag),
            Piece::End => return tags,
            _ => {}
        }
    }
}

fn payloads(tags: &[Tag]) -> Vec<(TagKind, bytes::Bytes)> {
    tags.iter().map(|tag| (tag.kind, tag.payload.clone())).collect()
}

#[test]
fn what_was_shown_is_replayed_tag_for_tag() {
    let folder = tempfile::tempdir().unwrap();
    let mut show = Show::new();
    show.run(35);
    let shelf = recorded(folder.path(), &show, Duration::from_secs(10));
    let list = shelf.list();
    let lengths: Vec<u64> = list.iter().map(|saved| saved.duration_ms.div_ceil(1000)).collect();
    assert_eq!(lengths, [10, 10, 10, 5]);
    assert_eq!(payloads(&replayed(&shelf, ReplayFrom::Start)), payloads(&show.shown));
    let later = replayed(&shelf, ReplayFrom::After(Duration::from_millis(12_300)));
    let at = 12 * 50;
    assert_eq!(payloads(&later), payloads(&show.shown[at..]), "from the key frame before");
    assert!(later[0].is_key_frame());
}

#[test]
fn files_say_how_long_they_are() {
    let folder = tempfile::tempdir().unwrap();
    let mut show = Show::new();
    show.run(4);
    let shelf = recorded(folder.path(), &show, Duration::from_secs(60));
    let opened = shelf.open(&shelf.list()[0].name, Duration::ZERO).unwrap();
    let mut demuxer = Demuxer::default();
    demuxer.push(&std::fs::read(&opened.path).unwrap());
    let first = demuxer.next_tag().unwrap().unwrap();
    assert_eq!(crate::flv::metadata::number(&first.payload, "duration"), Some(3.96));
    assert_eq!(demuxer.tracks(), crate::flv::Tracks::BOTH);
}

/// A kill leaves a file and its index each cut anywhere.
#[test]
fn a_kill_at_any_byte_costs_the_last_tag_at_most() {
    let folder = tempfile::tempdir().unwrap();
    let mut show = Show::new();
    show.run(20);
    let shelf = recorded(folder.path(), &show, Duration::from_secs(60));
    let opened = shelf.open(&shelf.list()[0].name, Duration::ZERO).unwrap();
    let (path, index) = (opened.path.clone(), opened.path.with_extension("index"));
    let (film, lines) = (std::fs::read(&path).unwrap(), std::fs::read(&index).unwrap());
    let headers = opened.first.unwrap().offset as usize;
    let mut rng = StdRng::seed_from_u64(5);
    for _ in 0..200 {
        let cut = rng.random_range(headers..=film.len());
        std::fs::write(&path, &film[..cut]).unwrap();
        // Also: an index that knows more than the file, one that is missing, and one of rubbish.
        match rng.random_range(0..4) {
            0 => std::fs::write(&index, &lines[..rng.random_range(0..=lines.len())]).unwrap(),
            1 => std::fs::write(&index, &lines).unwrap(),
            2 => std::fs::write(&index, b"12 9999999\nrubbish\n").unwrap(),
            _ => std::fs::remove_file(&index).unwrap_or_default(),
        }
        let mut whole = Demuxer::default();
        whole.push(&film[..cut]);
        let mut expected: Vec<Tag> = std::iter::from_fn(|| whole.next_tag().unwrap()).collect();
        expected.retain(|tag| tag.kind != TagKind::Script);
        let shelf = Shelf::new(shelf.folder().to_owned());
        let got =
            if expected.is_empty() { Vec::new() } else { replayed(&shelf, ReplayFrom::Start) };
        assert!(got.len() + 1 >= expected.len(), "{} of {}", got.len(), expected.len());
        assert_eq!(payloads(&got), payloads(&expected[..got.len()]));
    }
}

#[test]
fn the_oldest_go_when_space_is_short_and_numbers_go_on() {
    let folder = tempfile::tempdir().unwrap();
    let mut show = Show::new();
    show.run(50);
    let shelf = recorded(folder.path(), &show, Duration::from_secs(10));
    let total: u64 = shelf.list().iter().map(|saved| saved.bytes).sum();
    shelf.make_room(total / 2);
    let left = shelf.list();
    assert!((2..=3).contains(&left.len()), "{}", left.len());
    assert!(left[0].name.starts_with("00000"), "{}", left[0].name);
    shelf.make_room(1);
    assert_eq!(shelf.list().len(), 1, "the newest stays");
    // A clock that was set back puts nothing before what is there.
    let (name, ..) = shelf.next(SystemTime::UNIX_EPOCH).unwrap();
    assert_eq!(name, "000006-19700101T000000Z");
}

#[test]
fn a_folder_that_cannot_be_written_is_told_of_and_tried_again() {
    let folder = tempfile::tempdir().unwrap();
    // Where the folder is to be is a file.
    std::fs::write(folder.path().join("news"), b"in the way").unwrap();
    let mut show = Show::new();
    show.run(3);
    let journal = Journal::default();
    let recorder = Recorder::start(journal.clone()).unwrap();
    let config = RecordConfig::new(folder.path().to_owned());
    let (_, state) = recorder.add("news", &show.hub, config);
    drop(recorder);
    let trouble = state.lock().unwrap().trouble.clone().unwrap();
    assert!(trouble.contains("cannot write into"), "{trouble}");
    assert_eq!(journal.since(0).len(), 1, "said once");
}

#[test]
fn other_parameters_begin_another_file() {
    let folder = tempfile::tempdir().unwrap();
    let mut show = Show::new();
    for parameters in [1, 2] {
        show.push(TagKind::Video, vec![0x17, 0, 0, 0, 0, parameters]);
        for at in 0..60 {
            let first = if at == 0 { 0x17 } else { 0x27 };
            show.push(TagKind::Video, vec![first, 1, 0, 0, 0, parameters, at]);
            show.push(TagKind::Audio, vec![0x2f, at, parameters]);
            show.time += 40;
        }
    }
    let shelf = recorded(folder.path(), &show, Duration::from_secs(60));
    assert_eq!(shelf.list().len(), 2);
    let second = replayed(&shelf, ReplayFrom::After(Duration::from_secs(3)));
    assert_eq!(second[0].payload[5], 2, "its own parameters come first");
    assert!(second.iter().filter(|tag| tag.kind == TagKind::Video).all(|tag| tag.payload[5] == 2));
}

#[test]
fn sizes_as_people_write_them() {
    assert_eq!(size("20G"), Ok(20_000_000_000));
    assert_eq!(size("1.5 M"), Ok(1_500_000));
    for wrong in ["", "G", "-1G", "many", "0", "1e30"] {
        assert!(size(wrong).is_err(), "{wrong}");
    }
}
