//! Sessions with peers, shared by all groups that want them, and whose flow is whose.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use rtmfp::{SessionId, crypto::PeerId};

use super::GroupHandle;
use crate::{
    Channel,
    uplink::Losses,
    wire::{Join, StreamKey, signature},
};

/// Sessions that others opened and that no group has anything to do with yet.
pub(super) const MAX_STRANGERS: usize = 32;
/// They are closed after this.
const STRANGER_PATIENCE: Duration = Duration::from_secs(8);
/// Flows of one session whose group is not known yet.
const MAX_UNBOUND: usize = 16;

/// What a flow of a peer is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Bound {
    /// A control flow that has not named its group yet.
    Unbound,
    /// A group's.
    To(GroupHandle),
}

/// What a flow that a peer opens says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Control,
    MediaControl(GroupHandle),
    Media(GroupHandle, StreamKey),
}

/// A session with a peer.
#[derive(Debug)]
pub(super) struct PeerLink {
    pub peer: PeerId,
    pub since: Instant,
    /// Groups that know of it.
    groups: Vec<GroupHandle>,
    /// Our flows by what they are for.
    channels: BTreeMap<(GroupHandle, Channel), u64>,
    theirs: BTreeMap<u64, Bound>,
    pub losses: Losses,
}

impl PeerLink {
    pub fn new(now: Instant, peer: PeerId) -> Self {
        Self {
            peer,
            since: now,
            groups: Vec::new(),
            channels: BTreeMap::new(),
            theirs: BTreeMap::new(),
            losses: Losses::default(),
        }
    }

    /// False if the group knew of it.
    pub fn enter(&mut self, group: GroupHandle) -> bool {
        let is_new = !self.groups.contains(&group);
        if is_new {
            self.groups.push(group);
        }
        is_new
    }

    pub fn groups(&self) -> &[GroupHandle] {
        &self.groups
    }

    /// A group is done with it: our flows and theirs that were the group's.
    pub fn leave(&mut self, group: GroupHandle) -> (Vec<u64>, Vec<u64>) {
        self.groups.retain(|other| *other != group);
        let ours = self.channels.extract_if(.., |(of, _), _| *of == group);
        let ours = ours.map(|(_, flow)| flow).collect();
        let theirs = self.theirs.extract_if(.., |_, bound| *bound == Bound::To(group));
        (ours, theirs.map(|(flow, _)| flow).collect())
    }

    pub fn channel(&self, group: GroupHandle, channel: Channel) -> Option<u64> {
        self.channels.get(&(group, channel)).copied()
    }

    pub fn set_channel(&mut self, group: GroupHandle, channel: Channel, flow: u64) {
        self.channels.insert((group, channel), flow);
    }

    /// Our flow for this, which is to end.
    pub fn take_channel(&mut self, group: GroupHandle, channel: Channel) -> Option<u64> {
        self.channels.remove(&(group, channel))
    }

    /// What our flow was for, which the peer wants no more of.
    pub fn remove_channel(&mut self, flow: u64) -> Option<(GroupHandle, Channel)> {
        let found = self.channel_of(flow)?;
        self.channels.remove(&found);
        Some(found)
    }

    fn channel_of(&self, flow: u64) -> Option<(GroupHandle, Channel)> {
        self.channels.iter().find(|(_, id)| **id == flow).map(|(channel, _)| *channel)
    }

    /// A group's flows that carry fragments.
    pub fn media_flows(&self, group: GroupHandle) -> impl Iterator<Item = u64> + '_ {
        let is_media = move |(of, channel): &(GroupHandle, Channel)| {
            *of == group && matches!(channel, Channel::Media(_))
        };
        self.channels.iter().filter(move |(key, _)| is_media(key)).map(|(_, flow)| *flow)
    }

    /// What a new flow of the peer is for: its signature and the flow of ours that it answers tell.
    /// A control flow answers none; its first message names the group.
    pub fn classify(&self, metadata: &[u8], association: Option<u64>) -> Option<Kind> {
        match metadata {
            signature::CONTROL => {
                let unbound = self.theirs.values().filter(|bound| **bound == Bound::Unbound);
                (unbound.count() < MAX_UNBOUND).then_some(Kind::Control)
            }
            signature::MEDIA_CONTROL => {
                let answered = association.and_then(|flow| self.channel_of(flow));
                match (answered, &self.groups[..]) {
                    (Some((group, Channel::Control)), _) => Some(Kind::MediaControl(group)),
                    // With one group there is no doubt, whatever it answers.
                    (_, [only]) => Some(Kind::MediaControl(*only)),
                    _ => None,
                }
            }
            signature::MEDIA => match self.channel_of(association?)? {
                (group, Channel::MediaControl(key)) => Some(Kind::Media(group, key)),
                _ => None,
            },
            _ => None,
        }
    }

    pub fn bind(&mut self, flow: u64, bound: Bound) {
        self.theirs.insert(flow, bound);
    }

    pub fn bound(&self, flow: u64) -> Option<Bound> {
        self.theirs.get(&flow).copied()
    }

    pub fn unbind(&mut self, flow: u64) -> Option<Bound> {
        self.theirs.remove(&flow)
    }

    /// No group has anything to do with it, and has not had for too long.
    pub fn is_overdue(&self, now: Instant) -> bool {
        self.groups.is_empty() && now.saturating_duration_since(self.since) > STRANGER_PATIENCE
    }
}

/// The group that the first message of a control flow names.
pub(super) fn named_group(message: &[u8]) -> Option<[u8; 32]> {
    Join::decode(message).map(|join| join.group)
}

/// The session of a stranger that has been here longest, if there are too many.
pub(super) fn stranger_to_drop(links: &BTreeMap<SessionId, PeerLink>) -> Option<SessionId> {
    let strangers = || links.iter().filter(|(_, link)| link.groups.is_empty());
    if strangers().count() < MAX_STRANGERS {
        return None;
    }
    strangers().min_by_key(|(_, link)| link.since).map(|(session, _)| *session)
}
