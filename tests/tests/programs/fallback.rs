//! A viewer whose swarm falls silent sees the stream from elsewhere, and the swarm again.

use std::{collections::BTreeSet, process::Command, time::Duration};

use flvcast::flv::{Tag, TagKind};
use tests::{
    Process, Server, bin,
    browser::wait_for,
    film,
    stage::free_port,
    web::{get, listens},
};

const SOON: Duration = Duration::from_secs(40);

/// Pictures by what is in them.
fn pictures(tags: &[Tag]) -> Vec<bytes::Bytes> {
    let pictures = tags.iter().filter(|tag| tag.kind == TagKind::Video && tag.is_media());
    pictures.map(|tag| tag.payload.clone()).collect()
}

/// Ends all but what stands in: the caster of the swarm.
#[test]
fn the_source_takes_over_and_the_swarm_comes_back() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    film::write(&folder.path().join("film.flv"), &film::distinct(60, 0));
    let server = Server::start();
    // One live source that both have: a caster into a group of its own, watched by HTTP.
    let port = free_port();
    let http = format!("127.0.0.1:{port}");
    let origin = |channel: &str, more: &[&str]| {
        let film = path("film.flv");
        let place = ["--server", &server.url, "--channel", channel];
        Process::start("flvcast", &[&["cast", &film][..], &place, more].concat())
    };
    let _origin = origin("origin", &["--http", &http]);
    let source = format!("http://{http}/origin.flv");
    let live = wait_for(SOON, || {
        Some(()).filter(|()| listens(&http) && get(&http, "/origin.json").json()["state"] == "live")
    });
    assert!(live.is_some());
    let cast = || {
        let place = ["--server", &server.url, "--channel", "cctv"];
        Process::start("flvcast", &[&["cast", &source][..], &place].concat())
    };
    let mut caster = cast();
    let out = path("watched.flv");
    let mut command = Command::new(bin("flvcast"));
    let mut watcher = Process::spawn(command.args([
        "watch",
        "--server",
        &server.url,
        "--channel",
        "cctv",
        "--out",
        &out,
        "--fallback",
        &source,
        "--patience",
        "2s",
        "--for",
        "26s",
    ]));
    let said = |words: &str| {
        let found = wait_for(SOON, || Some(()).filter(|()| watcher.stderr().contains(words)));
        assert!(found.is_some(), "not said: {words}; {}", watcher.stderr());
    };
    let begun = wait_for(SOON, || std::fs::metadata(&out).ok().filter(|file| file.len() > 200_000));
    assert!(begun.is_some(), "it plays from the swarm");
    caster.kill();
    said("the fallback plays meanwhile");
    std::thread::sleep(Duration::from_secs(4));
    let _caster = cast();
    said("the swarm is back");
    assert_eq!(watcher.wait(SOON), 0, "{}", watcher.stderr());

    let watched = pictures(&film::tags(&std::fs::read(&out).unwrap()));
    let distinct: BTreeSet<&bytes::Bytes> = watched.iter().collect();
    assert_eq!(distinct.len(), watched.len(), "no picture twice");
    let all = pictures(&film::tags(&std::fs::read(path("film.flv")).unwrap()));
    let numbers: Vec<usize> = watched
        .iter()
        .map(|picture| all.iter().position(|other| other == picture).expect("it is of the film"))
        .collect();
    assert!(numbers.is_sorted(), "in order");
    let holes = numbers.windows(2).filter(|pair| pair[1] != pair[0] + 1).count();
    assert!(holes <= 1, "{holes} holes: {numbers:?}");
    assert!(watched.len() > 400, "{} pictures", watched.len());
}

#[test]
fn without_a_server_the_source_plays_from_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let film = folder.path().join("film.flv");
    film::write(&film, &film::long_film(2));
    let out = folder.path().join("watched.flv");
    let server = format!("rtmfp://127.0.0.1:{}", free_port());
    let mut watcher = Process::start(
        "flvcast",
        &[
            "watch",
            "--server",
            &server,
            "--channel",
            "cctv",
            "--out",
            out.to_str().unwrap(),
            "--fallback",
            film.to_str().unwrap(),
            "--patience",
            "1s",
            "--for",
            "7s",
        ],
    );
    // That the server never answered is an error; what was shown is kept.
    assert_eq!(watcher.wait(SOON), 1, "{}", watcher.stderr());
    assert!(pictures(&film::tags(&std::fs::read(&out).unwrap())).len() > 80);
}
