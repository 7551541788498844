//! One host: its groups, its sessions with others, its uplink. It runs by itself until the end of
//! a step; what it sends reaches others in a later one.

mod actions;
mod groups;
mod sessions;
mod uplink;

use std::{
    collections::{BTreeMap, VecDeque},
    time::{Duration, Instant},
};

use netgroup::{Group, Parting, Uplink, Way};
use rand::{RngExt, SeedableRng, rngs::StdRng};
use rtmfp::crypto::{PeerId, sha256};

use self::groups::Groups;
use super::link::{Letter, Link};
use crate::swarm::{
    agenda::Agenda,
    crowd::{Role, peer_id},
    figures::Tally,
    film::Slot,
    lies,
    seat::Seat,
    world::World,
};

/// How often the uplink's queue is looked at, and looks over which it is averaged.
const LOOK: Duration = Duration::from_millis(100);
const MEMORY: f64 = 4.0;
/// A server that is gone is tried again after this.
const SERVER_RETRY: Duration = Duration::from_secs(5);

/// What happens to a host.
#[derive(Debug)]
pub(super) enum Event {
    /// It comes: it connects to the server.
    Come,
    /// The server accepted it.
    Connected,
    /// The server names a member.
    Hint { group: usize, peer: PeerId },
    /// A packet from another host.
    Packet { from: usize, letters: Vec<Letter> },
    /// Somebody wants a session; when that began.
    Hello { from: usize },
    /// The far end of a session that we wanted is ready.
    Opened { with: usize },
    /// The far end has said goodbye.
    Closed { with: usize },
    /// Nothing came from there for so long that it must be gone.
    Silent { with: usize },
    /// What was lost is sent again.
    Resend { to: usize, letters: Vec<Letter> },
    /// The uplink can take the next packet.
    Uplink,
    /// The next message of the film.
    Publish(Slot),
    /// A liar's turn.
    Lie(usize),
    /// It is time to go.
    Leave { politely: bool },
}

/// Something for another host, or for the server.
#[derive(Debug)]
pub(super) struct Mail {
    pub at: Instant,
    pub from: usize,
    pub to: Addressee,
}

#[derive(Debug)]
pub(super) enum Addressee {
    Host(usize, Event),
    Join { group: usize },
    Left,
}

/// Where a host is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Life {
    Unborn,
    Here { is_connected: bool },
    Gone,
}

#[derive(Debug)]
pub(super) struct Host {
    pub number: usize,
    pub id: PeerId,
    pub life: Life,
    pub groups: Groups,
    pub links: BTreeMap<usize, Link>,
    seat: Seat,
    /// When something happens next, as far as is known: most hosts have nothing to do in a step.
    due: Instant,
    agenda: Agenda<Event>,
    /// Links that have something to send, in turn.
    turns: VecDeque<usize>,
    /// The mean time that fragments wait for the uplink, in seconds; and when it was looked at.
    queue: f64,
    measured: Option<Instant>,
    uplink_free: Instant,
    is_uplink_due: bool,
    pub mail: Vec<Mail>,
    pub rng: StdRng,
}

impl Host {
    pub fn new(world: &World, number: usize) -> Self {
        let seed = sha256(&[&world.seed.to_be_bytes(), &(number as u64).to_be_bytes()]);
        Self {
            number,
            id: peer_id(world.seed, number),
            life: Life::Unborn,
            groups: Groups::default(),
            links: BTreeMap::new(),
            seat: Seat::new(number),
            due: world.start,
            agenda: Agenda::default(),
            turns: VecDeque::new(),
            queue: 0.0,
            measured: None,
            uplink_free: world.start,
            is_uplink_due: false,
            mail: Vec::new(),
            rng: StdRng::from_seed(seed),
        }
    }

    /// Puts an event into the host's future.
    pub fn schedule(&mut self, at: Instant, event: Event) {
        self.due = self.due.min(at);
        self.agenda.plan(at, event);
    }

    /// When something happens next.
    fn next(&self) -> Option<Instant> {
        self.groups.next().into_iter().chain(self.agenda.next()).min()
    }

    /// Lives until `end`.
    pub fn step(&mut self, world: &World, tally: &mut Tally, from: Instant, end: Instant) {
        if self.due >= end {
            return;
        }
        while let Some(at) = self.next().filter(|at| *at < end) {
            let now = at.max(from);
            while let Some((_, event)) = self.agenda.pop_due(now) {
                self.handle(world, tally, now, event);
            }
            for index in 0..self.groups.len() {
                if self.groups.is_due(index, now) {
                    self.measure(world, now, index);
                    self.groups.at(index).handle_timeout(now);
                }
            }
            self.settle(world, tally, now);
        }
        self.due = self.next().unwrap_or(world.start + world.length);
    }

    /// Tells a group what is known of the ways to its neighbours.
    fn measure(&mut self, world: &World, now: Instant, group: usize) {
        for (with, link) in self.links.iter().filter(|(_, link)| link.entered >> group & 1 == 1) {
            let way = Way { rtt: Some(link.rtt), backlog: link.backlog(group), window: None };
            self.groups.at(group).set_way(&peer_id(world.seed, *with), way);
        }
        if self.measured.is_none_or(|at| now.saturating_duration_since(at) >= LOOK) {
            self.measured = Some(now);
            let waiting: usize = self.links.values().map(Link::waiting).sum();
            let queue = waiting as f64 / world.crowd.guests[self.number].uplink;
            self.queue += (queue - self.queue) / MEMORY;
        }
        let uplink = Uplink::of(Duration::from_secs_f64(self.queue), 0.0);
        let streams = self.groups.iter().map(|group| group.streams().count()).sum();
        self.groups.at(group).set_uplink(uplink, streams);
    }

