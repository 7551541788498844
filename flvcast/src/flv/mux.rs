//! Writing FLV.

use super::tag::Tag;

/// Bytes before a tag's payload.
pub const TAG_HEADER_LEN: usize = 11;

/// What a stream has: a file's header promises it, and players wait for what is promised.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tracks {
    /// Sound.
    pub audio: bool,
    /// Pictures.
    pub video: bool,
}

impl Tracks {
    /// Both.
    pub const BOTH: Self = Self { audio: true, video: true };

    /// As the header's flags say it.
    pub fn from_flags(flags: u8) -> Self {
        Self { audio: flags & 0x04 != 0, video: flags & 0x01 != 0 }
    }

    fn flags(self) -> u8 {
        u8::from(self.audio) << 2 | u8::from(self.video)
    }
}

/// The file header and the zero that precedes the first tag.
pub fn file_header(tracks: Tracks) -> [u8; 13] {
    [b'F', b'L', b'V', 1, tracks.flags(), 0, 0, 0, 9, 0, 0, 0, 0]
}

/// What precedes the payload, with a time of its own.
pub fn tag_header(tag: &Tag, timestamp: u32) -> [u8; TAG_HEADER_LEN] {
    let size = (tag.payload.len() as u32).to_be_bytes();
    let stamp = timestamp.to_be_bytes();
    let kind = tag.kind as u8;
    [kind, size[1], size[2], size[3], stamp[1], stamp[2], stamp[3], stamp[0], 0, 0, 0]
}

/// The size that follows the payload.
pub fn tag_trailer(tag: &Tag) -> [u8; 4] {
    ((tag.payload.len() + TAG_HEADER_LEN) as u32).to_be_bytes()
}

/// Appends a tag with its trailing size.
pub fn put_tag(out: &mut Vec<u8>, tag: &Tag) {
    put_tag_at(out, tag, tag.timestamp);
}

/// Appends a tag at another time than its own.
pub fn put_tag_at(out: &mut Vec<u8>, tag: &Tag, timestamp: u32) {
    out.extend_from_slice(&tag_header(tag, timestamp));
    out.extend_from_slice(&tag.payload);
    out.extend_from_slice(&tag_trailer(tag));
}
