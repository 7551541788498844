//! What a subscriber of a stream does: plays, asks for pushes, pulls what is missing.

use std::time::{Duration, Instant};

use rand::{RngExt, rngs::StdRng};
use rtmfp::crypto::PeerId;

use super::{Delivery, END_PATIENCE, End, Output, Role, Stream, StreamEvent};
use crate::{
    multicast::{
        collect::Collecting,
        known::Known,
        player::Player,
        publisher::publisher_of,
        push::{Candidate, RESIDUES, residue},
    },
    wire::MediaControl,
};

/// A fragment that its pusher passed over is pulled after this; it may only be out of order.
const PASSED_OVER_PATIENCE: Duration = Duration::from_millis(150);
/// How long something of a residue must be missing before its pusher is blamed.
const MISSING_PATIENCE: Duration = Duration::from_millis(300);
/// Gaps looked at in one go.
const MAX_GAPS: u64 = 8192;
/// How often, of all times, a relay is asked rather than the source if both have a fragment.
const PREFER_RELAYS: f64 = 0.9;

impl Stream {
    /// Everything a subscriber does from time to time.
    pub(super) fn work(
        &mut self,
        now: Instant,
        rng: &mut StdRng,
        out: &mut Vec<Output>,
        events: &mut Vec<StreamEvent>,
    ) {
        if let (Role::Met, highest @ 1..) = (&self.role, self.known.highest()) {
            self.role = Role::Collecting(Collecting::new(now, highest));
        }
        self.play(now, events);
        while self.skips_gap(now) {
            self.play(now, events);
        }
        self.ask_for_pushes(now, rng, out);
        self.pull_missing(now, rng, out);
    }

    fn skips_gap(&mut self, now: Instant) -> bool {
        let window = self.announcement.parameters.window;
        match &mut self.role {
            Role::Playing(player) => player.skip_expired(now, &self.store, &self.known, window),
            _ => false,
        }
    }

    pub(super) fn play(&mut self, now: Instant, events: &mut Vec<StreamEvent>) {
        if let Role::Collecting(collecting) = &mut self.role {
            let holders = self.neighbours.values().filter(|neighbour| neighbour.map.last > 0);
            let earliest = holders.map(|neighbour| neighbour.map.first()).min().unwrap_or(1);
            if let Some(first) = collecting.advance(now, &self.store, &self.known, earliest) {
                self.role = Role::Playing(Player::new(first));
                events.push(StreamEvent::Began { from_start: first == 1 });
            } else if collecting.is_fruitless(now, &self.store) {
                // Somebody spoke of fragments that nobody has: begin with what there is.
                self.known = Known::default();
                self.role = Role::Met;
                self.known.note(now, self.store.last().unwrap_or(0));
            }
        }
        let Role::Playing(player) = &mut self.role else { return };
        player.advance(&self.store, &mut |start, payload| {
            let delivery = Delivery { kind: start.kind, timestamp: start.timestamp, payload };
            events.push(StreamEvent::Message(delivery));
        });
        let next = player.next();
        let is_over = |end: &End| end.is_certain || self.idle(now) > END_PATIENCE;
        if self.end.filter(is_over).is_some_and(|end| next >= end.at) && !self.has_ended {
            self.has_ended = true;
            events.push(StreamEvent::Ended);
        }
    }

    fn first_wanted(&self) -> Option<u64> {
        match &self.role {
            Role::Collecting(collecting) => Some(collecting.floor()),
            Role::Playing(player) => Some(player.next()),
            Role::Publisher { .. } | Role::Met => None,
        }
    }

    fn gaps(&self) -> impl Iterator<Item = u64> + '_ {
        let first = self.first_wanted().unwrap_or(u64::MAX);
        let last = self.known.highest().min(first.saturating_add(MAX_GAPS));
        (first..=last).filter(|id| !self.store.has(*id))
    }

    fn ask_for_pushes(&mut self, now: Instant, rng: &mut StdRng, out: &mut Vec<Output>) {
        let key = self.announcement.key;
        let candidates: Vec<Candidate> = self
            .neighbours
            .iter()
            .filter(|(_, neighbour)| neighbour.map.last > 0)
            .map(|(peer, neighbour)| Candidate {
                peer: *peer,
                wants: neighbour.wants,
                is_source: publisher_of(&key, peer),
            })
            .collect();
        let mut missing = [false; RESIDUES];
        for id in self.gaps().filter(|id| self.known.age(now, *id) > MISSING_PATIENCE) {
            missing[residue(id)] = true;
        }
        self.plan.update(now, &candidates, |residue| missing[residue], rng);
        for (peer, neighbour) in &mut self.neighbours {
            let mask = self.plan.mask_for(peer);
            if mask != neighbour.asked {
                neighbour.asked = mask;
                out.push(Output::Control(*peer, MediaControl::PushMask(mask)));
            }
        }
    }

    fn pull_missing(&mut self, now: Instant, rng: &mut StdRng, out: &mut Vec<Output>) {
        self.pulls.forget_before(self.first_wanted().unwrap_or(0));
        let due: Vec<u64> = self.gaps().filter(|id| self.is_pull_due(now, *id)).collect();
        for id in due {
            let Ok(rather_not) = self.pulls.may_ask(now, id) else { continue };
            let Some(peer) = self.choose_holder(id, rather_not, rng) else { continue };
            self.pulls.note(now, id, peer);
            out.push(Output::Control(peer, MediaControl::Pull(id)));
        }
    }

    fn is_pull_due(&self, now: Instant, id: u64) -> bool {
        let age = self.known.age(now, id);
        let is_expected = self.plan.expects(now, id, age);
        if self.plan.was_passed_over(id)
            || (is_expected && matches!(self.role, Role::Collecting(_)))
        {
            age > PASSED_OVER_PATIENCE
        } else {
            !is_expected || age > self.announcement.parameters.fetch_period
        }
    }

    /// Someone who has it: a relay rather than the source, and not who did not answer.
    fn choose_holder(
        &self,
        id: u64,
        rather_not: Option<PeerId>,
        rng: &mut StdRng,
    ) -> Option<PeerId> {
        let spares_source = rng.random_bool(PREFER_RELAYS);
        self.neighbours
            .iter()
            .filter(|(_, neighbour)| neighbour.map.has(id))
            .map(|(peer, _)| *peer)
            .min_by_key(|peer| {
                let is_source = spares_source && publisher_of(&self.announcement.key, peer);
                (Some(*peer) == rather_not, is_source, rng.random::<u32>())
            })
    }
}
