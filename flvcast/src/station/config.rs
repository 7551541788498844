//! What a channel is to be.

use std::{fmt, net::SocketAddr};

use netgroup::GroupSpec;

use super::stand_in::StandInConfig;
use crate::{
    hub::Memory,
    push::PushTarget,
    record::RecordConfig,
    source::{Plan, SourceSpec},
};

/// What a channel is to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChannelConfig {
    /// In URLs and messages.
    pub name: String,
    /// For people, if it is not the name.
    pub title: Option<String>,
    /// Its group.
    pub group: GroupSpec,
    /// The stream's name in the group.
    pub stream: String,
    /// What we do there.
    pub role: Role,
    /// How much is kept for players.
    pub memory: Memory,
    /// Whether and how it is kept in files.
    pub record: Option<RecordConfig>,
    /// Where else it is pushed to.
    pub push: Vec<PushTarget>,
}

/// What only one channel of a process can have.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Claim {
    /// Its group.
    Group([u8; 32]),
    /// Where publishers with a key come to.
    Publisher(Vec<SocketAddr>, String),
}

impl fmt::Display for Claim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Group(_) => "group",
            Self::Publisher(..) => "RTMP key",
        })
    }
}

impl ChannelConfig {
    /// Why its fallback cannot be played, as far as that is known without opening it.
    pub fn missing_fallback(&self) -> Option<String> {
        let plan = match &self.role {
            Role::Cast { fallback, .. } => fallback.as_ref()?,
            Role::Watch { stand_in, .. } => &stand_in.as_ref()?.plan,
        };
        plan.sources.iter().find_map(|source| Some(source.check().err()?.to_string()))
    }

    /// What no other channel may have.
    pub fn claims(&self) -> Vec<Claim> {
        let mut claims = vec![Claim::Group(self.group.group_id())];
        let Role::Cast { plan, fallback, .. } = &self.role else { return claims };
        let plans = std::iter::once(plan).chain(fallback);
        claims.extend(plans.flat_map(|plan| &plan.sources).filter_map(|source| match source {
            SourceSpec::RtmpListen(listen) => {
                let key = format!("{}/{}", listen.app, listen.key);
                Some(Claim::Publisher(listen.addresses.clone(), key))
            }
            _ => None,
        }));
        claims
    }

    /// Whether its sources are worth waiting for.
    pub fn comes_back(&self) -> bool {
        match &self.role {
            Role::Cast { plan, .. } => plan.sources.iter().any(|source| source.comes_back()),
            Role::Watch { .. } => true,
        }
    }
}

/// What we do on a channel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Role {
    /// Cast.
    Cast {
        /// What.
        plan: Plan,
        /// Plays while that gives nothing.
        fallback: Option<Plan>,
        /// A live source is shown and recorded though the server was never there.
        starts_alone: bool,
        /// It is tried again when it fails.
        retries: bool,
        /// Channels with the same in lower qualities, from the better to the worse.
        lower: Vec<String>,
    },
    /// Watch.
    Watch {
        /// What is shown while the swarm is silent.
        stand_in: Option<StandInConfig>,
        /// A lower quality is watched when too little arrives; their groups' names have this prefix.
        adapts: Option<String>,
    },
}
