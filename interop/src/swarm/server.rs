//! The rendezvous server's part in a simulation of messages: the real one's registry.

use std::{
    cmp::Reverse,
    collections::BinaryHeap,
    time::{Duration, Instant},
};

use rtmfp::crypto::PeerId;
use rtmfpd::Registry;

use super::{
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
    inbox: BinaryHeap<Reverse<Arrival>>,
    order: u64,
}

/// When, in which order, from whom: joins this group, or is gone.
type Arrival = (Instant, u64, usize, Option<usize>);

impl Server {
    /// A host joins a group, or is gone.
    pub fn post(&mut self, at: Instant, from: usize, group: Option<usize>) {
        self.order += 1;
        self.inbox.push(Reverse((at, self.order, from, group)));
    }

    /// Does all that has arrived by `now`.
    pub fn work(&mut self, world: &World, now: Instant) -> Vec<Hint> {
        let mut hints = Vec::new();
        while self.inbox.peek().is_some_and(|Reverse((at, ..))| *at <= now) {
            let Some(Reverse((_, _, from, group))) = self.inbox.pop() else { break };
            let peer = peer_id(world.seed, from);
            let Some(group) = group else {
                self.registry.remove(&peer);
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
