//! A tag, and what its first bytes say.

use bytes::Bytes;

/// What a tag carries; the number is the FLV tag type and the RTMP message type.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
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
    /// H.264, H.265 or AV1 parameters: a decoder can do nothing without them.
    pub fn is_video_header(&self) -> bool {
        match self.payload.first().filter(|_| self.kind == TagKind::Video) {
            // Enhanced RTMP: packet type 0 is the sequence start.
            Some(first) if first & 0x80 != 0 => first & 0x0f == 0,
            Some(first) => first & 0x0f == 7 && self.payload.get(1) == Some(&0),
            None => false,
        }
    }

    /// AAC parameters.
    pub fn is_audio_header(&self) -> bool {
        let is_aac = self.payload.first().is_some_and(|first| first >> 4 == 10);
        self.kind == TagKind::Audio && is_aac && self.payload.get(1) == Some(&0)
    }

    /// A picture that needs no other.
    pub fn is_key_frame(&self) -> bool {
        let frame_type = self.payload.first().map(|first| first >> 4 & 0x07);
        self.kind == TagKind::Video && frame_type == Some(1) && !self.is_video_header()
    }

    /// Sound or picture, not parameters or data.
    pub fn is_media(&self) -> bool {
        self.kind != TagKind::Script && !self.is_video_header() && !self.is_audio_header()
    }

    /// `onMetaData` as AMF0 text.
    pub fn is_metadata(&self) -> bool {
        self.kind == TagKind::Script && self.payload.get(3..13) == Some(b"onMetaData")
    }
}
