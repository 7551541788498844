//! How datagrams leave a host: through its uplink, with a queue before it as home routers have, and
//! some are lost.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use rand::{RngExt, SeedableRng, rngs::StdRng};
use rtmfp::{Ecn, Endpoint, Transmit, crypto::sha256};

use super::Datagram;
use crate::swarm::world::World;

/// IP and UDP.
const HEADERS: usize = 28;
/// What has to wait longer than this before the uplink is dropped.
const QUEUE: Duration = Duration::from_millis(300);
const PORT: u16 = 1935;

/// Whose way it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum From {
    Host(usize),
    Server,
}

#[derive(Debug)]
pub(super) struct Way {
    from: From,
    /// Bytes a second; nothing if there is no limit.
    uplink: Option<f64>,
    free: Instant,
    mail: Vec<Datagram>,
    rng: StdRng,
    buf: Vec<u8>,
}

impl Way {
    pub fn of_host(world: &World, number: usize) -> Self {
        let uplink = world.crowd.guests[number].uplink;
        Self::new(world, From::Host(number), Some(uplink), number as u64)
    }

    pub fn of_server(world: &World) -> Self {
        Self::new(world, From::Server, None, u64::MAX)
    }

    fn new(world: &World, from: From, uplink: Option<f64>, seed: u64) -> Self {
        let seed = sha256(&[b"way", &world.seed.to_be_bytes(), &seed.to_be_bytes()]);
        let (rng, buf) = (StdRng::from_seed(seed), Vec::new());
        Self { from, uplink, free: world.start, mail: Vec::new(), rng, buf }
    }

    /// What has been sent and not yet handed out.
    pub fn take_mail(&mut self) -> Vec<Datagram> {
        std::mem::take(&mut self.mail)
    }

    /// Sends all that an endpoint wants to.
    pub fn send_all(&mut self, world: &World, now: Instant, endpoint: &mut Endpoint) {
        let mut buf = std::mem::take(&mut self.buf);
        while let Some(Transmit { path, segment_size, is_ecn_capable, .. }) =
            endpoint.poll_transmit(now, &mut buf)
        {
            let mark = if is_ecn_capable { Ecn::Capable } else { Ecn::NotCapable };
            for bytes in buf.chunks(segment_size) {
                self.send(world, now, path.remote, mark, bytes);
            }
        }
        self.buf = buf;
    }

    fn send(&mut self, world: &World, now: Instant, to: SocketAddr, mark: Ecn, bytes: &[u8]) {
        let Some(departure) = self.departure(now, bytes.len()) else { return };
        let is_lost = self.rng.random_bool(world.loss);
        let Some(delay) = self.delay(world, now, to).filter(|_| !is_lost) else { return };
        let (at, from) = (departure + delay, address(self.from));
        self.mail.push(Datagram { at, from, to, mark, bytes: bytes.to_vec() });
    }

    /// When the uplink has carried it off; nothing if too much waits before it.
    fn departure(&mut self, now: Instant, size: usize) -> Option<Instant> {
        let Some(uplink) = self.uplink else { return Some(now) };
        let free = self.free.max(now);
        if free - now > QUEUE {
            return None;
        }
        self.free = free + Duration::from_secs_f64((size + HEADERS) as f64 / uplink);
        Some(self.free)
    }

    /// How long it takes to an address, if there is a way.
    fn delay(&self, world: &World, now: Instant, to: SocketAddr) -> Option<Duration> {
        match (self.from, host_at(to)) {
            (From::Host(from), Some(to)) if to < world.crowd.guests.len() => {
                let is_open = world.crowd.is_reachable(from, to) && !world.is_split(now, from, to);
                is_open.then(|| world.crowd.delay(from, to))
            }
            (From::Host(from), None) if to == address(From::Server) => {
                Some(world.crowd.server_delay(from))
            }
            (From::Server, Some(to)) if to < world.crowd.guests.len() => {
                Some(world.crowd.server_delay(to))
            }
            _ => None,
        }
    }
}

/// Where a host or the server is.
pub(super) fn address(of: From) -> SocketAddr {
    let [net, a, b, c] = match of {
        From::Host(number) => (0x0a00_0000 | number as u32).to_be_bytes(),
        From::Server => [192, 0, 2, 1],
    };
    SocketAddr::from(([net, a, b, c], PORT))
}

/// Which host is at an address.
pub(super) fn host_at(address: SocketAddr) -> Option<usize> {
    match address {
        SocketAddr::V4(v4) if v4.ip().octets()[0] == 10 => {
            Some((v4.ip().to_bits() & 0x00ff_ffff) as usize)
        }
        _ => None,
    }
}
