//! An incremental demuxer. Damage costs the damaged tags, no more.

use bytes::{Buf, Bytes, BytesMut};
use thiserror::Error;

use super::tag::{Tag, TagKind};

const FILE_HEADER: usize = 9;
const TAG_HEADER: usize = 11;
const TRAILER: usize = 4;
/// While looking for the next tag after damage, a tag larger than this is not believed.
const MAX_RESYNC_TAG: usize = 4 << 20;

/// The bytes do not begin as an FLV file does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("this is not an FLV file: it does not begin with 'FLV'")]
pub struct NotFlv;

/// Damage that was passed over.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Skipped {
    /// Bytes that belong to no tag.
    pub bytes: u64,
    /// Places where that happened.
    pub places: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Start,
    InSync,
    Lost,
}

/// Takes bytes as they come, gives tags. Holds at most one tag's bytes beyond what was pushed.
#[derive(Debug)]
pub struct Demuxer {
    buffer: BytesMut,
    state: State,
    skipped: Skipped,
}

impl Default for Demuxer {
    fn default() -> Self {
        Self { buffer: BytesMut::new(), state: State::Start, skipped: Skipped::default() }
    }
}

impl Demuxer {
    /// Adds bytes.
    pub fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// What was passed over so far.
    pub fn skipped(&self) -> Skipped {
        self.skipped
    }

    /// Bytes of a tag that is not whole yet.
    pub fn pending(&self) -> usize {
        self.buffer.len()
    }

    /// Says at once whether what was pushed so far can be FLV.
    pub fn check_start(&mut self) -> Result<(), NotFlv> {
        if self.state == State::Start { self.read_file_header().map(|_| ()) } else { Ok(()) }
    }

    /// The next whole tag; nothing until more bytes are pushed.
    pub fn next_tag(&mut self) -> Result<Option<Tag>, NotFlv> {
        loop {
            let goes_on = match self.state {
                State::Start => self.read_file_header()?,
                State::Lost => self.resync(),
                State::InSync => match self.read_tag() {
                    Step::Tag(tag) => return Ok(Some(tag)),
                    Step::NeedMore => false,
                    Step::Again => true,
                },
            };
            if !goes_on {
                return Ok(None);
            }
        }
    }

    fn read_file_header(&mut self) -> Result<bool, NotFlv> {
        if !b"FLV".starts_with(&self.buffer[..self.buffer.len().min(3)]) {
            return Err(NotFlv);
        }
        if self.buffer.len() < FILE_HEADER {
            return Ok(false);
        }
        let offset =
            u32::from_be_bytes([self.buffer[5], self.buffer[6], self.buffer[7], self.buffer[8]]);
        // The header may be longer than the nine bytes known; not by much.
        let header = (offset as usize).clamp(FILE_HEADER, 1024) + TRAILER;
        if self.buffer.len() < header {
            return Ok(false);
        }
        self.buffer.advance(header);
        self.state = State::InSync;
        Ok(true)
    }

    fn read_tag(&mut self) -> Step {
        if self.buffer.len() < TAG_HEADER {
            return Step::NeedMore;
        }
        let Some((kind, size, timestamp)) = parse_header(&self.buffer) else { return self.lose() };
        let whole = TAG_HEADER + size + TRAILER;
        if self.buffer.len() < whole {
            return Step::NeedMore;
        }
        if !trailer_fits(&self.buffer, size) {
            return self.lose();
        }
        let bytes = self.buffer.split_to(whole).freeze();
        let payload = bytes.slice(TAG_HEADER..TAG_HEADER + size);
        match kind {
            // A copy, so that a small tag does not keep a large buffer alive.
            Some(kind) => {
                Step::Tag(Tag { kind, timestamp, payload: Bytes::copy_from_slice(&payload) })
            }
            None => Step::Again,
        }
    }

    fn lose(&mut self) -> Step {
        self.state = State::Lost;
        self.skipped.places += 1;
        self.skip(1);
        Step::Again
    }

    /// Looks for a header whose trailer agrees. False when more bytes are needed.
    fn resync(&mut self) -> bool {
        let mut unfinished = None;
        let last = self.buffer.len().saturating_sub(TAG_HEADER);
        for at in 0..last {
            let rest = &self.buffer[at..];
            let Some((Some(_), size, _)) = parse_header(rest) else { continue };
            if rest.len() >= TAG_HEADER + size + TRAILER {
                if trailer_fits(rest, size) {
                    self.skip(at);
                    self.state = State::InSync;
                    return true;
                }
            } else if size <= MAX_RESYNC_TAG {
                // Perhaps: its end is still to come.
                unfinished = unfinished.or(Some(at));
            }
        }
        self.skip(unfinished.unwrap_or(last));
        false
    }

