//! One UDP socket: receives in batches, sends in trains.

use std::{
    io::{self, IoSliceMut},
    net::SocketAddr,
};

use mio::{Interest, Registry, Token, net::UdpSocket};
use quinn_udp::{BATCH_SIZE, EcnCodepoint, RecvMeta, UdpSockRef, UdpSocketState};
use socket2::{Domain, Protocol, Type};

use crate::{Ecn, Path, Transmit};

/// What the kernel may hold for us; it gives what it allows.
const KERNEL_BUFFER: usize = 4 << 20;
/// A train of the largest size the kernel coalesces.
const BUFFER: usize = 1 << 16;

#[derive(Debug)]
pub(super) struct Socket {
    io: UdpSocket,
    token: Token,
    state: UdpSocketState,
    local: SocketAddr,
    buffers: Vec<u8>,
    is_readable: bool,
    is_writable: bool,
}

impl Socket {
    pub fn bind(address: SocketAddr, registry: &Registry, token: Token) -> io::Result<Self> {
        let socket =
            socket2::Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
        if address.is_ipv6() {
            socket.set_only_v6(true)?;
        }
        socket.set_nonblocking(true)?;
        socket.bind(&address.into())?;
        // Best effort: a small buffer only costs retransmissions.
        let _ = socket.set_recv_buffer_size(KERNEL_BUFFER);
        let _ = socket.set_send_buffer_size(KERNEL_BUFFER);
        let std_socket: std::net::UdpSocket = socket.into();
        let local = std_socket.local_addr()?;
        let state = UdpSocketState::new(UdpSockRef::from(&std_socket))?;
        let mut io = UdpSocket::from_std(std_socket);
        registry.register(&mut io, token, Interest::READABLE)?;
        let buffers = vec![0; BUFFER * BATCH_SIZE];
        Ok(Self { io, token, state, local, buffers, is_readable: false, is_writable: true })
    }

    pub fn local_address(&self) -> SocketAddr {
        self.local
    }

    /// There may be more to receive.
    pub fn is_readable(&self) -> bool {
        self.is_readable
    }

    pub fn set_readable(&mut self) {
        self.is_readable = true;
    }

    pub fn set_writable(&mut self, registry: &Registry) -> io::Result<()> {
        if std::mem::replace(&mut self.is_writable, true) {
            return Ok(());
        }
        registry.reregister(&mut self.io, self.token, Interest::READABLE)
    }

    /// Only who is blocked wants to hear of room: else every datagram that leaves would wake us.
    fn set_blocked(&mut self, registry: &Registry) -> io::Result<()> {
        self.is_writable = false;
        registry.reregister(&mut self.io, self.token, Interest::READABLE | Interest::WRITABLE)
    }

    /// The socket a path names, or the first of its address family: a forwarded hello may ask for
    /// an answer to the other one.
    pub fn choose(sockets: &mut [Self], path: Path) -> Option<&mut Self> {
        let fits = |socket: &Self| socket.local.is_ipv4() == path.remote.is_ipv4();
        let named = usize::from(path.socket);
        let index = match sockets.get(named).is_some_and(fits) {
            true => named,
            false => sockets.iter().position(fits)?,
        };
        sockets.get_mut(index)
    }

    /// Receives one batch and hands out its datagrams. False when the socket is empty, which a batch
    /// with places left shows without another call.
    pub fn receive(
        &mut self,
        index: u8,
        mut take: impl FnMut(Path, Ecn, &mut [u8]),
    ) -> io::Result<bool> {
        if !self.is_readable {
            return Ok(false);
        }
        let mut metas = [RecvMeta::default(); BATCH_SIZE];
        let received = {
            let mut chunks = self.buffers.chunks_mut(BUFFER);
            let mut slices: [IoSliceMut<'_>; BATCH_SIZE] =
                std::array::from_fn(|_| IoSliceMut::new(chunks.next().unwrap_or_default()));
            self.state.recv((&self.io).into(), &mut slices, &mut metas)
        };
        let count = match received {
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                self.is_readable = false;
                return Ok(false);
            }
            Err(error) if is_transient(&error) => return Ok(true),
            Err(error) => return Err(error),
        };
        for (meta, buffer) in metas.iter().zip(self.buffers.chunks_mut(BUFFER)).take(count) {
            let from = Path { socket: index, remote: canonical(meta.addr) };
            for datagram in buffer[..meta.len].chunks_mut(meta.stride.max(1)) {
                take(from, mark_of(meta), datagram);
            }
        }
        self.is_readable = count == BATCH_SIZE;
        Ok(self.is_readable)
    }

    /// Sends a train. False when the kernel cannot take it now; it will say when it can.
    pub fn send(
        &mut self,
        registry: &Registry,
        transmit: &Transmit,
        contents: &[u8],
    ) -> io::Result<bool> {
        if !self.is_writable {
            return Ok(false);
        }
        let longest = transmit.segment_size * self.state.max_gso_segments();
        for contents in contents.chunks(longest) {
            let is_train = contents.len() > transmit.segment_size;
            let out = quinn_udp::Transmit {
                destination: transmit.path.remote,
                ecn: transmit.is_ecn_capable.then_some(EcnCodepoint::Ect0),
                contents,
                segment_size: is_train.then_some(transmit.segment_size),
                src_ip: None,
            };
            match self.state.try_send((&self.io).into(), &out) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.set_blocked(registry)?;
                    return Ok(false);
                }
                // No route, a refused port, an address that is not ours to send to: like loss.
                Err(error) => log::debug!("sending to {}: {error}", transmit.path.remote),
            }
        }
        Ok(true)
    }
}

/// The far end's port is closed, or a signal came: nothing is wrong with the socket.
fn is_transient(error: &io::Error) -> bool {
    use io::ErrorKind::{
        ConnectionRefused, ConnectionReset, HostUnreachable, Interrupted, NetworkUnreachable,
    };
    matches!(
        error.kind(),
        ConnectionRefused | ConnectionReset | HostUnreachable | Interrupted | NetworkUnreachable
    )
}

fn mark_of(meta: &RecvMeta) -> Ecn {
    match meta.ecn {
        None => Ecn::NotCapable,
        Some(EcnCodepoint::Ect0 | EcnCodepoint::Ect1) => Ecn::Capable,
        Some(EcnCodepoint::Ce) => Ecn::CongestionExperienced,
    }
}

fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}
