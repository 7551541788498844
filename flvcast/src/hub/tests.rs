use bytes::Bytes;

use super::*;
use crate::flv::{Demuxer, Tag, TagKind};

/// Pictures of `size` bytes, 25 a second and a key frame each.
struct Film {
    programme: Programme,
    hub: Hub,
    time: u64,
}

impl Film {
    fn new() -> Self {
        let mut film =
            Self { programme: Programme::default(), hub: Hub::new(Memory::LIVE), time: 0 };
        film.programme.begin(true);
        film
    }

    fn push(&mut self, first: u8, size: usize) {
        let payload = Bytes::from([&[first, 5][..], &vec![7; size]].concat());
        let tag = Tag { kind: TagKind::Video, timestamp: self.time as u32, payload };
        self.programme.push(tag, Duration::from_millis(self.time));
        self.hub.take(&mut self.programme);
        self.time += 40;
    }

    fn run(&mut self, seconds: u64, every: u64, size: usize) {
        for at in 0..seconds * 25 {
            self.push(if at % every == 0 { 0x12 } else { 0x22 }, size);
        }
    }
}

fn tags(viewer: &mut Viewer) -> (Vec<Tag>, Taken) {
    let mut demuxer = Demuxer::default();
    let taken = loop {
        let mut out = Vec::new();
        let taken = viewer.take(1 << 16, &mut out);
        out.iter().for_each(|bytes| demuxer.push(bytes));
        if taken != Taken::More {
            break taken;
        }
    };
    (std::iter::from_fn(|| demuxer.next_tag().unwrap()).collect(), taken)
}

#[test]
fn newcomers_begin_with_the_latest_group_of_pictures_at_zero() {
    let mut film = Film::new();
    film.run(7, 50, 100);
    let mut viewer = film.hub.join();
    let (tags, taken) = tags(&mut viewer);
    assert_eq!((tags.len(), taken), (25, Taken::UpToDate));
    assert_eq!((tags[0].timestamp, tags[24].timestamp), (0, 960));
    assert!(tags[0].is_key_frame());
    film.hub.close();
    assert_eq!(viewer.take(1000, &mut Vec::new()), Taken::Over);
}

#[test]
fn who_waits_begins_with_what_comes() {
    let mut film = Film::new();
    let mut viewer = film.hub.join();
    assert_eq!(viewer.take(1000, &mut Vec::new()), Taken::UpToDate);
    film.run(3, 25, 100);
    assert_eq!(tags(&mut viewer).0.len(), 75);
}

#[test]
fn a_viewer_that_stops_reading_is_let_go_and_memory_stays_bounded() {
    let mut film = Film::new();
    film.run(2, 25, 40_000);
    let mut viewers: Vec<Viewer> = (0..10).map(|_| film.hub.join()).collect();
    viewers.iter_mut().for_each(|viewer| assert!(!tags(viewer).0.is_empty()));
    film.run(60, 25, 40_000);
    assert!(viewers.iter().all(|viewer| viewer.place().is_lost()));
    assert_eq!(viewers[0].take(1000, &mut Vec::new()), Taken::Lagged);
    let ring = film.hub.shared.lock();
    assert!(ring.bytes < 12 << 20, "{} bytes for 8 s of 8 Mbit/s", ring.bytes);
}

#[test]
fn a_large_group_of_pictures_is_kept_whole() {
    let mut film = Film::new();
    film.run(10, 1000, 100_000);
    assert_eq!(tags(&mut film.hub.join()).0.len(), 250, "25 MB, 10 s");
    film.run(60, 2000, 100_000);
    let ring = film.hub.shared.lock();
    assert!(ring.bytes <= MAX_GROUP_BYTES, "without end it is not");
}

#[test]
fn the_header_promises_what_there_is() {
    let mut film = Film::new();
    film.run(2, 25, 100);
    let mut out = Vec::new();
    film.hub.join().take(1000, &mut out);
    assert_eq!(out[0][4], 1, "pictures alone");
}

#[test]
fn who_watches_from_behind_stays_there_and_gets_a_little_in_advance() {
    let mut film = Film { hub: Hub::new(Memory::REPLAY), ..Film::new() };
    film.run(60, 50, 100);
    let mut viewer = film.hub.join_behind(Duration::from_secs(30));
    let (tags, taken) = tags(&mut viewer);
    assert_eq!(taken, Taken::Early);
    assert_eq!(tags[0].timestamp, 0);
    let last = tags.last().unwrap().timestamp;
    assert!((10_000..11_000).contains(&last), "{last} ms of the thirty");
    assert!(!viewer.place().is_lost(), "it may be as far behind as it likes");
    let all = film.hub.join_behind(Duration::MAX).take(usize::MAX, &mut Vec::new());
    assert_eq!(all, Taken::Early, "as far as it is kept");
    assert!(film.hub.kept() >= Duration::from_secs(57));
}

#[test]
fn a_disk_that_stalls_loses_nothing_that_is_kept() {
    let mut film = Film { hub: Hub::new(Memory::REPLAY), ..Film::new() };
    let (mut patient, mut live) = (film.hub.join_patiently(), film.hub.join());
    film.run(2, 25, 100);
    assert_eq!([tags(&mut patient).0.len(), tags(&mut live).0.len()], [50, 50]);
    film.run(60, 25, 100);
    assert_eq!(live.take(1000, &mut Vec::new()), Taken::Lagged);
    let mut rest = Vec::new();
    assert_eq!(patient.take(usize::MAX, &mut rest), Taken::UpToDate);
    let bytes: usize = rest.iter().map(Bytes::len).sum();
    assert_eq!(bytes, 60 * 25 * (11 + 102 + 4), "every tag");
}
