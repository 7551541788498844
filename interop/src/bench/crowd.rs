//! Thousands of clients in one process: each an endpoint with a loopback address of its own, all
//! behind one socket.

use std::{
    cmp::Reverse,
    collections::BinaryHeap,
    io::{self, IoSliceMut},
    net::{IpAddr, Ipv4Addr, SocketAddr},
    time::{Duration, Instant},
};

use mio::{Events, Interest, Poll, Token, net::UdpSocket};
use quinn_udp::{BATCH_SIZE, RecvMeta, UdpSockRef, UdpSocketState};
use rand::Rng;
use rtmfp::{
    Config, Ecn, Endpoint, Event, Path,
    crypto::{Discriminator, Group, Identity, KeyPair, Keys},
};

use super::AnyError;

const BUFFER: usize = 1 << 16;
const RECEIVE_BUFFER: usize = 8 << 20;

/// A socket that sends from any loopback address and receives on all.
struct Everywhere {
    poll: Poll,
    socket: UdpSocket,
    state: UdpSocketState,
    buffers: Vec<u8>,
}

impl Everywhere {
    fn new() -> Result<Self, AnyError> {
        let socket = std::net::UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
        socket.set_nonblocking(true)?;
        let state = UdpSocketState::new(UdpSockRef::from(&socket))?;
        state.set_recv_buffer_size(UdpSockRef::from(&socket), RECEIVE_BUFFER)?;
        let mut socket = UdpSocket::from_std(socket);
        let poll = Poll::new()?;
        poll.registry().register(&mut socket, Token(0), Interest::READABLE)?;
        Ok(Self { poll, socket, state, buffers: vec![0; BUFFER * BATCH_SIZE] })
    }

    fn wait(&mut self, limit: Duration) -> io::Result<()> {
        match self.poll.poll(&mut Events::with_capacity(4), Some(limit)) {
            Err(error) if error.kind() != io::ErrorKind::Interrupted => Err(error),
            _ => Ok(()),
        }
    }

    /// What the kernel does not take is lost, and sent again in time.
    fn send(&self, from: Ipv4Addr, to: SocketAddr, contents: &[u8]) {
        let src_ip = Some(from.into());
        let out = quinn_udp::Transmit {
            destination: to,
            ecn: None,
            contents,
            segment_size: None,
            src_ip,
        };
        let _ = self.state.try_send((&self.socket).into(), &out);
    }

    /// Hands out all that has come: from where, to which address, and what.
    fn receive(
        &mut self,
        mut take: impl FnMut(SocketAddr, Option<IpAddr>, &mut [u8]),
    ) -> io::Result<()> {
        loop {
            let mut metas = [RecvMeta::default(); BATCH_SIZE];
            let mut chunks = self.buffers.chunks_mut(BUFFER);
            let mut slices: [IoSliceMut<'_>; BATCH_SIZE] =
                std::array::from_fn(|_| IoSliceMut::new(chunks.next().unwrap_or_default()));
            let count = match self.state.recv((&self.socket).into(), &mut slices, &mut metas) {
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => continue,
                Err(error) => return Err(error),
            };
            for (meta, buffer) in metas.iter().zip(self.buffers.chunks_mut(BUFFER)).take(count) {
                for datagram in buffer[..meta.len].chunks_mut(meta.stride.max(1)) {
                    take(meta.addr, meta.dst_ip, datagram);
                }
            }
        }
    }
}

/// The clients.
pub struct Crowd {
    net: Everywhere,
    members: Vec<Option<Endpoint>>,
    timers: BinaryHeap<Reverse<(Instant, usize)>>,
    out: Vec<u8>,
    /// UDP payload that went out.
    pub bytes_sent: u64,
    /// UDP payload that came in.
    pub bytes_received: u64,
}

/// The member's address: 127.1.0.0 and up.
fn address(member: usize) -> Ipv4Addr {
    Ipv4Addr::from(u32::from(Ipv4Addr::new(127, 1, 0, 0)) + member as u32)
}

fn member_at(ip: IpAddr) -> Option<usize> {
    let IpAddr::V4(ip) = ip else { return None };
    u32::from(ip).checked_sub(u32::from(Ipv4Addr::new(127, 1, 0, 0))).map(|index| index as usize)
}

impl Crowd {
    /// `count` clients with settings, each with a static key of its own.
    pub fn new(count: usize, group: Group, config: &Config) -> Result<Self, AnyError> {
        let mut rng = rand::rng();
        let now = Instant::now();
        let members = (0..count)
            .map(|_| {
                let mut seed = [0; 32];
                rng.fill_bytes(&mut seed);
                let key = KeyPair::generate(group, &mut rng);
                let identity = Identity::new(None, false, Keys::Static(vec![key]));
                Some(Endpoint::new(config.clone(), identity, now, seed))
            })
            .collect();
        Ok(Self {
            net: Everywhere::new()?,
            members,
            timers: BinaryHeap::new(),
            out: Vec::new(),
            bytes_sent: 0,
            bytes_received: 0,
        })
    }

