//! `rtmfp-interop` as people run it: it passes our programs, fails what is none, reads captures.

use std::{
    net::{SocketAddr, UdpSocket},
    path::Path,
    process::Command,
    sync::mpsc,
    time::{Duration, Instant, UNIX_EPOCH},
};

use rtmfp::{
    crypto::{Identity, PacketKeys},
    wire::{Chunk, Chunks, Flags, Mode, PacketHeader, Reader, chunk::ResponderHello},
};
use serde_json::Value as Json;
use tests::{Process, Server, bin};

/// A run of all cases takes about a minute.
const PATIENCE: Duration = Duration::from_secs(400);

/// Runs it to its end: the exit code and what it said, or would have had be known.
fn judge(arguments: &[&str]) -> (i32, String) {
    let mut process = Process::start("rtmfp-interop", arguments);
    let mut said = String::new();
    while let Some(line) = process.line(PATIENCE) {
        said += &line;
        said.push('\n');
    }
    let code = process.wait(PATIENCE);
    (code, said + &process.stderr())
}

fn outcomes(path: &Path) -> Vec<Json> {
    let text = std::fs::read_to_string(path).expect("the report is there");
    serde_json::from_str(&text).expect("an array")
}

fn free_port() -> SocketAddr {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.local_addr().unwrap()
}

#[test]
fn our_server_passes_all_that_applies() {
    let dir = tempfile::tempdir().unwrap();
    let (json, junit) = (dir.path().join("report.json"), dir.path().join("report.xml"));
    let server = Server::start();
    let files = [json.to_str().unwrap(), junit.to_str().unwrap()];
    let url = format!("{}/app", server.url);
    let (code, said) = judge(&["run", &url, "--json", files[0], "--junit", files[1]]);
    assert_eq!(code, 0, "{said}");
    let outcomes = outcomes(&json);
    let passed = with_result(&outcomes, "pass").len();
    assert!(outcomes.len() >= 100 && passed + 3 >= outcomes.len(), "{said}");
    assert!(std::fs::read_to_string(&junit).unwrap().contains("failures=\"0\""));
}

fn judge_viewers(role: &str, least: usize) {
    let dir = tempfile::tempdir().unwrap();
    let (listen, json) = (free_port().to_string(), dir.path().join("report.json"));
    let viewer = format!(
        "{} watch --server {{url}} --channel cctv --out /dev/null",
        bin("flvcast").display()
    );
    let report = json.to_str().unwrap();
    let (code, said) =
        judge(&["run", role, &listen, "--client", &viewer, "--wait", "10", "--json", report]);
    assert_eq!(code, 0, "{said}");
    let passed = with_result(&outcomes(&json), "pass").len();
    assert!(passed >= least, "only {passed} passed: {said}");
}

fn with_result<'a>(outcomes: &'a [Json], result: &str) -> Vec<&'a str> {
    let of_it = outcomes.iter().filter(|outcome| outcome["result"] == result);
    of_it.map(|outcome| outcome["id"].as_str().unwrap()).collect()
}

#[test]
fn our_viewer_passes_as_a_client() {
    judge_viewers("--as-server", 100);
}

#[test]
fn our_viewer_passes_as_a_member() {
    judge_viewers("--as-peer", 15);
}

/// Answers hellos and nothing else: as little of a server as can be.
fn hello_only() -> SocketAddr {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    let certificate = Identity::server(&[7; 64]).certificate().bytes().to_vec();
    std::thread::spawn(move || {
        let (mut keys, mut buffer) = (PacketKeys::default(), [0; 65_536]);
        while let Ok((size, from)) = socket.recv_from(&mut buffer) {
            let Ok(plain) = keys.open(&mut buffer[..size]) else { continue };
            let mut reader = Reader::new(plain);
            let header = PacketHeader::read(&mut reader);
            let hello = Chunks::new(reader).find_map(|chunk| match chunk {
                Chunk::InitiatorHello(hello) if hello.epd.len() > 2 => Some(hello.tag.to_vec()),
                _ => None,
            });
            let (Ok(header), Some(tag)) = (header, hello) else { continue };
            if header.flags.mode != Mode::Startup {
                continue;
            }
            let mut out = Vec::new();
            let begun = keys.begin(&mut out);
            let (flags, timestamp) = (Flags::new(Mode::Startup), Some(1));
            PacketHeader { flags, timestamp, timestamp_echo: None }.put(&mut out);
            let cookie = [9; 64];
            ResponderHello { tag: &tag, cookie: &cookie, certificate: &certificate }.put(&mut out);
            keys.seal(&mut out, begun, 0);
            let _ = socket.send_to(&out, from);
        }
    });
    address
}

