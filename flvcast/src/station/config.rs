//! What a channel is to be.

use netgroup::GroupSpec;

use super::stand_in::StandInConfig;
use crate::{hub::Memory, push::PushTarget, record::RecordConfig, source::Plan};

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

impl ChannelConfig {
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
