//! IIKeying, RIKeying and RHello Cookie Change: agreeing on keys. RFC 7016 §2.3.6 to §2.3.8.

use super::{code, echoed_rest, put_chunk};
use crate::wire::reader::{Malformed, Reader, put_bytes_vlu};

/// IIKeying: the initiator's half of the key agreement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InitiatorKeying<'a> {
    /// The session ID that the initiator wants to receive on.
    pub session_id: u32,
    /// From the RHello.
    pub cookie: &'a [u8],
    /// The initiator's certificate.
    pub certificate: &'a [u8],
    /// Session key initiator component.
    pub component: &'a [u8],
    /// Over [`Self::signed`].
    pub signature: &'a [u8],
    /// The part of the payload that the signature covers.
    pub signed: &'a [u8],
}

impl<'a> InitiatorKeying<'a> {
    /// Decodes a payload.
    pub fn decode(payload: &'a [u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(payload);
        let session_id = reader.u32()?;
        let cookie = reader.bytes_vlu()?;
        let certificate = reader.bytes_vlu()?;
        let component = reader.bytes_vlu()?;
        let signed = &payload[..payload.len() - reader.remaining()];
        Ok(Self { session_id, cookie, certificate, component, signature: reader.rest(), signed })
    }

    /// Appends the chunk; `signed` is not read.
    pub fn put(&self, out: &mut Vec<u8>) {
        self.put_signed(out, |_| self.signature.to_vec());
    }

    /// Appends the chunk with what `sign` makes of the signed parameters; neither `signed` nor
    /// `signature` is read.
    pub fn put_signed(&self, out: &mut Vec<u8>, sign: impl FnOnce(&[u8]) -> Vec<u8>) {
        put_chunk(out, code::INITIATOR_KEYING, |out| {
            let start = out.len();
            out.extend_from_slice(&self.session_id.to_be_bytes());
            put_bytes_vlu(out, self.cookie);
            put_bytes_vlu(out, self.certificate);
            put_bytes_vlu(out, self.component);
            let signature = sign(&out[start..]);
            out.extend_from_slice(&signature);
        });
    }
}

/// RIKeying: the responder's half. Sent under the default key to the initiator's session ID.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ResponderKeying<'a> {
    /// The session ID that the responder wants to receive on.
    pub session_id: u32,
    /// Session key responder component.
    pub component: &'a [u8],
    /// Over [`Self::signed`], followed by the initiator's component.
    pub signature: &'a [u8],
    /// The part of the payload that the signature covers.
    pub signed: &'a [u8],
}

impl<'a> ResponderKeying<'a> {
    /// Decodes a payload.
    pub fn decode(payload: &'a [u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(payload);
        let (session_id, component) = (reader.u32()?, reader.bytes_vlu()?);
        let signed = &payload[..payload.len() - reader.remaining()];
        Ok(Self { session_id, component, signature: reader.rest(), signed })
    }

    /// Appends the chunk; `signed` is not read.
    pub fn put(&self, out: &mut Vec<u8>) {
        self.put_signed(out, |_| self.signature.to_vec());
    }

    /// Appends the chunk with what `sign` makes of its fields; neither `signed` nor `signature`
    /// is read.
    pub fn put_signed(&self, out: &mut Vec<u8>, sign: impl FnOnce(&[u8]) -> Vec<u8>) {
        put_chunk(out, code::RESPONDER_KEYING, |out| {
            let start = out.len();
            out.extend_from_slice(&self.session_id.to_be_bytes());
            put_bytes_vlu(out, self.component);
            let signature = sign(&out[start..]);
            out.extend_from_slice(&signature);
        });
    }
}

/// RHello Cookie Change: the cookie was issued to another address; use this one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CookieChange<'a> {
    /// The cookie of the IIKeying.
    pub old_cookie: &'a [u8],
    /// Its replacement.
    pub new_cookie: &'a [u8],
}

impl<'a> CookieChange<'a> {
    /// Decodes a payload.
    pub fn decode(payload: &'a [u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(payload);
        Ok(Self { old_cookie: reader.bytes_vlu()?, new_cookie: echoed_rest(&mut reader)? })
    }

    /// Appends the chunk.
    pub fn put(&self, out: &mut Vec<u8>) {
        put_chunk(out, code::COOKIE_CHANGE, |out| {
            put_bytes_vlu(out, self.old_cookie);
            out.extend_from_slice(self.new_cookie);
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{Chunk, Chunks};

    #[test]
    fn each_round_trips() {
        let ii = InitiatorKeying {
            session_id: 0x0200_0000,
            cookie: &[1; 64],
            certificate: &[2; 132],
            component: &[3; 76],
            signature: b"X",
            signed: &[],
        };
        let component = [4; 139];
        let ri =
            ResponderKeying { session_id: 7, component: &component, signature: b"X", signed: &[] };
        let change = CookieChange { old_cookie: &[1; 64], new_cookie: &[5; 64] };
        let mut out = Vec::new();
        ii.put(&mut out);
        ri.put(&mut out);
        change.put(&mut out);
        let mut chunks = Chunks::new(Reader::new(&out));
        let Some(Chunk::InitiatorKeying(read)) = chunks.next() else { panic!("no IIKeying") };
        assert_eq!(InitiatorKeying { signed: &[], ..read }, ii);
        assert_eq!(read.signed.len(), 4 + 65 + 2 + 132 + 1 + 76);
        let Some(Chunk::ResponderKeying(read)) = chunks.next() else { panic!("no RIKeying") };
        assert_eq!((ResponderKeying { signed: &[], ..read }, read.signed.len()), (ri, 4 + 2 + 139));
        assert_eq!(chunks.next(), Some(Chunk::CookieChange(change)));
    }
}
