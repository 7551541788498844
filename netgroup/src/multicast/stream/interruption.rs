//! What a subscriber does about a stream that does not go on for it, or that goes on elsewhere.

use std::time::{Duration, Instant};

use super::{INTERRUPTION, Role, Stream};
use crate::multicast::{edge::Prospect, neighbour::Neighbour};

/// What nobody has is given up after this, if there is something later.
const CUT_OFF: Duration = Duration::from_millis(800);
/// After an interruption so much of the window may be caught up with.
const STILL_IN_TIME: f64 = 0.4;

impl Stream {
    /// The group has fallen apart, or is about to: there may be but one way left to where the
    /// stream goes on.
    pub fn on_group_torn(&mut self) {
        self.is_torn = true;
    }

    /// What a single neighbour shows of a stream that stands still for us is looked for, if it went
    /// on as before and the group fell apart: of a caster that pauses no neighbour is believed that
    /// it goes on. What two show is believed anyway, as is what comes.
    pub(super) fn look_ahead(&mut self, now: Instant) {
        if !self.is_torn || self.idle(now) < INTERRUPTION {
            return;
        }
        let credible = self.edge.highest() + 1..=self.edge.farthest_expected(now);
        let shows = |other: &&Neighbour| credible.contains(&other.claim) && other.is_fresh(now);
        let best = self.neighbours.values().filter(shows).max_by_key(|other| other.claim);
        self.prospect = best.map(|other| {
            let is_too_old = self.idle(now) > self.parameters.window;
            let in_time = if is_too_old { self.earliest_in_time(other.claim) } else { 0 };
            let wanted = self.first_wanted().unwrap_or(0);
            let from = in_time.max(wanted).max(other.map.first_held());
            Prospect { from, last: other.claim }
        });
    }

    /// The stream is found to have come to `id`. If nothing came for so long that what we wait for
    /// is too old to be played, that is not waited for any more.
    pub(super) fn skip_what_is_too_old(&mut self, now: Instant, id: u64) {
        let shown = self.prospect.filter(|prospect| prospect.from <= id);
        let in_time = shown.map_or_else(|| self.earliest_in_time(id), |prospect| prospect.from);
        if self.idle(now) < self.parameters.window || in_time <= self.edge.highest() {
            return;
        }
        match &mut self.role {
            Role::Playing(player) => player.jump(in_time),
            Role::Collecting(_) | Role::Met if self.edge.highest() > 0 => self.begin_anew(),
            Role::Collecting(_) | Role::Met | Role::Publisher { .. } => {}
        }
    }

    /// What is before this can hardly be played in time, once the stream has come to `highest`.
    fn earliest_in_time(&self, highest: u64) -> u64 {
        let window = self.parameters.window.mul_f64(STILL_IN_TIME).as_secs_f64();
        highest.saturating_sub((self.edge.pace() * window) as u64)
    }

    /// If what comes next is to be had nowhere any more, but what comes later is, play goes on
    /// there, as far back as can still be in time.
    pub(super) fn jump_if_cut_off(&mut self, now: Instant) {
        let in_time = self.earliest_in_time(self.edge.highest());
        let Role::Playing(player) = &mut self.role else { return };
        let (next, highest) = (player.next(), self.edge.highest());
        let is_missing = next <= highest && !self.store.has(next);
        let has_waited = self.edge.age(now, next) >= CUT_OFF && !self.pulls.is_outstanding(next);
        if !is_missing || !has_waited {
            return;
        }
        let fresh = || self.neighbours.values().filter(|neighbour| neighbour.is_fresh(now));
        if fresh().any(|neighbour| neighbour.has(next)) {
            return;
        }
        let later = fresh().filter(|neighbour| neighbour.map.last > next);
        let Some(earliest) = later.map(|neighbour| neighbour.map.first()).min() else { return };
        if earliest > next {
            player.jump(earliest.max(in_time));
        }
    }
}
