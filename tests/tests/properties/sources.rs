//! What sources read: RTMP, MPEG transport streams, fragmented MP4, playlists, answers of HTTP
//! servers, and whatever stamps tags may have.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpListener},
    sync::{LazyLock, Mutex},
    time::Duration,
};

use bolero::check;
use bytes::Bytes;
use flvcast::{
    flv::{Demuxer, Tag, TagKind},
    programme::Programme,
    remux::{Mp4, Ts, Unit, to_tag},
    source::{hls::playlist, http},
};
use rtmfp::rtmp::tcp::{ChunkReader, ClientSession, ServerEvent, ServerSession};

use crate::assert_heap_is_bounded;

/// Cuts input into pieces, whose sizes it says itself.
fn pieces(input: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = input;
    std::iter::from_fn(move || {
        let (size, after) = rest.split_first()?;
        let (piece, after) = after.split_at((usize::from(*size) * 8 + 1).min(after.len()));
        rest = after;
        Some(piece)
    })
}

#[test]
fn rtmp_chunks() {
    check!().for_each(|input: &[u8]| {
        let (mut whole, mut cut) = (ChunkReader::default(), ChunkReader::default());
        let (mut once, mut often) = (Vec::new(), Vec::new());
        whole.push(input);
        let end = loop {
            match whole.next_message() {
                Ok(Some(message)) => once.push(message),
                other => break other,
            }
        };
        for byte in input {
            cut.push(std::slice::from_ref(byte));
            while let Ok(Some(message)) = cut.next_message() {
                often.push(message);
            }
        }
        if end.is_ok() {
            assert!(once == often, "however the bytes are cut, the messages are the same");
        }
        assert_heap_is_bounded();
    });
}

/// A handshake, then anything.
#[test]
fn rtmp_servers() {
    check!().for_each(|input: &[u8]| {
        let mut server = ServerSession::new([1; 32]);
        server.handle_bytes(&[&[3][..], &[0; 3072]].concat()).expect("a handshake");
        for piece in pieces(input) {
            let ended = server.handle_bytes(piece).is_err();
            while let Some(event) = server.poll_event() {
                if let ServerEvent::Publish { stream, name, .. } = event {
                    if name.len() % 2 == 0 {
                        server.accept(stream)
                    } else {
                        server.refuse(stream, "no")
                    }
                }
            }
            server.poll_transmit();
            if ended || server.is_over() {
                break;
            }
        }
        assert_heap_is_bounded();
    });
}

#[test]
fn rtmp_clients() {
    check!().for_each(|input: &[u8]| {
        let mut client = ClientSession::play("rtmp://host/app", "app", "name", [1; 32]);
        client.handle_bytes(&[&[3][..], &[0; 3072]].concat()).expect("a handshake");
        for piece in pieces(input) {
            let ended = client.handle_bytes(piece).is_err();
            while client.poll_event().is_some() {}
            client.poll_transmit();
            if ended {
                break;
            }
        }
        assert_heap_is_bounded();
    });
}

/// What comes of a segment has no more bytes than it, but for what frames have before them.
fn check_units(units: &[Unit], size: usize) {
    let mut bytes = 0;
    for unit in units {
        let tag = to_tag(unit, 0);
        tag.anatomy();
        bytes += tag.payload.len();
    }
    assert!(bytes <= 4 * size + units.len() * 64, "{bytes} bytes of {size}");
    assert_heap_is_bounded();
}

#[test]
fn transport_streams() {
    check!().for_each(|input: &[u8]| {
        let (mut ts, mut units) = (Ts::default(), Vec::new());
        let (first, second) = input.split_at(input.len() / 376 * 188);
        ts.take_segment(first, &mut units);
        ts.take_segment(second, &mut units);
        ts.take_unknown();
        check_units(&units, input.len());
    });
}

/// The first two bytes say where initialisation ends.
#[test]
fn fragmented_mp4() {
    check!().for_each(|input: &[u8]| {
        let Some((split, rest)) = input.split_first_chunk() else { return };
        let (init, segment) =
            rest.split_at(usize::from(u16::from_be_bytes(*split)).min(rest.len()));
        let (mut mp4, mut units) = (Mp4::default(), Vec::new());
        mp4.take_init(init, &mut units);
        let parameters = units.len();
        mp4.take_segment(&Bytes::copy_from_slice(segment), &mut units);
        assert!(units.len() - parameters <= 200_000);
        assert_heap_is_bounded();
    });
}

