//! Sessions between hosts: opened through the server, shared by the groups of both.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use netgroup::{Parting, PeerSession, Way};
use rand::RngExt;
use rtmfp::crypto::sha256;

use super::{Addressee, Event, Host, Life, Mail};
use crate::swarm::{
    crowd::peer_id, figures::Tally, messages::link::Link, traffic::HANDSHAKE, world::World,
};

/// A lost packet of a startup is sent again after this.
const STARTUP_RETRY: Duration = Duration::from_millis(1500);
const STARTUP_PACKETS: i32 = 5;
/// When an endpoint says hello while nobody answers, in milliseconds, before its group gives up.
const HELLOS: [u64; 5] = [0, 1500, 4500, 9000, 15_000];

impl Host {
    /// A group wants a session.
    pub(super) fn connect(
        &mut self,
        world: &World,
        tally: &mut Tally,
        now: Instant,
        group: usize,
        to: usize,
    ) {
        if let Some(link) = self.links.get_mut(&to) {
            link.wanted_by |= 1 << group;
            if link.is_open {
                self.enter(world, now, to, group, true);
            }
            return;
        }
        if to == self.number || to >= world.crowd.guests.len() {
            return;
        }
        self.seat.on_session(world, tally, now);
        tally.control_bytes += HANDSHAKE;
        self.links.insert(to, Link::opening(now, group));
        let mut hellos = HELLOS.into_iter().map(|after| now + Duration::from_millis(after));
        let heard = hellos.find(|at| !world.is_split(*at, self.number, to));
        let Some(said) = heard.filter(|_| world.crowd.is_reachable(self.number, to)) else {
            return;
        };
        let way = world.crowd.delay(self.number, to);
        // Hello, hello forwarded, its answer, keying; the first two are one without a server.
        let mut takes = match world.is_server_gone(now) {
            true => way * 3,
            false => world.crowd.server_delay(self.number) + world.crowd.server_delay(to) + way * 2,
        };
        let is_whole = (1.0 - world.loss).powi(STARTUP_PACKETS);
        if !self.rng.random_bool(is_whole) {
            takes += STARTUP_RETRY;
        }
        self.mail_host(said + takes, to, Event::Hello { from: self.number });
    }

    pub(super) fn mail_host(&mut self, at: Instant, to: usize, event: Event) {
        self.mail.push(Mail { at, from: self.number, to: Addressee::Host(to, event) });
    }

    /// The far end's keying has arrived. If both wanted each other, the lower number's wish counts.
    pub(super) fn on_hello(&mut self, world: &World, tally: &mut Tally, now: Instant, from: usize) {
        let is_glare = self.links.contains_key(&from);
        let is_open = self.links.get(&from).is_some_and(|link| link.is_open);
        if self.life == Life::Unborn || is_open || (is_glare && self.number < from) {
            return;
        }
        tally.control_bytes += HANDSHAKE;
        let way = world.crowd.delay(self.number, from);
        self.open(world, now, from);
        self.mail_host(now + way, from, Event::Opened { with: self.number });
    }

    /// The far end of a session that we wanted is ready.
    pub(super) fn on_opened(&mut self, world: &World, now: Instant, with: usize) {
        match self.links.get(&with) {
            Some(link) if link.is_open => {}
            Some(_) => self.open(world, now, with),
            None => {
                let way = world.crowd.delay(self.number, with);
                self.mail_host(now + way, with, Event::Closed { with: self.number });
            }
        }
    }

    fn open(&mut self, world: &World, now: Instant, with: usize) {
        let wanted_by = self.links.get(&with).map_or(0, |link| link.wanted_by);
        let way = world.crowd.delay(self.number, with);
        self.links.insert(with, Link::open(now, way, wanted_by));
        for group in 0..self.groups.len() {
            if wanted_by >> group & 1 == 1 {
                self.enter(world, now, with, group, true);
            }
        }
    }

    /// Tells a group of a session, once.
    pub(super) fn enter(
        &mut self,
        world: &World,
        now: Instant,
        with: usize,
        group: usize,
        is_initiator: bool,
    ) {
        let Some(link) = self.links.get_mut(&with) else { return };
        if link.entered >> group & 1 == 1 {
            return;
        }
        link.entered |= 1 << group;
        link.wanted_by |= 1 << group;
        let session = PeerSession {
            is_initiator,
            near_nonce: nonce(self.number, with),
            far_nonce: nonce(with, self.number),
            remote: address(with),
        };
        let (peer, rtt) = (peer_id(world.seed, with), link.rtt);
        self.groups.at(group).handle_peer_opened(now, peer, session);
        self.groups.at(group).set_way(&peer, Way { rtt: Some(rtt), ..Way::default() });
    }

    /// A session is over, without our doing.
    pub(super) fn lose(&mut self, world: &World, now: Instant, with: usize, parting: Parting) {
        let Some(link) = self.links.remove(&with) else { return };
        let peer = peer_id(world.seed, with);
        for group in 0..self.groups.len() {
            if link.entered >> group & 1 == 1 {
                self.groups.at(group).handle_peer_closed(now, &peer, parting);
            }
        }
    }

    /// A group of ours is done with a peer; the session ends with the last.
    pub(super) fn disconnect(&mut self, world: &World, now: Instant, group: usize, with: usize) {
        let Some(link) = self.links.get_mut(&with) else { return };
        link.wanted_by &= !(1 << group);
        let was_entered = link.entered >> group & 1 == 1;
        link.entered &= !(1 << group);
        link.forget_flows(group);
        let is_over = link.wanted_by == 0;
        if is_over {
            let is_open = link.is_open;
            self.links.remove(&with);
            if is_open {
                let way = world.crowd.delay(self.number, with);
                self.mail_host(now + way, with, Event::Closed { with: self.number });
            }
        } else if was_entered {
            self.say_left(now, group, with);
        }
    }
}

/// Made of both ends, as the real ones are.
fn nonce(near: usize, far: usize) -> [u8; 32] {
    sha256(&[&(near as u64).to_be_bytes(), &(far as u64).to_be_bytes()])
}

/// Where a host is, as reports tell it.
pub(in crate::swarm) fn address(host: usize) -> SocketAddr {
    let [_, a, b, c] = (host as u32).to_be_bytes();
    SocketAddr::from(([10, a, b, c], 1935))
}
