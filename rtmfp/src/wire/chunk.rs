//! Chunks, RFC 7016 §2.3: one file for each family.

mod ack;
mod ecn_report;
mod flow_control;
mod fragment;
mod hello;
mod keying;
mod redirect;
mod user_data;

pub use ack::{AckRange, AckRanges, DataAck, put_ack_ranges};
pub use ecn_report::EcnReport;
pub use flow_control::{BufferProbe, FlowException};
pub use fragment::PacketFragment;
pub use hello::{ForwardedHello, InitiatorHello, ResponderHello};
pub use keying::{CookieChange, InitiatorKeying, ResponderKeying};
pub use redirect::Redirect;
pub use user_data::{
    FragmentControl, NextUserData, UserData, UserDataHeader, option as flow_option,
    put_next_user_data_header,
};

use super::reader::{Malformed, Reader};

/// Chunk type codes.
pub mod code {
    #![allow(missing_docs)]
    pub const PADDING_ZERO: u8 = 0x00;
    pub const PING: u8 = 0x01;
    pub const SESSION_CLOSE: u8 = 0x0c;
    pub const FORWARDED_HELLO: u8 = 0x0f;
    pub const USER_DATA: u8 = 0x10;
    pub const NEXT_USER_DATA: u8 = 0x11;
    pub const BUFFER_PROBE: u8 = 0x18;
    pub const INITIATOR_HELLO: u8 = 0x30;
    pub const INITIATOR_KEYING: u8 = 0x38;
    pub const PING_REPLY: u8 = 0x41;
    pub const SESSION_CLOSE_ACK: u8 = 0x4c;
    pub const ACK_BITMAP: u8 = 0x50;
    pub const ACK_RANGES: u8 = 0x51;
    pub const FLOW_EXCEPTION: u8 = 0x5e;
    pub const RESPONDER_HELLO: u8 = 0x70;
    pub const REDIRECT: u8 = 0x71;
    pub const RESPONDER_KEYING: u8 = 0x78;
    pub const COOKIE_CHANGE: u8 = 0x79;
    pub const FRAGMENT: u8 = 0x7f;
    pub const ECN_REPORT: u8 = 0xec;
    pub const PADDING_ONES: u8 = 0xff;
}

/// Bytes of a chunk before its payload: type and length.
pub const HEADER_LEN: usize = 3;

