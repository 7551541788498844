//! A server and group members on a simulated network.
#![allow(dead_code, reason = "each test uses some of it")]

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use bytes::Bytes;
use netgroup::{
    Capabilities, Delivery, Group, GroupEvent, GroupHandle, GroupSpec, Node, NodeEvent,
    StreamEvent,
    wire::{StreamKey, StreamParameters},
};
use rand::{SeedableRng, rngs::StdRng};
use rtmfp::{Config, Ecn, Endpoint, Liveness, Path, Transmit, crypto::Identity, net::App};
use rtmfpd::Server;
use simnet::{
    Link,
    rig::{Node as RigNode, Rig},
};

pub const SERVER: &str = "198.51.100.1:1935";

pub enum Program {
    Server(Box<Server>),
    Member(Box<Member>),
}

pub struct Member {
    pub node: Node,
    pub group: GroupHandle,
    pub received: Vec<Delivery>,
    pub ended: bool,
    /// All that it was told, but for messages.
    pub events: Vec<NodeEvent>,
}

impl Member {
    pub fn group(&mut self) -> &mut Group {
        self.node.group(self.group).expect("it is in it")
    }
}

pub struct Host {
    pub endpoint: Endpoint,
    pub program: Program,
}

impl Host {
    pub fn member(&mut self) -> (&mut Member, &mut Endpoint) {
        match &mut self.program {
            Program::Member(member) => (member, &mut self.endpoint),
            Program::Server(_) => panic!("that is the server"),
        }
    }

    fn settle(&mut self, now: Instant) {
        while let Some(event) = self.endpoint.poll_event() {
            match &mut self.program {
                Program::Server(server) => server.on_event(now, &mut self.endpoint, event),
                Program::Member(member) => member.node.on_event(now, &mut self.endpoint, event),
            }
        }
        let Program::Member(member) = &mut self.program else { return };
        while let Some(event) = member.node.poll_event() {
            match event {
                NodeEvent::Group {
                    event: GroupEvent::Stream { event: StreamEvent::Message(message), .. },
                    ..
                } => {
                    member.received.push(message);
                }
                NodeEvent::Group {
                    event: GroupEvent::Stream { event: StreamEvent::Ended, .. },
                    ..
                } => member.ended = true,
                other => member.events.push(other),
            }
        }
    }
}

impl RigNode for Host {
    fn handle_datagram(&mut self, now: Instant, from: SocketAddr, mark: Ecn, datagram: &mut [u8]) {
        self.endpoint.handle_datagram(now, Path { socket: 0, remote: from }, mark, datagram);
        self.settle(now);
    }

    fn handle_timeout(&mut self, now: Instant) {
        if self.endpoint.poll_timeout().is_some_and(|at| at <= now) {
            self.endpoint.handle_timeout(now);
        }
        match &mut self.program {
            Program::Server(server) if server.poll_timeout().is_some_and(|at| at <= now) => {
                server.on_timeout(now, &mut self.endpoint);
            }
            Program::Member(member) if member.node.poll_timeout() <= now => {
                member.node.handle_timeout(now, &mut self.endpoint);
            }
            _ => {}
        }
        self.settle(now);
    }

    fn poll_timeout(&mut self) -> Option<Instant> {
        let own = match &self.program {
            Program::Server(server) => server.poll_timeout(),
            Program::Member(member) => Some(member.node.poll_timeout()),
        };
        own.into_iter().chain(self.endpoint.poll_timeout()).min()
    }

    fn poll_transmit(&mut self, now: Instant, buf: &mut Vec<u8>) -> Option<Transmit> {
        self.endpoint.poll_transmit(now, buf)
    }
}

/// A network with a server on it.
pub fn network(seed: u64, link: Link) -> Rig<Host> {
    let mut rig = Rig::new(seed, link);
    add_server(&mut rig);
    rig
}

