//! From the tags of a broadcast to a playable FLV: headers first, then from a key frame on.

use crate::{
    flv::{Tag, TagKind, file_header, put_tag},
    headers::StreamHeaders,
};

/// Without any picture by then, sound alone will do.
const AUDIO_ONLY_AFTER: u32 = 2000;

/// A broadcast whose time leaps back further than this has begun anew.
const MAX_BACK: u32 = 1000;
/// Or ahead further than this.
const MAX_AHEAD: u32 = 10_000;
/// Between the last tag of one broadcast and the first of the next.
const GAP: u32 = 40;

/// Turns tags into bytes of one FLV; its timestamps begin at 0 and go on when the caster begins
/// anew.
#[derive(Debug, Default)]
pub struct Recorder {
    headers: StreamHeaders,
    is_begun: bool,
    /// What the tags' time is shifted by; nothing while a key frame is waited for.
    base: Option<Base>,
    last_in: u32,
    last_out: u32,
    first_seen: Option<u32>,
    has_video: bool,
}

/// The tag time `from` is the file's time `at`.
#[derive(Debug, Clone, Copy)]
struct Base {
    from: u32,
    at: u32,
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
        if self.base.is_some() && self.is_leap(tag.timestamp) {
            self.base = None;
            self.first_seen = None;
        }
        if self.base.is_none() && !is_header && self.may_start(tag) {
            self.start(tag, out);
        } else if self.base.is_some() && !is_repeated {
            self.put(tag, out);
        }
    }

    fn is_leap(&self, timestamp: u32) -> bool {
        timestamp.saturating_add(MAX_BACK) < self.last_in
            || timestamp > self.last_in.saturating_add(MAX_AHEAD)
    }

    fn may_start(&mut self, tag: &Tag) -> bool {
        self.has_video |= tag.kind == TagKind::Video;
        let waited = tag.timestamp.wrapping_sub(*self.first_seen.get_or_insert(tag.timestamp));
        let is_sound = tag.kind == TagKind::Audio && !self.has_video && waited > AUDIO_ONLY_AFTER;
        (tag.is_key_frame() || is_sound) && self.headers.can_decode(tag)
    }

    fn start(&mut self, tag: &Tag, out: &mut Vec<u8>) {
        let at = if self.is_begun { self.last_out + GAP } else { 0 };
        if !std::mem::replace(&mut self.is_begun, true) {
            out.extend_from_slice(&file_header());
        }
        for header in self.headers.tags() {
            put_tag(out, &Tag { timestamp: at, ..header.clone() });
        }
        self.base = Some(Base { from: tag.timestamp, at });
        self.last_in = tag.timestamp;
        self.put(tag, out);
    }

    fn put(&mut self, tag: &Tag, out: &mut Vec<u8>) {
        let Some(base) = self.base else { return };
        // A sound may belong just before the picture that it follows.
        let timestamp = tag.timestamp.saturating_sub(base.from).saturating_add(base.at);
        self.last_in = self.last_in.max(tag.timestamp);
        self.last_out = self.last_out.max(timestamp);
        put_tag(out, &Tag { timestamp, ..tag.clone() });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flv::Demuxer;

    fn tag(kind: TagKind, timestamp: u32, payload: &[u8]) -> Tag {
        Tag { kind, timestamp, payload: bytes::Bytes::copy_from_slice(payload) }
    }

    #[test]
    fn a_broadcast_that_begins_anew_goes_on_in_time() {
        let (key, inter) = ([0x12, 1, 2], [0x22, 1, 3]);
        let tags = [
            tag(TagKind::Video, 90_000, &key),
            tag(TagKind::Video, 90_040, &inter),
            tag(TagKind::Video, 0, &inter),
            tag(TagKind::Video, 40, &key),
            tag(TagKind::Video, 80, &inter),
        ];
        let (mut recorder, mut out) = (Recorder::default(), Vec::new());
        tags.iter().for_each(|tag| recorder.push(tag, &mut out));
        let mut demuxer = Demuxer::default();
        demuxer.push(&out);
        let read: Vec<_> =
            std::iter::from_fn(|| demuxer.next_tag().unwrap()).map(|tag| tag.timestamp).collect();
        assert_eq!(read, [0, 40, 80, 120]);
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
