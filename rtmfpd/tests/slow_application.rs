//! An application that does not take its events: its peer waits, nobody's memory grows.

use std::time::{Duration, Instant};

use rtmfp::{
    NetEvent, StreamEvent, StreamId,
    net::Client,
    rtmp::{Message, MessageType},
};
use rtmfpd::{ServerConfig, start};

const SIZE: usize = 1 << 20;
const COUNT: usize = 40;

fn next(client: &Client, mut wanted: impl FnMut(&NetEvent) -> bool) -> NetEvent {
    loop {
        let event = client.next_event().expect("the connection goes on");
        if wanted(&event) {
            return event;
        }
    }
}

fn queued(client: &Client, stream: StreamId) -> usize {
    client.with(move |_, endpoint, net| net.buffered(endpoint, stream)).unwrap()
}

/// What stays queued at the writer once nothing moves any more.
fn settled(client: &Client, stream: StreamId) -> usize {
    let mut last = (Instant::now(), queued(client, stream));
    while last.0.elapsed() < Duration::from_millis(500) {
        let now = queued(client, stream);
        if now != last.1 {
            last = (Instant::now(), now);
        }
        std::thread::yield_now();
    }
    last.1
}

#[test]
fn what_is_not_taken_stays_with_its_sender() {
    let config = ServerConfig {
        listen: vec![std::net::SocketAddr::from(([127, 0, 0, 1], 0)).into()],
        ..ServerConfig::default()
    };
    let server = start(&config).unwrap();
    let writer = Client::connect(&server.url()).unwrap();
    let reader = Client::connect(&server.url()).unwrap();
    reader.play_from(writer.peer_id(), "film").unwrap();
    let requested = next(&writer, |event| matches!(event, NetEvent::Requested { .. }));
    let NetEvent::Requested { stream, .. } = requested else { unreachable!() };
    writer.accept(stream).unwrap();
    for number in 0..COUNT {
        let payload = vec![number as u8; SIZE].into();
        writer
            .send(stream, Message { kind: MessageType::VIDEO, timestamp: 0, payload }, None)
            .unwrap();
    }
    let left = settled(&writer, stream);
    assert!(left > COUNT / 2 * SIZE, "only {left} bytes are left");
    let is_frame = |event: &NetEvent| {
        matches!(event, NetEvent::Stream { event: StreamEvent::Message(message), .. }
            if message.kind == MessageType::VIDEO)
    };
    for number in 0..COUNT {
        let NetEvent::Stream { event: StreamEvent::Message(message), .. } = next(&reader, is_frame)
        else {
            unreachable!()
        };
        assert!(message.payload.len() == SIZE && message.payload[0] == number as u8);
    }
    server.stopper()();
}
