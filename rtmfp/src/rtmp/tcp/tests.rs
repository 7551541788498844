use bytes::Bytes;

use super::*;
use crate::rtmp::{Command, MessageType, Value, amf0};

fn message(kind: u8, timestamp: u32, payload: &[u8]) -> StreamMessage {
    let payload = Bytes::copy_from_slice(payload);
    StreamMessage { stream: 1, message: Message { kind: MessageType(kind), timestamp, payload } }
}

fn read(bytes: &[u8], step: usize) -> Result<Vec<StreamMessage>, TcpError> {
    let (mut reader, mut messages) = (ChunkReader::default(), Vec::new());
    for piece in bytes.chunks(step) {
        reader.push(piece);
        while let Some(message) = reader.next_message()? {
            messages.push(message);
        }
    }
    Ok(messages)
}

#[test]
fn what_is_written_is_read_however_it_is_cut() {
    let long: Vec<u8> = (0..1000).map(|at| at as u8).collect();
    let messages = [
        message(9, 0, &long),
        message(8, 0xff_fffe, b""),
        message(8, 0xff_ffff, &long[..300]),
        message(18, u32::MAX, b"x"),
    ];
    let mut bytes = Vec::new();
    for message in &messages {
        put_chunks(&mut bytes, 4, message, 128);
    }
    for step in [1, 2, 3, 100, 5000] {
        assert_eq!(read(&bytes, step).unwrap(), messages, "{step}");
    }
}

/// Type 0: length 300, timestamp `stamp`; then type 3, with or without the extended timestamp.
fn extended(repeats: bool) -> Vec<u8> {
    let mut bytes = vec![4, 0xff, 0xff, 0xff, 0, 1, 44, 9, 1, 0, 0, 0, 1, 0, 0, 0];
    let payload: Vec<u8> = (0..300).map(|at| at as u8).collect();
    for (index, chunk) in payload.chunks(128).enumerate() {
        if index > 0 {
            bytes.push(0xc4);
            bytes.extend_from_slice(if repeats { &[1, 0, 0, 0] } else { &[] });
        }
        bytes.extend_from_slice(chunk);
    }
    bytes
}

#[test]
fn extended_timestamps_are_repeated_or_not() {
    for repeats in [true, false] {
        for step in [1, 7, 1000] {
            let messages = read(&extended(repeats), step).unwrap();
            assert_eq!(messages[0].message.timestamp, 1 << 24, "{repeats} {step}");
            assert!(
                messages[0].message.payload.iter().enumerate().all(|(at, byte)| at as u8 == *byte)
            );
        }
    }
}

#[test]
fn headers_that_leave_things_out() {
    // Type 0 at 1000 ms; type 1: 40 ms later, 2 bytes; type 2: 20 ms later; type 3: 20 ms again.
    let bytes = [
        &[4, 0, 3, 0xe8, 0, 0, 1, 9, 1, 0, 0, 0, 0xaa][..],
        &[0x44, 0, 0, 40, 0, 0, 2, 8, 1, 2],
        &[0x84, 0, 0, 20, 3, 4],
        &[0xc4, 5, 6],
    ]
    .concat();
    let expected = [
        message(9, 1000, &[0xaa]),
        message(8, 1040, &[1, 2]),
        message(8, 1060, &[3, 4]),
        message(8, 1080, &[5, 6]),
    ];
    assert_eq!(read(&bytes, 3).unwrap(), expected);
}

#[test]
fn chunk_streams_interleave_and_sizes_change_within_messages() {
    let (mut picture, mut sound) = (Vec::new(), Vec::new());
    put_chunks(&mut picture, 6, &message(9, 5, &[7; 200]), 128);
    put_chunks(&mut sound, 4, &message(8, 6, &[8; 50]), 128);
    let (first, rest) = picture.split_at(12 + 128);
    let set_size = [2, 0, 0, 0, 0, 0, 4, 1, 0, 0, 0, 0, 0, 0, 16, 0];
    let bytes = [first, &sound, &set_size, rest].concat();
    assert_eq!(read(&bytes, 11).unwrap(), [message(8, 6, &[8; 50]), message(9, 5, &[7; 200])]);
}

#[test]
fn an_aborted_message_is_forgotten() {
    let mut bytes = Vec::new();
    put_chunks(&mut bytes, 6, &message(9, 5, &[7; 200]), 128);
    bytes.truncate(12 + 128);
    bytes.extend_from_slice(&[2, 0, 0, 0, 0, 0, 4, 2, 0, 0, 0, 0, 0, 0, 0, 6]);
    put_chunks(&mut bytes, 6, &message(9, 9, &[1; 3]), 128);
    assert_eq!(read(&bytes, 50).unwrap(), [message(9, 9, &[1; 3])]);
}

