//! From the tags of a broadcast to a playable FLV: headers first, then from a key frame on.

use crate::{
    flv::{Tag, TagKind, file_header, put_tag},
    headers::StreamHeaders,
};

/// Without any picture by then, sound alone will do.
const AUDIO_ONLY_AFTER: u32 = 2000;

/// Turns tags into bytes of one FLV; its timestamps begin at 0.
#[derive(Debug, Default)]
pub struct Recorder {
    headers: StreamHeaders,
    base: Option<u32>,
    first_seen: Option<u32>,
    has_video: bool,
}

impl Recorder {
    /// One for somebody who joins now, knowing these headers.
    pub fn with_headers(headers: StreamHeaders) -> Self {
        Self { headers, ..Self::default() }
    }

    /// Appends what this tag adds to the file. Repeated headers add nothing.
    pub fn push(&mut self, tag: &Tag, out: &mut Vec<u8>) {
        let is_repeated = self.headers.is_repeated(tag);
        let is_header = self.headers.note(tag);
        let Some(base) = self.base else {
            if !is_header && self.may_start(tag) {
                self.start(tag, out);
            }
            return;
        };
        if !is_repeated {
            put_tag(out, &rebase(tag, base));
        }
    }

    fn may_start(&mut self, tag: &Tag) -> bool {
        self.has_video |= tag.kind == TagKind::Video;
        let waited = tag.timestamp.wrapping_sub(*self.first_seen.get_or_insert(tag.timestamp));
        let is_sound = tag.kind == TagKind::Audio && !self.has_video && waited > AUDIO_ONLY_AFTER;
        (tag.is_key_frame() || is_sound) && self.headers.can_decode(tag)
    }

    fn start(&mut self, tag: &Tag, out: &mut Vec<u8>) {
        self.base = Some(tag.timestamp);
        out.extend_from_slice(&file_header());
        for header in self.headers.tags() {
            put_tag(out, &Tag { timestamp: 0, ..header.clone() });
        }
        put_tag(out, &rebase(tag, tag.timestamp));
    }
}

/// A sound may belong just before the picture it follows.
fn rebase(tag: &Tag, base: u32) -> Tag {
    Tag { timestamp: tag.timestamp.saturating_sub(base), ..tag.clone() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flv::Demuxer;

    fn tag(kind: TagKind, timestamp: u32, payload: &[u8]) -> Tag {
        Tag { kind, timestamp, payload: bytes::Bytes::copy_from_slice(payload) }
    }

    #[test]
    fn begins_with_headers_and_a_key_frame() {
        let (header, key, inter) = ([0x17, 0, 1], [0x17, 1, 2], [0x27, 1, 3]);
        let tags = [
            tag(TagKind::Video, 900, &inter),
            tag(TagKind::Video, 1000, &key),
            tag(TagKind::Video, 1000, &header),
            tag(TagKind::Audio, 1010, &[0x2f, 5]),
            tag(TagKind::Video, 2000, &key),
            tag(TagKind::Video, 2040, &inter),
            tag(TagKind::Video, 3000, &header),
        ];
        let (mut recorder, mut out) = (Recorder::default(), Vec::new());
        tags.iter().for_each(|tag| recorder.push(tag, &mut out));
        let mut demuxer = Demuxer::default();
        demuxer.push(&out);
        let read: Vec<_> = std::iter::from_fn(|| demuxer.next_tag().unwrap()).collect();
        let expected = [
            tag(TagKind::Video, 0, &header),
            tag(TagKind::Video, 0, &key),
            tag(TagKind::Video, 40, &inter),
        ];
        assert_eq!(read, expected);
    }
}
