//! The rendezvous server on an endpoint of its own.

use std::time::Instant;

use rand::{RngExt, SeedableRng, rngs::StdRng};
use rtmfp::{Config, Endpoint, Path, ProtectionRules, crypto::Identity, net::App};

use super::{Datagram, Way};
use crate::swarm::{agenda::Agenda, world::World};

#[derive(Debug)]
pub(super) struct Server {
    endpoint: Endpoint,
    app: rtmfpd::Server,
    inbox: Agenda<Datagram>,
    pub way: Way,
}

impl Server {
    /// One that has just been started.
    pub fn new(world: &World) -> Self {
        let mut rng = StdRng::seed_from_u64(world.seed);
        let identity = Identity::server(&rng.random::<[u8; 64]>());
        let config = Config { introduces: true, ..Config::default() };
        Self {
            endpoint: Endpoint::new(config, identity, world.start, rng.random()),
            app: rtmfpd::Server::new(ProtectionRules::default()),
            inbox: Agenda::default(),
            way: Way::of_server(world),
        }
    }

    pub fn receive(&mut self, datagram: Datagram) {
        self.inbox.plan(datagram.at, datagram);
    }

    /// Works until `end`.
    pub fn step(&mut self, world: &World, from: Instant, end: Instant) {
        while let Some(at) = self.next().filter(|at| *at < end) {
            let now = at.max(from);
            while let Some((_, Datagram { from, mark, mut bytes, .. })) = self.inbox.pop_due(now) {
                self.endpoint.handle_datagram(now, Path::to(from), mark, &mut bytes);
            }
            if self.endpoint.poll_timeout().is_some_and(|at| at <= now) {
                self.endpoint.handle_timeout(now);
            }
            if self.app.poll_timeout().is_some_and(|at| at <= now) {
                self.app.on_timeout(now, &mut self.endpoint);
            }
            while let Some(event) = self.endpoint.poll_event() {
                self.app.on_event(now, &mut self.endpoint, event);
            }
            self.way.send_all(world, now, &mut self.endpoint);
        }
    }

    fn next(&mut self) -> Option<Instant> {
        let timers = [self.inbox.next(), self.endpoint.poll_timeout(), self.app.poll_timeout()];
        timers.into_iter().flatten().min()
    }
}
