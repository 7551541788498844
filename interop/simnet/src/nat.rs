//! Network address translators of the four classic kinds.

use std::{
    collections::{BTreeMap, BTreeSet, btree_map::Entry},
    net::{IpAddr, SocketAddr},
};

/// Who may send to a mapping, and how many there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NatKind {
    /// One mapping a host; anybody may use it.
    FullCone,
    /// One mapping; IP addresses the host has sent to.
    AddressRestricted,
    /// One mapping; addresses with port the host has sent to.
    PortRestricted,
    /// A mapping for each destination, which alone may use it.
    Symmetric,
}

/// Destination is part of the key only for symmetric NATs.
type MappingKey = (SocketAddr, Option<SocketAddr>);

/// A NAT with one public address.
#[derive(Debug)]
pub struct Nat {
    public: IpAddr,
    kind: NatKind,
    ports: BTreeMap<MappingKey, u16>,
    inside: BTreeMap<u16, SocketAddr>,
    permitted: BTreeSet<(u16, SocketAddr)>,
    next_port: u16,
    pub(super) is_hairpin: bool,
}

impl Nat {
    pub(super) fn new(public: IpAddr, kind: NatKind) -> Self {
        let (ports, inside, permitted) = Default::default();
        Self { public, kind, ports, inside, permitted, next_port: 20_000, is_hairpin: false }
    }

    /// A datagram leaves: the source address others see, unless all ports are taken.
    pub(super) fn outbound(&mut self, from: SocketAddr, to: SocketAddr) -> Option<SocketAddr> {
        let destination = (self.kind == NatKind::Symmetric).then_some(to);
        let port = match self.ports.entry((from, destination)) {
            Entry::Occupied(entry) => *entry.get(),
            Entry::Vacant(entry) => {
                self.next_port = self.next_port.checked_add(1)?;
                *entry.insert(self.next_port)
            }
        };
        self.inside.insert(port, from);
        self.permitted.insert((port, to));
        Some(SocketAddr::new(self.public, port))
    }

    /// A datagram arrives: the host inside it is for, if it may pass.
    pub(super) fn inbound(&self, from: SocketAddr, to: SocketAddr) -> Option<SocketAddr> {
        let may_pass = match self.kind {
            NatKind::FullCone => true,
            NatKind::AddressRestricted => self
                .permitted
                .iter()
                .any(|(port, remote)| *port == to.port() && remote.ip() == from.ip()),
            NatKind::PortRestricted | NatKind::Symmetric => {
                self.permitted.contains(&(to.port(), from))
            }
        };
        self.inside.get(&to.port()).copied().filter(|_| may_pass)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    #[test]
    fn port_restricted_lets_in_only_who_was_sent_to() {
        let mut nat = Nat::new("203.0.113.1".parse().unwrap(), NatKind::PortRestricted);
        let (host, server, other) =
            (address("10.0.0.2:5"), address("198.51.100.1:1935"), address("198.51.100.1:7"));
        let mapped = nat.outbound(host, server).unwrap();
        assert_eq!(nat.inbound(server, mapped), Some(host));
        assert_eq!(nat.inbound(other, mapped), None);
        assert_eq!(nat.outbound(host, other), Some(mapped));
        assert_eq!(nat.inbound(other, mapped), Some(host));
    }

    #[test]
    fn symmetric_maps_each_destination_apart() {
        let mut nat = Nat::new("203.0.113.1".parse().unwrap(), NatKind::Symmetric);
        let host = address("10.0.0.2:5");
        let one = nat.outbound(host, address("198.51.100.1:1")).unwrap();
        let two = nat.outbound(host, address("198.51.100.1:2")).unwrap();
        assert_ne!(one, two);
        assert_eq!(nat.inbound(address("198.51.100.1:2"), one), None);
    }
}