#[test]
fn playlists() {
    let base = url::Url::parse("http://host/a/b.m3u8").expect("a URL");
    check!().for_each(|input: &[u8]| {
        if let Some(playlist) = playlist::parse(input, &base) {
            if let playlist::Playlist::Master(master) = &playlist {
                let chosen = master.choose(flvcast::Quality::Lines(720));
                assert_eq!(chosen.is_some(), !master.variants.is_empty());
            }
            assert_heap_is_bounded();
        }
    });
}

/// A server on loopback that answers every request with what the property has put there.
static ANSWER: Mutex<Vec<u8>> = Mutex::new(Vec::new());
static SERVER: LazyLock<SocketAddr> = LazyLock::new(|| {
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has ports");
    let address = listener.local_addr().expect("it has an address");
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { continue };
            let _ = stream.set_read_timeout(Some(Duration::from_secs(1)));
            let _ = stream.read(&mut [0; 4096]);
            let answer = ANSWER.lock().expect("nobody panics holding it").clone();
            let _ = stream.write_all(&answer);
        }
    });
    address
});

/// Redirects to elsewhere are refused before a connection is made.
fn leads_elsewhere(answer: &[u8]) -> bool {
    String::from_utf8_lossy(answer).to_ascii_lowercase().contains("location")
}

#[test]
fn http_answers() {
    let url = url::Url::parse(&format!("http://{}/x.flv", *SERVER)).expect("a URL");
    check!().for_each(|input: &[u8]| {
        let starts: [&[u8]; 4] = [
            b"",
            b"HTTP/1.1 200 OK\r\n",
            b"ICY 200 OK\r\n",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
        ];
        let (choice, rest) = input.split_first().unwrap_or((&0, &[]));
        let answer = [starts[usize::from(*choice) % starts.len()], rest].concat();
        if leads_elsewhere(&answer) {
            return;
        }
        *ANSWER.lock().expect("nobody panics holding it") = answer;
        if let Ok(answer) = http::get(&http::agent(), &url, None, None) {
            let _ = http::read_all(answer.body, Vec::new(), 1 << 20);
        }
    });
}

/// Tags by their bytes: kind, a stamp near the last or anywhere, a payload's first bytes.
#[test]
fn programmes() {
    check!().for_each(|input: &[u8]| {
        let (mut programme, mut clock, mut stamp) = (Programme::default(), 0u64, 0u32);
        let (mut pushed, mut shown, mut newest) = (0, 0, 0);
        for bytes in input.chunks(6) {
            let [what, near, far, first, second, third] = *bytes else { break };
            match what % 16 {
                0 => programme.begin(what & 0x80 != 0),
                1 => programme.rest(),
                2 => stamp = u32::from_be_bytes([near, far, first, second]),
                _ => stamp = stamp.wrapping_add(u32::from(near)),
            }
            let kind =
                [TagKind::Audio, TagKind::Video, TagKind::Script][usize::from(what / 16 % 3)];
            let payload = Bytes::copy_from_slice(&[first, second, third]);
            clock += u64::from(near);
            programme.push(Tag { kind, timestamp: stamp, payload }, Duration::from_millis(clock));
            pushed += 1;
            while let Some(tag) = programme.pop() {
                shown += 1;
                assert!(tag.time <= newest + 200_000 + clock, "time leaps to {}", tag.time);
                newest = newest.max(tag.time);
            }
        }
        programme.end();
        shown += std::iter::from_fn(|| programme.pop()).count();
        // Headers may be shown once more at each beginning.
        assert!(shown <= pushed * 17 + 16);
        assert_heap_is_bounded();
    });
}

/// However FLV is cut into pieces, its tags are the same.
#[test]
fn flv_pieces() {
    check!().for_each(|input: &[u8]| {
        let read = |size: usize| {
            let (mut demuxer, mut tags) = (Demuxer::default(), Vec::new());
            for piece in input.chunks(size) {
                demuxer.push(piece);
                while let Ok(Some(tag)) = demuxer.next_tag() {
                    tags.push(tag);
                }
            }
            (tags, demuxer.skipped().places)
        };
        let (whole, damaged) = read(usize::MAX);
        if damaged == 0 {
            assert_eq!(read(1).0, whole);
        }
    });
}