/// Adds the server.
pub fn add_server(rig: &mut Rig<Host>) {
    let config = Config { introduces: true, ..Config::default() };
    let endpoint = Endpoint::new(config, Identity::server(&[9; 64]), rig.now, [9; 32]);
    rig.add(SERVER.parse().unwrap(), Host { endpoint, program: Program::Server(Box::default()) });
}

/// Adds a member, which begins to connect.
pub fn add_member(rig: &mut Rig<Host>, seed: u8) -> usize {
    let now = rig.now;
    let spec = GroupSpec::new("test", Capabilities::CHANNEL, 1).unwrap();
    let identity = Identity::peer(&mut StdRng::seed_from_u64(seed.into()));
    let liveness = Liveness { keepalive: Duration::from_secs(10), give_up: Duration::from_secs(8) };
    let mut endpoint =
        Endpoint::new(Config { liveness, ..Config::default() }, identity, now, [seed; 32]);
    let url = format!("rtmfp://{SERVER}/").parse().unwrap();
    let servers = vec![SERVER.parse().unwrap()];
    let mut node = Node::new(now, endpoint.peer_id(), url, servers, [seed; 32]);
    let group = node.join(now, &mut endpoint, spec).unwrap();
    node.start(now, &mut endpoint);
    let member = Member { node, group, received: Vec::new(), ended: false, events: Vec::new() };
    let address = SocketAddr::from(([192, 0, 2, seed], 4000));
    rig.add(address, Host { endpoint, program: Program::Member(Box::new(member)) })
}

/// Publishes messages at a steady pace and lets the network run.
pub struct Broadcast {
    pub caster: usize,
    pub key: StreamKey,
    pub sent: Vec<Delivery>,
    step: Duration,
}

impl Broadcast {
    pub fn start(rig: &mut Rig<Host>, caster: usize) -> Self {
        let now = rig.now;
        let (member, endpoint) = rig.node(caster).member();
        let key = member.group().publish(now, "stream", StreamParameters::default());
        member.node.flush(now, endpoint);
        Self { caster, key, sent: Vec::new(), step: Duration::from_millis(40) }
    }

    pub fn publish(&mut self, rig: &mut Rig<Host>, size: usize) {
        let index = self.sent.len();
        let payload: Bytes = (0..size).map(|at| (at * 7 + index) as u8).collect();
        let kind = if index.is_multiple_of(3) { 8 } else { 9 };
        let message = Delivery { kind, timestamp: index as u32 * 40, payload };
        let now = rig.now;
        let (member, endpoint) = rig.node(self.caster).member();
        member.group().publish_message(now, &self.key, kind, message.timestamp, &message.payload);
        member.node.flush(now, endpoint);
        self.sent.push(message);
    }

    pub fn run(&mut self, rig: &mut Rig<Host>, time: Duration, size: impl Fn(usize) -> usize) {
        let until = rig.now + time;
        while rig.now < until {
            self.publish(rig, size(self.sent.len()));
            rig.run_for(self.step);
        }
    }

    /// The member has every message from its first one on, but for what is still on its way.
    pub fn assert_received(
        &self,
        rig: &mut Rig<Host>,
        member: usize,
        at_least: usize,
        late: usize,
    ) {
        let received = &rig.node(member).member().0.received;
        assert!(received.len() >= at_least, "member {member} has {} messages", received.len());
        let first = self.sent.iter().position(|message| *message == received[0]).expect("was sent");
        for (index, message) in received.iter().enumerate() {
            // Payloads of megabytes are not for reading.
            let sent = &self.sent[first + index];
            assert!(
                sent == message,
                "member {member}, message {index} from {first}: {} bytes at {} ms, not {} at {}",
                message.payload.len(),
                message.timestamp,
                sent.payload.len(),
                sent.timestamp
            );
        }
        let missing = self.sent.len() - first - received.len();
        assert!(missing <= late, "member {member} lacks the last {missing} messages");
    }
}

pub fn subscribe(rig: &mut Rig<Host>, member: usize) {
    rig.node(member).member().0.group().subscribe("stream");
}
