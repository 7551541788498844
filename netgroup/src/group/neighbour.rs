//! A peer with which we have a session.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use rtmfp::crypto::PeerId;

use super::{Channel, Incoming, PeerSession};
use crate::wire::StreamKey;

/// How far reports have been exchanged; they travel in pairs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reports {
    None,
    /// We sent one and wait for theirs.
    Asked,
    Exchanged,
}

/// What a stream's flows with this neighbour are.
#[derive(Debug, Default)]
pub(super) struct MediaLink {
    /// We sent our announcement, which must happen once.
    pub announced: bool,
    /// Its media control flow.
    pub control_flow: Option<u64>,
    /// It wants nothing more of this.
    pub is_refused: bool,
}

#[derive(Debug)]
pub(super) struct Neighbour {
    pub session: PeerSession,
    pub since: Instant,
    pub rtt: Option<Duration>,
    /// Its control flow, once it proved membership by it.
    pub control_flow: Option<u64>,
    pub has_joined: bool,
    pub reports: Reports,
    /// The application knows of it.
    pub is_announced: bool,
    pub media: BTreeMap<StreamKey, MediaLink>,
    pub asked_to_leave: Option<Instant>,
    flows: BTreeMap<u64, Incoming>,
}

/// Flows of one neighbour that we look at.
const MAX_FLOWS: usize = 128;

impl Neighbour {
    pub fn new(now: Instant, session: PeerSession) -> Self {
        Self {
            session,
            since: now,
            rtt: None,
            control_flow: None,
            has_joined: false,
            reports: Reports::None,
            is_announced: false,
            media: BTreeMap::new(),
            asked_to_leave: None,
            flows: BTreeMap::new(),
        }
    }

    /// It proved that it belongs to the group.
    pub fn is_member(&self) -> bool {
        self.control_flow.is_some()
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

    /// The stream that one of its media control flows was bound to.
    pub fn stream_of(&self, flow: u64) -> Option<StreamKey> {
        self.media.iter().find(|(_, link)| link.control_flow == Some(flow)).map(|(key, _)| *key)
    }

    /// Which of its flows a flow of ours answers.
    pub fn association_of(&self, channel: &Channel) -> Option<u64> {
        match channel {
            Channel::Control => None,
            Channel::MediaControl(_) => self.control_flow,
            Channel::Media(key) => self.media.get(key)?.control_flow,
        }
    }

    /// Round trip time and who, for choosing the near.
    pub fn latency(&self, peer: PeerId) -> Option<(Duration, PeerId)> {
        Some((self.rtt?, peer))
    }
}
