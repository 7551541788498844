//! The rendezvous server's part in a simulation of messages: the real one's registry.

use std::time::{Duration, Instant};

use rtmfp::crypto::PeerId;
use rtmfpd::Registry;

use crate::swarm::{
    agenda::Agenda,
    crowd::{host_of, peer_id},
    world::World,
};

/// Members hear of a newcomer this much later than it of them.
const NEIGHBOUR_DELAY: Duration = Duration::from_secs(2);

/// The server names a member to another.
#[derive(Debug)]
pub(super) struct Hint {
    pub at: Instant,
    pub to: usize,
    pub group: usize,
    pub about: PeerId,
}

#[derive(Debug, Default)]
pub(super) struct Server {
    registry: Registry,
    /// From whom: joins this group, or is gone.
    inbox: Agenda<(usize, Option<usize>)>,
}

impl Server {
    /// A host joins a group, or is gone.
    pub fn post(&mut self, at: Instant, from: usize, group: Option<usize>) {
        self.inbox.plan(at, (from, group));
    }

    /// Does all that has arrived by `now`.
    pub fn work(&mut self, world: &World, now: Instant) -> Vec<Hint> {
        let mut hints = Vec::new();
        while let Some((_, (from, group))) = self.inbox.pop_due(now) {
            let peer = peer_id(world.seed, from);
            let Some(group) = group else {
                self.registry.leave_all(&peer);
                continue;
            };
            for neighbour in self.registry.join(world.specs[group].group_id(), peer) {
                let to = host_of(&neighbour);
                let way = |host| world.crowd.server_delay(host);
                hints.push(Hint { at: now + way(from), to: from, group, about: neighbour });
                hints.push(Hint { at: now + way(to) + NEIGHBOUR_DELAY, to, group, about: peer });
            }
        }
        hints
    }
}