const HASTY: [&str; 4] = ["--patience", "0.03", "--silence", "0.03"];

#[test]
fn silence_is_no_merit() {
    let dir = tempfile::tempdir().unwrap();
    let json = dir.path().join("report.json");
    let url = format!("rtmfp://{}/app", hello_only());
    let report = ["--json", json.to_str().unwrap()];
    let (code, said) = judge(&[&["run", &url][..], &HASTY, &report].concat());
    assert_eq!(code, 1, "{said}");
    let outcomes = outcomes(&json);
    for id in with_result(&outcomes, "pass") {
        let topic = id.split('.').next().unwrap();
        let of_hellos = ["startup", "fragments", "limits", "keying.rikeying-unasked"];
        let needs_more = !of_hellos.contains(&topic) && id != "keying.rikeying-unasked";
        // The certificate alone shows this one.
        assert!(!needs_more || id == "keying.must-offer-group-2", "{id} passed: {said}");
    }
    assert!(with_result(&outcomes, "fail").len() > 100, "{said}");
}

#[test]
fn known_failures_are_no_failures() {
    let dir = tempfile::tempdir().unwrap();
    let known = dir.path().join("known");
    let url = format!("rtmfp://{}/app", hello_only());
    let run = [&["run", &url, "--filter", "close."][..], &HASTY].concat();
    let (code, said) = judge(&run);
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("FAIL  close.acknowledged") && said.contains("got:      nothing"));
    let ids = ["acknowledged", "connected", "repeated", "silent-afterwards"];
    let more = ["no-data-afterwards", "abrupt", "others-live", "reconnect"];
    let list: String =
        ids.iter().chain(&more).map(|id| format!("close.{id} it says hello, see #1\n")).collect();
    std::fs::write(&known, list).unwrap();
    let exceptions = ["--exceptions", known.to_str().unwrap()];
    let (code, said) = judge(&[&run[..], &exceptions].concat());
    assert_eq!(code, 0, "{said}");
    assert!(said.contains("known:    it says hello, see #1"), "{said}");
    std::fs::write(&known, "close.typo why\n").unwrap();
    let (code, said) = judge(&[&run[..], &exceptions].concat());
    assert!(code == 2 && said.contains("close.typo, which is no case"), "{said}");
}

#[test]
fn nobody_to_judge_is_an_error() {
    let silent = UdpSocket::bind("127.0.0.1:0").unwrap();
    let url = format!("rtmfp://{}", silent.local_addr().unwrap());
    let (code, said) = judge(&[&["run", &url][..], &HASTY].concat());
    assert!(code == 2 && said.contains("nobody answers at"), "{said}");
    let listen = free_port().to_string();
    let as_server = ["run", "--as-server", &listen, "--wait", "0.1", "--filter", "close."];
    let (code, said) = judge(&as_server);
    assert!(code == 2 && said.contains("--client"), "{said}");
    let client = ["--client", "echo no luck >&2; exit 3"];
    let (code, said) = judge(&[&as_server[..], &client].concat());
    assert!(code == 2 && said.contains("no luck") && said.contains('3'), "{said}");
}

