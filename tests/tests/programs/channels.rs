//! Twenty channels at once, each with a caster and a watcher.

use std::{path::PathBuf, time::Duration};

use flvcast::flv::Tag;
use tests::{Process, Server, film, stage::timed};

const CHANNELS: usize = 20;

#[test]
fn each_watcher_gets_its_own_channel_whole() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start();
    // Each film differs from all others in every payload.
    let films: Vec<Vec<Tag>> = (0..CHANNELS)
        .map(|channel| {
            let mut film = film::long_film(1);
            for tag in film.iter_mut().filter(|tag| tag.is_media()) {
                tag.payload = [&tag.payload[..], &[channel as u8]].concat().into();
            }
            film
        })
        .collect();
    let out = |channel: usize| -> PathBuf { folder.path().join(format!("{channel}.out.flv")) };
    let start = |channel: usize, what: &[&str]| {
        let name = format!("channel {channel}");
        let place = ["--server", &server.url, "--channel", &name];
        Process::start("flvcast", &[what, &place].concat())
    };
    let mut watchers: Vec<Process> = (0..CHANNELS)
        .map(|channel| {
            start(channel, &["watch", "--once", "--out", out(channel).to_str().unwrap()])
        })
        .collect();
    let mut casters: Vec<Process> = films
        .iter()
        .enumerate()
        .map(|(channel, film)| {
            let path = folder.path().join(format!("{channel}.flv"));
            film::write(&path, film);
            start(channel, &["cast", path.to_str().unwrap()])
        })
        .collect();
    for process in casters.iter_mut().chain(&mut watchers) {
        assert_eq!(process.wait(Duration::from_secs(60)), 0, "{}", process.stderr());
    }
    for (channel, film) in films.iter().enumerate() {
        let watched = film::tags(&std::fs::read(out(channel)).unwrap());
        assert!(timed(film) == timed(&watched), "channel {channel}");
    }
}
