//! Reports: members tell each other of members, always in pairs.

use std::{
    cmp::Reverse,
    time::{Duration, Instant},
};

use rand::seq::IteratorRandom;
use rtmfp::{
    crypto::PeerId,
    wire::{Address, Origin},
};

use super::{Channel, Group, GroupEvent, neighbour::Reports};
use crate::{
    heard::{EXPIRY, Informant},
    multicast::Misconduct,
    wire::{Member, Report},
};

/// A report goes to one neighbour at random this often.
pub(super) const REPORT_PERIOD: Duration = Duration::from_secs(10);
/// Addresses of our own that we were told of and tell others.
const MAX_OBSERVED: usize = 4;
/// Members that we tell of, and that we listen to, in one report.
const MAX_TOLD: usize = 20;
const MAX_HEARD: usize = 64;

impl Group {
    pub(super) fn on_report(&mut self, now: Instant, peer: PeerId, message: &[u8]) {
        let Some(report) = Report::decode(message) else {
            self.suspect(now, peer, Misconduct::Malformed);
            return;
        };
        self.learn(now, peer, &report);
        let Some(neighbour) = self.neighbours.get_mut(&peer) else { return };
        let before = neighbour.set_reports(Reports::Exchanged);
        let is_new = !std::mem::replace(&mut neighbour.is_announced, true);
        if is_new {
            self.events.push_back(GroupEvent::NeighborConnected(peer));
        }
        if before != Some(Reports::Asked) {
            if before == Some(Reports::Exchanged) && self.is_too_soon(now, peer) {
                self.suspect(now, peer, Misconduct::Flood);
                return;
            }
            self.send_report(now, peer, Reports::Exchanged);
        }
        self.announce_streams_to(peer);
    }

    /// Whether a neighbour has asked for a report just before.
    fn is_too_soon(&mut self, now: Instant, peer: PeerId) -> bool {
        const SHORTEST: Duration = Duration::from_secs(1);
        let Some(neighbour) = self.neighbours.get_mut(&peer) else { return true };
        let last = neighbour.reported.replace(now);
        last.is_some_and(|last| now.saturating_duration_since(last) < SHORTEST)
    }

    fn learn(&mut self, now: Instant, peer: PeerId, report: &Report) {
        if let Some(neighbour) = self.neighbours.get_mut(&peer) {
            let observed = report.observed.filter(Address::is_connectable);
            neighbour.observed = observed.or(neighbour.observed);
        }
        self.heard.hear(now, peer, &report.own, Informant::Itself);
        if report.members.len() > MAX_HEARD {
            self.suspect(now, peer, Misconduct::Flood);
        }
        let mut has_news = false;
        for member in report.members.iter().take(MAX_HEARD) {
            let age = Duration::from_secs(member.age);
            let at = now.checked_sub(age).unwrap_or(now);
            if age < EXPIRY && !self.is_banned(now, &member.peer) {
                let informant = Informant::Peer(peer);
                has_news |= self.heard.hear(at, member.peer, &member.addresses, informant);
            }
        }
        if has_news {
            self.note_news(now);
        }
    }

    /// Tells `peer` whom it should know: the best neighbours for its place on the ring.
    pub(super) fn send_report(&mut self, now: Instant, peer: PeerId, after: Reports) {
        let latencies = self.latencies();
        let best = self.heard.best_for(&peer, &latencies, MAX_TOLD, &mut self.rng);
        let members = best.into_iter().map(|heard| {
            let age = now.saturating_duration_since(heard.at).as_secs();
            let age = if heard.is_connected { 0 } else { age };
            Member { peer: heard.peer, age, addresses: heard.addresses().collect() }
        });
        let members = members.collect();
        let own = self.host.into_iter().chain(self.observed_addresses()).collect();
        let Some(neighbour) = self.neighbours.get_mut(&peer) else { return };
        let observed = Some(Address::new(neighbour.session.remote, Origin::Observed));
        neighbour.set_reports(after);
        let report = Report { observed, own, members }.encode();
        self.send(peer, Channel::Control, report);
    }

    /// Where neighbours see us, as more than one says, or the only one who speaks; what most say
    /// comes first.
    fn observed_addresses(&self) -> Vec<Address> {
        let mut counts: Vec<(Address, usize)> = Vec::new();
        for address in self.neighbours.values().filter_map(|neighbour| neighbour.observed) {
            match counts.iter_mut().find(|(known, _)| *known == address) {
                Some((_, count)) => *count += 1,
                None => counts.push((address, 1)),
            }
        }
        let is_alone = counts.len() == 1;
        counts.retain(|(_, count)| *count > 1 || is_alone);
        counts.sort_by_key(|(_, count)| Reverse(*count));
        counts.into_iter().take(MAX_OBSERVED).map(|(address, _)| address).collect()
    }

    pub(super) fn report_to_somebody(&mut self, now: Instant) {
        let is_ready = |reports| reports == Some(Reports::Exchanged);
        let ready = self.neighbours.iter().filter(|(_, neighbour)| is_ready(neighbour.reports()));
        if let Some(peer) = ready.map(|(peer, _)| *peer).choose(&mut self.rng) {
            self.send_report(now, peer, Reports::Asked);
        }
    }
}