/// Passes datagrams on between one client and the server, and keeps them for a capture.
fn record(
    server: SocketAddr,
    stop: mpsc::Receiver<()>,
) -> (SocketAddr, std::thread::JoinHandle<Vec<u8>>) {
    let relay = UdpSocket::bind("127.0.0.1:0").unwrap();
    relay.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
    let address = relay.local_addr().unwrap();
    let thread = std::thread::spawn(move || {
        // Little-endian pcap 2.4 of raw IP packets.
        let mut pcap = vec![0xd4, 0xc3, 0xb2, 0xa1, 2, 0, 4, 0];
        pcap.extend([0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0, 0, 101, 0, 0, 0]);
        let mut client = None;
        let mut buffer = [0; 65_536];
        while stop.try_recv().is_err() {
            let Ok((size, from)) = relay.recv_from(&mut buffer) else { continue };
            let to = if from == server { client } else { Some(server) };
            if from != server {
                client = Some(from);
            }
            let Some(to) = to else { continue };
            put_record(&mut pcap, from, to, &buffer[..size]);
            relay.send_to(&buffer[..size], to).unwrap();
        }
        pcap
    });
    (address, thread)
}

fn put_record(pcap: &mut Vec<u8>, from: SocketAddr, to: SocketAddr, payload: &[u8]) {
    let (SocketAddr::V4(from), SocketAddr::V4(to)) = (from, to) else { unreachable!() };
    let (udp, ip) = (payload.len() as u16 + 8, payload.len() as u16 + 28);
    let now = UNIX_EPOCH.elapsed().unwrap();
    for word in [now.as_secs() as u32, now.subsec_micros(), ip.into(), ip.into()] {
        pcap.extend(word.to_le_bytes());
    }
    pcap.extend([0x45, 0]);
    pcap.extend(ip.to_be_bytes());
    pcap.extend([0, 0, 0, 0, 64, 17, 0, 0]);
    pcap.extend(from.ip().octets());
    pcap.extend(to.ip().octets());
    for half in [from.port(), to.port(), udp, 0] {
        pcap.extend(half.to_be_bytes());
    }
    pcap.extend(payload);
}

#[test]
fn what_our_server_logs_opens_what_was_captured_of_it() {
    let dir = tempfile::tempdir().unwrap();
    let (keys, capture) = (dir.path().join("keys"), dir.path().join("capture.pcap"));
    let server = Server::start_with(|command| command.env("RTMFP_KEYLOG", &keys));
    let (stop, stopped) = mpsc::channel();
    let (relay, recording) = record(server.address(), stopped);
    let out = dir.path().join("out.flv");
    let url = format!("rtmfp://{relay}");
    let arguments = ["watch", "--server", &url, "--channel", "x", "--out", out.to_str().unwrap()];
    let viewer = Process::start("flvcast", &arguments);
    let deadline = Instant::now() + Duration::from_secs(20);
    while std::fs::read_to_string(&keys).unwrap_or_default().lines().count() < 2 {
        assert!(Instant::now() < deadline, "no session in 20 s: {}", viewer.stderr());
        std::thread::sleep(Duration::from_millis(50));
    }
    std::thread::sleep(Duration::from_millis(500));
    stop.send(()).unwrap();
    std::fs::write(&capture, recording.join().unwrap()).unwrap();
    let files = [capture.to_str().unwrap(), keys.to_str().unwrap()];
    let (code, said) = judge(&["decode", files[0], "--keylog", files[1]]);
    assert_eq!(code, 0, "{said}");
    for wanted in ["IHello", "RIKeying", "connect", "server-join", "setPeerInfo"] {
        assert!(said.contains(wanted), "no {wanted} in {said}");
    }
    assert!(!said.contains("no key fits"), "{said}");
}

#[test]
fn benchmarks_print_one_json_object() {
    for (kind, arguments) in [
        ("bulk", &["--megabytes", "3"][..]),
        ("echo", &["--megabytes", "2", "--sessions", "4"]),
        ("open", &["--sessions", "20", "--clients", "4"]),
        ("idle", &["--sessions", "20"]),
        ("hello", &["--seconds", "1"]),
    ] {
        let output = Command::new(bin("rtmfp-interop"))
            .args([&["bench", kind][..], arguments].concat())
            .output()
            .unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        let json: Json = serde_json::from_str(&text).unwrap_or_else(|error| {
            panic!("{kind}: {error} in {text:?}, {:?}", String::from_utf8_lossy(&output.stderr))
        });
        assert!(
            output.status.success() && json["wall_seconds"].as_f64() > Some(0.0),
            "{kind}: {json}"
        );
    }
}
