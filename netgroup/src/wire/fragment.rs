//! Fragments on a media flow: pieces of RTMP messages, numbered through the whole stream.

use bytes::Bytes;
use rtmfp::wire::{Reader, put_vlu};

/// No stream gets this far.
pub const MAX_FRAGMENT: u64 = 1 << 53;
/// Payload bytes of the largest fragment that Flash and librtmfp make.
pub const MAX_PAYLOAD: usize = 959;

const FIRST: u8 = 0x20;
const MORE: u8 = 0x10;

/// What only the first fragment of a message says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FragmentStart {
    /// RTMP message type.
    pub kind: u8,
    /// Milliseconds since the stream began.
    pub timestamp: u32,
}

/// A decoded fragment; the payload is shared with the message it came in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fragment {
    /// From 1, without gaps.
    pub id: u64,
    /// On the first fragment of a message.
    pub start: Option<FragmentStart>,
    /// Further fragments of the message follow.
    pub has_more: bool,
    /// A piece of the message.
    pub payload: Bytes,
}

/// RTMP types that travel in streams.
pub fn is_media_type(kind: u8) -> bool {
    matches!(kind, 0x08 | 0x09 | 0x0f | 0x11 | 0x12 | 0x14)
}

/// Whether an RTMP message is a picture that needs no other; a codec's header is none.
pub fn is_key_frame(kind: u8, payload: &[u8]) -> bool {
    const VIDEO: u8 = 9;
    let &[first, second, ..] = payload else { return false };
    // Enhanced RTMP names the kind of packet where a codec's number was.
    let is_header = match first & 0x80 {
        0 => matches!(first & 0x0f, 7 | 12) && second == 0,
        _ => first & 0x0f == 0,
    };
    kind == VIDEO && first >> 4 & 7 == 1 && !is_header
}

impl Fragment {
    /// Decodes a message of a media flow. Flash sometimes leaves out how many fragments follow;
    /// the type that comes next tells.
    pub fn decode(message: &Bytes) -> Option<Self> {
        let mut reader = Reader::new(message);
        let marker = reader.u8().ok()?;
        if marker & !(FIRST | MORE) != 0 {
            return None;
        }
        let id = reader.vlu().ok().filter(|id| (1..=MAX_FRAGMENT).contains(id))?;
        let (is_first, has_more) = (marker & FIRST != 0, marker & MORE != 0);
        if has_more {
            let mut ahead = reader;
            let remaining = ahead.u8().ok()?;
            let next = ahead.u8().unwrap_or(0);
            if !is_first || is_media_type(next) || !is_media_type(remaining) {
                reader.u8().ok()?;
            }
        }
        let start = match is_first {
            true => Some(FragmentStart { kind: reader.u8().ok()?, timestamp: reader.u32().ok()? }),
            false => None,
        };
        if start.is_some_and(|start| !is_media_type(start.kind)) {
            return None;
        }
        let payload = message.slice(message.len() - reader.remaining()..);
        Some(Self { id, start, has_more, payload })
    }

    /// Encodes a fragment with `remaining` ones to follow. The field has one byte: larger numbers
    /// stay at 255 until they fit.
    pub fn encode(
        id: u64,
        start: Option<FragmentStart>,
        remaining: usize,
        payload: &[u8],
    ) -> Bytes {
        let mut out = Vec::with_capacity(payload.len() + 16);
        let first = if start.is_some() { FIRST } else { 0 };
        out.push(first | if remaining > 0 { MORE } else { 0 });
        put_vlu(&mut out, id);
        if remaining > 0 {
            out.push(u8::try_from(remaining).unwrap_or(u8::MAX));
        }
        if let Some(start) = start {
            out.push(start.kind);
            out.extend_from_slice(&start.timestamp.to_be_bytes());
        }
        out.extend_from_slice(payload);
        out.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const VIDEO: FragmentStart = FragmentStart { kind: 9, timestamp: 0x78 };

    #[test]
    fn captured_headers_decode() {
        // netgroup.md §9.5.
        let first = Fragment::decode(&Bytes::from_static(&[0x20, 0x0a, 0x09, 0, 0, 0, 0x78, 0x17]))
            .unwrap();
        assert_eq!(
            (first.id, first.start, first.has_more, &first.payload[..]),
            (10, Some(VIDEO), false, &[0x17][..])
        );
        let late =
            Fragment::decode(&Bytes::from_static(&[0x20, 0x92, 0x30, 8, 0, 0, 0x9b, 0xc8, 1]))
                .unwrap();
        assert_eq!((late.id, late.start.unwrap().kind), (2352, 8));
    }

    #[test]
    fn every_marker_round_trips() {
        for (start, remaining) in
            [(Some(VIDEO), 0), (Some(VIDEO), 3), (None, 2), (None, 0), (Some(VIDEO), 3000)]
        {
            let bytes = Fragment::encode(300, start, remaining, b"payload");
            let fragment = Fragment::decode(&bytes).unwrap();
            assert_eq!((fragment.start, fragment.has_more), (start, remaining > 0));
            assert_eq!(&fragment.payload[..], b"payload");
        }
    }

    #[test]
    fn a_start_without_remaining_is_read() {
        let bytes = Bytes::from_static(&[0x30, 0x0a, 0x09, 0, 0, 0, 0x78, 0x17, 0x01]);
        let fragment = Fragment::decode(&bytes).unwrap();
        assert_eq!(
            (fragment.start, fragment.has_more, &fragment.payload[..]),
            (Some(VIDEO), true, &[0x17, 1][..])
        );
    }

    #[test]
    fn nonsense_is_refused() {
        for bytes in [
            &[][..],
            &[0x20],
            &[0x20, 0],
            &[0x40, 1],
            &[0x20, 1, 9, 0],
            &[0x20, 1, 0x77, 0, 0, 0, 0],
            &[0x10, 5],
        ] {
            assert_eq!(Fragment::decode(&Bytes::copy_from_slice(bytes)), None, "{bytes:x?}");
        }
    }
}
