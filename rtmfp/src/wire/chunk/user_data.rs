//! User Data and Next User Data. RFC 7016 §2.3.11, §2.3.12.

use super::code;
use crate::wire::{
    Options,
    reader::{Malformed, Reader, put_vlu},
};

/// Option types of a flow's first chunks, RFC 7016 §2.3.11.1.
pub mod option {
    /// Per-flow metadata: says what the flow is for.
    pub const METADATA: u64 = 0x00;
    /// Return association: the flow (of the other direction) that this one answers.
    pub const RETURN_ASSOCIATION: u64 = 0x0a;
    /// Unknown options below this must make the receiver reject the flow.
    pub const IGNORABLE_FROM: u64 = 0x2000;
}

/// Which part of its message a fragment is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum FragmentControl {
    /// The whole message.
    Whole = 0x00,
    /// Its first part.
    Begin = 0x10,
    /// Its last part.
    End = 0x20,
    /// A part between.
    Middle = 0x30,
}

const OPTIONS_PRESENT: u8 = 0x80;
const ABANDON: u8 = 0x02;
const FINAL: u8 = 0x01;

/// No flow gets this far; refusing more lets numbers be added to without care.
const MAX_SEQUENCE: u64 = u64::MAX >> 2;

/// The flags byte, decoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct DataFlags(u8);

impl DataFlags {
    fn fragment(self) -> FragmentControl {
        match self.0 & 0x30 {
            0x10 => FragmentControl::Begin,
            0x20 => FragmentControl::End,
            0x30 => FragmentControl::Middle,
            _ => FragmentControl::Whole,
        }
    }

    fn new(fragment: FragmentControl, options: bool, abandon: bool, last: bool) -> Self {
        let bit = |on, mask| if on { mask } else { 0 };
        Self(
            fragment as u8
                | bit(options, OPTIONS_PRESENT)
                | bit(abandon, ABANDON)
                | bit(last, FINAL),
        )
    }
}

/// A fragment of a flow, with everything said.
#[derive(Debug, Clone, Copy)]
pub struct UserData<'a> {
    /// The sender's number for the flow.
    pub flow: u64,
    /// Sequence number of this fragment, from 1.
    pub sequence: u64,
    /// Nothing up to this one will be sent (again).
    pub forward_sequence: u64,
    /// The fragment itself.
    pub body: NextUserData<'a>,
}

/// A fragment that follows the one before it in the packet: same flow, next number.
#[derive(Debug, Clone, Copy)]
pub struct NextUserData<'a> {
    /// Its part of the message.
    pub fragment: FragmentControl,
    /// The sender gave it up: there is no data.
    pub abandoned: bool,
    /// The last fragment of the flow.
    pub is_final: bool,
    /// Flow options, if the chunk has a list.
    pub options: Option<Options<'a>>,
    /// Payload.
    pub data: &'a [u8],
}

impl<'a> UserData<'a> {
    /// Decodes a payload. RFC 7016 §2.3.11: an offset of 0 is for abandoned data only.
    pub fn decode(payload: &'a [u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(payload);
        let flags = DataFlags(reader.u8()?);
        let flow = reader.vlu()?;
        let sequence = reader.vlu()?;
        let offset = reader.vlu()?;
        let abandoned = flags.0 & ABANDON != 0;
        if sequence == 0 || sequence > MAX_SEQUENCE || (offset == 0 && !abandoned) {
            return Err(Malformed);
        }
        let forward_sequence = sequence.checked_sub(offset).ok_or(Malformed)?;
        Ok(Self { flow, sequence, forward_sequence, body: NextUserData::read(flags, reader)? })
    }
}

impl<'a> NextUserData<'a> {
    /// Decodes a payload.
    pub fn decode(payload: &'a [u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(payload);
        let flags = DataFlags(reader.u8()?);
        Self::read(flags, reader)
    }

    fn read(flags: DataFlags, mut reader: Reader<'a>) -> Result<Self, Malformed> {
        let options = if flags.0 & OPTIONS_PRESENT != 0 {
            Some(Options::read_list(&mut reader)?)
        } else {
            None
        };
        let abandoned = flags.0 & ABANDON != 0;
        let data = if abandoned { &[] } else { reader.rest() };
        Ok(Self {
            fragment: flags.fragment(),
            abandoned,
            is_final: flags.0 & FINAL != 0,
            options,
            data,
        })
    }
}

