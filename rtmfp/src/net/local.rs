//! Where we are: sockets of any free port, and the addresses by which others may know them.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
};

use super::{App, Driver, Remote};
use crate::Endpoint;

/// A driver with a socket for each address family that the machine has.
pub fn bind_any<A: App>(endpoint: Endpoint, app: A) -> io::Result<(Driver<A>, Remote<A::Command>)> {
    let v4 = SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0));
    let v6 = SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0));
    let has_v6 = std::net::UdpSocket::bind(v6).is_ok();
    let addresses = if has_v6 { vec![v4, v6] } else { vec![v4] };
    Driver::bind(&addresses, endpoint, app)
}

/// The addresses of `sockets` on those of our interfaces that lead to the servers, for
/// setPeerInfo. Loopback is left out; no datagram is sent to find out.
pub fn reachable_addresses(servers: &[SocketAddr], sockets: &[SocketAddr]) -> Vec<SocketAddr> {
    let port_for = |ip: &IpAddr| {
        sockets.iter().find(|socket| socket.is_ipv4() == ip.is_ipv4()).map(SocketAddr::port)
    };
    let interfaces = interfaces_towards(servers);
    interfaces.iter().filter_map(|ip| Some(SocketAddr::new(*ip, port_for(ip)?))).collect()
}

fn interfaces_towards(servers: &[SocketAddr]) -> Vec<IpAddr> {
    let mut interfaces = Vec::new();
    for server in servers {
        let any: IpAddr = if server.is_ipv4() {
            Ipv4Addr::UNSPECIFIED.into()
        } else {
            Ipv6Addr::UNSPECIFIED.into()
        };
        let Ok(probe) = std::net::UdpSocket::bind((any, 0)) else { continue };
        if probe.connect(server).is_ok()
            && let Ok(local) = probe.local_addr()
            && !local.ip().is_loopback()
            && !interfaces.contains(&local.ip())
        {
            interfaces.push(local.ip());
        }
    }
    interfaces
}
