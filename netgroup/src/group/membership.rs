//! Sessions, proofs of membership and reports.

use std::time::{Duration, Instant};

use bytes::Bytes;
use rand::seq::IteratorRandom;
use rtmfp::{
    crypto::PeerId,
    wire::{Address, Origin},
};

use super::{
    Action, Channel, Group, GroupEvent, Incoming, PeerSession,
    neighbour::{Neighbour, Reports},
};
use crate::{
    heard::EXPIRY,
    wire::{Join, Member, Report, control},
};

/// A report goes to one neighbour at random this often.
pub(super) const REPORT_PERIOD: Duration = Duration::from_secs(10);
/// Sessions beyond this are closed at once.
const MAX_NEIGHBOURS: usize = 128;
/// Addresses of our own that we were told of and tell others.
const MAX_OBSERVED: usize = 4;

impl Group {
    /// The server, or somebody else, says that `peer` is a member.
    pub fn hint(&mut self, now: Instant, peer: PeerId) {
        if peer == self.own {
            return;
        }
        // The server knows better than our own failed attempt.
        self.heard.revive(&peer);
        self.heard.hear(now, peer, &[]);
        self.topology_soon(now);
    }

    /// A session with a peer is open.
    pub fn handle_peer_opened(&mut self, now: Instant, peer: PeerId, session: PeerSession) {
        self.connecting.remove(&peer);
        if self.neighbours.len() >= MAX_NEIGHBOURS {
            self.actions.push_back(Action::Disconnect { peer });
            return;
        }
        self.neighbours.insert(peer, Neighbour::new(now, session));
        if session.is_initiator {
            self.send_join(peer);
        }
    }

    /// A session with a peer could not be opened.
    pub fn handle_connect_failed(&mut self, now: Instant, peer: &PeerId) {
        if self.connecting.remove(peer).is_some() {
            self.heard.bury(now, peer);
        }
    }

    /// A session is over.
    pub fn handle_peer_closed(&mut self, now: Instant, peer: &PeerId) {
        let Some(neighbour) = self.neighbours.remove(peer) else { return };
        for stream in self.streams.values_mut() {
            stream.remove_neighbour(peer);
        }
        self.heard.bury(now, peer);
        if neighbour.is_announced {
            self.events.push_back(GroupEvent::NeighborDisconnected(*peer));
        }
        self.topology_soon(now);
    }

    /// The round trip time to a neighbour was measured.
    pub fn set_rtt(&mut self, peer: &PeerId, rtt: Duration) {
        if let Some(neighbour) = self.neighbours.get_mut(peer) {
            neighbour.rtt = Some(rtt);
        }
    }

    /// A neighbour opened a flow.
    pub fn handle_flow_opened(&mut self, peer: PeerId, flow: u64, kind: Incoming) {
        let is_taken =
            self.neighbours.get_mut(&peer).is_some_and(|neighbour| neighbour.add_flow(flow, kind));
        if !is_taken {
            self.actions.push_back(Action::Reject { peer, flow });
        }
    }

    /// Refuses a flow of a neighbour, and forgets it.
    pub(super) fn reject(&mut self, peer: PeerId, flow: u64) {
        if let Some(neighbour) = self.neighbours.get_mut(&peer) {
            neighbour.remove_flow(flow);
        }
        self.actions.push_back(Action::Reject { peer, flow });
    }

    /// A neighbour ended a flow.
    pub fn handle_flow_finished(&mut self, now: Instant, peer: PeerId, flow: u64) {
        let Some(neighbour) = self.neighbours.get_mut(&peer) else { return };
        match neighbour.remove_flow(flow) {
            // The control flow is the life of the relation.
            Some(Incoming::Control) if neighbour.control_flow == Some(flow) => {
                self.disconnect(now, peer)
            }
            Some(Incoming::MediaControl) => {
                if let Some(key) = neighbour.stream_of(flow) {
                    self.drop_media(&peer, &key);
                }
            }
            _ => {}
        }
    }

    /// A neighbour refuses one of our flows.
    pub fn handle_flow_rejected(&mut self, now: Instant, peer: PeerId, channel: Channel) {
        match channel {
            Channel::Control => self.disconnect(now, peer),
            Channel::MediaControl(key) | Channel::Media(key) => self.drop_media(&peer, &key),
        }
    }

    /// A message arrived on a flow of a neighbour.
    pub fn handle_message(&mut self, now: Instant, peer: PeerId, flow: u64, message: Bytes) {
        match self.neighbours.get(&peer).and_then(|neighbour| neighbour.flow(flow)) {
            Some(Incoming::Control) => self.on_control(now, peer, flow, &message),
            Some(Incoming::MediaControl) => self.on_media_control(now, peer, flow, &message),
            Some(Incoming::Media(key)) => self.on_media(now, peer, &key, message),
            None => {}
        }
    }

