//! Whatever is wrong, there is one clear line and the right exit code, and nothing half-done.

use std::{path::Path, time::Duration};

use tests::{Process, Server, browser::wait_for, film};

const SOON: Duration = Duration::from_secs(25);

/// Runs `flvcast`; its exit code and standard error.
fn flvcast(arguments: &[&str]) -> (i32, String) {
    let mut process = Process::start("flvcast", arguments);
    (process.wait(SOON), process.stderr())
}

fn assert_fails(arguments: &[&str], words: &[&str]) {
    let (code, stderr) = flvcast(arguments);
    assert_eq!(code, 1, "{arguments:?}: {stderr}");
    let last = stderr.lines().last().unwrap_or_default();
    assert!(last.starts_with("flvcast: "), "{stderr}");
    assert!(words.iter().all(|word| last.contains(word)), "{last:?} lacks one of {words:?}");
}

fn cast_arguments<'a>(file: &'a Path, url: &'a str) -> Vec<&'a str> {
    vec!["cast", file.to_str().unwrap(), "--server", url, "--channel", "x"]
}

#[test]
fn files_that_are_no_films() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start();
    let file = dir.path().join("film.flv");
    assert_fails(&cast_arguments(&file, &server.url), &["cannot read", "film.flv"]);
    std::fs::write(&file, b"\x00\x00\x00\x20ftypisom and so on").unwrap();
    assert_fails(&cast_arguments(&file, &server.url), &["not an FLV", "ffmpeg"]);
    std::fs::write(&file, b"").unwrap();
    assert_fails(&cast_arguments(&file, &server.url), &["no whole FLV tag"]);
    std::fs::write(&file, &film::SAMPLE[..20]).unwrap();
    assert_fails(&cast_arguments(&file, &server.url), &["no whole FLV tag"]);
}

/// Casts `bytes` to one viewer; the caster's words and what the viewer got.
fn cast_damaged(bytes: &[u8]) -> (String, Vec<flvcast::flv::Tag>) {
    let dir = tempfile::tempdir().unwrap();
    let (file, out) = (dir.path().join("film.flv"), dir.path().join("out.flv"));
    std::fs::write(&file, bytes).unwrap();
    let server = Server::start();
    let out_text = out.to_str().unwrap();
    let mut viewer = Process::start(
        "flvcast",
        &["watch", "--server", &server.url, "--channel", "x", "--once", "--out", out_text],
    );
    let (code, stderr) = flvcast(&cast_arguments(&file, &server.url));
    assert_eq!(code, 0, "{stderr}");
    assert_eq!(viewer.wait(SOON), 0, "{}", viewer.stderr());
    (stderr, film::tags(&std::fs::read(out).unwrap()))
}

#[test]
fn a_truncated_film_is_cast_to_its_last_whole_tag() {
    let bytes = &film::SAMPLE[..200_000];
    let (stderr, watched) = cast_damaged(bytes);
    assert!(stderr.contains("ends in the middle of a tag"), "{stderr}");
    let (_, count) = film::check_watched("the viewer", &film::tags(bytes), &watched);
    assert!(count > 100);
}

#[test]
fn damage_in_the_middle_costs_the_damaged_tags_only() {
    let mut bytes = film::SAMPLE[..200_000].to_vec();
    // From the beginning of a tag on: damage within a payload is not to be seen.
    let tags = film::tags(&bytes);
    let at: usize =
        13 + tags[..tags.len() / 2].iter().map(|tag| 15 + tag.payload.len()).sum::<usize>();
    bytes[at..at + 700].fill(0x5a);
    let (stderr, watched) = cast_damaged(&bytes);
    assert!(stderr.contains("damaged in 1 place(s)"), "{stderr}");
    film::check_watched("the viewer", &film::tags(&bytes), &watched);
}

#[test]
fn servers_that_are_not_there_are_tried_on_and_said_once() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("out.flv");
    let watch = |url, time| {
        let out = out.to_str().unwrap();
        flvcast(&["watch", "--server", url, "--channel", "x", "--out", out, "--for", time])
    };
    let (code, stderr) = watch("rtmfp://127.0.0.1:9", "13s");
    assert_eq!(code, 1);
    assert_eq!(stderr.matches("no answer from rtmfp://127.0.0.1:9").count(), 1, "{stderr}");
    assert!(stderr.lines().last().unwrap().contains("no connection to"), "{stderr}");
    let (code, stderr) = watch("rtmfp://no.such.host.invalid", "7s");
    assert_eq!(code, 1);
    assert_eq!(stderr.matches("cannot resolve").count(), 1, "{stderr}");
    assert!(!out.exists(), "nothing is left behind");
}

