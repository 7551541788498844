//! Captures of other programs, among themselves and with ours, seen again without them.

use std::collections::BTreeMap;

use interop::{
    capture::{read_keys, read_pcap},
    decode::Decoder,
};
use serde_json::Value as Json;

/// What a capture holds, by type: chunks, and messages with their names.
struct Seen {
    datagrams: usize,
    opened: usize,
    malformed: u64,
    chunks: BTreeMap<String, usize>,
    messages: BTreeMap<String, usize>,
}

fn replay(capture: &str, keys: &str) -> Seen {
    let path = |name: &str| format!("{}/vectors/{name}", env!("CARGO_MANIFEST_DIR"));
    let bytes = std::fs::read(path(capture)).expect(capture);
    let keys = std::fs::read_to_string(path(keys)).expect(keys);
    let mut decoder = Decoder::new(read_keys(&keys));
    let (chunks, messages) = Default::default();
    let mut seen = Seen { datagrams: 0, opened: 0, malformed: 0, chunks, messages };
    for decoded in read_pcap(&bytes).iter().flat_map(|datagram| decoder.decode(datagram)) {
        seen.datagrams += 1;
        assert!(!decoded.to_string().is_empty());
        let Some(packet) = decoded.packet else { continue };
        seen.opened += 1;
        seen.malformed += u64::from(packet.malformed);
        for chunk in &packet.chunks {
            *seen.chunks.entry(text(chunk, "type")).or_default() += 1;
        }
        for message in &packet.messages {
            let name = [text(message, "type"), text(message, "name")].join(" ");
            *seen.messages.entry(name.trim_end().to_owned()).or_default() += 1;
        }
    }
    seen
}

fn text(json: &Json, member: &str) -> String {
    json[member].as_str().unwrap_or_default().to_owned()
}

impl Seen {
    fn expect(&self, messages: &[&str], chunks: &[&str]) {
        assert_eq!(self.malformed, 0);
        for message in messages {
            assert!(self.messages.contains_key(*message), "no {message} in {:?}", self.messages);
        }
        for chunk in chunks {
            assert!(self.chunks.contains_key(*chunk), "no {chunk} in {:?}", self.chunks);
        }
    }
}

#[test]
fn every_packet_of_the_captures_opens_but_those_with_hmacs() {
    for (name, capture, unopened) in [
        ("a", "a_tc_connect_publish_play", 0),
        ("b", "b_p2p_introduction", 0),
        ("c", "c_netgroup_multicast", 0),
        ("d", "d_redirector", 31),
        ("e", "e_conncheck", 0),
    ] {
        let seen =
            replay(&format!("captures/{capture}.pcap"), &format!("captures/run_{name}.keys"));
        assert_eq!(seen.datagrams - seen.opened, unopened, "{capture}");
        assert_eq!(seen.malformed, 0, "{capture}");
    }
}

/// A recording of our own programs with others: every packet opens.
fn recorded(name: &str) -> Seen {
    let seen = replay(&format!("foreign/{name}.pcap"), &format!("foreign/{name}.keys"));
    assert_eq!(seen.datagrams, seen.opened, "{name}");
    seen
}

#[test]
fn tcconn_connects_to_rtmfpd_with_hmacs_and_sequence_numbers() {
    recorded("rtmfpd-tcconn").expect(
        &["command connect", "command _result", "command createStream", "command onStatus"],
        &["IHello", "RHello", "IIKeying", "RIKeying", "EcnReport", "CloseAck"],
    );
}

#[test]
fn our_client_plays_from_tcserver() {
    recorded("tcserver-connect")
        .expect(&["command play", "command onStatus", "audio", "video"], &["Ack", "NextUserData"]);
}

#[test]
fn a_redirector_sends_our_client_to_tcserver() {
    recorded("redirector-connect").expect(&["command _result", "command play"], &["Redirect"]);
}

#[test]
fn librtmfp_plays_a_group_from_our_caster() {
    recorded("rtmfpd-librtmfp-group-play").expect(
        &["server-join", "member", "join", "report", "announce stream", "availability"],
        &["Redirect", "FIHello"],
    );
}

#[test]
fn librtmfp_publishes_into_a_group_for_our_viewer() {
    recorded("rtmfpd-librtmfp-group-publish")
        .expect(&["join", "report", "announce stream", "push-mask", "fragment"], &["FIHello"]);
}

#[test]
fn our_client_plays_directly_from_librtmfp() {
    recorded("rtmfpd-librtmfp-direct")
        .expect(&["command play", "audio", "video"], &["Redirect", "FIHello"]);
}

#[test]
fn librtmfp_and_our_viewer_meet_through_mona() {
    recorded("mona-librtmfp-group-publish").expect(
        &["command connect", "server-join", "join", "report", "announce stream", "fragment"],
        &["UserData"],
    );
}

#[test]
fn tcpublish_publishes_through_rtmfpd_for_tcconn() {
    recorded("rtmfpd-tcpublish").expect(
        &["command publish", "command play", "command onStatus", "audio", "video"],
        &["EcnReport"],
    );
}

#[test]
fn our_client_publishes_at_tcserver() {
    recorded("tcserver-publish").expect(
        &["command createStream", "command publish", "command onStatus", "audio", "video"],
        &["EcnReport", "Ack"],
    );
}

#[test]
fn librtmfp_publishes_and_plays_through_rtmfpd() {
    recorded("rtmfpd-librtmfp-live").expect(
        &["command publish", "command play", "command setPeerInfo", "audio", "video"],
        &["NextUserData"],
    );
}

#[test]
fn librtmfp_plays_directly_from_our_client() {
    recorded("librtmfp-direct-from-ours").expect(
        &["command setPeerInfo", "command play", "audio", "video"],
        &["FIHello", "Redirect", "NextUserData"],
    );
}

#[test]
fn our_client_publishes_and_plays_through_mona() {
    recorded("mona1-publish-play").expect(
        &["command publish", "command play", "command onStatus", "audio", "video"],
        &["UserData", "Ack"],
    );
}

#[test]
fn conncheck_checks_our_client() {
    let seen = recorded("conncheck");
    seen.expect(
        &["command connect", "command setPeerInfo", "command onStatus"],
        &["FIHello", "Close", "CloseAck"],
    );
    assert_eq!(seen.chunks["RHello"], 4, "answers to its three addresses, and one of its own");
}

#[test]
fn echoserver_echoes_to_our_bench() {
    recorded("echoserver").expect(&["message"], &["IIKeying", "RIKeying", "EcnReport"]);
}
