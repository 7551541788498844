//! Sessions with members, and proofs of membership.

use std::time::{Duration, Instant};

use bytes::Bytes;
use rtmfp::{
    crypto::PeerId,
    wire::{Address, Origin},
};

use super::{
    Action, Channel, Group, GroupEvent, Incoming, PeerSession,
    neighbour::{Neighbour, Reports, Standing},
};
use crate::{
    Uplink, Way,
    heard::Informant,
    multicast::Misconduct,
    wire::{Join, control},
};

/// Neighbours that proved membership; who comes then takes the place of one that was asked to go so
/// long ago, or is closed at once.
const MAX_MEMBERS: usize = 96;
const TIME_TO_GO: Duration = Duration::from_secs(5);
/// Sessions that have proved nothing yet; the oldest makes room.
const MAX_STRANGERS: usize = 24;
/// A session whose peer has not proved membership by then is closed.
const PROOF_TIMEOUT: Duration = Duration::from_secs(8);
/// Who did wrong is not let in again before this.
const BAN: Duration = Duration::from_secs(300);
const MAX_BANNED: usize = 256;

/// How a session with a peer ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Parting {
    /// It said goodbye.
    Left,
    /// It fell silent, or the network did.
    Lost,
}

impl Group {
    /// The server says that `peer` is a member.
    pub fn hint(&mut self, now: Instant, peer: PeerId) {
        if peer != self.own && !self.is_banned(now, &peer) {
            self.heard.hear(now, peer, &[], Informant::Server);
            self.topology_soon(now);
        }
    }

    /// A session with a peer is open.
    pub fn handle_peer_opened(&mut self, now: Instant, peer: PeerId, session: PeerSession) {
        self.connecting.remove(&peer);
        let has_place = !self.is_full() || self.overstaying(now).is_some();
        if !has_place || self.is_banned(now, &peer) {
            self.actions.push_back(Action::Disconnect { peer });
            return;
        }
        self.make_room_for_stranger(now);
        self.neighbours.insert(peer, Neighbour::new(now, session));
        if session.is_initiator {
            self.introduce_ourselves(peer);
        }
    }

    fn is_full(&self) -> bool {
        self.neighbours.values().filter(|neighbour| neighbour.is_member()).count() >= MAX_MEMBERS
    }

    /// Who was asked to go before all others, has stayed, and is of no use to us.
    fn overstaying(&self, now: Instant) -> Option<PeerId> {
        let dear = self.dear();
        let asked = self.neighbours.iter().filter_map(|(peer, other)| {
            let at = other.asked_to_leave.filter(|at| *at + TIME_TO_GO < now)?;
            (other.is_member() && !dear.contains(peer)).then_some((at, *peer))
        });
        asked.min().map(|(_, peer)| peer)
    }

    fn make_room_for_stranger(&mut self, now: Instant) {
        let strangers = || self.neighbours.iter().filter(|(_, neighbour)| !neighbour.is_member());
        if strangers().count() < MAX_STRANGERS {
            return;
        }
        // Whom we went to is rather kept than who came to us.
        let oldest = strangers().min_by_key(|(_, other)| (other.session.is_initiator, other.since));
        if let Some(peer) = oldest.map(|(peer, _)| *peer) {
            self.drop_neighbour(now, peer);
        }
    }

    /// A session with a peer could not be opened.
    pub fn handle_connect_failed(&mut self, now: Instant, peer: &PeerId) {
        if self.connecting.remove(peer).is_some()
            && let Some(heard) = self.heard.get_mut(peer)
        {
            heard.fail(now);
        }
    }

    /// A session is over.
    pub fn handle_peer_closed(&mut self, now: Instant, peer: &PeerId, parting: Parting) {
        let Some(neighbour) = self.forget_neighbour(now, peer) else { return };
        let has_agreed = neighbour.is_parting || neighbour.asked_to_leave.is_some();
        if let Some(heard) = self.heard.get_mut(peer) {
            match parting {
                Parting::Left if has_agreed => heard.part(now),
                Parting::Left => heard.leave(now),
                Parting::Lost => heard.fail(now),
            }
        }
        if !has_agreed {
            self.note_loss(now, parting);
        }
    }

    fn forget_neighbour(&mut self, now: Instant, peer: &PeerId) -> Option<Neighbour> {
        let neighbour = self.neighbours.remove(peer)?;
        for key in neighbour.media.keys() {
            if let Some(stream) = self.streams.get_mut(key) {
                stream.remove_neighbour(now, peer, &mut self.rng);
            }
        }
        if neighbour.is_announced {
            self.events.push_back(GroupEvent::NeighborDisconnected(*peer));
        }
        for key in neighbour.media.keys() {
            self.settle_stream(now, key);
        }
        Some(neighbour)
    }

    /// Ends a session that has proved nothing.
    pub(super) fn drop_neighbour(&mut self, now: Instant, peer: PeerId) {
        self.actions.push_back(Action::Disconnect { peer });
        self.forget_neighbour(now, &peer);
        if let Some(heard) = self.heard.get_mut(&peer) {
            heard.fail(now);
        }
    }

    /// We and a neighbour have agreed to part: it is no worse for that.
    fn part_from(&mut self, now: Instant, peer: PeerId) {
        self.actions.push_back(Action::Disconnect { peer });
        self.forget_neighbour(now, &peer);
        if let Some(heard) = self.heard.get_mut(&peer) {
            heard.part(now);
        }
    }

