//! A channel in two qualities: who gets too little of the one watches the other meanwhile.

use std::{collections::BTreeSet, time::Duration};

use flvcast::flv::TagKind;
use tests::{Process, Server, browser::wait_for, film};

const SOON: Duration = Duration::from_secs(60);

#[test]
fn a_lower_quality_is_watched_while_the_better_one_does_not_arrive() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    film::write(&folder.path().join("high.flv"), &film::distinct(120, 1));
    film::write(&folder.path().join("low.flv"), &film::distinct(120, 2));
    let server = Server::start();
    let place = |channel| ["--server", &server.url, "--channel", channel];
    let high = || {
        let (film, qualities) = (path("high.flv"), ["--qualities", "news-low"]);
        Process::start("flvcast", &[&["cast", &film][..], &place("news"), &qualities].concat())
    };
    let _low =
        Process::start("flvcast", &[&["cast", &path("low.flv")][..], &place("news-low")].concat());
    let mut first = high();
    let out = path("watched.flv");
    let watch = [&["watch", "--out", &out][..], &place("news")].concat();
    let mut watcher = Process::start("flvcast", &watch);
    let said = |words: &str| {
        let found = wait_for(SOON, || Some(()).filter(|()| watcher.stderr().contains(words)));
        assert!(found.is_some(), "not said: {words}; {}", watcher.stderr());
    };
    let begun = wait_for(SOON, || std::fs::metadata(&out).ok().filter(|file| file.len() > 200_000));
    assert!(begun.is_some(), "it plays");
    first.kill();
    said("'news-low' is watched meanwhile");
    let second = high();
    said("'news' arrives again");
    std::thread::sleep(Duration::from_secs(2));
    // An end is none as long as the lower one goes on.
    second.signal("INT");
    let twice = || watcher.stderr().matches("'news-low' is watched meanwhile").count() == 2;
    assert!(wait_for(SOON, || Some(()).filter(|()| twice())).is_some(), "{}", watcher.stderr());
    std::thread::sleep(Duration::from_secs(2));
    watcher.signal("INT");
    assert_eq!(watcher.wait(SOON), 0, "{}", watcher.stderr());

    let tags = film::tags(&std::fs::read(&out).unwrap());
    let pictures: Vec<_> =
        tags.iter().filter(|tag| tag.kind == TagKind::Video && tag.is_media()).collect();
    let qualities: Vec<u8> = pictures.iter().map(|tag| film::variant(tag)).collect();
    let mut order = qualities.clone();
    order.dedup();
    assert_eq!(order, [1, 2, 1, 2]);
    let low: Vec<_> = pictures.iter().filter(|tag| film::variant(tag) == 2).collect();
    let distinct: BTreeSet<_> = low.iter().map(|tag| tag.payload.clone()).collect();
    assert_eq!(distinct.len(), low.len(), "no picture twice");
    let back = qualities.windows(2).position(|pair| pair == [2, 1]).unwrap();
    assert!(pictures[back + 1].is_key_frame());
    let step = pictures[back + 1].timestamp - pictures[back].timestamp;
    assert!(step <= 200, "nothing is missing where the better one takes over: {step} ms");
}