    /// Begins to open a session of one member.
    pub fn open(&mut self, member: usize, to: SocketAddr) -> Result<(), AnyError> {
        let Some(endpoint) = &mut self.members[member] else { return Ok(()) };
        let wanted = Discriminator::AncillaryData(format!("rtmfp://{to}/bench").into_bytes());
        endpoint.open(Instant::now(), wanted, &[to])?;
        Ok(self.flush(member)?)
    }

    /// Does something with a member and sends what comes of it.
    pub fn with(
        &mut self,
        member: usize,
        job: impl FnOnce(Instant, &mut Endpoint),
    ) -> io::Result<()> {
        if let Some(endpoint) = &mut self.members[member] {
            job(Instant::now(), endpoint);
        }
        self.flush(member)
    }

    /// The member is gone without a word.
    pub fn kill(&mut self, member: usize) {
        self.members[member] = None;
    }

    /// Waits for datagrams and timers, at most `limit`; tells of every event.
    pub fn run(
        &mut self,
        limit: Duration,
        mut tell: impl FnMut(usize, Event),
    ) -> Result<(), AnyError> {
        let now = Instant::now();
        let next = self
            .timers
            .peek()
            .map_or(limit, |Reverse((at, _))| at.saturating_duration_since(now).min(limit));
        self.net.wait(next)?;
        let mut touched = self.receive()?;
        touched.extend(self.take_due());
        for member in touched {
            if let Some(endpoint) = &mut self.members[member] {
                while let Some(event) = endpoint.poll_event() {
                    tell(member, event);
                }
            }
            self.flush(member)?;
        }
        Ok(())
    }

    fn take_due(&mut self) -> Vec<usize> {
        let now = Instant::now();
        let mut due = Vec::new();
        while let Some(Reverse((at, member))) = self.timers.peek().copied() {
            if at > now {
                break;
            }
            self.timers.pop();
            if let Some(endpoint) = &mut self.members[member]
                && endpoint.poll_timeout().is_some_and(|at| at <= now)
            {
                endpoint.handle_timeout(now);
                due.push(member);
            }
        }
        due
    }

    fn receive(&mut self) -> io::Result<Vec<usize>> {
        let (mut touched, now) = (Vec::new(), Instant::now());
        let (members, bytes) = (&mut self.members, &mut self.bytes_received);
        self.net.receive(|from, to, datagram| {
            let Some(member) = to.and_then(member_at) else { return };
            let Some(Some(endpoint)) = members.get_mut(member) else { return };
            *bytes += datagram.len() as u64;
            let from = Path { socket: 0, remote: from };
            endpoint.handle_datagram(now, from, Ecn::NotCapable, datagram);
            touched.push(member);
        })?;
        Ok(touched)
    }

    fn flush(&mut self, member: usize) -> io::Result<()> {
        let Some(endpoint) = &mut self.members[member] else { return Ok(()) };
        let now = Instant::now();
        while let Some(transmit) = endpoint.poll_transmit(now, &mut self.out) {
            self.bytes_sent += self.out.len() as u64;
            for contents in self.out.chunks(transmit.segment_size) {
                self.net.send(address(member), transmit.path.remote, contents);
            }
        }
        if let Some(at) = endpoint.poll_timeout() {
            self.timers.push(Reverse((at, member)));
        }
        Ok(())
    }
}

/// Those who only say hello.
pub struct HelloCrowd {
    net: Everywhere,
    /// UDP payload that went out.
    pub bytes_sent: u64,
    /// UDP payload that came in.
    pub bytes_received: u64,
}

impl HelloCrowd {
    /// With addresses for all.
    pub fn new() -> Result<Self, AnyError> {
        Ok(Self { net: Everywhere::new()?, bytes_sent: 0, bytes_received: 0 })
    }

    /// Sends a datagram of one of them.
    pub fn send(&mut self, to: SocketAddr, member: u32, datagram: &[u8]) {
        self.bytes_sent += datagram.len() as u64;
        self.net.send(address(member as usize), to, datagram);
    }

    /// Waits for answers; how many came.
    pub fn receive(&mut self, limit: Duration) -> Result<u64, AnyError> {
        self.net.wait(limit)?;
        let (mut count, bytes) = (0, &mut self.bytes_received);
        self.net.receive(|_, _, datagram| {
            *bytes += datagram.len() as u64;
            count += 1;
        })?;
        Ok(count)
    }
}
