//! What real programs sent decodes, verifies and encodes to the same bytes.

use std::collections::HashMap;

use bytes::Bytes;
use interop::capture::{open, read_keys, read_pcap};
use netgroup::{
    GroupSpec,
    wire::{Fragment, Join, MediaControl, Report, control, signature},
};
use rtmfp::{
    crypto::{Certificate, Discriminator, Group, PacketKeys, hmac_sha256, session_id_of},
    wire::{
        Chunk, Chunks, Mode, OptionItem, PacketHeader, Reader,
        chunk::{FragmentControl, NextUserData, UserData, flow_option},
    },
};

fn vector(name: &str) -> Vec<u8> {
    let path = format!("{}/vectors/{name}", env!("CARGO_MANIFEST_DIR"));
    std::fs::read(&path).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn unhex(text: &str) -> Vec<u8> {
    (0..text.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap())
        .collect()
}

fn encode(chunk: &Chunk<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    match chunk {
        Chunk::InitiatorHello(hello) => hello.put(&mut out),
        Chunk::ResponderHello(hello) => hello.put(&mut out),
        Chunk::InitiatorKeying(keying) => keying.put(&mut out),
        Chunk::ResponderKeying(keying) => keying.put(&mut out),
        other => panic!("not a startup chunk: {other:?}"),
    }
    out
}

#[test]
fn flash_player_session_start_decodes_and_encodes_to_the_same_datagrams() {
    let vectors: serde_json::Value =
        serde_json::from_slice(&vector("flash-player-13-session-start.json")).unwrap();
    let mut keys = PacketKeys::default();
    let mut names = Vec::new();
    for packet in vectors["packets"].as_array().unwrap() {
        let datagram = unhex(packet["udp_payload_hex"].as_str().unwrap());
        let session = session_id_of(&datagram).unwrap();
        let mut copy = datagram.clone();
        let plain = keys.open(&mut copy).expect("the checksum is right");
        let mut reader = Reader::new(plain);
        let header = PacketHeader::read(&mut reader).unwrap();
        assert_eq!(header.flags.mode, Mode::Startup);
        let chunks: Vec<_> = Chunks::new(reader).collect();
        assert_eq!(chunks.len(), 1);
        let mut again = Vec::new();
        let begun = keys.begin(&mut again);
        header.put(&mut again);
        again.extend(encode(&chunks[0]));
        keys.seal(&mut again, begun, session);
        assert_eq!(again, datagram, "{}", packet["name"]);
        names.push(packet["name"].as_str().unwrap().to_owned());
        check_flash_chunk(&chunks[0], session);
    }
    assert_eq!(names, ["IHello", "RHello", "IIKeying", "RIKeying"]);
}

fn check_flash_chunk(chunk: &Chunk<'_>, session: u32) {
    match chunk {
        Chunk::InitiatorHello(hello) => {
            let uri = Discriminator::AncillaryData(b"rtmfp://cc.rtmfp.net".to_vec());
            assert_eq!((Discriminator::decode(hello.epd), hello.tag.len()), (uri, 16));
        }
        Chunk::ResponderHello(hello) => {
            let certificate = Certificate::decode(hello.certificate).unwrap();
            assert!(certificate.accepts_ancillary_data() && certificate.supports(Group::Modp2048));
            assert_eq!((hello.cookie.len(), hello.certificate.len()), (64, 77));
        }
        Chunk::InitiatorKeying(keying) => {
            assert_eq!(
                (keying.session_id, keying.component.len(), keying.signature),
                (0x0200_0000, 76, &b"X"[..])
            );
            assert!(
                Certificate::decode(keying.certificate)
                    .unwrap()
                    .static_key(Group::Modp1024)
                    .is_some()
            );
        }
        Chunk::ResponderKeying(keying) => {
            assert_eq!((session, keying.session_id), (0x0200_0000, 0x4502_0000));
            assert_eq!(keying.component[..11], [3, 0x1a, 0, 0, 2, 0x1e, 0, 0x81, 2, 0x0d, 2]);
        }
        other => panic!("{other:?}"),
    }
}

/// What one capture held.
#[derive(Default)]
struct Seen {
    sealed: usize,
    opened: usize,
    malformed_chunks: u32,
    joins: usize,
    reports: usize,
    announcements: usize,
    maps: usize,
    masks: usize,
    pulls: usize,
    ends: usize,
    fragments: usize,
}

/// Flows by their direction and number, with what their metadata said.
type Flows = HashMap<(std::net::SocketAddr, std::net::SocketAddr, u64), Vec<u8>>;

fn read_capture(name: &str, keys: &str) -> Seen {
    let keys = read_keys(std::str::from_utf8(&vector(&format!("captures/{keys}"))).unwrap());
    let (mut seen, mut flows) = (Seen::default(), Flows::new());
    for captured in read_pcap(&vector(&format!("captures/{name}"))) {
        seen.sealed += 1;
        let Some(opened) = open(&keys, None, &captured.payload) else { continue };
        seen.opened += 1;
        let mut reader = Reader::new(&opened.plain);
        PacketHeader::read(&mut reader).expect("every packet has a header");
        let mut chunks = Chunks::new(reader);
        let mut current = None;
        for chunk in chunks.by_ref() {
            let body = match &chunk {
                Chunk::UserData(UserData { flow, body, .. }) => {
                    current = Some((captured.from, captured.to, *flow));
                    body
                }
                Chunk::NextUserData(body) => body,
                _ => continue,
            };
            let flow = current.expect("next user data follows user data");
            note_options(&mut flows, flow, body);
            if let Some(metadata) = flows.get(&flow) {
                note_message(&mut seen, metadata, body);
            }
        }
        seen.malformed_chunks += chunks.malformed;
    }
    seen
}

fn note_options(
    flows: &mut Flows,
    flow: (std::net::SocketAddr, std::net::SocketAddr, u64),
    body: &NextUserData<'_>,
) {
    for item in body.options.into_iter().flatten() {
        if let OptionItem::Option(flow_option::METADATA, value) = item {
            flows.insert(flow, value.to_vec());
        }
    }
}

fn note_message(seen: &mut Seen, metadata: &[u8], body: &NextUserData<'_>) {
    if body.abandoned || body.fragment != FragmentControl::Whole || body.data.is_empty() {
        return;
    }
    match metadata {
        signature::CONTROL => match body.data[0] {
            control::JOIN => {
                let join = Join::decode(body.data).expect("a join");
                assert_eq!(join.encode(), body.data);
                seen.joins += 1;
            }
            control::REPORT => {
                let report = Report::decode(body.data).expect("a report");
                assert!(report.observed.is_some() && !report.own.is_empty());
                assert_eq!(report.encode(), body.data, "{report:?}");
                seen.reports += 1;
            }
            other => assert!([control::HELLO, control::READY_EXACT].contains(&other), "{other:x}"),
        },
        signature::MEDIA_CONTROL => {
            let message = MediaControl::decode(body.data).expect("a media control message");
            match &message {
                MediaControl::Announce(_) => seen.announcements += 1,
                MediaControl::Availability(_) => seen.maps += 1,
                MediaControl::PushMask(_) => seen.masks += 1,
                MediaControl::Pull(_) => seen.pulls += 1,
                MediaControl::End(_) => seen.ends += 1,
            }
            assert_eq!(message.encode(), body.data);
        }
        signature::MEDIA => {
            let fragment =
                Fragment::decode(&Bytes::copy_from_slice(body.data)).expect("a fragment");
            assert!(fragment.id > 0 && fragment.payload.len() <= netgroup::wire::MAX_PAYLOAD);
            seen.fragments += 1;
        }
        _ => {}
    }
}

#[test]
fn the_netgroup_capture_opens_and_every_group_message_decodes() {
    let seen = read_capture("c_netgroup_multicast.pcap", "run_c.keys");
    assert_eq!((seen.opened, seen.malformed_chunks), (seen.sealed, 0));
    for (count, what) in [
        (seen.joins, "joins"),
        (seen.reports, "reports"),
        (seen.announcements, "announcements"),
        (seen.maps, "maps"),
        (seen.masks, "push masks"),
        (seen.pulls, "pulls"),
        (seen.fragments, "fragments"),
    ] {
        assert!(count > 0, "no {what}");
    }
    assert!(seen.fragments > 2000, "{}", seen.fragments);
}

#[test]
fn captures_of_rtmfp_cpp_open() {
    for (name, keys, with_hmac) in [
        ("a_tc_connect_publish_play.pcap", "run_a.keys", 0),
        ("b_p2p_introduction.pcap", "run_b.keys", 0),
        ("d_redirector.pcap", "run_d.keys", 31),
        ("e_conncheck.pcap", "run_e.keys", 0),
    ] {
        let seen = read_capture(name, keys);
        assert!(seen.sealed > 5, "{name}");
        assert_eq!((seen.sealed - seen.opened, seen.malformed_chunks), (with_hmac, 0), "{name}");
    }
}

/// The plain packets and the values of a text log of librtmfp.
struct Log {
    packets: Vec<Vec<u8>>,
    secrets: Vec<Vec<u8>>,
    responder_nonces: Vec<Vec<u8>>,
}

fn read_log(name: &str) -> Log {
    let text = String::from_utf8(vector(&format!("librtmfp-group/{name}"))).unwrap();
    let mut log = Log { packets: Vec::new(), secrets: Vec::new(), responder_nonces: Vec::new() };
    let mut into_secrets = false;
    for line in text.lines() {
        if let Some(hex) = line
            .trim_start()
            .starts_with("# Responder Nonce")
            .then(|| line.rsplit(' ').next().unwrap())
        {
            log.responder_nonces.push(unhex(hex));
        } else if line.starts_with("LIBRTMFP") {
            into_secrets = false;
            log.packets.push(Vec::new());
        } else if line.starts_with("Shared secret") {
            into_secrets = true;
            log.secrets.push(Vec::new());
        } else if let Some(hex) = line.strip_prefix('\t') {
            let target = if into_secrets { log.secrets.last_mut() } else { log.packets.last_mut() };
            target
                .unwrap()
                .extend(hex.split_whitespace().map(|byte| u8::from_str_radix(byte, 16).unwrap()));
        }
    }
    log
}

#[test]
fn a_librtmfp_member_proves_its_membership_as_we_would() {
    let spec: GroupSpec =
        "G:027f020100010101020103010c1c0e626974747562652e76616e64657262696c742e6564752f6363747600"
            .parse()
            .unwrap();
    let log = read_log("runv2-p1-head.txt");
    let joins: Vec<Join> = log
        .packets
        .iter()
        .flat_map(|packet| {
            let mut reader = Reader::new(packet);
            PacketHeader::read(&mut reader).unwrap();
            let datas: Vec<Vec<u8>> = Chunks::new(reader)
                .filter_map(|chunk| match chunk {
                    Chunk::UserData(data) => Some(data.body.data.to_vec()),
                    _ => None,
                })
                .collect();
            datas.into_iter().filter_map(|data| Join::decode(&data)).collect::<Vec<_>>()
        })
        .collect();
    assert!(joins.len() >= 2, "one in each direction");
    assert!(joins.iter().all(|join| join.group == spec.group_id()));
    // One of the two was made for the responder's component, by the secret of that session.
    let explained = joins.iter().filter(|join| {
        log.secrets.iter().any(|secret| {
            log.responder_nonces
                .iter()
                .any(|component| spec.proof(&hmac_sha256(secret, component)) == join.proof)
        })
    });
    assert!(explained.count() >= 1, "a proof follows from the session's secret");
}
