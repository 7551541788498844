//! What is inside of a tag: where its codec's own bytes begin, and how much later than it is decoded
//! a picture is shown.

use super::{Codec, Tag, TagKind};

/// A tag opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Inside {
    /// Where the codec's bytes begin.
    pub offset: usize,
    /// Milliseconds from decoding to showing.
    pub composition: i32,
}

/// Opens parameters and frames; nothing of tags with several tracks or with modifiers, which only
/// players of Enhanced RTMP read.
pub fn inside(tag: &Tag) -> Option<Inside> {
    let first = *tag.payload.first()?;
    let codec = tag.anatomy().codec?;
    let inside = match tag.kind {
        TagKind::Script => None,
        TagKind::Video if first & 0x80 != 0 => enhanced_picture(first & 0x0f, codec, &tag.payload),
        TagKind::Video => {
            // FLV 10.1 §E.4.3.1: those that need parameters have a packet type and a time.
            match codec.needs_parameters() {
                true => Some(Inside { offset: 5, composition: signed(tag.payload.get(2..5)?) }),
                false => Some(Inside { offset: 1, composition: 0 }),
            }
        }
        TagKind::Audio if first >> 4 == 9 => {
            (first & 0x0f <= 1).then_some(Inside { offset: 5, composition: 0 })
        }
        TagKind::Audio => {
            let offset = if codec.needs_parameters() { 2 } else { 1 };
            Some(Inside { offset, composition: 0 })
        }
    }?;
    (inside.offset <= tag.payload.len()).then_some(inside)
}

/// Enhanced RTMP: after the fourcc H.264 to H.266 have a time, if the packet type says so.
fn enhanced_picture(packet_type: u8, codec: Codec, payload: &[u8]) -> Option<Inside> {
    let has_time = [Codec::AVC, Codec::HEVC, Codec::VVC].contains(&codec);
    match packet_type {
        1 if has_time => Some(Inside { offset: 8, composition: signed(payload.get(5..8)?) }),
        0 | 1 | 3 => Some(Inside { offset: 5, composition: 0 }),
        _ => None,
    }
}

fn signed(bytes: &[u8]) -> i32 {
    let [high, middle, low] = [bytes[0], bytes[1], bytes[2]];
    i32::from_be_bytes([high, middle, low, 0]) >> 8
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(kind: TagKind, payload: &'static [u8]) -> Option<(usize, i32)> {
        let tag = Tag { kind, timestamp: 0, payload: bytes::Bytes::from_static(payload) };
        inside(&tag).map(|inside| (inside.offset, inside.composition))
    }

    #[test]
    fn frames_old_and_new() {
        use TagKind::{Audio, Video};
        assert_eq!(of(Video, &[0x17, 1, 0, 0, 80, 9]), Some((5, 80)));
        assert_eq!(of(Video, &[0x27, 1, 0xff, 0xff, 0xff, 9]), Some((5, -1)));
        assert_eq!(of(Video, b"\x91hvc1\x00\x00\x50x"), Some((8, 80)));
        assert_eq!(of(Video, b"\x93hvc1x"), Some((5, 0)));
        assert_eq!(of(Video, b"\x91av01x"), Some((5, 0)));
        assert_eq!(of(Video, b"\x96\x00hvc1\x00"), None, "several tracks");
        assert_eq!(of(Audio, &[0xaf, 1, 0x21]), Some((2, 0)));
        assert_eq!(of(Audio, &[0x2f, 0xff]), Some((1, 0)));
        assert_eq!(of(Audio, b"\x91Opusx"), Some((5, 0)));
        assert_eq!(of(Audio, &[0xdf, 1, 0xfc]), Some((2, 0)), "Opus before it had a fourcc");
        for short in [&b""[..], b"\x17\x01\x00", b"\x91hvc1\x00"] {
            assert_eq!(of(Video, short), None);
        }
    }
}
