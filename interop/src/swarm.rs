//! A swarm in virtual time: thousands of real groups in one process, the same for the same seed.
//!
//! Hosts run by themselves for as long as the shortest way between two of them takes, on all cores;
//! then what they sent is handed out.

mod agenda;
pub(crate) mod crowd;
pub(crate) mod figures;
pub(crate) mod film;
mod hosts;
pub(crate) mod lies;
mod messages;
mod packets;
pub(crate) mod report;
pub(crate) mod scenario;
pub(crate) mod seat;
mod svg;
pub(crate) mod traffic;
mod world;

use std::{
    fs::File,
    io::Write as _,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use netgroup::GroupAddress;
use rtmfp::crypto::PeerId;

pub use report::Figures;
pub use scenario::{Fidelity, Outage, Scenario};

use crowd::Role;
use figures::Tally;
use hosts::{Hosts, Present};
use messages::Messages;
use packets::Packets;
use world::World;

/// How often it is looked whether the mesh is one.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// Members younger than this need not be in the mesh yet.
const SETTLING: Duration = Duration::from_secs(10);

/// A run under way.
#[derive(Debug)]
pub struct Swarm {
    world: World,
    hosts: Box<dyn Hosts>,
    now: Instant,
    step: Duration,
    tallies: Vec<Tally>,
    looked_at: Instant,
    meshes: usize,
}

impl Swarm {
    /// A swarm that has not begun.
    pub fn new(scenario: &Scenario, seed: u64) -> Self {
        let mut world = World::new(scenario, seed);
        let hosts: Box<dyn Hosts> = match scenario.fidelity {
            Fidelity::Messages => Box::new(Messages::new(&world)),
            Fidelity::Packets => Box::new(Packets::new(&mut world)),
        };
        let workers = std::thread::available_parallelism().map_or(1, |count| count.get().min(16));
        Self {
            now: world.start,
            looked_at: world.start,
            step: Duration::from_secs_f64(scenario.network.delay_ms[0] / 1000.0),
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
        let present = self.hosts.present();
        let is_connected =
            |host: &&Present<'_>| host.groups.iter().any(|group| group.members().next().is_some());
        (present.len(), present.iter().filter(is_connected).count())
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
        self.hosts.advance(&self.world, &mut self.tallies, from, end);
        self.now = end;
    }

    /// How many parts the groups are in, that nobody connects; the most of any.
    fn count_meshes(&self) -> usize {
        let guests = &self.world.crowd.guests;
        let mut settled = self.hosts.present();
        settled.retain(|host| {
            let guest = guests[host.number];
            !matches!(guest.role, Role::Liar(_)) && guest.joins + SETTLING < self.elapsed()
        });
        let count = |group: usize| {
            let mut parts = Parts::new(guests.len());
            for host in &settled {
                for peer in host.groups.get(group).into_iter().flat_map(|group| group.members()) {
                    if let Some(other) = self.world.host_of(&peer) {
                        parts.join(host.number, other);
                    }
                }
            }
            let mut roots: Vec<usize> =
                settled.iter().map(|host| parts.root(host.number)).collect();
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
        let here = self.hosts.present();
        let index = |peer: PeerId| {
            let number = self.world.host_of(&peer)?;
            here.binary_search_by_key(&number, |host| host.number).ok()
        };
        let spot = |host: &Present<'_>| {
            let group = host.groups.first().copied();
            let key = group.and_then(|group| group.streams().find(|key| self.world.casts(0, key)));
            let pushers =
                group.zip(key).map(|(group, key)| group.pushers(&key).collect::<Vec<_>>());
            let fed_by = pushers.unwrap_or_default().into_iter();
            let known = group.into_iter().flat_map(|group| group.members());
            let own = GroupAddress::of(&self.world.peer(host.number)).0;
            let at = f64::from(u32::from_be_bytes([own[0], own[1], own[2], own[3]]));
            svg::Spot {
                at: at / f64::from(u32::MAX),
                is_caster: host.number == 0,
                fed_by: fed_by
                    .filter_map(|(peer, residues)| Some((index(peer)?, residues)))
                    .collect(),
                knows: known.filter_map(index).collect(),
            }
        };
        here.iter().map(spot).collect()
    }

    /// Ends the run.
    pub fn finish(self) -> Figures {
        let ends = self.elapsed();
        let mut sum = Tally::default();
        self.hosts.sum_up(&self.world, &mut sum, ends);
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
    /// A TOML file such as those of interop/scenarios; docs/scenarios.md lists what it can say
    #[arg(long, value_name = "FILE")]
    scenario: PathBuf,
    /// In place of the scenario's number of viewers
    #[arg(long, value_name = "N")]
    peers: Option<usize>,
    /// The same seed gives the same run, to the byte
    #[arg(long, value_name = "S", default_value_t = 1)]
    seed: u64,
    /// In place of the scenario's
    #[arg(long, value_enum)]
    fidelity: Option<Fidelity>,
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
    scenario.fidelity = arguments.fidelity.unwrap_or(scenario.fidelity);
    scenario.check().map_err(|error| format!("{}: {error}", arguments.scenario.display()))?;
    let outputs = Outputs::open(arguments)?;
    let mut swarm = Swarm::new(&scenario, arguments.seed);
    let began = Instant::now();
    let mut progress = report::Progress::default();
    while !swarm.is_over() {
        swarm.pass_second();
        progress.show(&swarm, began.elapsed());
    }
    progress.clear();
    let figures = swarm.finish();
    let table = figures.table(&scenario, began.elapsed());
    outputs.write(&figures)?;
    std::io::stdout()
        .write_all(table.as_bytes())
        .map_err(|error| format!("cannot write the table: {error}"))
}

/// Where figures and pictures go. That it is possible is known before the run, which may be long.
struct Outputs<'a> {
    json: Option<(&'a Path, File)>,
    svg: Option<&'a Path>,
}

impl<'a> Outputs<'a> {
    fn open(arguments: &'a Arguments) -> Result<Self, String> {
        let fail = |path: &Path, error: std::io::Error| {
            format!("cannot write {}: {error}; choose another place", path.display())
        };
        if let Some(folder) = &arguments.svg {
            std::fs::create_dir_all(folder).map_err(|error| fail(folder, error))?;
        }
        let json = match &arguments.json {
            None => None,
            Some(path) => {
                if let Some(folder) = path.parent() {
                    std::fs::create_dir_all(folder).map_err(|error| fail(folder, error))?;
                }
                Some((&**path, File::create(path).map_err(|error| fail(path, error))?))
            }
        };
        Ok(Self { json, svg: arguments.svg.as_deref() })
    }

    fn write(self, figures: &Figures) -> Result<(), String> {
        if let Some((path, mut file)) = self.json {
            let json = serde_json::to_string_pretty(figures).map_err(|error| error.to_string())?;
            file.write_all((json + "\n").as_bytes())
                .map_err(|error| format!("cannot write {}: {error}", path.display()))?;
        }
        self.svg.map_or(Ok(()), |folder| svg::write(folder, &figures.pictures))
    }
}
