//! Where a datagram comes from and goes to, and how the network marked it.

use std::net::SocketAddr;

/// One local socket and one remote address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Path {
    /// Which of the driver's sockets; [`Path::ANY_SOCKET`] lets it choose by address family.
    pub socket: u8,
    /// The far end.
    pub remote: SocketAddr,
}

impl Path {
    /// "Any socket that reaches the remote address."
    pub const ANY_SOCKET: u8 = u8::MAX;

    /// To an address never heard from.
    pub fn to(remote: SocketAddr) -> Self {
        Self { socket: Self::ANY_SOCKET, remote }
    }
}

/// The mark that a datagram carries in its IP header, RFC 3168.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Ecn {
    /// Its sender takes no notice of marks.
    #[default]
    NotCapable,
    /// Its sender does.
    Capable,
    /// A router on the way was congested.
    CongestionExperienced,
}
