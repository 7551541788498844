//! The whole stack: endpoints with their keys exchange datagrams, and the rendezvous server itself
//! introduces them. For hundreds of hosts.

mod host;
mod server;
mod way;

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use rtmfp::{Ecn, crypto::Identity};

use super::{
    crowd::identity,
    figures::Tally,
    hosts::{Hosts, Present, step_all},
    world::World,
};
use host::Host;
use server::Server;
use way::Way;

/// A datagram under way.
#[derive(Debug)]
struct Datagram {
    at: Instant,
    from: SocketAddr,
    to: SocketAddr,
    mark: Ecn,
    bytes: Vec<u8>,
}

/// All hosts, and the server.
#[derive(Debug)]
pub(super) struct Packets {
    hosts: Vec<Host>,
    server: Server,
}

impl Packets {
    /// Hosts get the names that their keys give them.
    pub fn new(world: &mut World) -> Self {
        let identities: Vec<Identity> =
            (0..world.crowd.guests.len()).map(|number| identity(world.seed, number)).collect();
        world.set_names(identities.iter().map(Identity::peer_id).collect());
        let hosts = identities.into_iter().enumerate();
        let hosts = hosts.map(|(number, identity)| Host::new(world, number, identity)).collect();
        Self { hosts, server: Server::new(world) }
    }

    fn deliver(&mut self) {
        let mut mail = self.server.way.take_mail();
        self.hosts.iter_mut().for_each(|host| mail.append(&mut host.way.take_mail()));
        for datagram in mail {
            match way::host_at(datagram.to) {
                Some(number) => {
                    if let Some(host) = self.hosts.get_mut(number) {
                        host.receive(datagram);
                    }
                }
                None => self.server.receive(datagram),
            }
        }
    }
}

impl Hosts for Packets {
    fn advance(&mut self, world: &World, tallies: &mut [Tally], from: Instant, end: Instant) {
        step_all(&mut self.hosts, tallies, |host, tally| host.step(world, tally, from, end));
        if world.is_server_gone(from) && !world.is_server_gone(end) {
            self.server = Server::new(world);
        }
        if !world.is_server_gone(end) {
            self.server.step(world, from, end);
        }
        self.deliver();
    }

    fn present(&self) -> Vec<Present<'_>> {
        self.hosts.iter().filter(|host| host.is_here()).map(Host::present).collect()
    }

    fn sum_up(&self, world: &World, tally: &mut Tally, ends: Duration) {
        self.hosts.iter().for_each(|host| host.sum_up(world, tally, ends));
    }
}
