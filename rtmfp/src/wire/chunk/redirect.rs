//! Responder Redirect: "look for it there." RFC 7016 §2.3.5.

use super::{code, put_chunk};
use crate::wire::{
    Address,
    reader::{Malformed, Reader, put_bytes_vlu},
};

/// A redirect; without addresses it is implied: the packet's source is the address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Redirect<'a> {
    /// The initiator's tag.
    pub tag: &'a [u8],
    addresses: &'a [u8],
}

impl<'a> Redirect<'a> {
    /// Decodes a payload.
    pub fn decode(payload: &'a [u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(payload);
        Ok(Self { tag: reader.bytes_vlu()?, addresses: reader.rest() })
    }

    /// The addresses it names.
    pub fn addresses(&self) -> impl Iterator<Item = Address> + 'a {
        Address::read_all(self.addresses)
    }

    /// True when the packet's source address is meant.
    pub fn is_implied(&self) -> bool {
        self.addresses.is_empty()
    }

    /// Appends a redirect to `addresses`.
    pub fn put(out: &mut Vec<u8>, tag: &[u8], addresses: &[Address]) {
        put_chunk(out, code::REDIRECT, |out| {
            put_bytes_vlu(out, tag);
            for address in addresses {
                address.put(out);
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{Chunk, Chunks, Origin};

    #[test]
    fn round_trips_with_both_families() {
        let addresses = [
            Address::new("127.0.0.1:33530".parse().unwrap(), Origin::Observed),
            Address::new("[fd00::2]:54743".parse().unwrap(), Origin::Local),
        ];
        let mut out = Vec::new();
        Redirect::put(&mut out, b"tag", &addresses);
        Redirect::put(&mut out, b"tag", &[]);
        let mut chunks = Chunks::new(Reader::new(&out));
        let Some(Chunk::Redirect(full)) = chunks.next() else { panic!("no redirect") };
        assert_eq!(full.addresses().collect::<Vec<_>>(), addresses);
        let Some(Chunk::Redirect(implied)) = chunks.next() else { panic!("no redirect") };
        assert!(implied.is_implied() && !full.is_implied());
    }
}
