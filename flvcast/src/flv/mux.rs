//! Writing FLV.

use super::tag::Tag;

/// The file header and the zero that precedes the first tag; audio and video are announced.
pub fn file_header() -> [u8; 13] {
    [b'F', b'L', b'V', 1, 0x05, 0, 0, 0, 9, 0, 0, 0, 0]
}

/// Appends a tag with its trailing size.
pub fn put_tag(out: &mut Vec<u8>, tag: &Tag) {
    let size = (tag.payload.len() as u32).to_be_bytes();
    let stamp = tag.timestamp.to_be_bytes();
    out.push(tag.kind as u8);
    out.extend_from_slice(&size[1..]);
    out.extend_from_slice(&[stamp[1], stamp[2], stamp[3], stamp[0], 0, 0, 0]);
    out.extend_from_slice(&tag.payload);
    out.extend_from_slice(&(tag.payload.len() as u32 + 11).to_be_bytes());
}