#[test]
fn aggregates_are_taken_apart() {
    let tag = |kind, stamp, byte| [kind, 0, 0, 1, 0, 0, stamp, 0, 0, 0, 0, byte, 0, 0, 0, 12];
    let payload = [tag(8, 10, 1), tag(9, 30, 2)].concat();
    let mut bytes = Vec::new();
    put_chunks(&mut bytes, 6, &message(22, 1000, &payload), 128);
    assert_eq!(read(&bytes, 50).unwrap(), [message(8, 1000, &[1]), message(9, 1020, &[2])]);
}

#[test]
fn what_is_announced_costs_nothing_and_too_much_is_an_error() {
    // 16 MB are announced on each of a hundred chunk streams; one byte of each comes.
    let mut bytes = vec![2, 0, 0, 0, 0, 0, 4, 1, 0, 0, 0, 0, 0, 0, 0, 1];
    for id in 3..63 {
        bytes.extend_from_slice(&[id, 0, 0, 0, 0xff, 0xff, 0xff, 9, 1, 0, 0, 0, 7]);
    }
    assert_eq!(read(&bytes, 1000), Ok(Vec::new()));
    for id in 0..10 {
        bytes.extend_from_slice(&[0, id, 0, 0, 0, 0xff, 0xff, 0xff, 9, 1, 0, 0, 0, 7]);
    }
    assert_eq!(read(&bytes, 1000), Err(TcpError::TooMuch));
    assert_eq!(read(&[0xc4], 1), Err(TcpError::Orphan));
    assert_eq!(
        read(&[2, 0, 0, 0, 0, 0, 4, 1, 0, 0, 0, 0, 0, 0, 0, 0], 1),
        Err(TcpError::BadControl)
    );
}

/// Lets both talk until nothing is left to say.
fn converse(server: &mut ServerSession, client: &mut ClientSession) {
    loop {
        let (to_server, to_client) = (client.poll_transmit(), server.poll_transmit());
        if to_server.is_none() && to_client.is_none() {
            return;
        }
        to_server.iter().for_each(|bytes| server.handle_bytes(bytes).unwrap());
        to_client.iter().for_each(|bytes| client.handle_bytes(bytes).unwrap());
    }
}

#[test]
fn who_wants_to_play_is_refused_in_words() {
    let mut server = ServerSession::new([1; 32]);
    let mut client = ClientSession::play("rtmp://x/app", "app", "name", [2; 32]);
    converse(&mut server, &mut client);
    assert!(server.is_over());
    let Some(ClientEvent::Refused(why)) = client.poll_event() else { panic!("it is refused") };
    assert!(why.contains("HTTP"), "{why}");
}

#[test]
fn what_is_pushed_arrives_as_it_was() {
    let mut server = ServerSession::new([1; 32]);
    let mut client = ClientSession::publish("rtmp://x/app", "app", "key", [2; 32]);
    let picture = message(9, 0xff_ffff, &vec![7; 200_000]).message;
    client.publish_message(picture.clone());
    converse(&mut server, &mut client);
    let publish = ServerEvent::Publish { stream: 1, app: "app".into(), name: "key".into() };
    assert_eq!(server.poll_event(), Some(publish));
    assert_eq!(client.poll_event(), None, "it was not accepted yet");
    client.publish_message(picture.clone());
    converse(&mut server, &mut client);
    assert_eq!(server.poll_event(), None, "what came too early was not sent");
    server.accept(1);
    converse(&mut server, &mut client);
    assert_eq!(client.poll_event(), Some(ClientEvent::Started));
    let sound = message(8, 5, b"\xaf\x01x").message;
    for pushed in [picture, sound] {
        client.publish_message(pushed.clone());
        converse(&mut server, &mut client);
        let given = ServerEvent::Message { stream: 1, message: pushed };
        assert_eq!(server.poll_event(), Some(given));
    }
    client.unpublish();
    converse(&mut server, &mut client);
    assert_eq!(server.poll_event(), Some(ServerEvent::Unpublished { stream: 1 }));
}

#[test]
fn who_may_not_push_is_told() {
    let mut server = ServerSession::new([1; 32]);
    let mut client = ClientSession::publish("rtmp://x/app", "app", "key", [2; 32]);
    converse(&mut server, &mut client);
    server.refuse(1, "the key is wrong");
    converse(&mut server, &mut client);
    assert_eq!(client.poll_event(), Some(ClientEvent::Refused("the key is wrong".into())));
}

