//! What leaves a host: packets of the letters that wait for one other host, one after the other.

use std::time::{Duration, Instant};

use rand::RngExt;

use super::{Event, Host};
use crate::swarm::{
    figures::Tally,
    messages::link::{Letter, Link, Note},
    world::World,
};

/// Bytes of a packet besides its letters: IP, UDP, RTMFP's header, timestamp, padding, checksum.
const OVERHEAD: usize = 28 + 20;
const ROOM: usize = 1192;
/// A loss shows when one later packet has arrived and a quarter of a round trip has passed, when so
/// many have arrived, or after the least timeout.
const OVERTAKEN: u32 = 3;
const TIMEOUT: Duration = Duration::from_millis(250);

impl Host {
    pub(super) fn post(&mut self, to: usize, letter: Letter, is_media: bool) {
        let Some(link) = self.links.get_mut(&to).filter(|link| link.is_open) else { return };
        link.push(letter, is_media);
        if !std::mem::replace(&mut link.has_turn, true) {
            self.turns.push_back(to);
        }
    }

    /// The far end's group is left, on a session that goes on.
    pub(super) fn say_left(&mut self, _now: Instant, group: usize, to: usize) {
        self.post(to, Letter { group, place: None, deadline: None, note: Note::Left }, false);
    }

    /// Sends what the uplink can take, each host in its turn.
    pub(super) fn pump(&mut self, world: &World, tally: &mut Tally, now: Instant) {
        while self.uplink_free <= now {
            let Some(to) = self.turns.pop_front() else { return };
            let Some(link) = self.links.get_mut(&to) else { continue };
            let (mut letters, mut size) = (Vec::new(), 0);
            while let Some(letter) = link.pop(now, ROOM.saturating_sub(size), letters.is_empty()) {
                size += letter.size();
                letters.push(letter);
            }
            link.has_turn = !(link.control.is_empty() && link.media.is_empty());
            if link.has_turn {
                self.turns.push_back(to);
            }
            if !letters.is_empty() {
                self.send_packet(world, tally, now, to, letters, size);
            }
        }
        if !self.turns.is_empty() && !std::mem::replace(&mut self.is_uplink_due, true) {
            self.schedule(self.uplink_free, Event::Uplink);
        }
    }

    fn send_packet(
        &mut self,
        world: &World,
        tally: &mut Tally,
        now: Instant,
        to: usize,
        letters: Vec<Letter>,
        size: usize,
    ) {
        let guest = &world.crowd.guests[self.number];
        let takes = Duration::from_secs_f64((size + OVERHEAD) as f64 / guest.uplink);
        self.uplink_free = now + takes;
        if self.number == 0 {
            let media = letters.iter().filter(|letter| letter.is_media());
            tally.source_sent += media.map(|letter| letter.size() as u64).sum::<u64>();
        }
        let Some(link) = self.links.get_mut(&to) else { return };
        let since = now - std::mem::replace(&mut link.last_sent, now);
        link.spacing = (link.spacing * 7 + since.min(TIMEOUT)) / 8;
        if world.is_split(now, self.number, to) {
            return;
        }
        if self.rng.random_bool(world.loss) {
            let shows = link.shows_loss_after();
            self.schedule(now + takes + shows, Event::Resend { to, letters });
            return;
        }
        let at = self.uplink_free + world.crowd.delay(self.number, to);
        self.mail_host(at, to, Event::Packet { from: self.number, letters });
    }

    /// What was lost goes first.
    pub(super) fn resend(&mut self, to: usize, letters: Vec<Letter>) {
        let Some(link) = self.links.get_mut(&to).filter(|link| link.is_open) else { return };
        for letter in letters.into_iter().rev() {
            if letter.is_media() {
                link.push_again(letter);
            } else {
                link.control.push_front(letter);
            }
        }
        if !std::mem::replace(&mut link.has_turn, true) {
            self.turns.push_back(to);
        }
    }
}

impl Link {
    /// How long after a packet the sender knows that it was lost.
    fn shows_loss_after(&self) -> Duration {
        let overtaken_once = self.spacing.max(self.rtt / 4);
        self.rtt + overtaken_once.min(self.spacing * OVERTAKEN).min(TIMEOUT)
    }
}
