//! Two endpoints over a network that does to each datagram what the input says: what arrives was
//! sent, arrives once and in order, and all of it arrives once the network is well again.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    time::{Duration, Instant},
};

use bolero::check;
use bytes::Bytes;
use rand::{SeedableRng, rngs::StdRng};
use rtmfp::{
    Config, Ecn, Endpoint, Event, FlowEvent, FlowOptions, Path, SessionId,
    crypto::{Discriminator, Identity, Policy, Protection},
};

use crate::{assert_heap_is_bounded, script::Script};

const MAX_STEPS: usize = 600;
const MAX_FLOWS: usize = 8;
const TRIP: Duration = Duration::from_millis(5);
/// How long a healed network has to deliver everything.
const PATIENCE: Duration = Duration::from_secs(300);

#[test]
fn any_network_between_two_endpoints() {
    check!().for_each(|input: &[u8]| {
        let mut script = Script::new(input);
        // Only with HMACs nothing forged gets in: 16 bits of checksum let some of it pass.
        let can_corrupt = script.is_rare(128);
        let wanted = if can_corrupt { Protection::Require } else { Protection::Off };
        let mut run = Run::new(wanted);
        for _ in 0..MAX_STEPS {
            if script.is_over() {
                break;
            }
            run.step(&mut script, can_corrupt);
        }
        assert_heap_is_bounded();
        run.heal();
    });
}

struct Sent {
    by: usize,
    flow: u64,
    data: Bytes,
    must_arrive: bool,
}

struct Side {
    endpoint: Endpoint,
    address: SocketAddr,
    session: Option<SessionId>,
    is_closed: bool,
    flows: Vec<u64>,
    /// Of the other side.
    incoming: Vec<u64>,
    /// By flow, the message that came last.
    last: BTreeMap<u64, u32>,
}

struct Run {
    now: Instant,
    sides: [Side; 2],
    wire: Vec<(usize, Vec<u8>)>,
    sent: Vec<Sent>,
    arrived: BTreeSet<u32>,
}

impl Side {
    fn new(now: Instant, index: usize, wanted: Protection) -> Self {
        let seed = index as u8 + 1;
        let mut config = Config::default();
        config.protection.default = Policy::both(wanted);
        let identity = Identity::peer(&mut StdRng::seed_from_u64(seed.into()));
        Self {
            endpoint: Endpoint::new(config, identity, now, [seed; 32]),
            address: ([192, 0, 2, seed], 1000).into(),
            session: None,
            is_closed: false,
            flows: Vec::new(),
            incoming: Vec::new(),
            last: BTreeMap::new(),
        }
    }
}

impl Run {
    /// With an open session.
    fn new(wanted: Protection) -> Self {
        let now = Instant::now();
        let sides = [0, 1].map(|index| Side::new(now, index, wanted));
        let (wire, sent, arrived) = Default::default();
        let mut run = Self { now, sides, wire, sent, arrived };
        let peer = Discriminator::Fingerprint(run.sides[1].endpoint.peer_id());
        let address = run.sides[1].address;
        run.sides[0].endpoint.open(now, peer, &[address]).expect("nothing stands against it");
        // The responder has a session once the initiator proved itself, after a ping at the latest.
        let is_open = |run: &Self| run.sides.iter().all(|side| side.session.is_some());
        let mut trips = 0;
        while !is_open(&run) && trips < 1000 {
            run.deliver_all();
            trips += 1;
        }
        assert!(is_open(&run), "it opens");
        run
    }

