//! One caster, eight viewers, one of them killed, one late, and a three-megabyte key frame.

use std::{
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use flvcast::flv::Tag;
use tests::{Process, Server, browser::wait_for, film};

const WATCHERS: usize = 8;

fn watch(server: &Server, out: &Path) -> Process {
    let out = out.to_str().unwrap();
    Process::start(
        "flvcast",
        &["watch", "--server", &server.url, "--channel", "film", "--once", "--out", out],
    )
}

fn read(path: &Path) -> Vec<Tag> {
    film::tags(&std::fs::read(path).unwrap())
}

/// "sent 9.1 MB to the swarm (3.92 times the stream)"
fn last_ratio(stderr: &str) -> f64 {
    let line = stderr
        .lines()
        .rev()
        .find(|line| line.contains("times the stream"))
        .expect("the caster reports");
    let (before, _) = line.split_once(" times the stream").unwrap();
    before.rsplit('(').next().unwrap().parse().unwrap()
}

#[test]
fn every_tag_reaches_every_viewer() {
    let dir = tempfile::tempdir().unwrap();
    let source = dir.path().join("source.flv");
    let mut film = film::long_film(4);
    film::enlarge_key_frame(&mut film, 20_000, 3 << 20);
    film::write(&source, &film);

    let server = Server::start();
    let outs: Vec<PathBuf> =
        (0..WATCHERS).map(|index| dir.path().join(format!("{index}.flv"))).collect();
    let mut watchers: Vec<Process> = outs.iter().map(|out| watch(&server, out)).collect();
    let source = source.to_str().unwrap();
    let mut caster =
        Process::start("flvcast", &["cast", source, "--server", &server.url, "--channel", "film"]);
    let started = Instant::now();

    std::thread::sleep(Duration::from_secs(12));
    watchers[0].kill();
    let late_out = dir.path().join("late.flv");
    let joined = Instant::now();
    let mut late = watch(&server, &late_out);
    let has_picture =
        || late_out.metadata().ok().filter(|file| file.len() > 1000).map(|_| joined.elapsed());
    let picture_after =
        wait_for(Duration::from_secs(10), has_picture).expect("a late viewer sees something");
    assert!(
        picture_after < Duration::from_secs(3),
        "the late viewer's picture took {picture_after:?}"
    );

    assert_eq!(caster.wait(Duration::from_secs(60)), 0, "{}", caster.stderr());
    assert!(started.elapsed() > Duration::from_secs(39), "the film takes 40 s");
    for watcher in watchers[1..].iter_mut().chain([&mut late]) {
        assert_eq!(watcher.wait(Duration::from_secs(20)), 0, "{}", watcher.stderr());
    }
    let media = film.iter().filter(|tag| tag.is_media()).count();
    for out in &outs[1..] {
        let (start, count) = film::check_watched(&out.display().to_string(), &film, &read(out));
        assert_eq!(start + count, media, "{} has the film to its end", out.display());
        assert!(count * 40 > media * 35, "{} has {count} of {media} tags", out.display());
    }
    film::check_watched("the killed viewer", &film, &read(&outs[0]));
    let (start, count) = film::check_watched("the late viewer", &film, &read(&late_out));
    assert_eq!(start + count, media);
    let ratio = last_ratio(&caster.stderr());
    assert!(ratio <= 6.0, "the caster sent {ratio} times the stream to {WATCHERS} viewers");
    println!("late picture after {picture_after:?}; the caster sent {ratio} times the stream");
}
