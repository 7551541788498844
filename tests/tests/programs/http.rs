//! The film over HTTP: as players ask for it, and as those behave who mean no good.

use std::{
    io::{Read, Write},
    net::TcpStream,
    path::Path,
    time::{Duration, Instant},
};

use flvcast::flv::{Tag, TagKind};
use tests::{Process, Server, browser::wait_for, film};

const SOON: Duration = Duration::from_secs(20);

struct Show {
    _server: Server,
    _caster: Process,
    viewer: Process,
    address: String,
}

fn show(film: &Path, more: &[&str]) -> Show {
    let server = Server::start();
    let place = ["--server", &server.url, "--channel", "cctv"];
    let watch = [&["watch", "--http", "127.0.0.1:0"], &place[..], more].concat();
    let viewer = Process::start("flvcast", &watch);
    let cast = [&["cast", film.to_str().unwrap(), "--loop"], &place[..]].concat();
    let caster = Process::start("flvcast", &cast);
    let address = wait_for(SOON, || {
        let said = viewer.stderr();
        let (_, after) = said.split_once("page: http://")?;
        after.split_once('/').map(|(address, _)| address.to_owned())
    });
    let address = address.expect("it says where its page is");
    // Until there is something to see.
    let begins = wait_for(SOON, || {
        let mut stream = ask(&address, "GET /cctv.flv HTTP/1.0");
        let mut bytes = [0; 200];
        stream.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
        stream.read_exact(&mut bytes).ok()
    });
    assert!(begins.is_some(), "nothing is to be seen");
    Show { _server: server, _caster: caster, viewer, address }
}

fn ask(address: &str, request: &str) -> TcpStream {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(SOON)).unwrap();
    write!(stream, "{request}\r\nHost: x\r\n\r\n").unwrap();
    stream
}

/// The answer's head, and what of its body came with it.
fn head(stream: &mut TcpStream) -> (String, Vec<u8>) {
    let mut bytes = Vec::new();
    let mut chunk = [0; 1024];
    loop {
        let count = stream.read(&mut chunk).unwrap_or(0);
        bytes.extend_from_slice(&chunk[..count]);
        if let Some(at) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            let body = bytes.split_off(at + 4);
            return (String::from_utf8_lossy(&bytes).to_ascii_lowercase(), body);
        }
        assert!(count > 0, "no answer");
    }
}

#[test]
fn players_ask_in_many_ways() {
    let folder = tempfile::tempdir().unwrap();
    let film = folder.path().join("film.flv");
    std::fs::write(&film, film::SAMPLE).unwrap();
    let show = show(&film, &["--max-viewers-per-address", "2"]);
    let (answer, _) = head(&mut ask(&show.address, "HEAD /cctv.flv HTTP/1.1"));
    assert!(answer.starts_with("http/1.1 200") && answer.contains("video/x-flv"), "{answer}");
    let (answer, _) = head(&mut ask(&show.address, "OPTIONS /cctv.flv HTTP/1.1"));
    assert!(answer.starts_with("http/1.1 204"), "{answer}");
    assert!(answer.contains("access-control-allow-origin: *"), "{answer}");
    for (path, status) in [("/", 200), ("/favicon.ico", 200), ("/icon.svg", 200), ("/x.flv", 404)] {
        let (answer, _) = head(&mut ask(&show.address, &format!("GET {path} HTTP/1.1")));
        assert!(answer.starts_with(&format!("http/1.1 {status}")), "{path}: {answer}");
    }
    // Players that know no better ask for a part; a live stream has none.
    let mut first = ask(&show.address, "GET /cctv.flv HTTP/1.1\r\nRange: bytes=0-");
    let (answer, _) = head(&mut first);
    assert!(
        answer.starts_with("http/1.1 200") && answer.contains("accept-ranges: none"),
        "{answer}"
    );
    let mut second = ask(&show.address, "GET /cctv.flv HTTP/1.0");
    let (answer, mut body) = head(&mut second);
    assert!(!answer.contains("chunked"), "{answer}");
    let mut more = [0; 13];
    second.read_exact(&mut more).unwrap();
    body.extend_from_slice(&more);
    assert_eq!(body[..5], *b"FLV\x01\x05");
    let (answer, _) = head(&mut ask(&show.address, "GET /cctv.flv HTTP/1.1"));
    assert!(answer.starts_with("http/1.1 503") && answer.contains("retry-after"), "{answer}");
    drop(first);
    let seat = wait_for(SOON, || {
        let (answer, _) = head(&mut ask(&show.address, "GET /cctv.flv HTTP/1.1"));
        answer.starts_with("http/1.1 200").then_some(())
    });
    assert!(seat.is_some(), "who leaves makes room");
}

#[test]
fn viewers_get_a_proper_end() {
    let folder = tempfile::tempdir().unwrap();
    let film = folder.path().join("film.flv");
    std::fs::write(&film, film::SAMPLE).unwrap();
    let mut show = show(&film, &[]);
    let mut stream = ask(&show.address, "GET /cctv.flv HTTP/1.1");
    let (answer, mut body) = head(&mut stream);
    assert!(answer.contains("chunked"), "{answer}");
    show.viewer.interrupt();
    stream.read_to_end(&mut body).expect("no reset");
    assert!(body.ends_with(b"\r\n0\r\n\r\n"), "the last chunk says that it is the last");
    assert_eq!(show.viewer.wait(SOON), 0, "{}", show.viewer.stderr());
}

#[test]
fn who_dawdles_over_a_request_is_let_go() {
    let folder = tempfile::tempdir().unwrap();
    let film = folder.path().join("film.flv");
    std::fs::write(&film, film::SAMPLE).unwrap();
    let show = show(&film, &[]);
    let mut stream = TcpStream::connect(&show.address).unwrap();
    stream.write_all(b"GET /cctv.flv HTTP/1.1\r\nHost: ").unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    let begin = Instant::now();
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    assert!(begin.elapsed() < Duration::from_secs(15), "{:?}", begin.elapsed());
}

/// Pictures of 8 Mbit/s, a key frame a second.
fn large_film() -> Vec<Tag> {
    let picture = |index: u32| Tag {
        kind: TagKind::Video,
        timestamp: index * 40,
        payload: [&[if index.is_multiple_of(25) { 0x12 } else { 0x22 }][..], &vec![7; 40_000]]
            .concat()
            .into(),
    };
    (0..150).map(picture).collect()
}

#[test]
fn viewers_that_stop_reading_are_let_go_and_cost_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let film = folder.path().join("film.flv");
    film::write(&film, &large_film());
    let show = show(&film, &[]);
    std::thread::sleep(Duration::from_secs(10));
    let before = show.viewer.memory();
    let mut stalled: Vec<TcpStream> =
        (0..10).map(|_| ask(&show.address, "GET /cctv.flv HTTP/1.1")).collect();
    stalled.iter_mut().for_each(|stream| drop(head(stream)));
    std::thread::sleep(Duration::from_secs(25));
    let after = show.viewer.memory();
    assert!(after < before + 40_000, "{before} kB before, {after} kB after");
    for stream in &mut stalled {
        // What the kernel holds, then the end.
        let read = std::io::copy(stream, &mut std::io::sink());
        assert!(read.is_err() || read.is_ok_and(|bytes| bytes < 24 << 20), "it was let go");
    }
}
