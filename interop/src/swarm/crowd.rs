//! Who takes part: where each host is, what it is connected by, when it comes and goes.

use std::time::Duration;

use rand::{RngExt, SeedableRng, rngs::StdRng};
use rtmfp::crypto::{Identity, PeerId, sha256};

use super::{lies, scenario::Scenario};

/// What a host does besides watching.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    Caster,
    Viewer,
    /// Sends no fragments.
    FreeRider,
    /// Tells the lie of this number.
    Liar(usize),
}

/// When and how a host leaves.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Leaving {
    pub at: Duration,
    pub politely: bool,
}

/// One host of the simulation.
#[derive(Debug, Clone, Copy)]
pub(super) struct Guest {
    pub role: Role,
    /// In the unit square.
    place: [f64; 2],
    /// Bytes a second.
    pub uplink: f64,
    pub joins: Duration,
    pub leaves: Option<Leaving>,
    /// Of two halves, for a network that splits.
    pub is_left: bool,
}

/// All hosts, the caster first; those who replace others last.
#[derive(Debug)]
pub(super) struct Crowd {
    pub guests: Vec<Guest>,
    delay: [f64; 2],
    unreachable: f64,
    seed: u64,
}

/// The server is in the middle.
const SERVER: [f64; 2] = [0.5, 0.5];
/// A viewer that churns stays this long at least.
const SHORTEST_STAY: f64 = 5.0;

impl Crowd {
    pub fn new(scenario: &Scenario, seed: u64) -> Self {
        let mut rng = StdRng::seed_from_u64(seed);
        let mut guests = vec![Guest {
            role: Role::Caster,
            place: [rng.random(), rng.random()],
            uplink: scenario.network.caster_mbit * 125_000.0,
            joins: Duration::ZERO,
            leaves: None,
            is_left: true,
        }];
        for wave in &scenario.join {
            let count = (wave.share * scenario.peers as f64).round() as usize;
            for index in 0..count {
                let at = wave.from + wave.over * index as f64 / count as f64;
                guests.push(Guest::draw(scenario, &mut rng, at));
            }
        }
        guests.truncate(scenario.peers + 1);
        let mut crowd = Self {
            guests,
            delay: scenario.network.delay_ms,
            unreachable: scenario.network.unreachable,
            seed,
        };
        crowd.choose_leavers(scenario, &mut rng);
        crowd.churn(scenario, &mut rng);
        crowd
    }

    fn choose_leavers(&mut self, scenario: &Scenario, rng: &mut StdRng) {
        let Some(leave) = scenario.leave else { return };
        for guest in &mut self.guests[1..] {
            let at = Duration::from_secs_f64(leave.at);
            if rng.random_bool(leave.share) && guest.joins < at {
                guest.leaves = Some(Leaving { at, politely: rng.random_bool(leave.politely) });
            }
        }
    }

    /// Each who leaves is followed by another, at once.
    fn churn(&mut self, scenario: &Scenario, rng: &mut StdRng) {
        let Some(churn) = scenario.churn else { return };
        let mean = churn.median_minutes * 60.0 / std::f64::consts::LN_2;
        let mut index = 1;
        while let Some(guest) = self.guests.get_mut(index) {
            let stay = -mean * (1.0 - rng.random::<f64>()).ln();
            let at = guest.joins.as_secs_f64() + stay.max(SHORTEST_STAY);
            if at < scenario.seconds {
                let politely = rng.random_bool(churn.politely);
                guest.leaves = Some(Leaving { at: Duration::from_secs_f64(at), politely });
                self.guests.push(Guest::draw(scenario, rng, at));
            }
            index += 1;
        }
    }

    /// One way, between two hosts.
    pub fn delay(&self, a: usize, b: usize) -> Duration {
        self.between(self.guests[a].place, self.guests[b].place)
    }

    /// One way, between a host and the server.
    pub fn server_delay(&self, a: usize) -> Duration {
        self.between(self.guests[a].place, SERVER)
    }

    fn between(&self, a: [f64; 2], b: [f64; 2]) -> Duration {
        let distance = (a[0] - b[0]).hypot(a[1] - b[1]) / std::f64::consts::SQRT_2;
        let [nearest, furthest] = self.delay;
        Duration::from_secs_f64((nearest + (furthest - nearest) * distance) / 1000.0)
    }

    /// Whether the two can ever open a session.
    pub fn is_reachable(&self, a: usize, b: usize) -> bool {
        let pair = [a.min(b) as u64, a.max(b) as u64];
        let hash = pair.iter().fold(self.seed, |hash, part| mix(hash ^ part));
        hash as f64 / u64::MAX as f64 >= self.unreachable
    }
}

/// Scatters bits: splitmix64's finaliser.
fn mix(value: u64) -> u64 {
    let value = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

impl Guest {
    fn draw(scenario: &Scenario, rng: &mut StdRng, at: f64) -> Self {
        let role = match rng.random::<f64>() {
            dice if dice < scenario.liars => Role::Liar(rng.random_range(0..usize::MAX)),
            dice if dice < scenario.liars + scenario.free_riders => Role::FreeRider,
            dice if dice > 1.0 - scenario.forgers => Role::Liar(lies::FORGERY),
            _ => Role::Viewer,
        };
        Self {
            role,
            place: [rng.random(), rng.random()],
            uplink: draw_uplink(scenario, rng) * 125_000.0,
            joins: Duration::from_secs_f64(at),
            leaves: None,
            is_left: rng.random(),
        }
    }
}

fn draw_uplink(scenario: &Scenario, rng: &mut StdRng) -> f64 {
    let uplinks = &scenario.network.uplinks;
    let mut dice = rng.random::<f64>() * uplinks.iter().map(|uplink| uplink.share).sum::<f64>();
    for uplink in uplinks {
        dice -= uplink.share;
        if dice <= 0.0 {
            return uplink.mbit;
        }
    }
    uplinks.last().map_or(1.0, |uplink| uplink.mbit)
}

/// The key pair of a host, always the same.
pub(crate) fn identity(seed: u64, host: usize) -> Identity {
    let seed = sha256(&[b"key", &seed.to_be_bytes(), &(host as u64).to_be_bytes()]);
    Identity::peer(&mut StdRng::from_seed(seed))
}

/// Names a host: its number, and noise that spreads it over the ring.
pub(super) fn peer_id(seed: u64, host: usize) -> PeerId {
    let mut id = [0; 32];
    let noise = mix(seed ^ mix(host as u64));
    id[..8].copy_from_slice(&noise.to_be_bytes());
    id[24..].copy_from_slice(&(host as u64).to_be_bytes());
    PeerId(id)
}

/// The host that has this name, if any can.
pub(super) fn host_of(peer: &PeerId) -> usize {
    let mut number = [0; 8];
    number.copy_from_slice(&peer.0[24..]);
    usize::try_from(u64::from_be_bytes(number)).unwrap_or(usize::MAX)
}
