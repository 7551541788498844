//! The plain packet: flags, timestamps, chunks, padding. RFC 7016 §2.2.4.

use super::reader::{Malformed, Reader};

/// Who sent the packet within its session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Mode {
    /// Sent by the session's initiator.
    Initiator = 1,
    /// Sent by the session's responder.
    Responder = 2,
    /// Session startup.
    Startup = 3,
}

/// The flags byte without its presence bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Flags {
    /// This packet carries time critical data (RFC 7016 §3.5.2.1).
    pub time_critical: bool,
    /// Time critical data arrives from elsewhere: please grow slowly.
    pub time_critical_reverse: bool,
    /// The sender's role.
    pub mode: Mode,
}

impl Flags {
    /// No notifications.
    pub fn new(mode: Mode) -> Self {
        Self { time_critical: false, time_critical_reverse: false, mode }
    }
}

/// Everything of a packet before its chunks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PacketHeader {
    /// Notifications and mode.
    pub flags: Flags,
    /// Sender's clock in 4 ms ticks.
    pub timestamp: Option<u16>,
    /// The receiver's own timestamp, advanced by the time it was held.
    pub timestamp_echo: Option<u16>,
}

const TIME_CRITICAL: u8 = 0x80;
const TIME_CRITICAL_REVERSE: u8 = 0x40;
const TIMESTAMP: u8 = 0x08;
const TIMESTAMP_ECHO: u8 = 0x04;

impl PacketHeader {
    /// Reads the header; mode 0 is malformed.
    pub fn read(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        let byte = reader.u8()?;
        let mode = match byte & 3 {
            1 => Mode::Initiator,
            2 => Mode::Responder,
            3 => Mode::Startup,
            _ => return Err(Malformed),
        };
        let flags = Flags {
            time_critical: byte & TIME_CRITICAL != 0,
            time_critical_reverse: byte & TIME_CRITICAL_REVERSE != 0,
            mode,
        };
        let timestamp = if byte & TIMESTAMP != 0 { Some(reader.u16()?) } else { None };
        let timestamp_echo = if byte & TIMESTAMP_ECHO != 0 { Some(reader.u16()?) } else { None };
        Ok(Self { flags, timestamp, timestamp_echo })
    }

    /// Appends the header.
    pub fn put(&self, out: &mut Vec<u8>) {
        out.push(self.flags_byte());
        for stamp in [self.timestamp, self.timestamp_echo].into_iter().flatten() {
            out.extend_from_slice(&stamp.to_be_bytes());
        }
    }

    /// The flags byte; also used to amend a header already written.
    pub fn flags_byte(&self) -> u8 {
        let bit = |on: bool, mask: u8| if on { mask } else { 0 };
        bit(self.flags.time_critical, TIME_CRITICAL)
            | bit(self.flags.time_critical_reverse, TIME_CRITICAL_REVERSE)
            | bit(self.timestamp.is_some(), TIMESTAMP)
            | bit(self.timestamp_echo.is_some(), TIMESTAMP_ECHO)
            | self.flags.mode as u8
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn header_round_trips() {
        for byte in [0x0bu8, 0x89, 0x8d, 0x09, 0x0d, 0x49, 0x4d, 0x0a, 0x0e, 0x8a, 0x8e] {
            let bytes = [byte, 1, 2, 3, 4];
            let mut reader = Reader::new(&bytes);
            let header = PacketHeader::read(&mut reader).unwrap();
            let mut out = Vec::new();
            header.put(&mut out);
            assert_eq!(out, bytes[..5 - reader.remaining()]);
        }
        assert_eq!(PacketHeader::read(&mut Reader::new(&[0x08, 0, 0])), Err(Malformed));
        assert_eq!(PacketHeader::read(&mut Reader::new(&[0x09, 0])), Err(Malformed));
    }
}
