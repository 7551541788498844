//! A network in virtual time: delay, jitter, loss alone or in bursts, duplicates, rate, MTU and
//! NATs, all seeded.
//!
//! Hosts are socket addresses. [`Network::send`] puts a datagram in, [`Network::pop_arrival`]
//! takes one out when its time has come; nothing here knows a protocol.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BinaryHeap},
    net::{IpAddr, SocketAddr},
    time::{Duration, Instant},
};

use rand::{RngExt, SeedableRng, rngs::StdRng};
use rtmfp::Ecn;

use crate::{
    loss::Channel,
    nat::{Nat, NatKind},
};

/// How datagrams travel.
#[derive(Debug, Clone, Copy)]
pub struct Link {
    /// One way.
    pub delay: Duration,
    /// Up to this much is added to each datagram's delay, so that they overtake each other.
    pub jitter: Duration,
    /// Part of datagrams lost, 0 to 1.
    pub loss: f64,
    /// How many datagrams of a host in a row a loss takes at the mean, 1 or more, if the host does
    /// not pause meanwhile; none means that each is lost or not by itself.
    pub loss_burst: Option<f64>,
    /// Part of datagrams that arrive twice, 0 to 1.
    pub duplicates: f64,
    /// Bytes per second out of each host; none means no limit.
    pub rate: Option<u64>,
    /// How long a datagram may wait for its turn under `rate` before it is dropped.
    pub queue: Duration,
    /// A datagram whose sender is ECN-capable is marked when it waits longer than this for its
    /// turn under `rate`.
    pub mark_above: Option<Duration>,
    /// Larger datagrams are dropped.
    pub mtu: usize,
}

impl Default for Link {
    fn default() -> Self {
        Self {
            delay: Duration::from_millis(10),
            jitter: Duration::ZERO,
            loss: 0.0,
            loss_burst: None,
            duplicates: 0.0,
            rate: None,
            queue: Duration::from_millis(100),
            mark_above: None,
            mtu: 1472,
        }
    }
}

/// A datagram that arrives.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Arrival {
    /// As the receiver sees it, after NATs.
    pub from: SocketAddr,
    /// The host it reaches.
    pub to: SocketAddr,
    /// As set by the sender, or by the network.
    pub mark: Ecn,
    /// UDP payload.
    pub datagram: Vec<u8>,
}

/// What became of the datagrams so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct NetworkStats {
    /// Put in.
    pub sent: u64,
    /// Handed out.
    pub delivered: u64,
    /// Lost at random, by a full queue or for their size.
    pub lost: u64,
    /// Stopped by a NAT.
    pub filtered: u64,
    /// Marked as having experienced congestion.
    pub marked: u64,
    /// Bytes of the largest datagram handed out.
    pub largest_delivered: usize,
}

/// The network.
#[derive(Debug)]
pub struct Network {
    link: Link,
    rng: StdRng,
    in_flight: BinaryHeap<Reverse<(Instant, u64, Arrival)>>,
    sequence: u64,
    nats: BTreeMap<IpAddr, Nat>,
    /// Private host to the public address of its NAT.
    behind: BTreeMap<IpAddr, IpAddr>,
    /// When each host's link is free again.
    busy: BTreeMap<SocketAddr, Instant>,
    /// What loses each host's datagrams, where they are lost in bursts.
    channels: BTreeMap<SocketAddr, Channel>,
    down: Vec<SocketAddr>,
    stats: NetworkStats,
}

impl Network {
    /// The same seed gives the same run.
    pub fn new(seed: u64, link: Link) -> Self {
        Self {
            link,
            rng: StdRng::seed_from_u64(seed),
            in_flight: BinaryHeap::new(),
            sequence: 0,
            nats: BTreeMap::new(),
            behind: BTreeMap::new(),
            busy: BTreeMap::new(),
            channels: BTreeMap::new(),
            down: Vec::new(),
            stats: NetworkStats::default(),
        }
    }

    /// Puts the host `inside` behind a NAT with address `public`.
    pub fn add_nat(&mut self, inside: IpAddr, public: IpAddr, kind: NatKind) {
        self.behind.insert(inside, public);
        self.nats.entry(public).or_insert_with(|| Nat::new(public, kind));
    }

    /// Whether hosts behind this NAT reach each other by its public address.
    pub fn set_hairpin(&mut self, public: IpAddr, is_hairpin: bool) {
        if let Some(nat) = self.nats.get_mut(&public) {
            nat.is_hairpin = is_hairpin;
        }
    }

    /// From now on nothing reaches or leaves this host: it was killed.
    pub fn take_down(&mut self, host: SocketAddr) {
        self.down.push(host);
    }

    /// What became of the datagrams so far.
    pub fn stats(&self) -> NetworkStats {
        self.stats
    }

    /// Changes how datagrams travel from now on.
    pub fn set_link(&mut self, link: Link) {
        self.link = link;
    }

    /// Puts a datagram in at host `from`.
    pub fn send(
        &mut self,
        now: Instant,
        from: SocketAddr,
        to: SocketAddr,
        mark: Ecn,
        datagram: &[u8],
    ) {
        self.stats.sent += 1;
        if self.down.contains(&from) {
            return;
        }
        let Some(departure) = self.departure(now, from, datagram.len()) else {
            self.stats.lost += 1;
            return;
        };
        let host = from;
        let Some(from) = self.leave(host, to) else {
            self.stats.filtered += 1;
            return;
        };
        let waits = departure - now;
        let mark = match mark {
            Ecn::Capable if self.link.mark_above.is_some_and(|limit| waits > limit) => {
                self.stats.marked += 1;
                Ecn::CongestionExperienced
            }
            other => other,
        };
        let copies = 1 + usize::from(self.rng.random_bool(self.link.duplicates));
        for _ in 0..copies {
            if datagram.len() > self.link.mtu || self.loses(departure, host) {
                self.stats.lost += 1;
                continue;
            }
            let jitter = self.link.jitter.mul_f64(self.rng.random());
            self.sequence += 1;
            let arrival = Arrival { from, to, mark, datagram: datagram.to_vec() };
            self.in_flight.push(Reverse((
                departure + self.link.delay + jitter,
                self.sequence,
                arrival,
            )));
        }
    }

