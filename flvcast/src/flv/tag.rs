//! A tag, and what it is to a player.

use bytes::Bytes;

use super::anatomy::{self, Anatomy, Part};

/// What a tag carries; the number is the FLV tag type and the RTMP message type.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum TagKind {
    /// 8
    Audio = 8,
    /// 9
    Video = 9,
    /// 18: AMF0 data, mostly `onMetaData`.
    Script = 18,
}

impl TagKind {
    /// From the tag type or the RTMP message type.
    pub fn from_code(code: u8) -> Option<Self> {
        match code {
            8 => Some(Self::Audio),
            9 => Some(Self::Video),
            18 => Some(Self::Script),
            _ => None,
        }
    }
}

/// A piece of a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tag {
    /// What it carries.
    pub kind: TagKind,
    /// Milliseconds.
    pub timestamp: u32,
    /// Without tag header and trailing size.
    pub payload: Bytes,
}

impl Tag {
    /// What its first bytes say.
    pub fn anatomy(&self) -> Anatomy {
        anatomy::of(self.kind, &self.payload)
    }

    /// Parameters without which a decoder can do nothing.
    pub fn is_parameters(&self) -> bool {
        matches!(self.anatomy().part, Part::Parameters)
    }

    /// A picture that needs no other.
    pub fn is_key_frame(&self) -> bool {
        matches!(self.anatomy().part, Part::KeyFrame)
    }

    /// Sound or picture, not parameters or data.
    pub fn is_media(&self) -> bool {
        matches!(self.anatomy().part, Part::KeyFrame | Part::Frame)
    }
}
