//! One host: a node in its groups, over an endpoint. It runs by itself until the end of a step.

use std::time::{Duration, Instant};

use netgroup::{GroupEvent, GroupHandle, MEMBER_LIVENESS, Node, NodeEvent};
use rand::{RngExt, SeedableRng, rngs::StdRng};
use rtmfp::{
    Config, Endpoint, Event, Path,
    crypto::{Identity, sha256},
};

use super::{
    Datagram, Way,
    way::{From, address},
};
use crate::swarm::{
    agenda::Agenda, crowd::Role, figures::Tally, film::Slot, hosts::Present, lies, seat::Seat,
    traffic::Traffic, world::World,
};

/// What happens to a host.
#[derive(Debug)]
enum Happening {
    Come,
    Arrival(Datagram),
    /// The next message of the film.
    Publish(Slot),
    /// A liar's turn.
    Lie(usize),
    Leave {
        politely: bool,
    },
}

/// What a host's stack tells it.
#[derive(Debug)]
enum Told {
    /// The server has accepted it.
    Connected,
    /// A session that it wanted is open.
    Session,
    /// Something happened in a group.
    Group(usize, GroupEvent),
}

/// Where a host is in its life.
#[derive(Debug)]
enum Life {
    Unborn(Identity),
    Here(Box<Stack>),
    Gone,
}

/// What a host runs while it is here.
#[derive(Debug)]
struct Stack {
    endpoint: Endpoint,
    node: Node,
    groups: Vec<GroupHandle>,
    traffic: Traffic,
    /// Of the endpoint's, that were counted.
    bytes_sent: u64,
}

#[derive(Debug)]
pub(super) struct Host {
    number: usize,
    life: Life,
    seat: Seat,
    agenda: Agenda<Happening>,
    pub way: Way,
    rng: StdRng,
}

impl Host {
    pub fn new(world: &World, number: usize, identity: Identity) -> Self {
        let seed = sha256(&[&world.seed.to_be_bytes(), &(number as u64).to_be_bytes()]);
        let guest = world.crowd.guests[number];
        let mut agenda = Agenda::default();
        agenda.plan(world.start + guest.joins, Happening::Come);
        if let Some(leaving) = guest.leaves {
            let leave = Happening::Leave { politely: leaving.politely };
            agenda.plan(world.start + leaving.at, leave);
        }
        Self {
            number,
            life: Life::Unborn(identity),
            seat: Seat::new(number),
            agenda,
            way: Way::of_host(world, number),
            rng: StdRng::from_seed(seed),
        }
    }

    pub fn is_here(&self) -> bool {
        matches!(self.life, Life::Here(_))
    }

