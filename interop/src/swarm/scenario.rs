//! What a scenario file says: who comes and goes, over which network, and what goes wrong.

use std::{path::Path, time::Duration};

use serde::Deserialize;

/// A scenario; everything has a default. `docs/scenarios.md` lists the keys.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Scenario {
    /// In words, for the table.
    pub about: String,
    /// What hosts exchange.
    pub fidelity: Fidelity,
    /// Viewers, all told.
    pub peers: usize,
    /// Seconds of virtual time.
    pub seconds: f64,
    /// Groups that every host is in, each with a film of its own.
    pub channels: usize,
    /// What is cast.
    pub film: Film,
    /// What hosts are connected by.
    pub network: Network,
    /// Waves of newcomers; their shares are of `peers`.
    pub join: Vec<Wave>,
    /// Viewers who leave are replaced by others.
    pub churn: Option<Churn>,
    /// Many leave at once.
    pub leave: Option<Leave>,
    /// Half of the hosts cannot reach the other half for a while; all reach the server.
    pub split: Option<Outage>,
    /// The server is gone for a while.
    pub server_gone: Option<Outage>,
    /// Part of the viewers that receive and send no fragment, 0 to 1.
    pub free_riders: f64,
    /// Part of the viewers that lie, 0 to 1; each tells one kind of lie.
    pub liars: f64,
    /// Part of the viewers that send fragments of their own making in place of the stream's, 0 to
    /// 1: what that does is bounded, but it cannot be seen through.
    pub forgers: f64,
}

/// What hosts exchange.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Fidelity {
    /// Messages of groups: thousands of hosts
    #[default]
    Messages,
    /// Datagrams of the whole stack, with keys and the server itself: hundreds of hosts
    Packets,
}

/// A film of pictures and sound.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Film {
    /// Kilobits a second, pictures and sound together.
    pub kbits: f64,
    /// Seconds from one key frame to the next.
    pub key_frame_every: f64,
}

impl Default for Film {
    fn default() -> Self {
        Self { kbits: 500.0, key_frame_every: 2.0 }
    }
}

/// What hosts are connected by.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Network {
    /// Part of packets that is lost, 0 to 1.
    pub loss: f64,
    /// One way, in milliseconds: between the nearest and between the furthest.
    pub delay_ms: [f64; 2],
    /// Part of pairs that cannot reach each other, 0 to 1.
    pub unreachable: f64,
    /// The caster's uplink, in megabits a second.
    pub caster_mbit: f64,
    /// Viewers' uplinks: megabits a second, and how many of all have it.
    pub uplinks: Vec<Uplink>,
}

/// One kind of uplink.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Uplink {
    /// Megabits a second.
    pub mbit: f64,
    /// Its weight among the others.
    pub share: f64,
}

impl Default for Network {
    fn default() -> Self {
        let uplinks = [(0.5, 0.1), (1.0, 0.2), (2.0, 0.3), (5.0, 0.25), (10.0, 0.1), (20.0, 0.05)];
        Self {
            loss: 0.02,
            delay_ms: [5.0, 125.0],
            unreachable: 0.0,
            caster_mbit: 10.0,
            uplinks: uplinks.map(|(mbit, share)| Uplink { mbit, share }).to_vec(),
        }
    }
}

/// Newcomers, evenly spread over a time.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Wave {
    /// Of all viewers, 0 to 1.
    pub share: f64,
    /// Second in which the first comes.
    pub from: f64,
    /// Seconds from the first to the last.
    pub over: f64,
}

/// How long viewers stay: exponentially distributed.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Churn {
    /// Minutes after which half have left.
    pub median_minutes: f64,
    /// Part of those that say goodbye, 0 to 1; the others fall silent.
    pub politely: f64,
}

/// Many leave at once.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Leave {
    /// In this second.
    pub at: f64,
    /// Part of the viewers, 0 to 1.
    pub share: f64,
    /// Part of those that say goodbye, 0 to 1.
    pub politely: f64,
}

/// Something does not work for a time.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Outage {
    /// From this second on.
    pub at: f64,
    /// For so many seconds.
    pub lasts: f64,
}

impl Outage {
    /// Whether it is going on.
    pub fn covers(&self, time: Duration) -> bool {
        let second = time.as_secs_f64();
        second >= self.at && second < self.at + self.lasts
    }

    /// How long it goes on between two times.
    pub fn overlap(&self, from: Duration, to: Duration) -> Duration {
        let from = from.as_secs_f64().max(self.at);
        let to = to.as_secs_f64().min(self.at + self.lasts);
        Duration::from_secs_f64((to - from).max(0.0))
    }
}

