//! What real peers do beyond the RFC, or break over. `docs/quirks.md` lists them all with the test
//! of each; here are those that no other test is about.

mod common;

use std::time::Duration;

use common::{address, opened};
use rand::{SeedableRng, rngs::StdRng};
use rtmfp::{
    Config, Endpoint, Event, FlowEvent, FlowOptions, Liveness,
    crypto::{Certificate, Discriminator, Group, Identity, KeyPair, Policy, Protection},
    rtmp::{Command, Message, MessageType, Value, amf0},
    wire::{
        Chunk, Chunks, Mode, PacketHeader, Reader,
        chunk::{BufferProbe, FlowException, code, put_chunk},
        put_option,
    },
};
use simnet::{Link, forger::Forger, rig::Rig};

/// A session whose packets carry checksums only, as Flash Player's do.
fn forger() -> Forger {
    let mut config = Config::default();
    config.protection.default = Policy::both(Protection::Off);
    Forger::new(config)
}

fn user_data(out: &mut Vec<u8>, bytes: &[u8]) {
    put_chunk(out, code::USER_DATA, |out| out.extend_from_slice(bytes));
}

/// Flags, flow 5, sequence, offset, the options of a flow with metadata "A", and data.
fn opening(flags: u8, sequence: u8, data: &[u8]) -> Vec<u8> {
    [&[0x80 | flags, 5, sequence, sequence, 2, 0, b'A', 0], data].concat()
}

fn flow_events(forger: &mut Forger) -> Vec<FlowEvent> {
    let mut events = Vec::new();
    forger.drain(|event| {
        if let Event::Flow { event, .. } = event {
            events.push(event.clone());
        }
    });
    events
}

/// The chunks of all packets, described.
fn chunks(packets: &[(Vec<u8>, usize)]) -> Vec<String> {
    let describe = |(plain, _): &(Vec<u8>, usize)| {
        let mut reader = Reader::new(plain);
        PacketHeader::read(&mut reader).unwrap();
        Chunks::new(reader).map(|chunk| format!("{chunk:?}")).collect::<Vec<_>>()
    };
    packets.iter().flat_map(describe).collect()
}

fn message(data: &'static [u8]) -> FlowEvent {
    FlowEvent::Message { flow: 5, data: data.into() }
}

#[test]
fn every_packet_carries_a_timestamp_for_librtmfp_and_mona() {
    let mut forger = forger();
    let (now, session) = (forger.now, forger.session);
    let mut view = forger.endpoint.session(session).unwrap();
    let flow = view.open_flow(b"A", None, FlowOptions::default());
    view.send(now, flow, vec![7; 4000].into(), None).unwrap();
    for _ in 0..20 {
        forger.send(Mode::Initiator, |out| put_chunk(out, code::PING, |_| ()));
        let answers = forger.answers();
        assert!(!answers.is_empty());
        for (plain, _) in answers {
            let header = PacketHeader::read(&mut Reader::new(&plain)).unwrap();
            assert!(header.timestamp.is_some());
        }
        forger.now += Duration::from_millis(1);
    }
}

#[test]
fn no_datagram_is_larger_than_flash_reads() {
    let mut forger = forger();
    let (now, session) = (forger.now, forger.session);
    let mut view = forger.endpoint.session(session).unwrap();
    let flow = view.open_flow(b"A", None, FlowOptions::default());
    view.send(now, flow, vec![7; 100_000].into(), None).unwrap();
    let answers = forger.answers();
    assert!(answers.len() > 2);
    assert!(answers.iter().all(|(_, size)| *size <= 1192));
}

#[test]
fn a_buffer_probe_is_a_question_and_not_an_error() {
    let mut forger = forger();
    forger.send(Mode::Initiator, |out| user_data(out, &opening(0, 1, b"x")));
    forger.answers();
    forger.send(Mode::Initiator, |out| BufferProbe { flow: 5 }.put(out));
    let said = chunks(&forger.answers());
    assert!(said.iter().any(|chunk| chunk.starts_with("DataAck")), "{said:?}");
    assert!(forger.endpoint.session(forger.session).is_some());
}

