//! Messages 21 to 23 and 2b on a media control flow.

use std::time::Duration;

use rtmfp::wire::{OptionItem, Options, Reader, put_option, put_vlu};

use super::Availability;

/// Made by the publisher at publish time; the same at all relays.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StreamKey(pub [u8; 32]);

impl std::fmt::Debug for StreamKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0[..4].iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// How a publisher wants its stream handled; the defaults are what Flash was seen to send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StreamParameters {
    /// `multicastWindowDuration`: how long a missing fragment is waited for.
    pub window: Duration,
    /// `multicastAvailabilityUpdatePeriod`.
    pub update_period: Duration,
    /// `multicastFetchPeriod`: how long a known fragment may be missing before it is pulled.
    pub fetch_period: Duration,
    /// `multicastAvailabilitySendToAll`: maps go to all neighbours each period, else to one.
    pub send_to_all: bool,
}

impl Default for StreamParameters {
    fn default() -> Self {
        Self {
            window: Duration::from_millis(8000),
            update_period: Duration::from_millis(100),
            fetch_period: Duration::from_millis(2500),
            send_to_all: false,
        }
    }
}

/// Message 21: a stream is to be had here, or wanted here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Announcement {
    /// The stream's name within its group.
    pub name: String,
    /// Which publication of that name.
    pub key: StreamKey,
    /// How to handle it.
    pub parameters: StreamParameters,
}

/// A message on a media control flow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MediaControl {
    /// 21 with options.
    Announce(Announcement),
    /// 21 with a number: one more than the last fragment.
    End(u64),
    /// 22
    Availability(Availability),
    /// 23: a bit for each residue of fragment numbers modulo 8 to be pushed; replaces the last.
    PushMask(u8),
    /// 2b: one fragment, once.
    Pull(u64),
}

mod code {
    pub const STREAM: u8 = 0x21;
    pub const AVAILABILITY: u8 = 0x22;
    pub const PUSH_MASK: u8 = 0x23;
    pub const PULL: u8 = 0x2b;
}

mod option {
    pub const NAME: u64 = 0x00;
    pub const KEY: u64 = 0x01;
    /// Always there, meaning unknown.
    pub const UNKNOWN_FLAG: u64 = 0x02;
    pub const WINDOW: u64 = 0x03;
    /// Always 300000, perhaps the idle timeout.
    pub const UNKNOWN_300000: u64 = 0x04;
    pub const UPDATE_PERIOD: u64 = 0x05;
    pub const SEND_TO_ALL: u64 = 0x06;
    pub const FETCH_PERIOD: u64 = 0x07;
}

/// Shorter messages 21 end a stream.
const SHORTEST_ANNOUNCEMENT: usize = 36;
/// Periods beyond this are brought down to it: they are waited for.
const LONGEST: Duration = Duration::from_secs(120);
const SHORTEST_PERIOD: Duration = Duration::from_millis(20);

impl MediaControl {
    /// Decodes a message; unknown types are nothing.
    pub fn decode(message: &[u8]) -> Option<Self> {
        let (kind, body) = message.split_first()?;
        let mut reader = Reader::new(body);
        match *kind {
            code::STREAM if body.len() < SHORTEST_ANNOUNCEMENT => reader.vlu().ok().map(Self::End),
            code::STREAM => Announcement::decode(body).map(Self::Announce),
            code::AVAILABILITY => Availability::decode(body).map(Self::Availability),
            code::PUSH_MASK => reader.u8().ok().map(Self::PushMask),
            code::PULL => reader.vlu().ok().map(Self::Pull),
            _ => None,
        }
    }

    /// As it travels.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        match self {
            Self::Announce(announcement) => {
                out.push(code::STREAM);
                announcement.put(&mut out);
            }
            Self::End(fragment) => {
                out.push(code::STREAM);
                put_vlu(&mut out, *fragment);
            }
            Self::Availability(availability) => {
                out.push(code::AVAILABILITY);
                availability.put(&mut out);
            }
            Self::PushMask(mask) => out.extend_from_slice(&[code::PUSH_MASK, *mask]),
            Self::Pull(fragment) => {
                out.push(code::PULL);
                put_vlu(&mut out, *fragment);
            }
        }
        out
    }
}

impl Announcement {
    fn decode(body: &[u8]) -> Option<Self> {
        let mut parameters = StreamParameters::default();
        let (mut name, mut key) = (None, None);
        for item in Options::new(body) {
            let OptionItem::Option(kind, value) = item else { continue };
            let duration =
                || Reader::new(value).vlu().ok().map(|ms| Duration::from_millis(ms).min(LONGEST));
            match kind {
                option::NAME => name = Some(String::from_utf8_lossy(value).into_owned()),
                option::KEY => key = value.try_into().ok().map(StreamKey),
                option::WINDOW => parameters.window = duration()?,
                option::UPDATE_PERIOD => {
                    parameters.update_period = duration()?.max(SHORTEST_PERIOD)
                }
                option::FETCH_PERIOD => parameters.fetch_period = duration()?.max(SHORTEST_PERIOD),
                option::SEND_TO_ALL => parameters.send_to_all = true,
                _ => {}
            }
        }
        Some(Self { name: name?, key: key?, parameters })
    }

    fn put(&self, out: &mut Vec<u8>) {
        put_option(out, option::NAME, self.name.as_bytes());
        put_option(out, option::KEY, &self.key.0);
        put_option(out, option::UNKNOWN_FLAG, &[]);
        put_number(out, option::WINDOW, self.parameters.window.as_millis() as u64);
        put_number(out, option::UNKNOWN_300000, 300_000);
        put_number(out, option::UPDATE_PERIOD, self.parameters.update_period.as_millis() as u64);
        put_number(out, option::FETCH_PERIOD, self.parameters.fetch_period.as_millis() as u64);
        // Last, because librtmfp stops reading at it.
        if self.parameters.send_to_all {
            put_option(out, option::SEND_TO_ALL, &[]);
        }
    }
}

fn put_number(out: &mut Vec<u8>, kind: u64, number: u64) {
    let mut value = Vec::new();
    put_vlu(&mut value, number);
    put_option(out, kind, &value);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn announcement_example() {
        // netgroup.md §5.1: name "stream", key 40…5f.
        let key = StreamKey(std::array::from_fn(|index| 0x40 + index as u8));
        let announcement =
            Announcement { name: "stream".into(), key, parameters: StreamParameters::default() };
        let mut expected = vec![0x21, 0x07, 0x00];
        expected.extend_from_slice(b"stream");
        expected.extend([0x21, 0x01]);
        expected.extend(key.0);
        expected
            .extend([1, 2, 3, 3, 0xbe, 0x40, 4, 4, 0x92, 0xa7, 0x60, 2, 5, 0x64, 3, 7, 0x93, 0x44]);
        let message = MediaControl::Announce(announcement);
        assert_eq!(message.encode(), expected);
        assert_eq!(MediaControl::decode(&expected), Some(message));
    }

    #[test]
    fn the_other_messages_round_trip() {
        let messages = [
            (MediaControl::End(2359), vec![0x21, 0x92, 0x37]),
            (MediaControl::PushMask(4), vec![0x23, 0x04]),
            (MediaControl::Pull(8), vec![0x2b, 0x08]),
        ];
        for (message, bytes) in messages {
            assert_eq!(message.encode(), bytes);
            assert_eq!(MediaControl::decode(&bytes), Some(message));
        }
        assert_eq!(MediaControl::decode(&[0x99, 1]), None);
        assert_eq!(MediaControl::decode(&[]), None);
    }
}