impl Default for Scenario {
    fn default() -> Self {
        Self {
            about: String::new(),
            fidelity: Fidelity::default(),
            peers: 2000,
            seconds: 120.0,
            channels: 1,
            film: Film::default(),
            network: Network::default(),
            join: vec![Wave { share: 1.0, from: 1.0, over: 30.0 }],
            churn: None,
            leave: None,
            split: None,
            server_gone: None,
            free_riders: 0.0,
            liars: 0.0,
            forgers: 0.0,
        }
    }
}

/// What a simulation can bear.
const MAX_PEERS: usize = 50_000;
const MAX_SECONDS: f64 = 86_400.0;
const MAX_CHANNELS: usize = 16;
/// Where each host has an endpoint.
const MAX_ENDPOINTS: usize = 5000;

impl Scenario {
    /// Reads a file; the error names it, and the line.
    pub fn load(path: &Path) -> Result<Self, String> {
        let text = std::fs::read_to_string(path)
            .map_err(|error| format!("cannot read {}: {error}", path.display()))?;
        toml::from_str(&text).map_err(|error| format!("{}: {error}", path.display()))
    }

    /// Whether it can be run; what is wrong otherwise.
    pub fn check(&self) -> Result<(), String> {
        let within = |name: &str, value: f64, from: f64, to: f64| {
            let is_within = value >= from && value <= to;
            is_within.then_some(()).ok_or(format!("{name} = {value:?}: {from} to {to}, please"))
        };
        let most_peers = match self.fidelity {
            Fidelity::Messages => MAX_PEERS,
            Fidelity::Packets => MAX_ENDPOINTS,
        };
        within("peers", self.peers as f64, 1.0, most_peers as f64)?;
        if self.fidelity == Fidelity::Packets && self.free_riders > 0.0 {
            return Err("free_riders: of fidelity = \"messages\" only, please".into());
        }
        within("seconds", self.seconds, 1.0, MAX_SECONDS)?;
        within("channels", self.channels as f64, 1.0, MAX_CHANNELS as f64)?;
        within("film.kbits", self.film.kbits, 70.0, 50_000.0)?;
        within("film.key_frame_every", self.film.key_frame_every, 0.1, 60.0)?;
        within("network.loss", self.network.loss, 0.0, 0.5)?;
        within("network.unreachable", self.network.unreachable, 0.0, 0.9)?;
        within("network.caster_mbit", self.network.caster_mbit, 0.1, 10_000.0)?;
        let [nearest, furthest] = self.network.delay_ms;
        within("network.delay_ms, of the nearest", nearest, 1.0, 1000.0)?;
        within("network.delay_ms, of the furthest", furthest, nearest, 1000.0)?;
        if self.network.uplinks.iter().map(|uplink| uplink.share).sum::<f64>() <= 0.0 {
            return Err("network.uplinks: somebody must have one".into());
        }
        for uplink in &self.network.uplinks {
            within("network.uplinks.mbit", uplink.mbit, 0.05, 10_000.0)?;
            within("network.uplinks.share", uplink.share, 0.0, 1e6)?;
        }
        for wave in &self.join {
            within("join.share", wave.share, 0.0, 1.0)?;
            within("join.from", wave.from, 0.0, MAX_SECONDS)?;
            within("join.over", wave.over, 0.0, MAX_SECONDS)?;
        }
        let joining: f64 = self.join.iter().map(|wave| wave.share).sum();
        within("join: the sum of shares", joining, 0.0, 1.000_001)?;
        if let Some(churn) = self.churn {
            within("churn.median_minutes", churn.median_minutes, 0.05, 1000.0)?;
            within("churn.politely", churn.politely, 0.0, 1.0)?;
        }
        for (name, outage) in [("split", self.split), ("server_gone", self.server_gone)] {
            let Some(outage) = outage else { continue };
            within(&format!("{name}.at"), outage.at, 0.0, MAX_SECONDS)?;
            within(&format!("{name}.lasts"), outage.lasts, 0.0, MAX_SECONDS)?;
        }
        if let Some(leave) = self.leave {
            within("leave.at", leave.at, 0.0, MAX_SECONDS)?;
            within("leave.share", leave.share, 0.0, 1.0)?;
            within("leave.politely", leave.politely, 0.0, 1.0)?;
        }
        within("free_riders", self.free_riders, 0.0, 1.0)?;
        within("liars", self.liars, 0.0, 1.0)?;
        within("forgers", self.forgers, 0.0, 1.0)
    }
}