#[test]
fn flash_ends_a_flow_with_an_empty_abandoned_fragment() {
    // Before the first acknowledgement with its options, later without.
    for (first, end) in
        [(opening(0, 1, b"x"), opening(0x03, 2, b"")), (opening(0, 1, b"x"), vec![0x03, 5, 2, 2])]
    {
        let mut forger = forger();
        forger.send(Mode::Initiator, |out| user_data(out, &first));
        forger.send(Mode::Initiator, |out| user_data(out, &end));
        let events = flow_events(&mut forger);
        assert_eq!(events[1..], [message(b"x"), FlowEvent::Finished { flow: 5 }]);
    }
}

#[test]
fn flash_ends_a_flow_with_next_user_data_behind_its_last_message() {
    let mut forger = forger();
    forger.send(Mode::Initiator, |out| {
        user_data(out, &opening(0, 1, b"x"));
        out.extend_from_slice(&[0x11, 0x00, 0x01, 0x03]);
    });
    let events = flow_events(&mut forger);
    assert_eq!(events[1..], [message(b"x"), FlowEvent::Finished { flow: 5 }]);
}

#[test]
fn options_on_later_fragments_are_no_data() {
    let mut forger = forger();
    for sequence in 1..=3 {
        forger.send(Mode::Initiator, |out| user_data(out, &opening(0, sequence, b"x")));
    }
    assert_eq!(flow_events(&mut forger)[1..], [message(b"x"), message(b"x"), message(b"x")]);
}

#[test]
fn a_rejected_flow_hears_it_with_every_acknowledgement() {
    let mut forger = forger();
    forger.send(Mode::Initiator, |out| user_data(out, &[0, 5, 1, 1, b'x']));
    for sequence in 2..5 {
        let said = chunks(&forger.answers());
        assert!(said.iter().any(|chunk| chunk.starts_with("FlowException")), "{said:?}");
        forger.send(Mode::Initiator, |out| user_data(out, &[0, 5, sequence, 1, b'x']));
    }
}

#[test]
fn an_exception_is_answered_with_the_abandoned_end_of_the_flow() {
    let mut forger = forger();
    let (now, session) = (forger.now, forger.session);
    let mut view = forger.endpoint.session(session).unwrap();
    let flow = view.open_flow(b"A", None, FlowOptions::default());
    view.send(now, flow, vec![7; 10].into(), None).unwrap();
    forger.answers();
    forger.send(Mode::Initiator, |out| FlowException { flow, code: 0 }.put(out));
    let said = chunks(&forger.answers());
    assert!(said.iter().any(|chunk| chunk.contains("abandoned: true, is_final: true")), "{said:?}");
}

#[test]
fn trailing_ff_bytes_are_padding_and_no_chunk() {
    let mut forger = forger();
    forger.send(Mode::Initiator, |out| {
        put_chunk(out, code::PING, |out| out.push(1));
        out.extend_from_slice(&[0xff, 0xff, 0xff]);
    });
    assert!(chunks(&forger.answers()).contains(&"PingReply([1])".to_owned()));
}

#[test]
fn a_timestamp_is_echoed_until_it_is_128_seconds_old() {
    for (age, is_echoed) in [(100, true), (130, false)] {
        let patient =
            Liveness { keepalive: Duration::from_secs(1000), give_up: Duration::from_secs(1000) };
        let mut config = Config { liveness: patient, ..Config::default() };
        config.protection.default = Policy::both(Protection::Off);
        let mut forger = Forger::new(config);
        // Padding alone asks for nothing: its timestamp waits for the next packet.
        forger.send(Mode::Initiator, |out| put_chunk(out, code::PADDING_ZERO, |_| ()));
        assert!(forger.answers().is_empty());
        forger.now += Duration::from_secs(age);
        let (now, session) = (forger.now, forger.session);
        let mut view = forger.endpoint.session(session).unwrap();
        let flow = view.open_flow(b"A", None, FlowOptions::default());
        view.send(now, flow, vec![7; 10].into(), None).unwrap();
        let (plain, _) = forger.answers().remove(0);
        let header = PacketHeader::read(&mut Reader::new(&plain)).unwrap();
        assert_eq!(header.timestamp_echo.is_some(), is_echoed, "after {age} s");
    }
}

