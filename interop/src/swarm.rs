//! A swarm in virtual time: thousands of real groups in one process, the same for the same seed.
//!
//! Hosts run by themselves for as long as the shortest way between two of them takes, on all cores;
//! then what they sent is handed out.

mod crowd;
mod figures;
mod film;
mod host;
mod lies;
mod link;
mod report;
mod scenario;
mod server;
mod svg;
mod world;

use std::{
    path::PathBuf,
    time::{Duration, Instant},
};

use netgroup::{Group, GroupAddress};

pub use report::Figures;
pub use scenario::{Outage, Scenario};

use crowd::{Role, host_of};
use figures::Tally;
use host::{Addressee, Event, Host, Life, Mail};
use server::Server;
use world::World;

/// How often it is looked whether the mesh is one.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// Members younger than this need not be in the mesh yet.
const SETTLING: Duration = Duration::from_secs(10);

/// A run under way.
#[derive(Debug)]
pub struct Swarm {
    world: World,
    hosts: Vec<Host>,
    server: Server,
    now: Instant,
    step: Duration,
    tallies: Vec<Tally>,
    looked_at: Instant,
    meshes: usize,
}

impl Swarm {
    /// A swarm that has not begun.
    pub fn new(scenario: &Scenario, seed: u64) -> Self {
        let world = World::new(scenario, seed);
        let mut hosts: Vec<Host> =
            (0..world.crowd.guests.len()).map(|number| Host::new(&world, number)).collect();
        for (host, guest) in hosts.iter_mut().zip(&world.crowd.guests) {
            host.schedule(world.start + guest.joins, Event::Come);
        }
        let workers = std::thread::available_parallelism().map_or(1, |count| count.get().min(16));
        Self {
            now: world.start,
            looked_at: world.start,
            step: Duration::from_secs_f64(scenario.network.delay_ms[0] / 1000.0),
            server: Server::default(),
            tallies: (0..workers).map(|_| Tally::default()).collect(),
            meshes: 0,
            hosts,
            world,
        }
    }

    /// How much of the time has passed.
    pub fn elapsed(&self) -> Duration {
        self.world.elapsed(self.now)
    }

    /// Whether it is over.
    pub fn is_over(&self) -> bool {
        self.elapsed() >= self.world.length
    }

    /// Those who are here, and how many of them are connected to somebody.
    pub fn members(&self) -> (usize, usize) {
        let here = || self.hosts.iter().filter(|host| matches!(host.life, Life::Here { .. }));
        (here().count(), here().filter(|host| !host.links.is_empty()).count())
    }

    /// Lets a second pass.
    pub fn pass_second(&mut self) {
        let until = (self.now + Duration::from_secs(1)).min(self.world.start + self.world.length);
        while self.now < until {
            self.advance(until);
        }
        if self.now >= self.looked_at + LOOK_EVERY {
            self.looked_at = self.now;
            self.meshes = self.meshes.max(self.count_meshes());
        }
    }

    fn advance(&mut self, until: Instant) {
        let (from, end) = (self.now, (self.now + self.step).min(until));
        let was_gone = self.world.is_server_gone(from);
        let world = &self.world;
        let share = self.hosts.len().div_ceil(self.tallies.len());
        std::thread::scope(|scope| {
            for (hosts, tally) in self.hosts.chunks_mut(share).zip(&mut self.tallies) {
                scope.spawn(move || {
                    for host in hosts {
                        host.step(world, tally, from, end);
                    }
                });
            }
        });
        self.now = end;
        if self.world.is_server_gone(end) && !was_gone {
            self.server = Server::default();
            self.hosts.iter_mut().for_each(|host| host.lose_server(end));
        }
        self.cut_sessions(from, end);
        self.deliver();
    }

    /// Sessions across a network that splits are missed after a while.
    fn cut_sessions(&mut self, from: Instant, end: Instant) {
        for index in 0..self.hosts.len() {
            let others: Vec<usize> = self.hosts[index]
                .links
                .keys()
                .copied()
                .filter(|other| {
                    self.world.is_split(end, index, *other)
                        && !self.world.is_split(from, index, *other)
                })
                .collect();
            for with in others {
                let host = &mut self.hosts[index];
                let at = end + self.world.patience(&mut host.rng);
                host.schedule(at, Event::Silent { with });
            }
        }
    }

