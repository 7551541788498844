//! Runs sans-I/O nodes over a [`Network`] in virtual time.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use rtmfp::{Ecn, Endpoint, Path, Transmit};

use crate::{Link, Network};

/// More rounds than this while time stands still would go on for ever.
const MAX_ROUNDS_AT_ONCE: u32 = 100_000;

/// Something that speaks UDP without doing I/O.
pub trait Node {
    /// A datagram arrived.
    fn handle_datagram(&mut self, now: Instant, from: SocketAddr, mark: Ecn, datagram: &mut [u8]);
    /// Time passed.
    fn handle_timeout(&mut self, now: Instant);
    /// When time matters next.
    fn poll_timeout(&mut self) -> Option<Instant>;
    /// The next datagrams to send.
    fn poll_transmit(&mut self, now: Instant, buf: &mut Vec<u8>) -> Option<Transmit>;
}

impl Node for Endpoint {
    fn handle_datagram(&mut self, now: Instant, from: SocketAddr, mark: Ecn, datagram: &mut [u8]) {
        Endpoint::handle_datagram(self, now, Path { socket: 0, remote: from }, mark, datagram);
    }

    fn handle_timeout(&mut self, now: Instant) {
        Endpoint::handle_timeout(self, now);
    }

    fn poll_timeout(&mut self) -> Option<Instant> {
        Endpoint::poll_timeout(self)
    }

    fn poll_transmit(&mut self, now: Instant, buf: &mut Vec<u8>) -> Option<Transmit> {
        Endpoint::poll_transmit(self, now, buf)
    }
}

/// Nodes with their addresses, on one network.
#[derive(Debug)]
pub struct Rig<N> {
    /// Virtual time.
    pub now: Instant,
    /// What connects them.
    pub network: Network,
    /// In order of [`Rig::add`].
    pub nodes: Vec<(SocketAddr, N)>,
    buf: Vec<u8>,
}

impl<N: Node> Rig<N> {
    /// An empty network.
    pub fn new(seed: u64, link: Link) -> Self {
        Self {
            now: Instant::now(),
            network: Network::new(seed, link),
            nodes: Vec::new(),
            buf: Vec::new(),
        }
    }

    /// Adds a node; returns its index.
    pub fn add(&mut self, address: SocketAddr, node: N) -> usize {
        self.nodes.push((address, node));
        self.nodes.len() - 1
    }

    /// Node by index.
    pub fn node(&mut self, index: usize) -> &mut N {
        &mut self.nodes[index].1
    }

    /// Lets virtual time pass until `is_done` or for `limit`. Says whether it was done.
    pub fn run_until(
        &mut self,
        limit: Duration,
        mut is_done: impl FnMut(&mut Self) -> bool,
    ) -> bool {
        let deadline = self.now + limit;
        let mut rounds_at_once = 0;
        loop {
            self.flush();
            if is_done(self) {
                return true;
            }
            self.flush();
            let timers = self.nodes.iter_mut().filter_map(|(_, node)| node.poll_timeout());
            let next = timers.chain(self.network.next_arrival()).min();
            let next = next.unwrap_or(deadline).max(self.now);
            rounds_at_once = if next == self.now { rounds_at_once + 1 } else { 0 };
            assert!(rounds_at_once < MAX_ROUNDS_AT_ONCE, "a node is never satisfied");
            if next >= deadline {
                self.now = deadline;
                return is_done(self);
            }
            self.now = next;
            self.deliver();
        }
    }

    /// Lets virtual time pass.
    pub fn run_for(&mut self, time: Duration) {
        self.run_until(time, |_| false);
    }

    fn deliver(&mut self) {
        let now = self.now;
        while let Some(mut arrival) = self.network.pop_arrival(now) {
            if let Some((_, node)) =
                self.nodes.iter_mut().find(|(address, _)| *address == arrival.to)
            {
                node.handle_datagram(now, arrival.from, arrival.mark, &mut arrival.datagram);
            }
        }
        for (_, node) in &mut self.nodes {
            if node.poll_timeout().is_some_and(|at| at <= now) {
                node.handle_timeout(now);
            }
        }
    }

    fn flush(&mut self) {
        for (address, node) in &mut self.nodes {
            while let Some(transmit) = node.poll_transmit(self.now, &mut self.buf) {
                let mark = if transmit.is_ecn_capable { Ecn::Capable } else { Ecn::NotCapable };
                for datagram in self.buf.chunks(transmit.segment_size) {
                    self.network.send(self.now, *address, transmit.path.remote, mark, datagram);
                }
            }
        }
    }
}