/// Equality of options is by what they contain; used by tests.
impl PartialEq for NextUserData<'_> {
    fn eq(&self, other: &Self) -> bool {
        let list = |body: &Self| body.options.map(|options| options.collect::<Vec<_>>());
        (self.fragment, self.abandoned, self.is_final, self.data)
            == (other.fragment, other.abandoned, other.is_final, other.data)
            && list(self) == list(other)
    }
}

impl Eq for NextUserData<'_> {}

impl PartialEq for UserData<'_> {
    fn eq(&self, other: &Self) -> bool {
        (self.flow, self.sequence, self.forward_sequence, self.body)
            == (other.flow, other.sequence, other.forward_sequence, other.body)
    }
}

impl Eq for UserData<'_> {}

/// Everything of a User Data chunk but its options and data.
#[derive(Debug, Clone, Copy)]
pub struct UserDataHeader {
    /// The sender's number for the flow.
    pub flow: u64,
    /// Sequence number of the fragment.
    pub sequence: u64,
    /// Nothing up to this one will be sent (again).
    pub forward_sequence: u64,
    /// Its part of the message.
    pub fragment: FragmentControl,
    /// The sender gave it up.
    pub abandoned: bool,
    /// The last fragment of the flow.
    pub is_final: bool,
}

impl UserDataHeader {
    /// Appends type, a length still to be set, and all fields up to the data. `options` is an
    /// encoded list with its marker, or empty.
    pub fn put(&self, out: &mut Vec<u8>, options: &[u8]) {
        let flags =
            DataFlags::new(self.fragment, !options.is_empty(), self.abandoned, self.is_final);
        out.extend_from_slice(&[code::USER_DATA, 0, 0, flags.0]);
        put_vlu(out, self.flow);
        put_vlu(out, self.sequence);
        put_vlu(out, self.sequence - self.forward_sequence);
        out.extend_from_slice(options);
    }
}

/// Appends the start of a Next User Data chunk: type, a length still to be set, flags.
pub fn put_next_user_data_header(
    out: &mut Vec<u8>,
    fragment: FragmentControl,
    abandoned: bool,
    is_final: bool,
) {
    let flags = DataFlags::new(fragment, false, abandoned, is_final);
    out.extend_from_slice(&[code::NEXT_USER_DATA, 0, 0, flags.0]);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{put_marker, put_option};

    #[test]
    fn flash_player_connect_header_decodes() {
        // From `flash-player-13-session-start`: flags 80, flow 2, sequence 1, offset 1, "TC" 04 00.
        let payload = [0x80, 2, 1, 1, 5, 0, 0x54, 0x43, 4, 0, 0, 0x14, 9];
        let chunk = UserData::decode(&payload).unwrap();
        assert_eq!((chunk.flow, chunk.sequence, chunk.forward_sequence), (2, 1, 0));
        assert_eq!(chunk.body.options.unwrap().find(option::METADATA), Some(&b"TC\x04\x00"[..]));
        assert_eq!(chunk.body.data, [0x14, 9]);
    }

    #[test]
    fn header_round_trips() {
        let mut options = Vec::new();
        put_option(&mut options, option::METADATA, b"GC");
        put_marker(&mut options);
        let header = UserDataHeader {
            flow: 300,
            sequence: 70_000,
            forward_sequence: 69_990,
            fragment: FragmentControl::End,
            abandoned: false,
            is_final: true,
        };
        let mut out = Vec::new();
        header.put(&mut out, &options);
        out.extend_from_slice(b"data");
        let read = UserData::decode(&out[3..]).unwrap();
        assert_eq!((read.flow, read.sequence, read.forward_sequence), (300, 70_000, 69_990));
        assert_eq!(read.body.fragment, FragmentControl::End);
        assert!(read.body.is_final && !read.body.abandoned);
        assert_eq!(read.body.data, b"data");
    }

    #[test]
    fn illegal_sequences_are_refused() {
        assert_eq!(UserData::decode(&[0, 1, 0, 1]), Err(Malformed));
        assert_eq!(UserData::decode(&[0, 1, 5, 0]), Err(Malformed));
        assert_eq!(UserData::decode(&[0, 1, 5, 6]), Err(Malformed));
        assert!(UserData::decode(&[2, 1, 5, 0]).is_ok());
    }
}