#[test]
fn a_server_that_is_late_or_comes_back_is_found() {
    let dir = tempfile::tempdir().unwrap();
    let (film, out) = (dir.path().join("film.flv"), dir.path().join("out.flv"));
    film::write(&film, &film::long_film(1));
    let port = std::net::UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let url = format!("rtmfp://127.0.0.1:{port}");
    let out_text = out.to_str().unwrap();
    let arguments = ["watch", "--server", &url, "--channel", "x", "--once", "--out", out_text];
    let mut viewer = Process::start("flvcast", &arguments);
    std::thread::sleep(Duration::from_secs(2));
    let address = format!("127.0.0.1:{port}");
    let _server = Process::start("rtmfpd", &["--listen", &address]);
    let mut caster = Process::start("flvcast", &cast_arguments(&film, &url));
    assert_eq!(caster.wait(Duration::from_secs(40)), 0, "{}", caster.stderr());
    assert_eq!(viewer.wait(SOON), 0, "{}", viewer.stderr());
    film::check_watched(
        "the viewer",
        &film::long_film(1),
        &film::tags(&std::fs::read(out).unwrap()),
    );
}

#[test]
fn a_pin_that_does_not_match_says_so() {
    let server = Server::start_with(|command| command.arg("--static-keys"));
    let url = format!("{}#fingerprint={}", server.url, "0a".repeat(32));
    let arguments = ["watch", "--server", &url, "--channel", "x"];
    assert_fails(&arguments, &["is not the server that was asked for", "its fingerprint is"]);
}

#[test]
fn what_was_there_is_neither_emptied_nor_removed() {
    let dir = tempfile::tempdir().unwrap();
    let old = dir.path().join("yesterday.flv");
    std::fs::write(&old, "a recording").unwrap();
    let link = dir.path().join("link.flv");
    std::os::unix::fs::symlink(&old, &link).unwrap();
    let server = Server::start();
    for path in [&old, &link] {
        let out = path.to_str().unwrap();
        let watch =
            ["watch", "--server", &server.url, "--channel", "x", "--for", "2s", "--out", out];
        assert_fails(&watch, &["exists", "--overwrite"]);
        let nobody = [&watch[..], &["--overwrite"]].concat();
        assert_fails(&nobody, &["nobody cast"]);
        assert_eq!(std::fs::read(path).unwrap(), b"a recording");
    }
}

#[test]
fn ports_in_use() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let http = taken.local_addr().unwrap().to_string();
    assert_fails(&["demo", "--http", &http], &["cannot serve HTTP", &http, "--http"]);
    let server = Server::start();
    let address = server.address().to_string();
    let mut second = Process::start("rtmfpd", &["--listen", &address]);
    assert_eq!(second.wait(SOON), 1);
    assert!(second.stderr().contains("cannot listen on") && second.stderr().contains("--listen"));
}

#[test]
fn a_channel_nobody_casts() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("out.flv");
    let server = Server::start();
    let out_text = out.to_str().unwrap();
    let arguments = [
        "watch",
        "--server",
        &server.url,
        "--channel",
        "silence",
        "--out",
        out_text,
        "--for",
        "2s",
    ];
    assert_fails(&arguments, &["nobody cast 'silence' in 2s"]);
    assert!(!out.exists(), "nothing is left behind");
}

#[test]
fn a_full_disk_ends_the_recording_and_serving_goes_on() {
    let server = Server::start();
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("film.flv");
    std::fs::write(&file, film::SAMPLE).unwrap();
    let _caster = Process::start("flvcast", &cast_arguments(&file, &server.url));
    let arguments = ["watch", "--server", &server.url, "--channel", "x", "--out", "/dev/full"];
    assert_fails(&arguments, &["cannot write /dev/full", "No space left"]);
    let serving = [&arguments[..], &["--http", "127.0.0.1:0"]].concat();
    let mut viewer = Process::start("flvcast", &serving);
    let told = wait_for(SOON, || Some(()).filter(|()| viewer.stderr().contains("served on")));
    assert!(told.is_some(), "{}", viewer.stderr());
    let said = viewer.stderr();
    let film = said.split_once("film: ").unwrap().1.split_whitespace().next().unwrap();
    let mut ffmpeg = Process::spawn(
        std::process::Command::new("ffmpeg")
            .args(["-v", "error", "-t", "1", "-i", film, "-f", "null", "-"]),
    );
    assert_eq!(ffmpeg.wait(SOON), 0, "{}", ffmpeg.stderr());
    viewer.interrupt();
    assert_eq!(viewer.wait(SOON), 1, "what was lost is not forgotten");
}

#[test]
fn a_pipe_that_nobody_reads_does_not_hold_up_the_end() {
    let server = Server::start();
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("film.flv");
    std::fs::write(&file, film::SAMPLE).unwrap();
    let _caster = Process::start("flvcast", &cast_arguments(&file, &server.url));
    let mut viewer = std::process::Command::new(tests::bin("flvcast"))
        .args(["watch", "--server", &server.url, "--channel", "x", "--out", "-"])
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    std::thread::sleep(Duration::from_secs(6));
    let _ = std::process::Command::new("kill").args(["-INT", &viewer.id().to_string()]).status();
    let ended = wait_for(Duration::from_secs(8), || viewer.try_wait().unwrap());
    let _ = viewer.kill();
    assert!(ended.is_some(), "it ends though its pipe is full");
}

#[test]
fn wrong_usage_is_code_2() {
    for arguments in [
        &["cast"][..],
        &["watch", "--server", "http://x", "--channel", "y"],
        &["demo", "--for", "soon"],
    ] {
        assert_eq!(flvcast(arguments).0, 2, "{arguments:?}");
    }
}