    fn on_control(&mut self, now: Instant, peer: PeerId, flow: u64, message: &[u8]) {
        let is_member = self.neighbours.get(&peer).is_some_and(Neighbour::is_member);
        match message.first() {
            Some(&control::JOIN) => self.on_join(now, peer, flow, message),
            Some(&(control::READY_EXACT | control::READY_NEAREST)) if is_member => {
                if self
                    .neighbours
                    .get(&peer)
                    .is_some_and(|neighbour| neighbour.reports == Reports::None)
                {
                    self.send_report(now, peer, Reports::Asked);
                }
            }
            Some(&control::REPORT) if is_member => self.on_report(now, peer, message),
            Some(&control::ASK_DISCONNECT) if is_member => self.on_ask_disconnect(peer, flow),
            Some(&control::HELLO) => {}
            _ => self.stats.malformed += 1,
        }
    }

    fn on_join(&mut self, now: Instant, peer: PeerId, flow: u64, message: &[u8]) {
        let Some(neighbour) = self.neighbours.get_mut(&peer) else { return };
        let expected = Join {
            group: self.spec.group_id(),
            proof: self.spec.proof(&neighbour.session.near_nonce),
            to: self.own,
        };
        if Join::decode(message).as_ref() != Some(&expected) {
            self.stats.joins_refused += 1;
            self.reject(peer, flow);
            return;
        }
        neighbour.control_flow = Some(flow);
        let has_joined = neighbour.has_joined;
        let address = Address::new(neighbour.session.remote, Origin::Observed);
        self.heard.revive(&peer);
        self.heard.hear(now, peer, &[address]);
        if !has_joined {
            self.send_join(peer);
        }
    }

    fn send_join(&mut self, peer: PeerId) {
        let Some(neighbour) = self.neighbours.get_mut(&peer) else { return };
        neighbour.has_joined = true;
        let proof = self.spec.proof(&neighbour.session.far_nonce);
        let join = Join { group: self.spec.group_id(), proof, to: peer };
        self.send(peer, Channel::Control, join.encode());
        self.send(peer, Channel::Control, vec![control::HELLO]);
        self.send(peer, Channel::Control, vec![control::READY_EXACT]);
    }

    fn on_report(&mut self, now: Instant, peer: PeerId, message: &[u8]) {
        let Some(report) = Report::decode(message) else {
            self.stats.malformed += 1;
            return;
        };
        self.learn(now, peer, &report);
        let Some(neighbour) = self.neighbours.get_mut(&peer) else { return };
        let before = std::mem::replace(&mut neighbour.reports, Reports::Exchanged);
        if !std::mem::replace(&mut neighbour.is_announced, true) {
            self.events.push_back(GroupEvent::NeighborConnected(peer));
        }
        if before != Reports::Asked {
            self.send_report(now, peer, Reports::Exchanged);
        }
        self.announce_streams_to(peer);
    }

    fn learn(&mut self, now: Instant, peer: PeerId, report: &Report) {
        if let Some(observed) = report.observed.filter(Address::is_connectable)
            && !self.observed.contains(&observed)
        {
            // The oldest goes: we may have moved.
            if self.observed.len() >= MAX_OBSERVED {
                self.observed.remove(0);
            }
            self.observed.push(observed);
        }
        self.heard.hear(now, peer, &report.own);
        let mut has_news = false;
        for member in &report.members {
            let age = Duration::from_secs(member.age);
            let is_useful =
                age < EXPIRY && member.peer != self.own && !self.heard.is_dead(now, &member.peer);
            if is_useful {
                has_news |= self.heard.hear(
                    now.checked_sub(age).unwrap_or(now),
                    member.peer,
                    &member.addresses,
                );
            }
        }
        if has_news {
            self.topology_soon(now);
        }
    }

    /// Tells `peer` whom it should know: the best neighbours for its place on the ring.
    fn send_report(&mut self, now: Instant, peer: PeerId, after: Reports) {
        let latencies = self.latencies();
        let members = self.heard.best_for(&peer, &latencies, &mut self.rng);
        let members = members.iter().filter_map(|member| {
            let heard = self.heard.get(member)?;
            let age = now.saturating_duration_since(heard.at).as_secs();
            let age = if self.neighbours.contains_key(member) { 0 } else { age };
            Some(Member { peer: *member, age, addresses: heard.addresses.clone() })
        });
        let Some(neighbour) = self.neighbours.get(&peer) else { return };
        let own: Vec<Address> =
            self.host.into_iter().chain(self.observed.iter().copied()).collect();
        let observed = Some(Address::new(neighbour.session.remote, Origin::Observed));
        let report = Report { observed, own, members: members.collect() }.encode();
        if let Some(neighbour) = self.neighbours.get_mut(&peer) {
            neighbour.reports = after;
        }
        self.send(peer, Channel::Control, report);
    }

    pub(super) fn report_to_somebody(&mut self, now: Instant) {
        let ready =
            self.neighbours.iter().filter(|(_, neighbour)| neighbour.reports == Reports::Exchanged);
        if let Some(peer) = ready.map(|(peer, _)| *peer).choose(&mut self.rng) {
            self.send_report(now, peer, Reports::Asked);
        }
    }

    /// A neighbour would leave us: fine unless we want it or have too few.
    fn on_ask_disconnect(&mut self, peer: PeerId, flow: u64) {
        let best = self.best_neighbours();
        if !best.is_empty() && self.neighbours.len() > best.len() && !best.contains(&peer) {
            self.actions.push_back(Action::Reject { peer, flow });
        }
    }
}
