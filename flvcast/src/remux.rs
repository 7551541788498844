//! Frames of MPEG transport streams and fragmented MP4 as FLV tags, as they are.

mod audio;
mod bits;
mod mp4;
mod nal;
mod ts;

use bytes::{BufMut, Bytes, BytesMut};

use crate::flv::{Codec, Tag, TagKind};
pub use mp4::Mp4;
pub use ts::Ts;

/// Ticks a second of [`Frame`]s: MPEG's.
pub const TICKS: i64 = 90_000;

/// What a container gives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unit {
    /// What a decoder must have before the frames that follow.
    Parameters {
        /// Of which codec.
        codec: Codec,
        /// `avcC`, `hvcC` or AudioSpecificConfig.
        record: Bytes,
    },
    /// A picture or a piece of sound.
    Frame(Frame),
}

/// A frame as FLV has it: pictures as NAL units with their lengths, sound bare.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// Its codec.
    pub codec: Codec,
    /// When it is decoded, in ticks.
    pub dts: i64,
    /// When it is shown, in ticks.
    pub pts: i64,
    /// Needs no other.
    pub is_key: bool,
    /// The frame.
    pub data: Bytes,
}

/// Whether a codec is one of pictures.
fn is_video(codec: Codec) -> bool {
    codec == Codec::AVC || codec == Codec::HEVC
}

impl Unit {
    /// Whether it is of pictures.
    pub fn is_video(&self) -> bool {
        match self {
            Self::Parameters { codec, .. } => is_video(*codec),
            Self::Frame(frame) => is_video(frame.codec),
        }
    }
}

/// Milliseconds as FLV counts them, which wrap.
fn milliseconds(ticks: i64) -> u32 {
    (ticks.div_euclid(TICKS / 1000)) as u32
}

/// A unit as a tag. Parameters have the time of what follows them, `ticks`.
pub fn to_tag(unit: &Unit, ticks: i64) -> Tag {
    let mut payload = BytesMut::new();
    let timestamp = match unit {
        Unit::Parameters { codec, record } => {
            put_head(&mut payload, *codec, true, 0, 0);
            payload.extend_from_slice(record);
            milliseconds(ticks)
        }
        Unit::Frame(frame) => {
            let timestamp = milliseconds(frame.dts);
            let composition = milliseconds(frame.pts).wrapping_sub(timestamp);
            put_head(&mut payload, frame.codec, frame.is_key, 1, composition);
            payload.extend_from_slice(&frame.data);
            timestamp
        }
    };
    let kind = if unit.is_video() { TagKind::Video } else { TagKind::Audio };
    Tag { kind, timestamp, payload: payload.freeze() }
}

/// FLV 10.1 §E.4; H.265 as Enhanced RTMP has it.
fn put_head(out: &mut BytesMut, codec: Codec, is_key: bool, packet: u8, composition: u32) {
    let frame_type = if is_key { 0x10 } else { 0x20 };
    let composition = composition.to_be_bytes();
    match codec {
        Codec::AVC => {
            out.put_u8(frame_type | 7);
            out.put_u8(packet);
            out.extend_from_slice(&composition[1..]);
        }
        Codec::HEVC => {
            out.put_u8(0x80 | frame_type | packet);
            out.extend_from_slice(&codec.0);
            if packet == 1 {
                out.extend_from_slice(&composition[1..]);
            }
        }
        Codec::AAC => out.extend_from_slice(&[0xaf, packet]),
        _ => out.put_u8(0x2f),
    }
}