    fn step(&mut self, script: &mut Script<'_>, can_corrupt: bool) {
        match script.below(16) {
            0..5 => self.deliver_all(),
            5 => self.at(script, |run, at| {
                let (to, datagram) = run.wire.remove(at);
                run.deliver(to, datagram);
            }),
            6 => self.at(script, |run, at| drop(run.wire.remove(at))),
            7 => self.at(script, |run, at| {
                let (to, datagram) = run.wire[at].clone();
                run.deliver(to, datagram);
            }),
            8 if can_corrupt => {
                let (place, bits) = (script.u16(), script.byte());
                self.at(script, |run, at| {
                    let datagram = &mut run.wire[at].1;
                    let place = usize::from(place) % datagram.len();
                    datagram[place] ^= bits;
                });
            }
            9 => self.pass(Duration::from_millis(u64::from(script.u16()) / 16)),
            10 => self.sides[0].address.set_port(1000 + u16::from(script.byte())),
            _ => self.command(script),
        }
        self.collect();
    }

    /// Does something to one datagram on its way.
    fn at(&mut self, script: &mut Script<'_>, act: impl FnOnce(&mut Self, usize)) {
        if !self.wire.is_empty() {
            let at = usize::from(script.u16()) % self.wire.len();
            act(self, at);
        }
    }

    fn command(&mut self, script: &mut Script<'_>) {
        let (now, by) = (self.now, script.below(2));
        let side = &mut self.sides[by];
        let Some(mut session) = side.session.and_then(|id| side.endpoint.session(id)) else {
            return;
        };
        let near = pick(&side.flows, script);
        let far = pick(&side.incoming, script);
        match script.below(12) {
            0 | 1 if side.flows.len() < MAX_FLOWS => {
                let flow = session.open_flow(b"flow", None, FlowOptions::default());
                side.flows.push(flow);
            }
            0..8 => {
                let Some(flow) = near else { return };
                let number = self.sent.len() as u32;
                let data = message(number, usize::from(script.u16()) / 2);
                let lasts = Duration::from_millis(u64::from(script.byte()) * 4);
                let deadline = script.is_rare(60).then(|| now + lasts);
                if session.send(now, flow, data.clone(), deadline).is_ok() {
                    self.sent.push(Sent { by, flow, data, must_arrive: deadline.is_none() });
                }
            }
            8 => {
                let Some(flow) = near else { return };
                session.close_flow(now, flow);
                side.flows.retain(|other| *other != flow);
            }
            9 => {
                let Some(flow) = far else { return };
                session.reject_flow(now, flow, 0);
                side.incoming.retain(|other| *other != flow);
                let of_flow = |sent: &&mut Sent| sent.by != by && sent.flow == flow;
                self.sent.iter_mut().filter(of_flow).for_each(|sent| sent.must_arrive = false);
            }
            _ => {
                let is_suspended = script.is_rare(128);
                far.into_iter().for_each(|flow| session.suspend_flow(now, flow, is_suspended));
            }
        }
    }

    fn pass(&mut self, time: Duration) {
        let until = self.now + time;
        for _ in 0..10_000 {
            let due = self.sides.iter_mut().filter_map(|side| side.endpoint.poll_timeout()).min();
            let Some(due) = due.filter(|due| *due <= until) else {
                self.now = until;
                return;
            };
            self.now = self.now.max(due);
            for side in &mut self.sides {
                if side.endpoint.poll_timeout().is_some_and(|at| at <= self.now) {
                    side.endpoint.handle_timeout(self.now);
                }
            }
            self.collect();
        }
        panic!("the timers never settle");
    }

    fn deliver_all(&mut self) {
        self.pass(TRIP);
        self.collect();
        for (to, datagram) in std::mem::take(&mut self.wire) {
            self.deliver(to, datagram);
        }
        self.collect();
    }

    fn deliver(&mut self, to: usize, mut datagram: Vec<u8>) {
        let path = Path { socket: 0, remote: self.sides[1 - to].address };
        let endpoint = &mut self.sides[to].endpoint;
        endpoint.handle_datagram(self.now, path, Ecn::NotCapable, &mut datagram);
    }