    fn handle(&mut self, world: &World, tally: &mut Tally, now: Instant, event: Event) {
        if self.life == Life::Gone {
            return;
        }
        match event {
            Event::Come => self.come(world, now),
            Event::Connected => self.on_connected(world, now),
            Event::Hint { group, peer } => {
                if group < self.groups.len() {
                    self.groups.at(group).hint(now, peer);
                }
            }
            Event::Packet { from, letters } => self.on_packet(world, tally, now, from, letters),
            Event::Hello { from } => self.on_hello(world, tally, now, from),
            Event::Opened { with } => self.on_opened(world, now, with),
            Event::Closed { with } => self.lose(world, now, with, Parting::Left),
            Event::Silent { with } => self.lose(world, now, with, Parting::Lost),
            Event::Resend { to, letters } => self.resend(to, letters),
            Event::Uplink => self.is_uplink_due = false,
            Event::Publish(slot) => self.publish(world, tally, now, slot),
            Event::Lie(kind) => self.lie(world, tally, now, kind),
            Event::Leave { politely } => self.leave(world, tally, now, politely),
        }
    }

    fn come(&mut self, world: &World, now: Instant) {
        let guest = world.crowd.guests[self.number];
        if self.life == Life::Unborn {
            self.life = Life::Here { is_connected: false };
            for spec in &world.specs {
                let seed = std::array::from_fn(|_| self.rng.random());
                let mut group = Group::new(now, self.id, spec.clone(), None, seed);
                self.seat.enter(world, now, &mut group);
                self.groups.push(group);
            }
            if guest.role == Role::Caster {
                self.schedule(now, Event::Publish(world.film.first()));
            }
            if let Role::Liar(kind) = guest.role {
                self.schedule(now + lies::PERIOD, Event::Lie(kind));
            }
            if let Some(leaving) = guest.leaves {
                self.schedule(
                    world.start + leaving.at,
                    Event::Leave { politely: leaving.politely },
                );
            }
        }
        // A session of two round trips, and `connect`.
        let round_trip = world.crowd.server_delay(self.number) * 2;
        let is_up = !world.is_server_gone(now) && !world.is_server_gone(now + round_trip * 3);
        match is_up {
            true => self.schedule(now + round_trip * 3, Event::Connected),
            false => self.schedule(now + SERVER_RETRY, Event::Come),
        }
    }

    fn on_connected(&mut self, world: &World, now: Instant) {
        self.life = Life::Here { is_connected: true };
        self.seat.on_connected(world, now);
        for group in 0..self.groups.len() {
            self.ask_server(world, now, group);
        }
    }

    /// Joins a group at the server, which names members then; again, if it was done before.
    pub(super) fn ask_server(&mut self, world: &World, now: Instant, group: usize) {
        let at = now + world.crowd.server_delay(self.number);
        if self.life == (Life::Here { is_connected: true }) && !world.is_server_gone(now) {
            self.mail.push(Mail { at, from: self.number, to: Addressee::Join { group } });
        }
    }

    /// The server is gone, or was: it is looked for until it is found.
    pub fn lose_server(&mut self, now: Instant) {
        if self.life == (Life::Here { is_connected: true }) {
            self.life = Life::Here { is_connected: false };
            self.schedule(now + SERVER_RETRY, Event::Come);
        }
    }

    fn lie(&mut self, world: &World, tally: &mut Tally, now: Instant, kind: usize) {
        for group in 0..self.groups.len() {
            for action in lies::tell(kind, self.groups.at(group), &mut self.rng) {
                self.act(world, tally, now, group, action);
            }
        }
        self.schedule(now + lies::PERIOD, Event::Lie(kind));
    }

    fn leave(&mut self, world: &World, tally: &mut Tally, now: Instant, politely: bool) {
        self.life = Life::Gone;
        self.sum_up(world, tally, world.elapsed(now));
        for with in self.links.keys().copied().collect::<Vec<_>>() {
            let way = world.crowd.delay(self.number, with);
            // Who falls silent is missed after a while.
            let with_us = self.number;
            let (at, event) = match politely {
                true => (now + way, Event::Closed { with: with_us }),
                false => (now + world.patience(&mut self.rng), Event::Silent { with: with_us }),
            };
            self.mail.push(Mail { at, from: self.number, to: Addressee::Host(with, event) });
        }
        let server = match politely {
            true => now + world.crowd.server_delay(self.number),
            false => now + world.patience(&mut self.rng),
        };
        self.mail.push(Mail { at: server, from: self.number, to: Addressee::Left });
        self.groups.clear();
        self.links.clear();
        self.agenda.clear();
        self.turns.clear();
    }

    /// Adds what only the end shows.
    pub fn sum_up(&self, world: &World, tally: &mut Tally, ends: Duration) {
        self.seat.sum_up(world, tally, ends, self.groups.iter());
    }

    fn publish(&mut self, world: &World, tally: &mut Tally, now: Instant, slot: Slot) {
        let next = self.seat.publish(world, tally, now, slot, self.groups.iter_mut());
        self.schedule(world.start + next.at, Event::Publish(next));
    }
}