    fn deliver(&mut self) {
        let mut to_server = Vec::new();
        for index in 0..self.hosts.len() {
            for Mail { at, from, to } in std::mem::take(&mut self.hosts[index].mail) {
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
        }
        for (at, from, group) in to_server {
            self.server.post(at, from, group);
        }
        for hint in self.server.work(&self.world, self.now) {
            let event = Event::Hint { group: hint.group, peer: hint.about };
            if let Some(host) = self.hosts.get_mut(hint.to).filter(|host| host.life != Life::Gone) {
                host.schedule(hint.at, event);
            }
        }
    }

    /// How many parts the groups are in, that nobody connects; the most of any.
    fn count_meshes(&self) -> usize {
        let count = |group| {
            let mut parts = Parts::new(self.hosts.len());
            let is_settled = |host: &&Host| {
                let guest = self.world.crowd.guests[host.number];
                let is_honest = !matches!(guest.role, Role::Liar(_));
                let is_here = matches!(host.life, Life::Here { .. });
                is_here && is_honest && guest.joins + SETTLING < self.elapsed()
            };
            for host in self.hosts.iter().filter(is_settled) {
                for peer in host.groups.get(group).into_iter().flat_map(Group::members) {
                    parts.join(host.number, host_of(&peer));
                }
            }
            let roots = self.hosts.iter().filter(is_settled).map(|host| parts.root(host.number));
            let mut roots: Vec<usize> = roots.collect();
            roots.sort_unstable();
            roots.dedup();
            roots.len()
        };
        // A network in two parts has a mesh in each.
        let is_split = self.world.is_split_at(self.now);
        let most = (0..self.world.specs.len()).map(count).max().unwrap_or(0);
        if is_split { most.saturating_sub(1) } else { most }
    }

    /// Who feeds whom in the first group, by places on the ring.
    fn spots(&self) -> Vec<svg::Spot> {
        let is_here = |host: &&Host| matches!(host.life, Life::Here { .. });
        let here: Vec<&Host> = self.hosts.iter().filter(is_here).collect();
        let index = |number: usize| here.binary_search_by_key(&number, |host| host.number).ok();
        let spot = |host: &&Host| {
            let group = host.groups.first();
            let key = group.and_then(|group| group.streams().find(|key| self.world.casts(0, key)));
            let pushers =
                group.zip(key).map(|(group, key)| group.pushers(&key).collect::<Vec<_>>());
            let fed_by = pushers.unwrap_or_default().into_iter();
            let known = group.into_iter().flat_map(Group::members);
            let bytes = GroupAddress::of(&host.id).0;
            let at = f64::from(u32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]));
            svg::Spot {
                at: at / f64::from(u32::MAX),
                is_caster: host.number == 0,
                fed_by: fed_by
                    .filter_map(|(peer, residues)| Some((index(host_of(&peer))?, residues)))
                    .collect(),
                knows: known.filter_map(|peer| index(host_of(&peer))).collect(),
            }
        };
        here.iter().map(spot).collect()
    }

    /// Ends the run.
    pub fn finish(mut self) -> Figures {
        let ends = self.elapsed();
        let mut sum = Tally::default();
        for host in &mut self.hosts {
            host.sum_up(&self.world, &mut sum, ends);
        }
        self.tallies.iter().for_each(|tally| sum.absorb(tally));
        let peers = self.world.crowd.guests.len() - 1;
        let spots = self.spots();
        Figures::new(peers, self.meshes, &sum, &spots)
    }
}

/// Sets that are joined.
struct Parts(Vec<usize>);

impl Parts {
    fn new(count: usize) -> Self {
        Self((0..count).collect())
    }

    fn root(&self, mut of: usize) -> usize {
        while self.0[of] != of {
            of = self.0[of];
        }
        of
    }

    fn join(&mut self, a: usize, b: usize) {
        let (a, b) = (self.root(a), self.root(b));
        self.0[a.max(b)] = a.min(b);
    }
}

/// `rtmfp-interop swarm`.
#[derive(Debug, Clone, clap::Args)]
pub struct Arguments {
    /// A TOML file; those of interop/scenarios show what it can say
    #[arg(long, value_name = "FILE")]
    scenario: PathBuf,
    /// In place of the scenario's number of viewers
    #[arg(long, value_name = "N")]
    peers: Option<usize>,
    /// The same seed gives the same run, to the byte
    #[arg(long, value_name = "S", default_value_t = 1)]
    seed: u64,
    /// In place of the scenario's length, in virtual time
    #[arg(long, value_name = "T")]
    seconds: Option<f64>,
    /// Write pictures of topology, delay and continuity into this folder
    #[arg(long, value_name = "DIR")]
    svg: Option<PathBuf>,
    /// Write the figures as one JSON object
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

/// Runs a scenario, with a line of progress, and prints the table.
pub fn run(arguments: &Arguments) -> Result<(), String> {
    let mut scenario = Scenario::load(&arguments.scenario)?;
    scenario.peers = arguments.peers.unwrap_or(scenario.peers);
    scenario.seconds = arguments.seconds.unwrap_or(scenario.seconds);
    scenario.check().map_err(|error| format!("{}: {error}", arguments.scenario.display()))?;
    let mut swarm = Swarm::new(&scenario, arguments.seed);
    let began = Instant::now();
    let mut progress = report::Progress::default();
    while !swarm.is_over() {
        swarm.pass_second();
        progress.show(&swarm, began.elapsed());
    }
    progress.clear();
    let figures = swarm.finish();
    print!("{}", figures.table(&scenario, began.elapsed()));
    if let Some(path) = &arguments.json {
        let json = serde_json::to_string_pretty(&figures).map_err(|error| error.to_string())?;
        std::fs::write(path, json + "\n")
            .map_err(|error| format!("cannot write {}: {error}", path.display()))?;
    }
    if let Some(folder) = &arguments.svg {
        svg::write(folder, &figures.pictures)?;
    }
    Ok(())
}
