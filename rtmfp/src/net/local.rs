//! Where we are: sockets of any free port, and the addresses by which others may know them.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
};

use super::{App, Driver, Remote};
use crate::Endpoint;

/// More than a machine has, and less than a message to all peers should hold.
const MAX_ADDRESSES: usize = 16;

/// A driver with a socket for each address family that the machine has.
pub fn bind_any<A: App>(endpoint: Endpoint, app: A) -> io::Result<(Driver<A>, Remote<A::Command>)> {
    let v4 = SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0));
    let v6 = SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0));
    let has_v6 = std::net::UdpSocket::bind(v6).is_ok();
    let addresses = if has_v6 { vec![v4, v6] } else { vec![v4] };
    Driver::bind(&addresses, endpoint, app)
}

/// The addresses of `sockets` on our interfaces, for setPeerInfo; without loopback and link-local
/// ones (RFC 7425 §5.3.3). Those that lead to the servers come first.
pub fn reachable_addresses(servers: &[SocketAddr], sockets: &[SocketAddr]) -> Vec<SocketAddr> {
    let mut found = interfaces_towards(servers);
    // A machine that does not tell its interfaces has none beside those.
    for interface in if_addrs::get_if_addrs().unwrap_or_default() {
        if !found.contains(&interface.ip()) {
            found.push(interface.ip());
        }
    }
    let port_for = |ip: &IpAddr| {
        sockets.iter().find(|socket| socket.is_ipv4() == ip.is_ipv4()).map(SocketAddr::port)
    };
    found
        .iter()
        .filter(|ip| is_of_use_to_others(**ip))
        .filter_map(|ip| Some(SocketAddr::new(*ip, port_for(ip)?)))
        .take(MAX_ADDRESSES)
        .collect()
}

fn is_of_use_to_others(ip: IpAddr) -> bool {
    let is_link_local = match ip {
        IpAddr::V4(ip) => ip.is_link_local(),
        IpAddr::V6(ip) => ip.is_unicast_link_local(),
    };
    !ip.is_loopback() && !ip.is_unspecified() && !is_link_local
}

/// No datagram is sent to find out.
fn interfaces_towards(servers: &[SocketAddr]) -> Vec<IpAddr> {
    let mut interfaces = Vec::new();
    for server in servers {
        let any: IpAddr = match server {
            SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
            SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
        };
        let Ok(probe) = std::net::UdpSocket::bind((any, 0)) else { continue };
        if probe.connect(server).is_ok()
            && let Ok(local) = probe.local_addr()
            && !interfaces.contains(&local.ip())
        {
            interfaces.push(local.ip());
        }
    }
    interfaces
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn others_are_told_of_no_loopback_and_no_link() {
        let sockets = ["0.0.0.0:5", "[::]:6"].map(|text| text.parse().unwrap());
        let told = reachable_addresses(&["127.0.0.1:1935".parse().unwrap()], &sockets);
        for address in &told {
            assert!(is_of_use_to_others(address.ip()));
            assert_eq!(address.port(), if address.is_ipv4() { 5 } else { 6 });
        }
        for ip in ["127.0.0.1", "169.254.1.1", "0.0.0.0", "::1", "fe80::1"] {
            assert!(!is_of_use_to_others(ip.parse().unwrap()), "{ip}");
        }
    }
}