/// A decoded chunk, borrowing from its packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Chunk<'a> {
    /// 0x30
    InitiatorHello(InitiatorHello<'a>),
    /// 0x0f
    ForwardedHello(ForwardedHello<'a>),
    /// 0x70
    ResponderHello(ResponderHello<'a>),
    /// 0x71
    Redirect(Redirect<'a>),
    /// 0x79
    CookieChange(CookieChange<'a>),
    /// 0x38
    InitiatorKeying(InitiatorKeying<'a>),
    /// 0x78
    ResponderKeying(ResponderKeying<'a>),
    /// 0x01: the message to echo.
    Ping(&'a [u8]),
    /// 0x41: the echoed message.
    PingReply(&'a [u8]),
    /// 0x10
    UserData(UserData<'a>),
    /// 0x11
    NextUserData(NextUserData<'a>),
    /// 0x50 and 0x51
    DataAck(DataAck<'a>),
    /// 0x18
    BufferProbe(BufferProbe),
    /// 0x5e
    FlowException(FlowException),
    /// 0x0c
    SessionClose,
    /// 0x4c
    SessionCloseAck,
    /// 0x7f
    Fragment(PacketFragment<'a>),
    /// 0xec
    EcnReport(EcnReport),
    /// Codes unknown to us: code and payload.
    Other(u8, &'a [u8]),
}

impl<'a> Chunk<'a> {
    /// Decodes one payload.
    pub fn decode(kind: u8, payload: &'a [u8]) -> Result<Self, Malformed> {
        Ok(match kind {
            code::INITIATOR_HELLO => Self::InitiatorHello(InitiatorHello::decode(payload)?),
            code::FORWARDED_HELLO => Self::ForwardedHello(ForwardedHello::decode(payload)?),
            code::RESPONDER_HELLO => Self::ResponderHello(ResponderHello::decode(payload)?),
            code::REDIRECT => Self::Redirect(Redirect::decode(payload)?),
            code::COOKIE_CHANGE => Self::CookieChange(CookieChange::decode(payload)?),
            code::INITIATOR_KEYING => Self::InitiatorKeying(InitiatorKeying::decode(payload)?),
            code::RESPONDER_KEYING => Self::ResponderKeying(ResponderKeying::decode(payload)?),
            code::PING => Self::Ping(payload),
            code::PING_REPLY => Self::PingReply(payload),
            code::USER_DATA => Self::UserData(UserData::decode(payload)?),
            code::NEXT_USER_DATA => Self::NextUserData(NextUserData::decode(payload)?),
            code::ACK_BITMAP => Self::DataAck(DataAck::decode_bitmap(payload)?),
            code::ACK_RANGES => Self::DataAck(DataAck::decode_ranges(payload)?),
            code::BUFFER_PROBE => Self::BufferProbe(BufferProbe::decode(payload)?),
            code::FLOW_EXCEPTION => Self::FlowException(FlowException::decode(payload)?),
            code::FRAGMENT => Self::Fragment(PacketFragment::decode(payload)?),
            code::ECN_REPORT => Self::EcnReport(EcnReport::decode(payload)?),
            code::SESSION_CLOSE => Self::SessionClose,
            code::SESSION_CLOSE_ACK => Self::SessionCloseAck,
            other => Self::Other(other, payload),
        })
    }
}

/// Iterates the chunks of a packet. Padding ends it; malformed chunks are skipped and counted.
#[derive(Debug)]
pub struct Chunks<'a> {
    reader: Reader<'a>,
    /// Chunks that did not decode so far.
    pub malformed: u32,
}

impl<'a> Chunks<'a> {
    /// Over what follows the packet header.
    pub fn new(reader: Reader<'a>) -> Self {
        Self { reader, malformed: 0 }
    }

    fn next_raw(&mut self) -> Option<(u8, &'a [u8])> {
        let mut ahead = self.reader;
        let kind = ahead.u8().ok()?;
        let length = ahead.u16().ok()?;
        // RFC 7016 §2.3: a length that does not fit is the padding at the end, not an error.
        let payload = ahead.bytes(usize::from(length)).ok()?;
        self.reader = ahead;
        Some((kind, payload))
    }
}

impl<'a> Iterator for Chunks<'a> {
    type Item = Chunk<'a>;

    fn next(&mut self) -> Option<Chunk<'a>> {
        loop {
            let (kind, payload) = self.next_raw()?;
            if kind == code::PADDING_ZERO || kind == code::PADDING_ONES {
                continue;
            }
            match Chunk::decode(kind, payload) {
                Ok(chunk) => return Some(chunk),
                Err(Malformed) => self.malformed += 1,
            }
        }
    }
}

/// Longest tag or cookie that is read. They travel on in chunks of ours, which must fit a packet.
/// RFC 7016 sets no limit; known programs send 16 and 100 bytes at most.
pub const MAX_ECHOED: usize = 512;

/// The rest of a payload if it is short enough to be sent back.
fn echoed_rest<'a>(reader: &mut Reader<'a>) -> Result<&'a [u8], Malformed> {
    Some(reader.rest()).filter(|rest| rest.len() <= MAX_ECHOED).ok_or(Malformed)
}

/// Appends a chunk whose payload `write` appends; the length is filled in afterwards. A payload
/// of more than the 64 KiB that a chunk can hold is taken back.
pub fn put_chunk(out: &mut Vec<u8>, kind: u8, write: impl FnOnce(&mut Vec<u8>)) {
    out.extend_from_slice(&[kind, 0, 0]);
    let start = out.len();
    write(out);
    match u16::try_from(out.len() - start) {
        Ok(length) => out[start - 2..start].copy_from_slice(&length.to_be_bytes()),
        Err(_) => out.truncate(start - HEADER_LEN),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{Address, Origin};

    #[test]
    fn padding_and_unknown_chunks_do_not_stop_the_rest() {
        let bytes = [0x00, 0, 1, 9, 0x66, 0, 0, 0x51, 0, 1, 1, 0x0c, 0, 0, 0xff, 0xff, 0xff, 0xff];
        let mut chunks = Chunks::new(Reader::new(&bytes));
        assert_eq!(chunks.next(), Some(Chunk::Other(0x66, &[])));
        assert_eq!(chunks.next(), Some(Chunk::SessionClose));
        assert_eq!(chunks.next(), None);
        assert_eq!(chunks.malformed, 1);
    }

    #[test]
    fn what_no_chunk_can_hold_is_taken_back() {
        let mut out = vec![7];
        put_chunk(&mut out, code::PING, |out| out.resize(out.len() + 65_536, 0));
        assert_eq!(out, [7]);
        put_chunk(&mut out, code::PING, |out| out.resize(out.len() + 65_535, 0));
        assert_eq!(out.len(), 1 + HEADER_LEN + 65_535);
    }

    #[test]
    fn tags_and_cookies_that_would_not_fit_an_answer_are_malformed() {
        let long = vec![0x5a; MAX_ECHOED + 1];
        let address = Address::new("192.0.2.1:5".parse().unwrap(), Origin::Observed);
        let mut out = Vec::new();
        InitiatorHello { epd: b"", tag: &long }.put(&mut out);
        ForwardedHello { epd: b"", reply_address: address, tag: &long }.put(&mut out);
        ResponderHello { tag: b"", cookie: &long, certificate: b"" }.put(&mut out);
        CookieChange { old_cookie: b"", new_cookie: &long }.put(&mut out);
        let mut chunks = Chunks::new(Reader::new(&out));
        assert_eq!((chunks.next(), chunks.malformed), (None, 4));
    }
}