    pub(super) fn close_strangers(&mut self, now: Instant) {
        let is_late = |since: Instant| now.saturating_duration_since(since) > PROOF_TIMEOUT;
        let late = self
            .neighbours
            .iter()
            .filter(|(_, neighbour)| !neighbour.is_member() && is_late(neighbour.since));
        for peer in late.map(|(peer, _)| *peer).collect::<Vec<_>>() {
            self.drop_neighbour(now, peer);
        }
    }

    /// A neighbour did what no honest one does: it is dropped when that was too much.
    pub(super) fn suspect(&mut self, now: Instant, peer: PeerId, of: Misconduct) {
        self.stats.misconduct += 1;
        let Some(neighbour) = self.neighbours.get_mut(&peer) else { return };
        if !neighbour.strike(now, of) {
            return;
        }
        self.stats.neighbours_banned += 1;
        self.drop_neighbour(now, peer);
        if self.banned.len() >= MAX_BANNED {
            self.banned.retain(|_, until| *until > now);
        }
        if self.banned.len() < MAX_BANNED {
            self.banned.insert(peer, now + BAN);
        }
        self.events.push_back(GroupEvent::NeighborBanned { peer, of });
    }

    pub(super) fn is_banned(&self, now: Instant, peer: &PeerId) -> bool {
        self.banned.get(peer).is_some_and(|until| *until > now)
    }

    /// What is known of the way to a neighbour. To be called about ten times a second.
    pub fn set_way(&mut self, peer: &PeerId, way: Way) {
        let Some(neighbour) = self.neighbours.get_mut(peer) else { return };
        neighbour.rtt = way.rtt.or(neighbour.rtt);
        let way = Way { rtt: neighbour.rtt, ..way };
        for key in neighbour.media.keys() {
            if let Some(stream) = self.streams.get_mut(key) {
                stream.set_way(peer, way);
            }
        }
    }

    /// How our uplink does, and how many streams of all groups of a host share it.
    pub fn set_uplink(&mut self, uplink: Uplink, streams: usize) {
        self.streams.values_mut().for_each(|stream| stream.set_uplink(uplink, streams));
    }

    /// A neighbour opened a flow.
    pub fn handle_flow_opened(&mut self, now: Instant, peer: PeerId, flow: u64, kind: Incoming) {
        let Some(neighbour) = self.neighbours.get_mut(&peer) else { return };
        if !neighbour.add_flow(flow, kind) {
            self.actions.push_back(Action::Reject { peer, flow });
            self.suspect(now, peer, Misconduct::Flood);
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
            Some(Incoming::Control) if neighbour.control_flow() == Some(flow) => {
                self.actions.push_back(Action::Disconnect { peer });
                self.handle_peer_closed(now, &peer, Parting::Left);
            }
            Some(Incoming::MediaControl) => {
                if let Some(key) = neighbour.stream_of(flow) {
                    self.drop_media(now, &peer, &key);
                }
            }
            _ => {}
        }
    }

    /// A neighbour refuses one of our flows.
    pub fn handle_flow_rejected(&mut self, now: Instant, peer: PeerId, channel: Channel) {
        match channel {
            Channel::Control => {
                let has_asked =
                    self.neighbours.get(&peer).is_some_and(|other| other.asked_to_leave.is_some());
                match has_asked {
                    true => self.part_from(now, peer),
                    false => self.drop_neighbour(now, peer),
                }
            }
            Channel::MediaControl(key) | Channel::Media(key) => self.drop_media(now, &peer, &key),
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
        let reports = self.neighbours.get(&peer).and_then(Neighbour::reports);
        match (message.first(), reports) {
            (Some(&control::JOIN), _) => self.on_join(now, peer, flow, message),
            (Some(&(control::READY_EXACT | control::READY_NEAREST)), Some(reports)) => {
                if reports == Reports::None {
                    self.send_report(now, peer, Reports::Asked);
                    self.announce_streams_to(peer);
                }
            }
            (Some(&control::REPORT), Some(_)) => self.on_report(now, peer, message),
            (Some(&control::ASK_DISCONNECT), Some(_)) => self.on_ask_disconnect(peer, flow),
            (Some(&control::HELLO), _) => {}
            _ => {
                self.stats.malformed += 1;
                self.suspect(now, peer, Misconduct::Malformed);
            }
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
        let is_new = !neighbour.is_member();
        if is_new && self.is_full() {
            match self.overstaying(now) {
                Some(other) => self.part_from(now, other),
                None => return self.drop_neighbour(now, peer),
            }
        }
        let Some(neighbour) = self.neighbours.get_mut(&peer) else { return };
        let was_introduced = neighbour.standing != Standing::Stranger;
        let reports = neighbour.reports().unwrap_or(Reports::None);
        neighbour.standing = Standing::Member { control_flow: flow, reports };
        let address = Address::new(neighbour.session.remote, Origin::Observed);
        self.heard.hear(now, peer, &[address], Informant::Itself);
        if let Some(heard) = self.heard.get_mut(&peer) {
            heard.connect(now);
        }
        if !was_introduced {
            self.introduce_ourselves(peer);
        }
    }

    fn introduce_ourselves(&mut self, peer: PeerId) {
        let Some(neighbour) = self.neighbours.get_mut(&peer) else { return };
        if neighbour.standing == Standing::Stranger {
            neighbour.standing = Standing::Introduced;
        }
        let proof = self.spec.proof(&neighbour.session.far_nonce);
        let join = Join { group: self.spec.group_id(), proof, to: peer };
        self.send(peer, Channel::Control, join.encode());
        self.send(peer, Channel::Control, vec![control::HELLO]);
        self.send(peer, Channel::Control, vec![control::READY_EXACT]);
    }
}