    fn skip(&mut self, count: usize) {
        self.buffer.advance(count);
        self.skipped.bytes += count as u64;
    }
}

enum Step {
    Tag(Tag),
    NeedMore,
    Again,
}

/// Kind (nothing for one to be ignored), payload size and timestamp; nothing if it is no header.
fn parse_header(bytes: &[u8]) -> Option<(Option<TagKind>, usize, u32)> {
    let header: &[u8; TAG_HEADER] = bytes.first_chunk()?;
    let stream_id = &header[8..];
    // Bit 5 marks encrypted tags, which nobody here can play.
    let code = header[0] & 0x1f;
    if header[0] & 0xc0 != 0 || stream_id != [0, 0, 0] || !matches!(code, 8 | 9 | 15 | 18) {
        return None;
    }
    let size = u32::from_be_bytes([0, header[1], header[2], header[3]]) as usize;
    let timestamp = u32::from_be_bytes([header[7], header[4], header[5], header[6]]);
    let kind = TagKind::from_code(code).filter(|_| header[0] & 0x20 == 0);
    Some((kind, size, timestamp))
}

/// The trailing size is the tag's, or 0 as some writers leave it.
fn trailer_fits(bytes: &[u8], size: usize) -> bool {
    let end = TAG_HEADER + size;
    let trailer = bytes
        .get(end..end + TRAILER)
        .and_then(|trailer| trailer.try_into().ok())
        .map(u32::from_be_bytes);
    trailer.is_some_and(|value| value as usize == end || value == 0 || value as usize == size)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flv::{file_header, put_tag};

    fn tag(index: usize) -> Tag {
        let kind = if index.is_multiple_of(2) { TagKind::Video } else { TagKind::Audio };
        let payload = (0..40 + index * 13 % 500).map(|at| (at * 7 + index) as u8).collect();
        Tag { kind, timestamp: index as u32 * 40, payload }
    }

    fn file(count: usize) -> (Vec<u8>, Vec<Tag>) {
        let mut out = file_header().to_vec();
        let tags: Vec<Tag> = (0..count).map(tag).collect();
        tags.iter().for_each(|tag| put_tag(&mut out, tag));
        (out, tags)
    }

    fn read_all(bytes: &[u8], step: usize) -> (Vec<Tag>, Demuxer) {
        let (mut demuxer, mut tags) = (Demuxer::default(), Vec::new());
        for chunk in bytes.chunks(step) {
            demuxer.push(chunk);
            while let Some(tag) = demuxer.next_tag().unwrap() {
                tags.push(tag);
            }
        }
        (tags, demuxer)
    }

    #[test]
    fn any_cut_of_the_bytes_gives_the_same_tags() {
        let (bytes, tags) = file(50);
        for step in [1, 7, 100, 4096, usize::MAX] {
            assert_eq!(read_all(&bytes, step).0, tags);
        }
    }

    #[test]
    fn truncation_loses_the_last_tag_only() {
        let (bytes, tags) = file(20);
        let (read, demuxer) = read_all(&bytes[..bytes.len() - 10], 64);
        assert_eq!(read, tags[..19]);
        assert!(demuxer.pending() > 0);
    }

    #[test]
    fn damage_loses_only_the_tags_it_hits() {
        let (mut bytes, tags) = file(60);
        let middle = bytes.len() / 2;
        bytes[middle..middle + 600].fill(0xa5);
        let (read, demuxer) = read_all(&bytes, 97);
        assert!(read.len() >= tags.len() - 8, "{} of {}", read.len(), tags.len());
        assert_eq!((&read[0], read.last()), (&tags[0], tags.last()));
        assert!(read.iter().all(|tag| tags.contains(tag)));
        assert_eq!(demuxer.skipped().places, 1);
    }

    #[test]
    fn bytes_lost_in_the_middle_are_survived() {
        let (mut bytes, tags) = file(60);
        bytes.drain(3000..3333);
        let (read, _) = read_all(&bytes, 1000);
        assert!(read.len() >= tags.len() - 5 && read.iter().all(|tag| tags.contains(tag)));
    }

    #[test]
    fn something_else_is_refused_at_once() {
        let mut demuxer = Demuxer::default();
        demuxer.push(b"\x00\x00\x00\x20ftypisom");
        assert_eq!(demuxer.next_tag(), Err(NotFlv));
    }
}
