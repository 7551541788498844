//! What all hosts share: time, places, the film, and what goes wrong when.

use std::{
    collections::HashMap,
    sync::OnceLock,
    time::{Duration, Instant},
};

use netgroup::{Capabilities, GroupSpec, publisher_of, wire::StreamKey};
use rand::RngExt;
use rtmfp::crypto::PeerId;

use super::{
    crowd::{Crowd, Role, host_of, peer_id},
    film::Film,
    scenario::{Outage, Scenario},
};

/// When a peer that fell silent is missed: keepalives after 5 s, patience of 8 s.
const SHORTEST_PATIENCE: Duration = Duration::from_secs(8);
const PATIENCE_SPREAD: f64 = 2.0;
/// A report period and a fetch period.
const HEALING: f64 = 12.5;

#[derive(Debug)]
pub(super) struct World {
    pub seed: u64,
    pub start: Instant,
    pub length: Duration,
    pub crowd: Crowd,
    pub film: Film,
    pub loss: f64,
    pub specs: Vec<GroupSpec>,
    split: Option<Outage>,
    server_gone: Option<Outage>,
    keys: Vec<OnceLock<StreamKey>>,
    names: Names,
}

/// What hosts are called.
#[derive(Debug)]
enum Names {
    /// By their numbers.
    Made,
    /// By their keys, in order, the caster first.
    Keys { names: Vec<PeerId>, numbers: HashMap<PeerId, usize> },
}

impl World {
    pub fn new(scenario: &Scenario, seed: u64) -> Self {
        let name = |channel| format!("swarm-{channel}");
        let spec = |channel| GroupSpec::new(&name(channel), Capabilities::CHANNEL, 1);
        let specs: Result<Vec<_>, _> = (0..scenario.channels).map(spec).collect();
        Self {
            seed,
            start: Instant::now(),
            length: Duration::from_secs_f64(scenario.seconds),
            crowd: Crowd::new(scenario, seed),
            film: Film::new(scenario.film),
            loss: scenario.network.loss,
            specs: specs.expect("the names are short"),
            split: scenario.split,
            server_gone: scenario.server_gone,
            keys: (0..scenario.channels).map(|_| OnceLock::new()).collect(),
            names: Names::Made,
        }
    }

    /// Hosts have these names.
    pub fn set_names(&mut self, names: Vec<PeerId>) {
        let numbers = names.iter().enumerate().map(|(number, name)| (*name, number)).collect();
        self.names = Names::Keys { names, numbers };
    }

    /// The name of a host.
    pub fn peer(&self, host: usize) -> PeerId {
        match &self.names {
            Names::Made => peer_id(self.seed, host),
            Names::Keys { names, .. } => names[host],
        }
    }

    /// The number of the host with this name, if there is one.
    pub fn host_of(&self, peer: &PeerId) -> Option<usize> {
        match &self.names {
            Names::Made => Some(host_of(peer)).filter(|host| *host < self.crowd.guests.len()),
            Names::Keys { numbers, .. } => numbers.get(peer).copied(),
        }
    }

    pub fn role_of(&self, peer: &PeerId) -> Role {
        self.host_of(peer).map_or(Role::Viewer, |host| self.crowd.guests[host].role)
    }

    pub fn elapsed(&self, now: Instant) -> Duration {
        now - self.start
    }

    pub fn is_server_gone(&self, now: Instant) -> bool {
        self.server_gone.is_some_and(|outage| outage.covers(self.elapsed(now)))
    }

    /// Whether the network is cut in two, or was so shortly before that nobody can know better.
    pub fn is_split_at(&self, now: Instant) -> bool {
        let heals = |outage: Outage| Outage { lasts: outage.lasts + HEALING, ..outage };
        self.split.is_some_and(|outage| heals(outage).covers(self.elapsed(now)))
    }

    /// Whether the network is cut in two between these times.
    pub fn splits_in(&self, from: Instant, end: Instant) -> bool {
        let covers = |at| self.split.is_some_and(|outage| outage.covers(self.elapsed(at)));
        covers(end) && !covers(from)
    }

    /// Whether the network between two hosts is cut.
    pub fn is_split(&self, now: Instant, a: usize, b: usize) -> bool {
        let sides = [a, b].map(|host| self.crowd.guests[host].is_left);
        sides[0] != sides[1] && self.split.is_some_and(|outage| outage.covers(self.elapsed(now)))
    }

    /// From when to when there is no way from the caster to this host.
    pub fn cut_off(&self, host: usize) -> Option<Outage> {
        self.split.filter(|_| !self.crowd.guests[host].is_left)
    }

    /// Whether this is the publication of the group's caster.
    pub fn casts(&self, group: usize, key: &StreamKey) -> bool {
        match self.keys[group].get() {
            Some(real) => real == key,
            None => publisher_of(key, &self.peer(0)) && self.keys[group].set(*key).is_ok(),
        }
    }

    /// After how long somebody who fell silent is missed.
    pub fn patience(&self, rng: &mut impl rand::Rng) -> Duration {
        SHORTEST_PATIENCE + Duration::from_secs_f64(rng.random::<f64>() * PATIENCE_SPREAD)
    }
}
