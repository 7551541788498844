//! A peer with which we have a session.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use rtmfp::wire::Address;

use super::{Channel, Incoming, PeerSession};
use crate::{multicast::Misconduct, wire::StreamKey};

/// How far reports have been exchanged; they travel in pairs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reports {
    None,
    /// We sent one and wait for theirs.
    Asked,
    Exchanged,
}

/// How far the two of us have come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    /// Neither has proved anything.
    Stranger,
    /// We proved to it that we belong to the group, and wait for its proof.
    Introduced,
    /// It proved that it belongs to the group, on this flow, which is the life of the relation.
    Member { control_flow: u64, reports: Reports },
}

/// What a stream's flows with this neighbour are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum MediaLink {
    /// We announced it; it has not said yet that it has or wants it.
    Offered,
    /// Both announced it; this is its flow.
    Open { control_flow: u64 },
    /// It wants nothing of this.
    Refused,
}

#[derive(Debug)]
pub(super) struct Neighbour {
    pub session: PeerSession,
    pub since: Instant,
    pub standing: Standing,
    /// The application knows of it.
    pub is_announced: bool,
    pub media: BTreeMap<StreamKey, MediaLink>,
    /// When we last asked it for leave.
    pub asked_to_leave: Option<Instant>,
    /// It asked for leave, and we granted it.
    pub is_parting: bool,
    /// When it last began an exchange of reports.
    pub reported: Option<Instant>,
    pub rtt: Option<Duration>,
    /// Where it sees us.
    pub observed: Option<Address>,
    flows: BTreeMap<u64, Incoming>,
    strikes: BTreeMap<Misconduct, u32>,
    strikes_since: Instant,
}

/// Flows of one neighbour that we look at.
const MAX_FLOWS: usize = 64;
/// What was done wrong is forgotten after this.
const STRIKE_MEMORY: Duration = Duration::from_secs(60);

impl Neighbour {
    pub fn new(now: Instant, session: PeerSession) -> Self {
        Self {
            session,
            since: now,
            standing: Standing::Stranger,
            is_announced: false,
            media: BTreeMap::new(),
            asked_to_leave: None,
            is_parting: false,
            reported: None,
            rtt: None,
            observed: None,
            flows: BTreeMap::new(),
            strikes: BTreeMap::new(),
            strikes_since: now,
        }
    }

    /// It proved that it belongs to the group.
    pub fn is_member(&self) -> bool {
        matches!(self.standing, Standing::Member { .. })
    }

    /// Its control flow, once it proved membership by it.
    pub fn control_flow(&self) -> Option<u64> {
        match self.standing {
            Standing::Member { control_flow, .. } => Some(control_flow),
            Standing::Stranger | Standing::Introduced => None,
        }
    }

    /// How far reports have been exchanged, if it is a member.
    pub fn reports(&self) -> Option<Reports> {
        match self.standing {
            Standing::Member { reports, .. } => Some(reports),
            Standing::Stranger | Standing::Introduced => None,
        }
    }

    /// Reports have come so far; what they were before.
    pub fn set_reports(&mut self, new: Reports) -> Option<Reports> {
        match &mut self.standing {
            Standing::Member { reports, .. } => Some(std::mem::replace(reports, new)),
            Standing::Stranger | Standing::Introduced => None,
        }
    }

    /// False if there are too many.
    pub fn add_flow(&mut self, flow: u64, kind: Incoming) -> bool {
        self.flows.len() < MAX_FLOWS && self.flows.insert(flow, kind).is_none()
    }

    pub fn flow(&self, flow: u64) -> Option<Incoming> {
        self.flows.get(&flow).copied()
    }

    pub fn remove_flow(&mut self, flow: u64) -> Option<Incoming> {
        self.flows.remove(&flow)
    }

    /// Takes out its flows for a stream with which it had this to do.
    pub fn extract_flows(&mut self, key: &StreamKey, link: MediaLink) -> Vec<u64> {
        let is_of_it = |flow: &u64, kind: &mut Incoming| {
            *kind == Incoming::Media(*key) || link == MediaLink::Open { control_flow: *flow }
        };
        self.flows.extract_if(.., is_of_it).map(|(flow, _)| flow).collect()
    }

    /// The stream that one of its media control flows was bound to.
    pub fn stream_of(&self, flow: u64) -> Option<StreamKey> {
        let is_it = |link: &MediaLink| *link == MediaLink::Open { control_flow: flow };
        self.media.iter().find(|(_, link)| is_it(link)).map(|(key, _)| *key)
    }

    /// Which of its flows a flow of ours answers.
    pub fn association_of(&self, channel: &Channel) -> Option<u64> {
        match channel {
            Channel::Control => None,
            Channel::MediaControl(_) => self.control_flow(),
            Channel::Media(key) => match self.media.get(key)? {
                MediaLink::Open { control_flow } => Some(*control_flow),
                MediaLink::Offered | MediaLink::Refused => None,
            },
        }
    }

    /// It did wrong. True if that is too much.
    pub fn strike(&mut self, now: Instant, of: Misconduct) -> bool {
        if now.saturating_duration_since(self.strikes_since) > STRIKE_MEMORY {
            self.strikes.clear();
            self.strikes_since = now;
        }
        let count = self.strikes.entry(of).or_default();
        *count += 1;
        *count > of.tolerance()
    }
}
