//! IHello, FIHello and RHello: finding an endpoint. RFC 7016 §2.3.2, §2.3.3, §2.3.4.

use super::{MAX_ECHOED, code, echoed_rest, put_chunk};
use crate::wire::{
    Address,
    reader::{Malformed, Reader, put_bytes_vlu},
};

/// IHello: "is the endpoint that this discriminator selects here?"
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InitiatorHello<'a> {
    /// Endpoint discriminator.
    pub epd: &'a [u8],
    /// Chosen by the initiator, echoed in answers.
    pub tag: &'a [u8],
}

impl<'a> InitiatorHello<'a> {
    /// Decodes a payload.
    pub fn decode(payload: &'a [u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(payload);
        Ok(Self { epd: reader.bytes_vlu()?, tag: echoed_rest(&mut reader)? })
    }

    /// Appends the chunk.
    pub fn put(&self, out: &mut Vec<u8>) {
        put_chunk(out, code::INITIATOR_HELLO, |out| {
            put_bytes_vlu(out, self.epd);
            out.extend_from_slice(self.tag);
        });
    }
}

/// FIHello: an introducer passes a hello on to the endpoint it is meant for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ForwardedHello<'a> {
    /// Endpoint discriminator.
    pub epd: &'a [u8],
    /// The initiator's address as the introducer saw it.
    pub reply_address: Address,
    /// The initiator's tag.
    pub tag: &'a [u8],
}

impl<'a> ForwardedHello<'a> {
    /// Decodes a payload.
    pub fn decode(payload: &'a [u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(payload);
        Ok(Self {
            epd: reader.bytes_vlu()?,
            reply_address: Address::read(&mut reader)?,
            tag: echoed_rest(&mut reader)?,
        })
    }

    /// Appends the chunk.
    pub fn put(&self, out: &mut Vec<u8>) {
        put_chunk(out, code::FORWARDED_HELLO, |out| {
            put_bytes_vlu(out, self.epd);
            self.reply_address.put(out);
            out.extend_from_slice(self.tag);
        });
    }
}

/// RHello: "yes, and here is my certificate and a cookie."
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ResponderHello<'a> {
    /// The initiator's tag.
    pub tag: &'a [u8],
    /// To be returned in the IIKeying.
    pub cookie: &'a [u8],
    /// The responder's certificate.
    pub certificate: &'a [u8],
}

impl<'a> ResponderHello<'a> {
    /// Decodes a payload.
    pub fn decode(payload: &'a [u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(payload);
        let (tag, cookie) = (reader.bytes_vlu()?, reader.bytes_vlu()?);
        if cookie.len() > MAX_ECHOED {
            return Err(Malformed);
        }
        Ok(Self { tag, cookie, certificate: reader.rest() })
    }

    /// Appends the chunk.
    pub fn put(&self, out: &mut Vec<u8>) {
        put_chunk(out, code::RESPONDER_HELLO, |out| {
            put_bytes_vlu(out, self.tag);
            put_bytes_vlu(out, self.cookie);
            out.extend_from_slice(self.certificate);
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{Chunk, Chunks, Origin};

    #[test]
    fn each_round_trips() {
        let ihello = InitiatorHello { epd: &[0x21, 0x0f, 1], tag: b"0123456789abcdef" };
        let address = Address::new("192.0.2.7:19350".parse().unwrap(), Origin::Observed);
        let fihello = ForwardedHello { epd: b"epd", reply_address: address, tag: b"tag" };
        let rhello = ResponderHello { tag: b"tag", cookie: &[9; 64], certificate: &[1; 130] };
        let mut out = Vec::new();
        ihello.put(&mut out);
        fihello.put(&mut out);
        rhello.put(&mut out);
        let chunks: Vec<_> = Chunks::new(Reader::new(&out)).collect();
        assert_eq!(
            chunks,
            [
                Chunk::InitiatorHello(ihello),
                Chunk::ForwardedHello(fihello),
                Chunk::ResponderHello(rhello)
            ]
        );
    }
}
