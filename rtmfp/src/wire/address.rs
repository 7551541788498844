//! Socket addresses with their origin, RFC 7016 §2.1.5.

use std::net::{IpAddr, SocketAddr};

use super::reader::{Malformed, Reader};

/// Where knowledge of an address came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Origin {
    /// Not said. librtmfp reads it as "this peer is gone", so we never send it.
    Unknown = 0,
    /// The endpoint reported a local interface of its own.
    Local = 1,
    /// Another endpoint saw packets come from it.
    Observed = 2,
    /// A relay, proxy or introducer.
    Relay = 3,
}

/// A socket address and its origin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Address {
    /// IPv4-mapped IPv6 addresses are stored as IPv4.
    pub socket: SocketAddr,
    /// How it became known.
    pub origin: Origin,
}

impl Address {
    /// An address with its origin; IPv4-mapped IPv6 becomes IPv4.
    pub fn new(socket: SocketAddr, origin: Origin) -> Self {
        Self { socket: canonical(socket), origin }
    }

    /// Reads flags, 4 or 16 address bytes and a port.
    pub fn read(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        let flags = reader.u8()?;
        let ip = if flags & 0x80 != 0 {
            IpAddr::from(reader.array::<16>()?)
        } else {
            IpAddr::from(reader.array::<4>()?)
        };
        let origin = match flags & 3 {
            1 => Origin::Local,
            2 => Origin::Observed,
            3 => Origin::Relay,
            _ => Origin::Unknown,
        };
        Ok(Self::new(SocketAddr::new(ip, reader.u16()?), origin))
    }

    /// Reads addresses until the bytes end; a truncated last one is dropped.
    pub fn read_all(bytes: &[u8]) -> impl Iterator<Item = Address> + '_ {
        let mut reader = Reader::new(bytes);
        std::iter::from_fn(move || Self::read(&mut reader).ok())
    }

    /// Appends 7 or 19 bytes.
    pub fn put(&self, out: &mut Vec<u8>) {
        let origin = self.origin as u8;
        match self.socket.ip() {
            IpAddr::V4(ip) => {
                out.push(origin);
                out.extend_from_slice(&ip.octets());
            }
            IpAddr::V6(ip) => {
                out.push(0x80 | origin);
                out.extend_from_slice(&ip.octets());
            }
        }
        out.extend_from_slice(&self.socket.port().to_be_bytes());
    }

    /// False for wildcard, multicast and broadcast addresses and port 0: nothing to send to.
    pub fn is_connectable(&self) -> bool {
        let ip = self.socket.ip();
        let broadcast = matches!(ip, IpAddr::V4(v4) if v4.is_broadcast());
        !ip.is_unspecified() && !ip.is_multicast() && !broadcast && self.socket.port() != 0
    }
}

/// IPv4-mapped IPv6 addresses compare equal to IPv4 ones only after this.
fn canonical(socket: SocketAddr) -> SocketAddr {
    SocketAddr::new(socket.ip().to_canonical(), socket.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_families_round_trip() {
        for (text, origin) in
            [("192.0.2.1:1935", Origin::Observed), ("[2001:db8::1]:54935", Origin::Local)]
        {
            let address = Address::new(text.parse().unwrap(), origin);
            let mut out = Vec::new();
            address.put(&mut out);
            assert_eq!(Address::read_all(&out).collect::<Vec<_>>(), [address]);
            assert_eq!(Address::read_all(&out[..out.len() - 1]).count(), 0);
        }
    }

    #[test]
    fn mapped_addresses_become_ipv4() {
        let mapped = Address::new("[::ffff:192.0.2.1]:5".parse().unwrap(), Origin::Local);
        assert_eq!(mapped.socket, "192.0.2.1:5".parse().unwrap());
    }
}