/// A peer as Flash Player makes one key in 256: with a leading zero byte that does not travel.
fn peer_with_short_key() -> Identity {
    let short = (1u64..)
        .filter_map(|number| {
            let exponent = [[0xa5; 12].as_slice(), &number.to_be_bytes()].concat();
            KeyPair::from_exponent(Group::Modp1024, &exponent).ok()
        })
        .find(|pair| pair.public()[0] == 0)
        .unwrap();
    let mut bytes = Vec::new();
    put_option(&mut bytes, 0x1d, &[&[2], &short.public()[1..]].concat());
    assert_eq!(bytes.len(), 131);
    Identity::with_certificate(Certificate::decode(&bytes).unwrap(), vec![short])
}

#[test]
fn a_peer_whose_key_has_127_bytes_opens_sessions_and_accepts_them() {
    let mut rig = Rig::new(1, Link::default());
    let plain = Identity::peer(&mut StdRng::seed_from_u64(5));
    let ends = [(peer_with_short_key(), "192.0.2.1:1"), (plain, "192.0.2.2:1")];
    let nodes = ends.map(|(identity, at)| {
        rig.add(address(at), Endpoint::new(Config::default(), identity, rig.now, [7; 32]))
    });
    for (from, to, at) in [(nodes[0], nodes[1], "192.0.2.2:1"), (nodes[1], nodes[0], "192.0.2.1:1")]
    {
        let (now, wanted) = (rig.now, Discriminator::Fingerprint(rig.node(to).peer_id()));
        rig.node(from).open(now, wanted, &[address(at)]).unwrap();
        // What it accepted before is over.
        while rig.node(from).poll_event().is_some() {}
        let mut session = None;
        rig.run_until(Duration::from_secs(5), |rig| {
            session = session.or_else(|| opened(rig.node(from)));
            session.is_some()
        });
        rig.run_for(Duration::from_secs(1));
        let now = rig.now;
        rig.node(from).session(session.expect("it opens")).unwrap().close(now);
        rig.run_for(Duration::from_secs(1));
    }
}

#[test]
fn a_command_of_type_17_may_lack_its_null_object() {
    let mut payload = vec![0];
    amf0::encode(&mut payload, &Value::string("releaseStream"));
    amf0::encode(&mut payload, &Value::Number(2.0));
    let message =
        Message { kind: MessageType::COMMAND_AMF3, timestamp: 0, payload: payload.into() };
    let command = Command::decode(&message).unwrap();
    assert_eq!((command.name.as_str(), command.object), ("releaseStream", Value::Null));
}

#[test]
fn a_close_that_comes_again_is_acknowledged_again() {
    let mut forger = forger();
    for _ in 0..3 {
        forger.send(Mode::Initiator, |out| put_chunk(out, code::SESSION_CLOSE, |_| ()));
        assert!(chunks(&forger.answers()).contains(&format!("{:?}", Chunk::SessionCloseAck)));
        forger.now += Duration::from_secs(5);
    }
}

#[test]
fn a_finished_flow_is_remembered_for_two_minutes() {
    let mut forger = forger();
    forger.send(Mode::Initiator, |out| user_data(out, &opening(0, 1, b"x")));
    // The end, again and again, without the options that would open a flow anew.
    let end = [0x03, 5, 2, 2];
    let mut answers = Vec::new();
    for _ in 0..14 {
        forger.send(Mode::Initiator, |out| user_data(out, &end));
        let said = chunks(&forger.answers());
        answers.push(said.iter().any(|chunk| chunk.starts_with("FlowException")));
        forger.pass(Duration::from_secs(10));
    }
    // Acknowledged for 120 s from its first end on; then it is a flow without metadata.
    assert_eq!(answers.iter().position(|is_rejected| *is_rejected), Some(12), "{answers:?}");
}