    /// Takes out what endpoints have to send and to say.
    fn collect(&mut self) {
        let mut buf = Vec::new();
        for index in 0..2 {
            let other = self.sides[1 - index].address;
            let side = &mut self.sides[index];
            while let Some(transmit) = side.endpoint.poll_transmit(self.now, &mut buf) {
                // An address that nobody has any more leads nowhere.
                let reaches = transmit.path.remote == other;
                for datagram in buf.chunks(transmit.segment_size).filter(|_| reaches) {
                    self.wire.push((1 - index, datagram.to_vec()));
                }
            }
            while let Some(event) = self.sides[index].endpoint.poll_event() {
                self.on_event(index, event);
            }
        }
    }

    fn on_event(&mut self, index: usize, event: Event) {
        let side = &mut self.sides[index];
        match event {
            Event::SessionOpened { session, .. } => side.session = Some(session),
            Event::SessionClosed { .. } => side.is_closed = true,
            Event::Flow { event: FlowEvent::Opened { flow, metadata, .. }, .. } => {
                assert_eq!(metadata, "flow");
                side.incoming.push(flow);
            }
            Event::Flow { event: FlowEvent::Message { flow, data }, .. } => {
                self.on_message(index, flow, &data);
            }
            Event::Flow { event: FlowEvent::Finished { flow }, .. } => {
                side.incoming.retain(|other| *other != flow);
            }
            Event::Flow { event: FlowEvent::Rejected { flow, .. }, .. } => {
                side.flows.retain(|other| *other != flow);
                let of_flow = |sent: &&mut Sent| sent.by == index && sent.flow == flow;
                self.sent.iter_mut().filter(of_flow).for_each(|sent| sent.must_arrive = false);
            }
            Event::Flow { event: FlowEvent::Gap { flow }, .. } => self.on_gap(index, flow),
            Event::OpenFailed { .. } | Event::AddressChanged { .. } | Event::Wanted { .. } => {}
        }
    }

    /// Only what had a deadline is ever given up.
    fn on_gap(&self, to: usize, flow: u64) {
        let mut of_flow = self.sent.iter().filter(|it| it.by != to && it.flow == flow);
        assert!(of_flow.any(|sent| !sent.must_arrive), "a gap where nothing was given up");
    }

    fn on_message(&mut self, to: usize, flow: u64, data: &Bytes) {
        let number = u32::from_be_bytes(*data.first_chunk().expect("none is shorter"));
        let sent = self.sent.get(number as usize).expect("it was sent");
        assert_eq!((sent.by, sent.flow), (1 - to, flow), "it was sent on this flow");
        assert!(sent.data == *data, "message {number} is not as it was sent");
        assert!(self.arrived.insert(number), "message {number} came twice");
        let last = self.sides[to].last.insert(flow, number);
        assert!(last < Some(number), "{last:?} came before {number}");
    }

    /// The network is well, and nobody holds anything back: all that was promised arrives, unless
    /// an end has given the other one up.
    fn heal(&mut self) {
        for side in &mut self.sides {
            let Some(mut session) = side.session.and_then(|id| side.endpoint.session(id)) else {
                continue;
            };
            for flow in &side.incoming {
                session.suspend_flow(self.now, *flow, false);
            }
        }
        let until = self.now + PATIENCE;
        while self.now < until && self.missing().is_some() {
            self.deliver_all();
        }
        let missing = self.missing();
        assert!(missing.is_none(), "message {missing:?} of {} never came", self.sent.len());
    }

    /// What has yet to arrive while both ends are there.
    fn missing(&self) -> Option<u32> {
        if self.sides.iter().any(|side| side.is_closed) {
            return None;
        }
        let waits = |number: &u32| {
            self.sent[*number as usize].must_arrive && !self.arrived.contains(number)
        };
        (0..self.sent.len() as u32).find(waits)
    }
}

/// Its number, and bytes that follow from it.
fn message(number: u32, extra: usize) -> Bytes {
    let filler = (0..extra).map(|at| (at as u32).wrapping_mul(31).wrapping_add(number) as u8);
    number.to_be_bytes().into_iter().chain(filler).collect()
}

fn pick(flows: &[u64], script: &mut Script<'_>) -> Option<u64> {
    (!flows.is_empty()).then(|| flows[script.below(flows.len())])
}
