//! Whom to connect to, and whom to leave.

use std::time::{Duration, Instant};

use rtmfp::crypto::PeerId;

use super::{Action, Channel, Group};
use crate::wire::control;

/// How often the wish list is made anew.
pub(super) const PERIOD: Duration = Duration::from_secs(10);
/// A session whose peer has not proved membership by then is closed.
const PROOF_TIMEOUT: Duration = Duration::from_secs(15);
/// A neighbour is not asked for leave more often.
const ASK_INTERVAL: Duration = Duration::from_secs(90);
/// Who has not answered by then will not, and others wait for the place.
const CONNECT_LIMIT: Duration = Duration::from_secs(20);
/// Sessions being opened at once.
const MAX_CONNECTING: usize = 16;

impl Group {
    pub(super) fn latencies(&self) -> Vec<(Duration, PeerId)> {
        self.neighbours.iter().filter_map(|(peer, neighbour)| neighbour.latency(*peer)).collect()
    }

    pub(super) fn best_neighbours(&mut self) -> Vec<PeerId> {
        let latencies = self.latencies();
        self.heard.best_for(&self.own, &latencies, &mut self.rng)
    }

    pub(super) fn update_topology(&mut self, now: Instant) {
        let neighbours = &self.neighbours;
        self.heard.expire(now, |peer| neighbours.contains_key(peer));
        self.give_up_connecting(now);
        self.close_unproved(now);
        let best = self.best_neighbours();
        self.connect_to(now, &best);
        self.ask_leave(now, &best);
    }

    fn give_up_connecting(&mut self, now: Instant) {
        let is_late = |since: &Instant| now.saturating_duration_since(*since) > CONNECT_LIMIT;
        let late: Vec<PeerId> =
            self.connecting.iter().filter(|(_, at)| is_late(at)).map(|(peer, _)| *peer).collect();
        for peer in late {
            self.actions.push_back(Action::Disconnect { peer });
            self.handle_connect_failed(now, &peer);
        }
    }

    fn close_unproved(&mut self, now: Instant) {
        let is_late = |since: Instant| now.saturating_duration_since(since) > PROOF_TIMEOUT;
        let unproved: Vec<PeerId> = self
            .neighbours
            .iter()
            .filter(|(_, neighbour)| !neighbour.is_member() && is_late(neighbour.since))
            .map(|(peer, _)| *peer)
            .collect();
        for peer in unproved {
            self.disconnect(now, peer);
        }
    }

    fn connect_to(&mut self, now: Instant, best: &[PeerId]) {
        for peer in best {
            let is_busy = self.neighbours.contains_key(peer) || self.connecting.contains_key(peer);
            if is_busy || self.connecting.len() >= MAX_CONNECTING || self.heard.is_dead(now, peer) {
                continue;
            }
            let Some(heard) = self.heard.get(peer) else { continue };
            let addresses = heard.addresses.iter().map(|address| address.socket).collect();
            self.connecting.insert(*peer, now);
            self.actions.push_back(Action::Connect { peer: *peer, addresses });
        }
    }

    /// With more neighbours than we want, those we do not want are asked whether we may go.
    fn ask_leave(&mut self, now: Instant, best: &[PeerId]) {
        let surplus = self.neighbours.len().saturating_sub(best.len());
        let unwanted: Vec<PeerId> = self
            .neighbours
            .iter()
            .filter(|(peer, neighbour)| {
                let asked = neighbour.asked_to_leave;
                let may_ask =
                    asked.is_none_or(|at| now.saturating_duration_since(at) >= ASK_INTERVAL);
                neighbour.is_member() && !best.contains(peer) && may_ask
            })
            .map(|(peer, _)| *peer)
            .take(surplus)
            .collect();
        for peer in unwanted {
            if let Some(neighbour) = self.neighbours.get_mut(&peer) {
                neighbour.asked_to_leave = Some(now);
            }
            self.send(peer, Channel::Control, vec![control::ASK_DISCONNECT]);
        }
    }
}
