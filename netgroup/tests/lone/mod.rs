//! One group without a network, as its neighbours see it: they are what the test says they are.
#![allow(dead_code, reason = "each test uses some of it")]

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use bytes::Bytes;
use netgroup::{
    Action, Capabilities, Channel, Group, GroupEvent, GroupSpec, Incoming, PeerSession,
    wire::{Announcement, Availability, Join, MediaControl, Report, StreamKey, StreamParameters},
};
use rtmfp::crypto::{PeerId, sha256};

pub const CONTROL: u64 = 1;
pub const MEDIA_CONTROL: u64 = 2;
pub const KEY: StreamKey = StreamKey([5; 32]);
const OWN: PeerId = id(7);

pub const fn id(number: u8) -> PeerId {
    PeerId([number; 32])
}

/// A key that shows `peer` to be its stream's publisher.
pub fn key_of(peer: PeerId, number: u8) -> StreamKey {
    let mut key = [number; 32];
    key[16..].copy_from_slice(&sha256(&[&peer.0, &[number; 16]])[..16]);
    StreamKey(key)
}

/// What was said to whom of a stream.
pub fn said(actions: &[Action], key: StreamKey) -> Vec<(PeerId, MediaControl)> {
    let said = actions.iter().filter_map(|action| match action {
        Action::Send(sent) if sent.channel == Channel::MediaControl(key) => {
            Some((sent.peer, MediaControl::decode(&sent.bytes)?))
        }
        _ => None,
    });
    said.collect()
}

fn spec() -> GroupSpec {
    GroupSpec::new("test", Capabilities::CHANNEL, 1).unwrap()
}

pub struct Rig {
    pub now: Instant,
    pub group: Group,
}

impl Rig {
    /// A group that wants a stream.
    pub fn new() -> Self {
        let mut rig = Self::idle();
        rig.group.subscribe("stream");
        rig
    }

    /// A group that wants nothing.
    pub fn idle() -> Self {
        let now = Instant::now();
        Self { now, group: Group::new(now, OWN, spec(), None, [7; 32]) }
    }

    pub fn hear(&mut self, peer: PeerId, flow: u64, message: impl Into<Bytes>) {
        self.group.handle_message(self.now, peer, flow, message.into());
    }

    /// A session that proves nothing yet.
    pub fn open(&mut self, peer: PeerId) {
        let remote = SocketAddr::from(([10, 0, 0, peer.0[0]], 9));
        let (near_nonce, far_nonce) = ([1; 32], [2; 32]);
        let session = PeerSession { is_initiator: false, near_nonce, far_nonce, remote };
        self.group.handle_peer_opened(self.now, peer, session);
        self.group.handle_flow_opened(self.now, peer, CONTROL, Incoming::Control);
    }

    pub fn join(&mut self, peer: PeerId) {
        self.open(peer);
        let join = Join { group: spec().group_id(), proof: spec().proof(&[1; 32]), to: OWN };
        self.hear(peer, CONTROL, join.encode());
        self.hear(peer, CONTROL, Report::default().encode());
    }

    pub fn announce(&mut self, peer: PeerId) {
        self.announce_as(peer, MEDIA_CONTROL, KEY, StreamParameters::default());
    }

    pub fn announce_as(
        &mut self,
        peer: PeerId,
        flow: u64,
        key: StreamKey,
        parameters: StreamParameters,
    ) {
        self.group.handle_flow_opened(self.now, peer, flow, Incoming::MediaControl);
        let announcement = Announcement { name: "stream".into(), key, parameters };
        self.hear(peer, flow, MediaControl::Announce(announcement).encode());
    }

    /// A member that has the stream.
    pub fn meet(&mut self, peer: PeerId) {
        self.join(peer);
        self.announce(peer);
    }

    pub fn show(&mut self, peer: PeerId, last: u64) {
        self.show_on(peer, MEDIA_CONTROL, last);
    }

    pub fn show_on(&mut self, peer: PeerId, flow: u64, last: u64) {
        let map = Availability::of(last.saturating_sub(500), last, |_| u64::MAX);
        self.hear(peer, flow, MediaControl::Availability(map).encode());
    }

    pub fn actions(&mut self) -> Vec<Action> {
        std::iter::from_fn(|| self.group.poll_action()).collect()
    }

    pub fn events(&mut self) -> Vec<GroupEvent> {
        std::iter::from_fn(|| self.group.poll_event()).collect()
    }

    /// Time passes; what is done in it.
    pub fn run(&mut self, time: Duration) -> Vec<Action> {
        let (end, mut actions) = (self.now + time, self.actions());
        while self.group.poll_timeout() <= end {
            self.now = self.now.max(self.group.poll_timeout());
            self.group.handle_timeout(self.now);
            actions.extend(self.actions());
        }
        self.now = end;
        actions
    }

    /// What it tells a neighbour that reports.
    pub fn report_to(&mut self, peer: PeerId) -> Report {
        self.actions();
        self.now += Duration::from_secs(2);
        self.hear(peer, CONTROL, Report::default().encode());
        let sent = self.actions().into_iter().filter_map(|action| match action {
            Action::Send(sent) if sent.peer == peer && sent.channel == Channel::Control => {
                Report::decode(&sent.bytes)
            }
            _ => None,
        });
        sent.last().expect("reports are exchanged")
    }
}
