//! NetConnections on a simulated network: a real server between two peers that stream directly.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use rand::{SeedableRng, rngs::StdRng};
use rtmfp::{
    Config, Ecn, Endpoint, NetConnection, NetEvent, Path, StreamEvent, StreamId, Transmit,
    crypto::Identity,
    net::App,
    rtmp::{Message, MessageType, UserControl, Value},
};
use rtmfpd::Server;
use simnet::{
    Link,
    rig::{Node, Rig},
};

fn address(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

const SERVER: &str = "198.51.100.1:1935";

enum Program {
    Server(Box<Server>),
    Client(Box<NetConnection>),
}

struct Host {
    endpoint: Endpoint,
    program: Program,
    heard: Vec<NetEvent>,
}

impl Host {
    fn settle(&mut self, now: Instant) {
        while let Some(event) = self.endpoint.poll_event() {
            match &mut self.program {
                Program::Server(server) => server.on_event(now, &mut self.endpoint, event),
                Program::Client(net) => net.on_event(now, &mut self.endpoint, &event),
            }
        }
        if let Program::Client(net) = &mut self.program {
            self.heard.extend(std::iter::from_fn(|| net.poll_event()));
        }
    }
}

impl Node for Host {
    fn handle_datagram(&mut self, now: Instant, from: SocketAddr, mark: Ecn, datagram: &mut [u8]) {
        self.endpoint.handle_datagram(now, Path { socket: 0, remote: from }, mark, datagram);
        self.settle(now);
    }

    fn handle_timeout(&mut self, now: Instant) {
        self.endpoint.handle_timeout(now);
        if let Program::Client(net) = &mut self.program {
            net.handle_timeout(now, &mut self.endpoint);
        }
        self.settle(now);
    }

    fn poll_timeout(&mut self) -> Option<Instant> {
        let own = match &self.program {
            Program::Client(net) => net.poll_timeout(),
            Program::Server(_) => None,
        };
        own.into_iter().chain(self.endpoint.poll_timeout()).min()
    }

    fn poll_transmit(&mut self, now: Instant, buf: &mut Vec<u8>) -> Option<Transmit> {
        self.endpoint.poll_transmit(now, buf)
    }
}

struct World {
    rig: Rig<Host>,
}

impl World {
    /// A server (0) and connected clients (1 and up).
    fn new(clients: u8) -> Self {
        let mut rig = Rig::new(5, Link::default());
        let config = Config { introduces: true, ..Config::default() };
        let endpoint = Endpoint::new(config, Identity::server(&[9; 64]), rig.now, [9; 32]);
        let mut server = Server::default();
        server.carry_streams();
        let program = Program::Server(Box::new(server));
        rig.add(address(SERVER), Host { endpoint, program, heard: Vec::new() });
        for seed in 1..=clients {
            let identity = Identity::peer(&mut StdRng::seed_from_u64(seed.into()));
            let mut endpoint = Endpoint::new(Config::default(), identity, rig.now, [seed; 32]);
            let url = "rtmfp://198.51.100.1/app".parse().unwrap();
            let mut net = NetConnection::new(url, vec![address(SERVER)], Vec::new());
            net.open(rig.now, &mut endpoint);
            let program = Program::Client(Box::new(net));
            let host = Host { endpoint, program, heard: Vec::new() };
            rig.add(address(&format!("192.0.2.{seed}:1000")), host);
        }
        let mut world = Self { rig };
        world.pass(2.0);
        for client in 1..=clients {
            assert_eq!(world.heard(client.into()), [NetEvent::Connected]);
        }
        world
    }

    fn pass(&mut self, seconds: f64) {
        self.rig.run_for(Duration::from_secs_f64(seconds));
    }

    fn heard(&mut self, client: usize) -> Vec<NetEvent> {
        std::mem::take(&mut self.rig.node(client).heard)
    }

    fn with<T>(
        &mut self,
        client: usize,
        job: impl FnOnce(Instant, &mut Endpoint, &mut NetConnection) -> T,
    ) -> T {
        let (now, host) = (self.rig.now, self.rig.node(client));
        let Program::Client(net) = &mut host.program else { panic!("not a client") };
        job(now, &mut host.endpoint, net)
    }

    /// Client 2 asks client 1 for a stream; both ends of it.
    fn request(&mut self, name: &str) -> (StreamId, StreamId) {
        let publisher = self.rig.node(1).endpoint.peer_id();
        let reader =
            self.with(2, |now, endpoint, net| net.play_from(now, endpoint, publisher, name));
        self.pass(2.0);
        let heard = self.heard(1);
        let [NetEvent::Requested { stream, peer, name: asked }] = &heard[..] else {
            panic!("{heard:?}")
        };
        assert_eq!((*peer, asked.as_str()), (self.rig.node(2).endpoint.peer_id(), name));
        (*stream, reader.unwrap())
    }

    fn send(
        &mut self,
        stream: StreamId,
        kind: MessageType,
        timestamp: u32,
        payload: &'static [u8],
    ) {
        let message = Message { kind, timestamp, payload: payload.into() };
        self.with(1, |now, endpoint, net| net.send(now, endpoint, stream, &message, None)).unwrap();
    }
}

fn codes(events: &[NetEvent]) -> Vec<&str> {
    let of_status = |event| match event {
        &NetEvent::Stream { event: StreamEvent::Status { ref code, .. }, .. } => Some(&code[..]),
        _ => None,
    };
    events.iter().filter_map(of_status).collect()
}

/// Of all but user control messages.
fn payloads(events: &[NetEvent]) -> Vec<&[u8]> {
    let of_message = |event| match event {
        &NetEvent::Stream { event: StreamEvent::Message(ref message), .. }
            if message.kind != MessageType::USER_CONTROL =>
        {
            Some(&message.payload[..])
        }
        _ => None,
    };
    events.iter().filter_map(of_message).collect()
}

#[test]
fn a_peer_plays_what_another_publishes() {
    let mut world = World::new(2);
    let (writer, reader) = world.request("film");
    world.with(1, |now, endpoint, net| net.accept(now, endpoint, writer)).unwrap();
    world.send(writer, MessageType::VIDEO, 40, b"frame");
    world.send(writer, MessageType::AUDIO, 41, b"sound");
    world.pass(1.0);
    let heard = world.heard(2);
    assert_eq!(codes(&heard), ["NetStream.Play.Reset", "NetStream.Play.Start"]);
    let mut got = payloads(&heard);
    got.sort();
    assert_eq!(got, [b"frame", b"sound"]);
    world.with(1, |now, endpoint, net| net.close_stream(now, endpoint, writer));
    world.pass(1.0);
    let ended = NetEvent::Stream { stream: reader, event: StreamEvent::Ended };
    assert_eq!(world.heard(2), [ended]);
}

#[test]
fn a_reader_that_leaves_ends_the_stream_and_then_the_session() {
    let mut world = World::new(2);
    let (writer, reader) = world.request("film");
    let peer = world.rig.node(2).endpoint.peer_id();
    world.with(2, |now, endpoint, net| net.close_stream(now, endpoint, reader));
    world.pass(1.0);
    let ended = NetEvent::Stream { stream: writer, event: StreamEvent::Ended };
    assert_eq!(world.heard(1), [ended]);
    assert!(world.rig.node(1).endpoint.session_with(&peer).is_some());
    world.pass(40.0);
    assert!(world.rig.node(1).endpoint.session_with(&peer).is_none(), "nobody uses it");
}

#[test]
fn a_refused_request_ends() {
    let mut world = World::new(2);
    let (writer, reader) = world.request("secret");
    world.with(1, |now, endpoint, net| net.close_stream(now, endpoint, writer));
    world.pass(1.0);
    let ended = NetEvent::Stream { stream: reader, event: StreamEvent::Ended };
    assert_eq!(world.heard(2), [ended]);
}

#[test]
fn a_peer_that_is_not_there_ends_the_stream() {
    let mut world = World::new(1);
    let nobody = rtmfp::crypto::PeerId([7; 32]);
    let stream =
        world.with(1, |now, endpoint, net| net.play_from(now, endpoint, nobody, "x")).unwrap();
    world.pass(100.0);
    assert_eq!(world.heard(1), [NetEvent::Stream { stream, event: StreamEvent::Ended }]);
}

#[test]
fn flows_meet_at_a_barrier() {
    let mut world = World::new(2);
    let (writer, _) = world.request("film");
    let barrier = UserControl::FlowSync { id: 3, count: 2 }.encode();
    // The audio flow reaches the barrier and goes on; video is late.
    let sync = Message::decode(&barrier).unwrap();
    world.send(writer, MessageType::AUDIO, 1, b"audio before");
    world.send(writer, MessageType::VIDEO, 1, b"video before");
    world.pass(1.0);
    world.heard(2);
    world
        .with(1, |now, endpoint, net| net.send_on(now, endpoint, writer, MessageType::AUDIO, &sync))
        .unwrap();
    world.send(writer, MessageType::AUDIO, 2, b"audio after");
    world.pass(1.0);
    assert_eq!(payloads(&world.heard(2)), [] as [&[u8]; 0]);
    world.send(writer, MessageType::VIDEO, 2, b"video last");
    world
        .with(1, |now, endpoint, net| net.send_on(now, endpoint, writer, MessageType::VIDEO, &sync))
        .unwrap();
    world.pass(1.0);
    assert_eq!(payloads(&world.heard(2)), [&b"video last"[..], b"audio after"]);
}

#[test]
fn a_call_is_answered() {
    let mut world = World::new(1);
    let call = |now, endpoint: &mut Endpoint, net: &mut NetConnection| {
        net.call(now, endpoint, "noSuchThing", vec![Value::Number(1.0)])
    };
    let transaction = world.with(1, call).unwrap();
    world.pass(1.0);
    let heard = world.heard(1);
    let [NetEvent::Answered { transaction: answered, answer }] = &heard[..] else {
        panic!("{heard:?}")
    };
    assert_eq!((*answered, answer.name.as_str()), (transaction, "_error"));
}

#[test]
fn no_more_peers_than_allowed() {
    let mut world = World::new(4);
    world.with(1, |_, _, net| net.set_max_peers(1));
    let publisher = world.rig.node(1).endpoint.peer_id();
    for reader in 2..=4 {
        world
            .with(reader, |now, endpoint, net| net.play_from(now, endpoint, publisher, "x"))
            .unwrap();
    }
    world.pass(5.0);
    assert_eq!(world.heard(1).len(), 1, "one request got through");
}

#[test]
fn a_server_carries_live_streams() {
    let mut world = World::new(3);
    let play =
        |now, endpoint: &mut Endpoint, net: &mut NetConnection| net.play(now, endpoint, "film");
    world.with(2, play).unwrap();
    world.pass(1.0);
    assert_eq!(codes(&world.heard(2)), ["NetStream.Play.Reset", "NetStream.Play.Start"]);
    let publish =
        |now, endpoint: &mut Endpoint, net: &mut NetConnection| net.publish(now, endpoint, "film");
    let stream = world.with(1, publish).unwrap();
    world.pass(1.0);
    assert_eq!(codes(&world.heard(1)), ["NetStream.Publish.Start"]);
    let (header, key, frame) = (&[0x17, 0, 1][..], &[0x17, 1, 2][..], &[0x27, 1, 3][..]);
    for payload in [header, frame, key, frame] {
        world.send(stream, MessageType::VIDEO, 40, payload);
    }
    world.pass(1.0);
    let heard = world.heard(2);
    assert_eq!(codes(&heard), ["NetStream.Play.PublishNotify"]);
    assert_eq!(payloads(&heard), [header, key, frame]);
    // One that comes late, and one that would publish the same.
    world.with(3, play).unwrap();
    let second = world.with(3, publish).unwrap();
    world.pass(1.0);
    let heard = world.heard(3);
    assert!(codes(&heard).contains(&"NetStream.Publish.BadName"), "{heard:?}");
    assert_eq!(payloads(&heard).last(), Some(&header));
    world.with(1, |now, endpoint, net| net.close_stream(now, endpoint, stream));
    world.with(3, |now, endpoint, net| net.close_stream(now, endpoint, second));
    world.pass(1.0);
    assert_eq!(codes(&world.heard(2)), ["NetStream.Play.UnpublishNotify"]);
}

#[test]
fn the_end_of_the_control_flow_ends_the_connection() {
    let mut world = World::new(1);
    let peer = world.rig.node(1).endpoint.peer_id();
    let now = world.rig.now;
    let server = &mut world.rig.node(0).endpoint;
    let session = server.session_with(&peer).unwrap();
    // Ours to the client, the first that the server opened.
    server.session(session).unwrap().close_flow(now, 2);
    world.pass(1.0);
    assert_eq!(world.heard(1), [NetEvent::Closed]);
    assert!(world.rig.node(0).endpoint.session_with(&peer).is_none());
}

#[test]
fn the_end_of_a_stream_does_not_overtake_it() {
    let mut world = World::new(2);
    // Large frames on a thin line: what is said behind them is there long before them.
    world.rig.network.set_link(Link { rate: Some(200_000), ..Link::default() });
    let play =
        |now, endpoint: &mut Endpoint, net: &mut NetConnection| net.play(now, endpoint, "film");
    let publish =
        |now, endpoint: &mut Endpoint, net: &mut NetConnection| net.publish(now, endpoint, "film");
    world.with(2, play).unwrap();
    let stream = world.with(1, publish).unwrap();
    world.pass(2.0);
    world.heard(2);
    for _ in 0..3 {
        world.send(stream, MessageType::VIDEO, 40, &[0x17; 30_000]);
        world.send(stream, MessageType::AUDIO, 40, &[0x21; 300]);
    }
    world.with(1, |now, endpoint, net| net.close_stream(now, endpoint, stream));
    world.pass(20.0);
    let heard = world.heard(2);
    assert_eq!(payloads(&heard).len(), 6);
    assert_eq!(codes(&heard), ["NetStream.Play.UnpublishNotify"]);
    assert!(matches!(
        heard.last(),
        Some(NetEvent::Stream { event: StreamEvent::Status { .. }, .. })
    ));
}

#[test]
fn rtmps_own_flow_control_has_no_place() {
    let mut world = World::new(2);
    let (writer, _) = world.request("film");
    world.with(1, |now, endpoint, net| net.accept(now, endpoint, writer)).unwrap();
    for kind in [1, 2, 3, 5, 6].map(MessageType) {
        let message = Message { kind, timestamp: 0, payload: b"\0\0\0\x01".as_slice().into() };
        let sent =
            world.with(1, |now, endpoint, net| net.send(now, endpoint, writer, &message, None));
        assert_eq!(sent, Err(rtmfp::StreamError::NotForRtmfp));
        // Whoever sends it all the same is not heeded.
        let (now, peer) = (world.rig.now, world.rig.node(2).endpoint.peer_id());
        let endpoint = &mut world.rig.node(1).endpoint;
        let session = endpoint.session_with(&peer).unwrap();
        let mut view = endpoint.session(session).unwrap();
        // The flow on which the stream began.
        view.send(now, 2, message.to_bytes(), None).unwrap();
    }
    world.pass(1.0);
    let kinds = |events: Vec<NetEvent>| {
        let of_message = |event| match event {
            NetEvent::Stream { event: StreamEvent::Message(message), .. } => Some(message.kind.0),
            _ => None,
        };
        events.into_iter().filter_map(of_message).collect::<Vec<_>>()
    };
    assert_eq!(kinds(world.heard(2)), [MessageType::USER_CONTROL.0], "StreamBegin alone");
}

#[test]
fn a_commanded_keepalive_is_kept_with_server_and_peers() {
    let mut world = World::new(2);
    world.request("film");
    // Quiet for a while: the server asks for 15 s, and 10 s among peers.
    let before = |world: &mut World, of: usize, to: usize| {
        let peer = world.rig.node(to).endpoint.peer_id();
        let endpoint = &mut world.rig.node(of).endpoint;
        let session = endpoint.session_with(&peer).unwrap();
        endpoint.session(session).unwrap().stats().packets_sent
    };
    world.pass(5.0);
    let (server, peer) = (before(&mut world, 1, 0), before(&mut world, 1, 2));
    world.pass(600.0);
    let pings = before(&mut world, 1, 0) - server;
    assert!((30..=60).contains(&pings), "{pings} packets to the server in 600 s");
    let pings = before(&mut world, 1, 2) - peer;
    assert!((45..=90).contains(&pings), "{pings} packets to the peer in 600 s");
}
