//! Groups over a network of messages: sessions, flows and losses are only what groups see of them,
//! so that ten thousand hosts fit into one process.

mod host;
mod link;
mod server;

use std::time::{Duration, Instant};

use super::{
    figures::Tally,
    hosts::{Hosts, Present, step_all},
    world::World,
};
use host::{Addressee, Event, Host, Life, Mail};
use server::Server;

/// All hosts, and the server.
#[derive(Debug)]
pub(super) struct Messages {
    hosts: Vec<Host>,
    server: Server,
}

impl Messages {
    pub fn new(world: &World) -> Self {
        let mut hosts: Vec<Host> =
            (0..world.crowd.guests.len()).map(|number| Host::new(world, number)).collect();
        for (host, guest) in hosts.iter_mut().zip(&world.crowd.guests) {
            host.schedule(world.start + guest.joins, Event::Come);
        }
        Self { hosts, server: Server::default() }
    }

    /// Sessions across a network that splits are missed after a while.
    fn cut_sessions(&mut self, world: &World, from: Instant, end: Instant) {
        if !world.splits_in(from, end) {
            return;
        }
        for index in 0..self.hosts.len() {
            let others: Vec<usize> = self.hosts[index]
                .links
                .keys()
                .copied()
                .filter(|other| world.is_split(end, index, *other))
                .collect();
            for with in others {
                let host = &mut self.hosts[index];
                let at = end + world.patience(&mut host.rng);
                host.schedule(at, Event::Silent { with });
            }
        }
    }

    fn deliver(&mut self, world: &World, now: Instant) {
        let mut to_server = Vec::new();
        for index in 0..self.hosts.len() {
            let mut mail = std::mem::take(&mut self.hosts[index].mail);
            for Mail { at, from, to } in mail.drain(..) {
                match to {
                    Addressee::Host(to, event) => {
                        if let Some(host) =
                            self.hosts.get_mut(to).filter(|host| host.life != Life::Gone)
                        {
                            host.schedule(at, event);
                        }
                    }
                    Addressee::Join { group } => to_server.push((at, from, Some(group))),
                    Addressee::Left => to_server.push((at, from, None)),
                }
            }
            self.hosts[index].mail = mail;
        }
        for (at, from, group) in to_server {
            self.server.post(at, from, group);
        }
        for hint in self.server.work(world, now) {
            let event = Event::Hint { group: hint.group, peer: hint.about };
            if let Some(host) = self.hosts.get_mut(hint.to).filter(|host| host.life != Life::Gone) {
                host.schedule(hint.at, event);
            }
        }
    }
}

impl Hosts for Messages {
    fn advance(&mut self, world: &World, tallies: &mut [Tally], from: Instant, end: Instant) {
        step_all(&mut self.hosts, tallies, |host, tally| host.step(world, tally, from, end));
        if world.is_server_gone(end) && !world.is_server_gone(from) {
            self.server = Server::default();
            self.hosts.iter_mut().for_each(|host| host.lose_server(end));
        }
        self.cut_sessions(world, from, end);
        self.deliver(world, end);
    }

    fn present(&self) -> Vec<Present<'_>> {
        let here = self.hosts.iter().filter(|host| matches!(host.life, Life::Here { .. }));
        here.map(|host| Present { number: host.number, groups: host.groups.iter().collect() })
            .collect()
    }

    fn sum_up(&self, world: &World, tally: &mut Tally, ends: Duration) {
        self.hosts.iter().for_each(|host| host.sum_up(world, tally, ends));
    }
}
