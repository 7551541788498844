//! A channel is pushed onward to a server that takes RTMP.

use std::time::Duration;

use tests::{
    Process,
    browser::wait_for,
    film,
    stage::{Nginx, Stage, timed},
};

const SOON: Duration = Duration::from_secs(40);

#[test]
fn what_is_pushed_arrives_and_a_server_that_is_gone_is_tried_again() {
    let mut stage = Stage::default();
    let film = film::long_film(2);
    let path = stage.film("film.flv", &film);
    let nginx = Nginx::start(stage.folder.path());
    let target = format!("{}/SECRET", nginx.rtmp);
    let mut puller = stage.cast(&[&target]);
    let nobody = format!("rtmp://127.0.0.1:{}/live/SECRET", tests::stage::free_port());
    let place = ["--server", &stage.server.url, "--channel", "pushed"];
    let pushes = ["--push", &target, "--push", &nobody];
    let film_path = path.to_str().unwrap();
    let mut caster =
        Process::start("flvcast", &[&["cast", film_path][..], &place, &pushes].concat());
    let said = |words: &str| {
        let said = wait_for(SOON, || Some(()).filter(|()| caster.stderr().contains(words)));
        assert!(said.is_some(), "not said: {words}; {}", caster.stderr());
    };
    said("pushed to rtmp://127.0.0.1");
    said("cannot push to rtmp://127.0.0.1");
    assert_eq!(caster.wait(SOON), 0, "{}", caster.stderr());
    assert!(!caster.stderr().contains("SECRET"), "{}", caster.stderr());
    std::thread::sleep(Duration::from_secs(2));
    stage.end(&mut puller);
    for watched in stage.watched() {
        let (_, count) = film::check_watched("a watcher", &film, &watched);
        assert!(count * 10 >= timed(&film).len() * 9, "{count} tags");
    }
}
