//! The page of `watch` in a real browser: it says what is true, on any screen.

use std::{path::Path, time::Duration};

use flvcast::flv::{Tag, TagKind};
use serde_json::Value;
use tests::{
    Process, Server,
    browser::{Look, Page, wait_for},
    film,
};

const SOON: Duration = Duration::from_secs(20);
/// The page tells the truth within 2 s; machines under load have some more.
const TRUTH: Duration = Duration::from_secs(4);

fn watch(url: &str) -> (Process, String) {
    let arguments = ["watch", "--server", url, "--channel", "cctv", "--http", "127.0.0.1:0"];
    let viewer = Process::start("flvcast", &arguments);
    let page = wait_for(SOON, || {
        let said = viewer.stderr();
        let (_, after) = said.split_once("page: ")?;
        after.split_once(' ').map(|(page, _)| page.to_owned())
    });
    (viewer, page.expect("it says where its page is"))
}

fn cast(url: &str, film: &Path) -> Process {
    let film = film.to_str().unwrap();
    Process::start("flvcast", &["cast", film, "--loop", "--server", url, "--channel", "cctv"])
}

fn text(page: &mut Page, id: &str) -> String {
    let text = page.evaluate(&format!("document.getElementById('{id}').textContent"));
    text.as_str().unwrap_or_default().to_owned()
}

fn wait_for_status(page: &mut Page, patience: Duration, wanted: &str) {
    let found = wait_for(patience, || Some(()).filter(|()| text(page, "status").contains(wanted)));
    assert!(found.is_some(), "'{}' is not '{wanted}'", text(page, "status"));
}

/// The film moves on.
fn wait_for_motion(page: &mut Page) {
    let mut time = || page.evaluate("document.getElementById('film').currentTime").as_f64();
    let begun = wait_for(SOON, || time().filter(|at| *at > 0.2)).expect("the film begins");
    assert!(wait_for(SOON, || time().filter(|at| *at > begun + 2.0)).is_some(), "it goes on");
}

fn write(folder: &Path, name: &str, film: &[Tag]) -> std::path::PathBuf {
    let path = folder.join(name);
    film::write(&path, film);
    path
}

#[test]
fn the_page_says_what_is_true() {
    let folder = tempfile::tempdir().unwrap();
    let film = write(folder.path(), "film.flv", &film::long_film(1));
    let server = Server::start();
    let (_viewer, url) = watch(&server.url);
    let mut page = Page::open(&url);
    wait_for_status(&mut page, SOON, "waiting for a broadcast");
    assert_eq!(page.evaluate("document.getElementById('curtain').hidden"), false);
    page.keep_screenshot("waiting");

    let mut caster = cast(&server.url, &film);
    wait_for_status(&mut page, SOON, "live");
    wait_for_motion(&mut page);
    let stream = text(&mut page, "stream");
    assert!(
        ["H.264", "640 × 360", "AAC", "kbit/s"].iter().all(|word| stream.contains(word)),
        "{stream}"
    );
    assert!(text(&mut page, "delay").ends_with("ms"), "{}", text(&mut page, "delay"));
    looks(&mut page, "live");

    // A second caster of the same channel.
    let second = cast(&server.url, &film);
    let warned =
        wait_for(SOON, || Some(()).filter(|()| text(&mut page, "warning").contains("2 casters")));
    assert!(warned.is_some(), "two casters are told of");
    drop(second);

    caster.kill();
    wait_for_status(&mut page, TRUTH, "silent for");
    page.keep_screenshot("silent");

    let mut caster = cast(&server.url, &film);
    wait_for_status(&mut page, SOON, "live");
    wait_for_motion(&mut page);
    caster.interrupt();
    assert_eq!(caster.wait(SOON), 0, "{}", caster.stderr());
    wait_for_status(&mut page, TRUTH, "ended");

    drop(server);
    wait_for_status(&mut page, Duration::from_secs(60), "server gone");
    page.keep_screenshot("server-gone");
    drop(_viewer);
    wait_for_status(&mut page, TRUTH, "flvcast does not answer");
}

/// Nothing is cut off, on any screen.
fn looks(page: &mut Page, name: &str) {
    for (screen, look) in [("desktop", Look::DESKTOP), ("phone", Look::PHONE)] {
        for (time, look) in [("light", look), ("dark", look.dark())] {
            page.look(look);
            let background =
                |page: &mut Page| page.evaluate("getComputedStyle(document.body).backgroundColor");
            let is_dark = |colour: &Value| colour.as_str() == Some("rgb(14, 19, 24)");
            let colour = background(page);
            assert_eq!(is_dark(&colour), time == "dark", "{colour}");
            std::thread::sleep(Duration::from_millis(300));
            let overflow = page.evaluate(
                "[...document.querySelectorAll('*')].filter((e) => e.getBoundingClientRect().right > innerWidth + 1 && getComputedStyle(e).position !== 'absolute').map((e) => e.tagName + '#' + e.id).join(' ')",
            );
            assert_eq!(overflow, "", "{screen} {time}");
            page.keep_screenshot(&format!("{name}-{screen}-{time}"));
        }
    }
    page.look(Look::DESKTOP);
}

fn plays_alone(kind: TagKind, shows: &str) {
    let folder = tempfile::tempdir().unwrap();
    let film = write(folder.path(), "film.flv", &film::alone(kind, 1));
    let server = Server::start();
    let (_viewer, url) = watch(&server.url);
    let _caster = cast(&server.url, &film);
    let mut page = Page::open(&url);
    wait_for_status(&mut page, SOON, "live");
    wait_for_motion(&mut page);
    assert!(text(&mut page, "stream").contains(shows), "{}", text(&mut page, "stream"));
    page.keep_screenshot(shows);
}

#[test]
fn sound_alone_plays() {
    plays_alone(TagKind::Audio, "AAC");
}

#[test]
fn pictures_alone_play() {
    plays_alone(TagKind::Video, "H.264");
}

#[test]
fn what_no_browser_plays_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let picture = |index: u32| Tag {
        kind: TagKind::Video,
        timestamp: index * 40,
        payload: bytes::Bytes::from(vec![if index.is_multiple_of(25) { 0x12 } else { 0x22 }; 200]),
    };
    let film = write(folder.path(), "film.flv", &(0..100).map(picture).collect::<Vec<_>>());
    let server = Server::start();
    let (_viewer, url) = watch(&server.url);
    let _caster = cast(&server.url, &film);
    let mut page = Page::open(&url);
    let named = wait_for(SOON, || {
        Some(())
            .filter(|()| text(&mut page, "curtain-title").contains("cannot play Sorenson H.263"))
    });
    assert!(named.is_some(), "{}", text(&mut page, "curtain-title"));
    page.keep_screenshot("unplayable");
}
