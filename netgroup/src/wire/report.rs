//! Message 0a on the control flow: the group report, which spreads knowledge of members.

use std::net::SocketAddr;

use rtmfp::{
    crypto::{Discriminator, PeerId},
    wire::{Address, OptionItem, Options, Reader, put_bytes_vlu, put_marker, put_option, put_vlu},
};

use super::control;

const RECEIVER_ADDRESS: u64 = 0x0d;
const ADDRESSES: u64 = 0x0a;
/// librtmfp reads option lengths as one byte.
const MAX_LIST: usize = 120;
/// Members read from one report; the wire sets no limit.
const MAX_MEMBERS: usize = 256;

/// A member that the sender knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Who.
    pub peer: PeerId,
    /// Seconds since the sender last heard of it.
    pub age: u64,
    /// Where it may be; a relay among them can introduce.
    pub addresses: Vec<Address>,
}

/// A decoded report.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Report {
    /// The receiver as the sender sees it.
    pub observed: Option<Address>,
    /// The sender's own addresses, its server first.
    pub own: Vec<Address>,
    /// Members worth knowing for the receiver.
    pub members: Vec<Member>,
}

impl Report {
    /// Decodes a message that begins with 0a; what is damaged at its end is left out.
    pub fn decode(message: &[u8]) -> Option<Self> {
        let mut reader = Reader::new(message.strip_prefix(&[control::REPORT])?);
        let mut report = Self::default();
        for item in Options::read_list(&mut reader).ok()? {
            match item {
                OptionItem::Option(RECEIVER_ADDRESS, value) => {
                    report.observed = Address::read_all(value).next()
                }
                OptionItem::Option(ADDRESSES, value) => {
                    report.own = Address::read_all(value).collect()
                }
                _ => {}
            }
        }
        while report.members.len() < MAX_MEMBERS && !reader.is_empty() {
            match read_member(&mut reader) {
                Some(Some(member)) => report.members.push(member),
                Some(None) => {}
                None => break,
            }
        }
        Some(report)
    }

    /// As it travels. The order is fixed: librtmfp reads by position.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = vec![control::REPORT];
        if let Some(observed) = &self.observed {
            let mut value = Vec::new();
            observed.put(&mut value);
            put_option(&mut out, RECEIVER_ADDRESS, &value);
        }
        put_addresses(&mut out, &self.own);
        put_marker(&mut out);
        for member in &self.members {
            put_bytes_vlu(&mut out, &Discriminator::Fingerprint(member.peer).encode());
            put_vlu(&mut out, member.age);
            put_addresses(&mut out, &member.addresses);
            put_marker(&mut out);
        }
        out
    }
}

/// Nothing when the bytes make no sense; `Some(None)` when the entry names no peer.
fn read_member(reader: &mut Reader<'_>) -> Option<Option<Member>> {
    let discriminator = Discriminator::decode(reader.bytes_vlu().ok()?);
    let age = reader.vlu().ok()?;
    // A last member may lack its marker.
    let mut ahead = *reader;
    let options = match Options::read_list(&mut ahead) {
        Ok(options) => {
            *reader = ahead;
            options
        }
        Err(_) => Options::new(reader.rest()),
    };
    let addresses =
        options.find(ADDRESSES).map(|value| Address::read_all(value).collect()).unwrap_or_default();
    Some(match discriminator {
        Discriminator::Fingerprint(peer) => Some(Member { peer, age, addresses }),
        _ => None,
    })
}

fn put_addresses(out: &mut Vec<u8>, addresses: &[Address]) {
    let mut list = Vec::new();
    for address in addresses {
        let size = if is_v4(address.socket) { 7 } else { 19 };
        if list.len() + size <= MAX_LIST {
            address.put(&mut list);
        }
    }
    put_option(out, ADDRESSES, &list);
}

fn is_v4(address: SocketAddr) -> bool {
    address.is_ipv4()
}

#[cfg(test)]
mod tests {
    use super::*;
    use rtmfp::wire::Origin;

    fn address(text: &str, origin: Origin) -> Address {
        Address::new(text.parse().unwrap(), origin)
    }

    #[test]
    fn librtmfp_initiator_report_decodes_and_encodes_to_the_byte() {
        // netgroup.md §9.4, with a peer ID of 5s.
        let mut bytes = vec![0x0a, 0x08, 0x0d, 0x02, 127, 0, 0, 1, 0xb4, 0x90];
        bytes.extend([0x08, 0x0a, 0x03, 127, 0, 0, 1, 0x4b, 0x96, 0x00, 0x22, 0x21, 0x0f]);
        bytes.extend([5; 32]);
        bytes.extend([
            0x00, 0x0f, 0x0a, 0x03, 127, 0, 0, 1, 0x4b, 0x96, 0x02, 127, 0, 0, 1, 0xb4, 0x90, 0x00,
        ]);
        let report = Report::decode(&bytes).unwrap();
        assert_eq!(report.observed, Some(address("127.0.0.1:46224", Origin::Observed)));
        assert_eq!(report.own, [address("127.0.0.1:19350", Origin::Relay)]);
        assert_eq!((report.members.len(), report.members[0].addresses.len()), (1, 2));
        assert_eq!(report.encode(), bytes);
    }

    #[test]
    fn flags_before_the_addresses_and_empty_lists_are_read() {
        let mut bytes = vec![0x0a, 0x01, 0x02, 0x01, 0x03, 0x01, 0x0a, 0x00, 0x22, 0x21, 0x0f];
        bytes.extend([5; 32]);
        bytes.extend([0x01, 0x01, 0x0a, 0x00]);
        let report = Report::decode(&bytes).unwrap();
        assert_eq!((report.observed, report.own.len(), report.members.len()), (None, 0, 1));
        assert_eq!(report.members[0].age, 1);
        assert_eq!(Report::decode(&bytes[..bytes.len() - 1]).unwrap().members.len(), 1);
        assert_eq!(Report::decode(&bytes[..20]).unwrap().members.len(), 0);
    }
}