/// What an encoder sends, by the names that it gives to its commands.
fn encoder(commands: &[(&str, f64, u32, Vec<Value>)]) -> Vec<u8> {
    let mut bytes = vec![3];
    bytes.extend_from_slice(&[5; 1536 * 2]);
    for (name, transaction, stream, arguments) in commands {
        let mut command = Command::new(name, *transaction, arguments.clone());
        if *name == "connect" {
            command.object = Value::object([("app", Value::string("live/"))]);
        }
        let message = StreamMessage { stream: *stream, message: command.to_message() };
        put_chunks(&mut bytes, 3, &message, 128);
    }
    bytes
}

#[test]
fn encoders_publish_and_end_each_in_its_way() {
    let name = Value::string("key");
    let ends = [
        ("FCUnpublish", 6.0, 0, vec![name.clone()]),
        ("deleteStream", 0.0, 0, vec![name.clone()]),
        ("deleteStream", 7.0, 0, vec![Value::Number(1.0)]),
        ("closeStream", 0.0, 1, vec![]),
    ];
    for end in ends {
        let mut server = ServerSession::new([1; 32]);
        let begin = [
            ("connect", 1.0, 0, vec![]),
            ("releaseStream", 2.0, 0, vec![name.clone()]),
            ("FCPublish", 3.0, 0, vec![name.clone()]),
            ("createStream", 4.0, 0, vec![]),
            ("publish", 5.0, 1, vec![name.clone(), Value::string("live")]),
        ];
        server.handle_bytes(&encoder(&begin)).unwrap();
        let publish = ServerEvent::Publish { stream: 1, app: "live".into(), name: "key".into() };
        assert_eq!(server.poll_event(), Some(publish));
        server.accept(1);
        let mut bytes = Vec::new();
        put_chunks(&mut bytes, 6, &message(9, 7, b"\x90hvc1"), 128);
        let end_message = encoder(std::slice::from_ref(&end));
        bytes.extend_from_slice(&end_message[1 + 1536 * 2..]);
        server.handle_bytes(&bytes).unwrap();
        let given = ServerEvent::Message { stream: 1, message: message(9, 7, b"\x90hvc1").message };
        assert_eq!(server.poll_event(), Some(given));
        assert_eq!(server.poll_event(), Some(ServerEvent::Unpublished { stream: 1 }), "{}", end.0);
    }
}

#[test]
fn pings_are_answered_and_bytes_acknowledged() {
    let mut server = ServerSession::new([1; 32]);
    server.handle_bytes(&encoder(&[("connect", 1.0, 0, vec![])])).unwrap();
    server.accept(1);
    server.poll_transmit();
    let mut bytes = vec![2, 0, 0, 0, 0, 0, 6, 4, 0, 0, 0, 0, 0, 6, 1, 2, 3, 4];
    put_chunks(&mut bytes, 6, &message(9, 0, &vec![0; 3_000_000]), 128);
    server.handle_bytes(&bytes).unwrap();
    let answers = read(&server.poll_transmit().unwrap(), 100).unwrap();
    assert_eq!(answers[0].message.payload[..], [0, 7, 1, 2, 3, 4]);
    assert_eq!(answers[1].message.kind.0, kind::ACKNOWLEDGEMENT);
}

#[test]
fn strangers_send_no_large_messages() {
    let mut server = ServerSession::new([1; 32]);
    server.handle_bytes(&encoder(&[("connect", 1.0, 0, vec![])])).unwrap();
    let mut bytes = Vec::new();
    put_chunks(&mut bytes, 6, &message(9, 0, &[0; 100_000]), 128);
    assert_eq!(server.handle_bytes(&bytes), Err(TcpError::TooMuch));
}

#[test]
fn something_else_is_refused_at_once() {
    let mut server = ServerSession::new([1; 32]);
    assert_eq!(server.handle_bytes(b"GET / HTTP/1.1\r\n"), Err(TcpError::NotRtmp));
}

#[test]
fn commands_are_read_with_their_metadata_wrapped() {
    let mut payload = Vec::new();
    amf0::encode(&mut payload, &Value::string("onMetaData"));
    let mut server = ServerSession::new([1; 32]);
    server.handle_bytes(&encoder(&[("publish", 0.0, 1, vec![Value::string("k")])])).unwrap();
    server.accept(1);
    let mut bytes = Vec::new();
    put_chunks(&mut bytes, 4, &message(15, 3, &[&[0], &payload[..]].concat()), 128);
    server.handle_bytes(&bytes).unwrap();
    server.poll_event();
    let Some(ServerEvent::Message { message, .. }) = server.poll_event() else { panic!("data") };
    assert_eq!((message.kind, &message.payload[..]), (MessageType::DATA_AMF0, &payload[..]));
}