    pub fn present(&self) -> Present<'_> {
        let groups = match &self.life {
            Life::Here(stack) => stack.node.groups().collect(),
            Life::Unborn(_) | Life::Gone => Vec::new(),
        };
        Present { number: self.number, groups }
    }

    pub fn receive(&mut self, datagram: Datagram) {
        if self.is_here() {
            self.agenda.plan(datagram.at, Happening::Arrival(datagram));
        }
    }

    /// Lives until `end`.
    pub fn step(&mut self, world: &World, tally: &mut Tally, from: Instant, end: Instant) {
        while let Some(at) = self.next().filter(|at| *at < end) {
            let now = at.max(from);
            while let Some((_, happening)) = self.agenda.pop_due(now) {
                self.live_through(world, tally, now, happening);
            }
            let Life::Here(stack) = &mut self.life else { continue };
            let seat = &mut self.seat;
            stack.work(now, tally, |told, tally| match told {
                Told::Connected => seat.on_connected(world, now),
                Told::Session => seat.on_session(world, tally, now),
                Told::Group(group, event) => seat.on_event(world, tally, now, group, event),
            });
            self.way.send_all(world, now, &mut stack.endpoint);
            stack.count_sent(self.number, tally);
        }
    }

    /// When something happens next.
    fn next(&mut self) -> Option<Instant> {
        let stack = match &mut self.life {
            Life::Here(stack) => Some(stack.next()),
            Life::Unborn(_) | Life::Gone => None,
        };
        stack.into_iter().chain(self.agenda.next()).min()
    }

    fn live_through(
        &mut self,
        world: &World,
        tally: &mut Tally,
        now: Instant,
        happening: Happening,
    ) {
        match happening {
            Happening::Come => self.come(world, now),
            Happening::Leave { politely } => self.leave(world, tally, now, politely),
            Happening::Arrival(mut datagram) => {
                if let Life::Here(stack) = &mut self.life {
                    tally.wire_bytes += datagram.bytes.len() as u64;
                    let path = Path::to(datagram.from);
                    stack.endpoint.handle_datagram(now, path, datagram.mark, &mut datagram.bytes);
                }
            }
            Happening::Lie(kind) => self.lie(now, kind),
            Happening::Publish(slot) => {
                let Life::Here(stack) = &mut self.life else { return };
                let groups = stack.node.groups_mut();
                let next = self.seat.publish(world, tally, now, slot, groups);
                stack.node.flush(now, &mut stack.endpoint);
                self.agenda.plan(world.start + next.at, Happening::Publish(next));
            }
        }
    }

    fn come(&mut self, world: &World, now: Instant) {
        let Life::Unborn(identity) = std::mem::replace(&mut self.life, Life::Gone) else { return };
        let mut stack = Stack::new(now, identity, &mut self.rng);
        for spec in &world.specs {
            let handle = stack.node.join(now, &mut stack.endpoint, spec.clone());
            let handle = handle.expect("there are fewer groups than a node may be in");
            if let Some(group) = stack.node.group(handle) {
                self.seat.enter(world, now, group);
            }
            stack.groups.push(handle);
        }
        stack.node.start(now, &mut stack.endpoint);
        self.life = Life::Here(Box::new(stack));
        match world.crowd.guests[self.number].role {
            Role::Caster => self.agenda.plan(now, Happening::Publish(world.film.first())),
            Role::Liar(kind) => self.agenda.plan(now + lies::PERIOD, Happening::Lie(kind)),
            Role::Viewer | Role::FreeRider => {}
        }
    }

    fn lie(&mut self, now: Instant, kind: usize) {
        let Life::Here(stack) = &mut self.life else { return };
        for handle in stack.groups.clone() {
            let Some(group) = stack.node.group(handle) else { continue };
            for action in lies::tell(kind, group, &mut self.rng) {
                stack.node.act(now, &mut stack.endpoint, handle, action);
            }
        }
        self.agenda.plan(now + lies::PERIOD, Happening::Lie(kind));
    }

    fn leave(&mut self, world: &World, tally: &mut Tally, now: Instant, politely: bool) {
        self.sum_up(world, tally, world.elapsed(now));
        if let Life::Here(mut stack) = std::mem::replace(&mut self.life, Life::Gone)
            && politely
        {
            stack.endpoint.close_all(now);
            self.way.send_all(world, now, &mut stack.endpoint);
        }
        self.agenda.clear();
    }

    /// Adds what only the end shows.
    pub fn sum_up(&self, world: &World, tally: &mut Tally, ends: Duration) {
        if let Life::Here(stack) = &self.life {
            self.seat.sum_up(world, tally, ends, stack.node.groups());
        }
    }
}

impl Stack {
    fn new(now: Instant, identity: Identity, rng: &mut StdRng) -> Self {
        let config = Config { liveness: MEMBER_LIVENESS, ..Config::default() };
        let own = identity.peer_id();
        let server = address(From::Server);
        let url = format!("rtmfp://{server}/swarm").parse().expect("an address makes a URL");
        Self {
            endpoint: Endpoint::new(config, identity, now, rng.random()),
            node: Node::new(now, own, url, vec![server], rng.random()),
            groups: Vec::new(),
            traffic: Traffic::default(),
            bytes_sent: 0,
        }
    }

    fn next(&mut self) -> Instant {
        let node = self.node.poll_timeout();
        self.endpoint.poll_timeout().map_or(node, |at| at.min(node))
    }

    /// Does what is due, and tells what the node says.
    fn work(&mut self, now: Instant, tally: &mut Tally, mut tell: impl FnMut(Told, &mut Tally)) {
        if self.endpoint.poll_timeout().is_some_and(|at| at <= now) {
            self.endpoint.handle_timeout(now);
        }
        if self.node.poll_timeout() <= now {
            self.node.handle_timeout(now, &mut self.endpoint);
        }
        while let Some(event) = self.endpoint.poll_event() {
            self.traffic.count(&event, tally);
            if matches!(event, Event::SessionOpened { is_responder: false, .. }) {
                tell(Told::Session, tally);
            }
            self.node.on_event(now, &mut self.endpoint, event);
        }
        while let Some(event) = self.node.poll_event() {
            match event {
                NodeEvent::Connected => tell(Told::Connected, tally),
                NodeEvent::Group { group, event } => {
                    if let Some(index) = self.groups.iter().position(|known| *known == group) {
                        tell(Told::Group(index, event), tally);
                    }
                }
                _ => {}
            }
        }
    }

    fn count_sent(&mut self, number: usize, tally: &mut Tally) {
        let sent = self.endpoint.stats().bytes_sent;
        if number == 0 {
            tally.source_sent += sent - self.bytes_sent;
        }
        self.bytes_sent = sent;
    }
}
