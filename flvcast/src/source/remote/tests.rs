use std::{
    io::{Read, Write},
    net::TcpListener,
};

use super::*;
use crate::{
    flv::{Tag, TagKind, Tracks, file_header, put_tag},
    source::Piece,
};

/// A server on loopback that answers each path with what it is told.
fn serve(answers: impl Fn(&str, u16) -> Vec<u8> + Send + 'static) -> u16 {
    serve_requests(move |request, port| {
        answers(request.split(' ').nth(1).unwrap_or_default(), port)
    })
}

fn serve_requests(answers: impl Fn(&str, u16) -> Vec<u8> + Send + 'static) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut request = [0; 2048];
            let count = stream.read(&mut request).unwrap_or(0);
            let request = String::from_utf8_lossy(&request[..count]).into_owned();
            let _ = stream.write_all(&answers(&request.to_ascii_lowercase(), port));
        }
    });
    port
}

fn film() -> Vec<u8> {
    let mut out = file_header(Tracks { audio: false, video: true }).to_vec();
    for index in 0..5 {
        let payload = bytes::Bytes::from_static(&[0x12, 1, 2]);
        put_tag(&mut out, &Tag { kind: TagKind::Video, timestamp: index * 40, payload });
    }
    out
}

fn answer(head: &str, body: &[u8]) -> Vec<u8> {
    [head.as_bytes(), b"\r\n\r\n", body].concat()
}

fn open_path(port: u16, path: &str) -> Result<Opened, SourceError> {
    let url = Url::parse(&format!("http://127.0.0.1:{port}{path}")).unwrap();
    open(&url, Quality::Best, &Cancel::default())
}

/// How many tags come, and what then.
fn drain(opened: Opened) -> (usize, Result<Piece, SourceError>) {
    let (mut source, mut tags) = (opened.source, 0);
    loop {
        match source.next() {
            Ok(Piece::Tag(_)) => tags += 1,
            Ok(
                Piece::Nothing
                | Piece::Rest(_)
                | Piece::Read(..)
                | Piece::Notice(_)
                | Piece::Restart,
            ) => {}
            end => return (tags, end),
        }
    }
}

#[test]
fn redirects_old_servers_and_chunks_are_understood() {
    let port = serve(|path, port| match path {
        "/live" => {
            answer(&format!("HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:{port}/icy"), b"")
        }
        "/icy" => answer("ICY 200 OK\r\nicy-name: x\r\nicy-br: 128", &film()),
        _ => {
            let film = film();
            let (first, second) = film.split_at(20);
            let chunk = |bytes: &[u8]| {
                [format!("{:x}\r\n", bytes.len()).as_bytes(), bytes, b"\r\n"].concat()
            };
            let body = [chunk(first), chunk(second), b"0\r\n\r\n".to_vec()].concat();
            answer("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked", &body)
        }
    });
    for path in ["/live", "/icy", "/chunked"] {
        let opened = open_path(port, path).unwrap();
        assert!(matches!(opened.nature, Nature::Live { .. }), "{path}");
        let (tags, end) = drain(opened);
        assert_eq!(tags, 5, "{path}");
        assert!(matches!(end, Err(SourceError::Passing(_))), "{path}: {end:?}");
    }
}

#[test]
fn what_says_how_long_it_is_is_a_film() {
    let port = serve(|_, _| {
        answer(&format!("HTTP/1.1 200 OK\r\nContent-Length: {}", film().len()), &film())
    });
    let opened = open_path(port, "/film.flv").unwrap();
    assert_eq!(opened.nature, Nature::Recorded);
    assert_eq!(drain(opened), (5, Ok(Piece::End)));
}

#[test]
fn a_film_whose_connection_breaks_is_read_on() {
    for knows_parts in [true, false] {
        let asked = std::sync::atomic::AtomicUsize::new(0);
        let port = serve_requests(move |request, _| {
            let film = film();
            let from = request.split_once("bytes=").filter(|_| knows_parts);
            let from = from.and_then(|(_, range)| range.split('-').next()?.parse::<usize>().ok());
            let round = asked.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            let rest = &film[from.unwrap_or(0)..];
            // Each connection breaks a little later.
            let given = if knows_parts { 30 } else { 30 * (round + 1) };
            let status = if from.is_some() { "206 Partial Content" } else { "200 OK" };
            let head = format!("HTTP/1.1 {status}\r\nContent-Length: {}", rest.len());
            answer(&head, &rest[..given.min(rest.len())])
        });
        assert_eq!(
            drain(open_path(port, "/film.flv").unwrap()),
            (5, Ok(Piece::End)),
            "{knows_parts}"
        );
    }
}

#[test]
fn errors_say_whether_waiting_helps() {
    let port = serve(|path, port| match path {
        "/loop" => {
            answer(&format!("HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:{port}/loop"), b"")
        }
        path => answer(&format!("HTTP/1.1 {} Word\r\nContent-Length: 0", &path[1..]), b""),
    });
    let error = |path: &str| open_path(port, path).err().unwrap();
    assert!(matches!(error("/404"), SourceError::Final(_)));
    assert!(matches!(error("/503"), SourceError::Passing(_)));
    assert!(error("/loop").to_string().contains("cannot get"));
    assert!(matches!(error("/200"), SourceError::Passing(_)), "an empty answer");
}

#[test]
fn segments_of_flv_that_count_from_zero_begin_anew() {
    let port = serve(|path, _| match path {
        "/list.m3u8" => {
            let body = "#EXTM3U\n#EXTINF:1,\n1.flv\n#EXTINF:1,\n2.flv\n#EXT-X-ENDLIST\n";
            answer(&format!("HTTP/1.1 200 OK\r\nContent-Length: {}", body.len()), body.as_bytes())
        }
        _ => {
            // A second of it, so that the step back is no matter of order.
            let mut film = film();
            let payload = bytes::Bytes::from_static(&[0x22, 1]);
            put_tag(&mut film, &Tag { kind: TagKind::Video, timestamp: 1000, payload });
            answer(&format!("HTTP/1.1 200 OK\r\nContent-Length: {}", film.len()), &film)
        }
    });
    let mut source = open_path(port, "/list.m3u8").unwrap().source;
    let mut seen = Vec::new();
    loop {
        match source.next().unwrap() {
            Piece::Tag(tag) => seen.push(Some(tag.timestamp)),
            Piece::Restart => seen.push(None),
            Piece::End => break,
            _ => {}
        }
    }
    let segment = [0, 40, 80, 120, 160, 1000].map(Some);
    assert_eq!(seen, [&segment[..], &[None], &segment].concat());
}

#[test]
fn playlists_from_elsewhere_name_no_files_and_end() {
    let port = serve(|path, port| {
        let body = match path {
            "/files.m3u8" => "#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd\n#EXT-X-ENDLIST\n".to_owned(),
            _ => format!(
                "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\nhttp://127.0.0.1:{port}/again.m3u8\n"
            ),
        };
        answer(&format!("HTTP/1.1 200 OK\r\nContent-Length: {}", body.len()), body.as_bytes())
    });
    let again = open_path(port, "/again.m3u8").err().unwrap();
    assert!(again.to_string().contains("without end"), "{again}");
    let opened = open_path(port, "/files.m3u8").unwrap();
    assert_eq!(drain(opened), (0, Ok(Piece::End)));
}
