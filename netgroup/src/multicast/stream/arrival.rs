//! What a fragment that arrives does: whether it is taken, and how far it shows the stream to be.

use std::time::Instant;

use bytes::Bytes;
use rand::rngs::StdRng;
use rtmfp::crypto::PeerId;

use super::{INTERRUPTION, RELAY_MARGIN, Role, STANDSTILL, Stream};
use crate::{
    multicast::{StreamEvent, edge::DENSITY, misconduct::Misconduct, pushers::residue},
    wire::Fragment,
};

impl Stream {
    /// A fragment arrived.
    pub fn on_fragment(&mut self, now: Instant, peer: PeerId, message: Bytes, rng: &mut StdRng) {
        let Some(fragment) = Fragment::decode(&message) else { return };
        let Some(neighbour) = self.neighbours.get_mut(&peer) else { return };
        if matches!(self.role, Role::Publisher { .. }) {
            if self.store.has(fragment.id) {
                neighbour.serve(now);
            }
            return;
        }
        let (id, size) = (fragment.id, message.len() as u64);
        let is_source = neighbour.is_source;
        match is_source {
            true => self.stats.bytes_from_source += size,
            false => self.stats.bytes_from_peers += size,
        }
        // Nobody else's fragments would come in place of the true ones.
        let is_asked = neighbour.is_asked(now, 1 << residue(id)) || self.pulls.is_outstanding(id);
        if !is_asked && !is_source && !self.store.has(id) {
            self.stats.unasked += 1;
            return;
        }
        if !self.is_credible(now, peer, id, is_source) {
            return;
        }
        if let Some(neighbour) = self.neighbours.get_mut(&peer) {
            neighbour.serve(now);
        }
        if let Some(asked) = self.pulls.on_fragment(id) {
            self.stats.fragments_pulled += 1;
            if let Some(asked) = self.neighbours.get_mut(&asked) {
                asked.pulls = asked.pulls.saturating_sub(1);
            }
        }
        let is_new = !self.store.has(id);
        if is_new {
            self.keep_and_push(now, Some(peer), fragment, message);
            self.advance_edge(now, id, is_source);
        } else {
            self.stats.duplicates += 1;
        }
        self.pushers.on_fragment(now, &peer, id, &self.edge);
        let wanted = self.first_wanted();
        if is_new {
            self.play(now);
        }
        // A beginner that looks further back, and a trial that is over, do not wait for the time.
        if self.first_wanted() < wanted {
            self.pull_missing(now, rng);
        }
        if self.pushers.has_verdict(now) {
            self.ask_for_pushes(now, rng);
        }
    }

    /// Whether a fragment may be what it says. Far ahead nobody is believed alone, unless nothing
    /// came for so long that we may have missed all of that; of the past only what is wanted is.
    fn is_credible(&mut self, now: Instant, peer: PeerId, id: u64, is_source: bool) -> bool {
        let is_alone = self.neighbours.len() == 1;
        if self.edge.highest() == 0 || is_source {
            return true;
        }
        if id > self.edge.farthest_credible() && !is_alone && !self.pulls.is_outstanding(id) {
            if self.idle(now) < STANDSTILL {
                self.out.suspect(peer, Misconduct::FarFragment);
            }
            return false;
        }
        let floor = self.first_wanted().unwrap_or(1).min(self.store.first());
        if id < floor && !self.pulls.is_outstanding(id) {
            let kept = self.parameters.window + RELAY_MARGIN;
            let is_ancient = self.edge.age(now, id) > kept * 2;
            if is_ancient {
                self.out.suspect(peer, Misconduct::LowFragment);
            }
            return false;
        }
        true
    }

    /// The stream has come as far as a fragment shows that has most of those before it; the
    /// source's word counts by itself.
    fn advance_edge(&mut self, now: Instant, id: u64, is_source: bool) {
        if id <= self.edge.highest() {
            return;
        }
        let span = DENSITY.min(id) as u32;
        let is_dense = self.store.count_up_to(id, span) * 2 >= span;
        if is_source || is_dense || self.neighbours.len() == 1 {
            self.note_edge(now, id);
        }
    }

    /// The stream has come this far.
    pub(super) fn note_edge(&mut self, now: Instant, id: u64) {
        if id > self.edge.highest() {
            self.skip_what_is_too_old(now, id);
            if self.idle(now) > INTERRUPTION {
                // Who could not give anything may be able to now.
                self.pushers.forgive();
            }
            self.edge.note(now, id);
            self.fresh = now;
            self.is_torn = false;
            // The rest of it is still looked for, unless the stream turns out to be elsewhere.
            self.prospect.take_if(|prospect| !(prospect.from..prospect.last).contains(&id));
            // It goes on, whatever was said.
            if self.end.take_if(|end| end.at <= id).is_some() && std::mem::take(&mut self.has_ended)
            {
                self.out.event(StreamEvent::Began { from_start: false });
            }
        }
    }
}