    fn loses(&mut self, now: Instant, from: SocketAddr) -> bool {
        match self.link.loss_burst {
            None => self.rng.random_bool(self.link.loss),
            Some(burst) => {
                let channel = self.channels.entry(from).or_insert_with(|| Channel::new(now));
                channel.loses(now, &mut self.rng, self.link.loss, burst)
            }
        }
    }

    /// The address that the receiver sees, if there is a way from host `from` to `to`.
    fn leave(&mut self, from: SocketAddr, to: SocketAddr) -> Option<SocketAddr> {
        let outer = self.behind.get(&from.ip()).copied();
        let inner = self.behind.get(&to.ip()).copied();
        if inner.is_some() {
            // Neighbours know each other as they are; nobody else can name a host behind a NAT.
            return (inner == outer).then_some(from);
        }
        match outer.and_then(|public| self.nats.get_mut(&public)) {
            Some(nat) if outer == Some(to.ip()) && !nat.is_hairpin => None,
            Some(nat) => nat.outbound(from, to),
            None => Some(from),
        }
    }

    /// The host that a datagram reaches, if a NAT before it lets it in by then.
    fn enter(&self, from: SocketAddr, to: SocketAddr) -> Option<SocketAddr> {
        self.nats.get(&to.ip()).map_or(Some(to), |nat| nat.inbound(from, to))
    }

    /// When the sender's link has carried it off; nothing if its queue is full.
    fn departure(&mut self, now: Instant, from: SocketAddr, size: usize) -> Option<Instant> {
        let Some(rate) = self.link.rate else { return Some(now) };
        let free = self.busy.get(&from).copied().unwrap_or(now).max(now);
        if free - now > self.link.queue {
            return None;
        }
        let done = free + Duration::from_secs_f64(size as f64 / rate as f64);
        self.busy.insert(from, done);
        Some(done)
    }

    /// When the next datagram arrives.
    pub fn next_arrival(&self) -> Option<Instant> {
        self.in_flight.peek().map(|Reverse((at, ..))| *at)
    }

    /// The next datagram that has arrived by `now`.
    pub fn pop_arrival(&mut self, now: Instant) -> Option<Arrival> {
        loop {
            self.in_flight.peek().filter(|Reverse((at, ..))| *at <= now)?;
            let Reverse((_, _, mut arrival)) = self.in_flight.pop()?;
            let Some(host) = self.enter(arrival.from, arrival.to) else {
                self.stats.filtered += 1;
                continue;
            };
            arrival.to = host;
            if !self.down.contains(&host) {
                self.stats.delivered += 1;
                self.stats.largest_delivered =
                    self.stats.largest_delivered.max(arrival.datagram.len());
                return Some(arrival);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    /// Two hosts behind one NAT, the second of which the world has heard from at the returned
    /// address.
    fn neighbours() -> (Network, SocketAddr, SocketAddr) {
        let mut network = Network::new(1, Link::default());
        let (one, two) = (address("10.0.0.2:5"), address("10.0.0.3:6"));
        let public = "203.0.113.1".parse().unwrap();
        for host in [one, two] {
            network.add_nat(host.ip(), public, NatKind::FullCone);
        }
        let mapped = network.leave(two, address("198.51.100.1:1935")).unwrap();
        (network, one, mapped)
    }

    #[test]
    fn a_nat_without_hairpin_swallows_what_is_for_itself() {
        let (mut network, one, mapped) = neighbours();
        assert_eq!(network.leave(one, mapped), None);
    }

    #[test]
    fn a_nat_with_hairpin_shows_the_public_address_inside() {
        let (mut network, one, mapped) = neighbours();
        network.set_hairpin(mapped.ip(), true);
        let seen = network.leave(one, mapped).unwrap();
        assert_eq!(seen.ip(), mapped.ip());
        assert_eq!(network.enter(seen, mapped), Some(address("10.0.0.3:6")));
    }

    #[test]
    fn neighbours_reach_each_other_as_they_are_and_strangers_do_not() {
        let (mut network, one, _) = neighbours();
        let two = address("10.0.0.3:6");
        assert_eq!(network.leave(one, two), Some(one));
        assert_eq!(network.enter(one, two), Some(two));
        assert_eq!(network.leave(address("198.51.100.1:1935"), two), None);
    }

    #[test]
    fn a_hole_punched_while_a_datagram_is_on_its_way_lets_it_in() {
        let mut network = Network::new(1, Link::default());
        let (inside, outside) = (address("10.0.0.2:5"), address("198.51.100.1:1935"));
        let (public, now) = ("203.0.113.1".parse().unwrap(), Instant::now());
        network.add_nat(inside.ip(), public, NatKind::PortRestricted);
        let mapped = network.leave(inside, address("198.51.100.2:1935")).unwrap();
        network.send(now, outside, mapped, Ecn::NotCapable, b"early");
        network.send(now, inside, outside, Ecn::NotCapable, b"punch");
        let later = now + Duration::from_millis(10);
        let mut arrive =
            || network.pop_arrival(later).map(|arrival| (arrival.to, arrival.datagram));
        assert_eq!(arrive(), Some((inside, b"early".to_vec())));
        assert_eq!(arrive(), Some((outside, b"punch".to_vec())));
        assert_eq!(arrive(), None);
    }
}
