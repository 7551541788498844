//! An incremental demuxer. Damage costs the damaged tags, no more; and what other programs write
//! beyond the specification is no damage.

use bytes::{Buf, Bytes, BytesMut};
use thiserror::Error;

use super::{
    mux::{TAG_HEADER_LEN, Tracks},
    tag::{Tag, TagKind},
};

const FILE_HEADER: usize = 9;
const TRAILER: usize = 4;
const UNWRITTEN: [u8; TAG_HEADER_LEN] = [0; TAG_HEADER_LEN];
/// The header may be longer than the nine bytes known; not by much.
const MAX_FILE_HEADER: usize = 1024;
/// What may stand before the file's header, ID3 tags apart.
const MAX_JUNK: usize = 4096;
/// ID3v2, which some encoders put before the file: `ID3`, version, flags and a size of 4 × 7 bits.
const ID3_HEADER: usize = 10;
const MAX_ID3: usize = 16 << 20;
/// While looking for the next tag after damage, a tag larger than this is not believed.
const MAX_RESYNC_TAG: usize = 4 << 20;
/// A tag larger than this is looked into while its end is awaited: its size may be damaged.
const LARGE_TAG: usize = 256 << 10;
/// So many tags in a row within a tag are no accident.
const CHAIN: usize = 4;

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
    /// Encrypted tags, which nobody here can play.
    pub encrypted: u64,
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
    /// Bytes of ID3 still to be passed over.
    id3_left: usize,
    tracks: Tracks,
    headers: u64,
    /// Of the last good tag. Zero by the specification, but not with every writer.
    stream_id: [u8; 3],
    /// What this writer's trailing sizes are off by, once tags proved it.
    trailer_error: Option<u32>,
    /// This writer leaves them zero, as tags proved.
    has_zero_trailers: bool,
    /// How far a large tag was looked into.
    looked_into: usize,
    is_at_end: bool,
    zeros_wait: bool,
    is_unwritten: bool,
}

impl Default for Demuxer {
    fn default() -> Self {
        Self {
            buffer: BytesMut::new(),
            state: State::Start,
            skipped: Skipped::default(),
            id3_left: 0,
            tracks: Tracks::default(),
            headers: 0,
            stream_id: [0; 3],
            trailer_error: None,
            has_zero_trailers: false,
            looked_into: 0,
            is_at_end: false,
            zeros_wait: false,
            is_unwritten: false,
        }
    }
}

impl Demuxer {
    /// One for a file that is being written: an encoder that makes room ahead of its data leaves
    /// zeros where tags will be.
    pub fn of_growing_file() -> Self {
        Self { zeros_wait: true, ..Self::default() }
    }

    /// Whether what is pending is not all written yet: zeros stand for the rest of it.
    pub fn is_unwritten(&self) -> bool {
        self.is_unwritten
    }

    /// Adds bytes.
    pub fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// Nothing more will be pushed: a last tag without trailing size counts as whole.
    pub fn finish(&mut self) {
        self.is_at_end = true;
    }

    /// What was passed over so far.
    pub fn skipped(&self) -> Skipped {
        self.skipped
    }

    /// Bytes of a tag that is not whole yet.
    pub fn pending(&self) -> &[u8] {
        &self.buffer
    }

    /// Gives up the bytes of a tag that is not whole yet.
    pub fn forget_pending(&mut self) {
        self.is_unwritten = false;
        self.buffer.clear();
    }

    /// What is pending will never be whole: looks for a tag in it and behind it.
    pub fn give_up_pending(&mut self) {
        if self.state == State::InSync && !self.buffer.is_empty() {
            self.lose();
        }
    }

    /// File headers read so far. More than one: files were put together, and time begins anew.
    pub fn headers(&self) -> u64 {
        self.headers
    }

    /// What the last file header promises.
    pub fn tracks(&self) -> Tracks {
        self.tracks
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

    /// True when the header was read, or something before it was passed over.
    fn read_file_header(&mut self) -> Result<bool, NotFlv> {
        if self.skip_id3() {
            return Ok(!self.buffer.is_empty());
        }
        if !b"FLV".starts_with(&self.buffer[..self.buffer.len().min(3)]) {
            return self.skip_junk();
        }
        if self.buffer.len() < FILE_HEADER {
            return Ok(false);
        }
        let offset =
            self.buffer[5..FILE_HEADER].iter().fold(0, |all, byte| all << 8 | *byte as usize);
        let header = offset.clamp(FILE_HEADER, MAX_FILE_HEADER);
        if self.buffer.len() <= header {
            return Ok(false);
        }
        // The zero before the first tag is missing where that stands in its place.
        let is_tag = TagKind::from_code(self.buffer[header]).is_some();
        let whole = if is_tag { header } else { header + TRAILER };
        if self.buffer.len() < whole {
            return Ok(false);
        }
        self.tracks = Tracks::from_flags(self.buffer[4]);
        self.buffer.advance(whole);
        self.headers += 1;
        self.state = State::InSync;
        Ok(true)
    }

    /// Whether some of an ID3 tag was passed over.
    fn skip_id3(&mut self) -> bool {
        if self.id3_left == 0 && self.buffer.len() >= ID3_HEADER && self.buffer.starts_with(b"ID3")
        {
            let size = self.buffer[6..ID3_HEADER]
                .iter()
                .fold(0, |all, byte| all << 7 | usize::from(byte & 0x7f));
            self.id3_left = (ID3_HEADER + size).min(MAX_ID3);
        }
        let skipped = self.id3_left.min(self.buffer.len());
        self.id3_left -= skipped;
        self.buffer.advance(skipped);
        skipped > 0
    }

    /// Looks for a file header behind a little that is none.
    fn skip_junk(&mut self) -> Result<bool, NotFlv> {
        const SIGN: &[u8] = b"FLV\x01";
        const ID3: &[u8] = b"ID3";
        if ID3.starts_with(&self.buffer[..self.buffer.len().min(ID3.len())]) {
            return Ok(false);
        }
        let seen = &self.buffer[..self.buffer.len().min(MAX_JUNK)];
        match seen.windows(SIGN.len()).position(|bytes| bytes == SIGN) {
            Some(at) => {
                self.skip(at);
                Ok(true)
            }
            // Zeros may be followed by anything; what begins otherwise is another kind of file.
            None if seen.len() < MAX_JUNK && SIGN.starts_with(behind_zeros(seen)) => Ok(false),
            None => Err(NotFlv),
        }
    }

    fn read_tag(&mut self) -> Step {
        self.is_unwritten = false;
        if self.buffer.starts_with(b"FLV\x01") {
            self.state = State::Start;
            return Step::Again;
        }
        if self.buffer.len() < TAG_HEADER_LEN {
            return Step::NeedMore;
        }
        let Some(header) = Header::parse(&self.buffer) else {
            self.is_unwritten = self.zeros_wait && self.buffer.starts_with(&UNWRITTEN);
            return if self.is_unwritten { Step::NeedMore } else { self.lose() };
        };
        let end = TAG_HEADER_LEN + header.size;
        match self.judge_trailer(&header) {
            Trailer::Fits => self.take(&header, end + TRAILER),
            Trailer::Missing => self.take(&header, end),
            Trailer::Unknown if self.has_tags_within(header.size) => self.lose(),
            Trailer::Unknown => Step::NeedMore,
            Trailer::Wrong => self.lose(),
        }
    }

    /// Whether other tags lie where the payload of the one at hand should be: its size is damaged.
    fn has_tags_within(&mut self, size: usize) -> bool {
        let wanted = if self.is_at_end { 1 } else { CHAIN };
        if !self.is_at_end && size < LARGE_TAG {
            return false;
        }
        // Where a chain may begin whose end has not come yet, it is looked again.
        let again = self.looked_into.saturating_sub(LARGE_TAG).max(1);
        let last = self.buffer.len().saturating_sub(TAG_HEADER_LEN);
        if !self.is_at_end && last < self.looked_into + LARGE_TAG / 4 {
            return false;
        }
        let from = if self.is_at_end { 1 } else { again };
        self.looked_into = last;
        (from..last).any(|at| self.is_chain(at, wanted))
    }

    /// Whether so many whole tags lie here, each with its own size behind it.
    fn is_chain(&self, mut at: usize, count: usize) -> bool {
        for _ in 0..count {
            let Some(header) = self.buffer.get(at..).and_then(Header::parse) else { return false };
            let end = TAG_HEADER_LEN + header.size;
            let trailer = self.buffer.get(at + end..at + end + TRAILER);
            let fits = trailer.is_some_and(|trailer| trailer == (end as u32).to_be_bytes());
            if header.kind.is_none()
                || header.size == 0
                || header.stream_id != self.stream_id
                || !fits
            {
                return false;
            }
            at += end + TRAILER;
        }
        true
    }

    fn take(&mut self, header: &Header, whole: usize) -> Step {
        let payload = &self.buffer[TAG_HEADER_LEN..TAG_HEADER_LEN + header.size];
        // A copy, so that a small tag does not keep a large buffer alive.
        let payload = Bytes::copy_from_slice(payload);
        self.buffer.advance(whole);
        self.looked_into = 0;
        self.stream_id = header.stream_id;
        self.skipped.encrypted += u64::from(header.is_encrypted);
        match header.kind.filter(|_| !header.is_encrypted) {
            Some(kind) => Step::Tag(Tag { kind, timestamp: header.timestamp, payload }),
            None => Step::Again,
        }
    }

    /// The trailing size is the tag's, or zero as live recorders leave it, or off by what is always
    /// the same with some writers. Whatever it says, a tag that follows proves the tag.
    fn judge_trailer(&mut self, header: &Header) -> Trailer {
        let end = TAG_HEADER_LEN + header.size;
        let Some(rest) = self.buffer.get(end..) else { return Trailer::Unknown };
        let Some(trailer) = rest.first_chunk().map(|trailer| u32::from_be_bytes(*trailer)) else {
            return if self.is_at_end { Trailer::Missing } else { Trailer::Unknown };
        };
        let error = trailer.wrapping_sub(end as u32);
        if self.zeros_wait && trailer == 0 && !self.is_at_end {
            // Zeros that are followed by zeros are not written yet; by a tag, they are how this
            // writer leaves its sizes.
            let next = &rest[TRAILER..];
            self.is_unwritten = next.len() >= TAG_HEADER_LEN && next.starts_with(&UNWRITTEN);
            if self.is_unwritten || next.len() < TAG_HEADER_LEN {
                return Trailer::Unknown;
            }
        }
        let is_usual =
            self.trailer_error == Some(error) || (trailer == 0 && self.has_zero_trailers);
        if header.kind.is_some() && (error == 0 || is_usual) {
            return Trailer::Fits;
        }
        let next = &rest[TRAILER..];
        if header.kind.is_none() {
            return if error == 0 { Trailer::Fits } else { Trailer::Wrong };
        }
        match Header::parse(next) {
            Some(next) if next.kind.is_some() && next.follows(header) => {
                match trailer {
                    0 => self.has_zero_trailers = true,
                    _ => self.trailer_error = Some(error),
                }
                Trailer::Fits
            }
            None if next.len() < TAG_HEADER_LEN && self.is_at_end && next.is_empty() => {
                Trailer::Fits
            }
            None if next.len() < TAG_HEADER_LEN && !self.is_at_end => Trailer::Unknown,
            _ => Trailer::Wrong,
        }
    }

    fn lose(&mut self) -> Step {
        self.looked_into = 0;
        self.state = State::Lost;
        self.skipped.places += 1;
        self.skip(1);
        Step::Again
    }

    /// Looks for a header whose trailer agrees. False when more bytes are needed.
    fn resync(&mut self) -> bool {
        let mut unfinished = None;
        let last = self.buffer.len().saturating_sub(TAG_HEADER_LEN);
        for at in 0..last {
            let rest = &self.buffer[at..];
            let Some(header) = Header::parse(rest) else { continue };
            if header.kind.is_none() || header.stream_id != self.stream_id {
                continue;
            }
            let end = TAG_HEADER_LEN + header.size;
            match rest.get(end..end + TRAILER) {
                Some(trailer) if self.is_trailer(trailer, end) => {
                    self.skip(at);
                    self.state = State::InSync;
                    return true;
                }
                // Perhaps: its end is still to come.
                None if header.size <= MAX_RESYNC_TAG => unfinished = unfinished.or(Some(at)),
                _ => {}
            }
        }
        self.skip(unfinished.unwrap_or(last));
        false
    }

    fn is_trailer(&self, bytes: &[u8], end: usize) -> bool {
        let trailer = bytes.iter().fold(0u32, |all, byte| all << 8 | u32::from(*byte));
        let error = trailer.wrapping_sub(end as u32);
        let is_zero = trailer == 0 && self.has_zero_trailers && end > TAG_HEADER_LEN;
        error == 0 || self.trailer_error == Some(error) || is_zero
    }

    fn skip(&mut self, count: usize) {
        self.buffer.advance(count);
        self.skipped.bytes += count as u64;
    }
}

fn behind_zeros(bytes: &[u8]) -> &[u8] {
    let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
    &bytes[zeros..]
}

enum Step {
    Tag(Tag),
    NeedMore,
    Again,
}

enum Trailer {
    Fits,
    Missing,
    Unknown,
    Wrong,
}

/// A tag's header. No kind: a type that is passed over.
struct Header {
    kind: Option<TagKind>,
    is_encrypted: bool,
    size: usize,
    timestamp: u32,
    stream_id: [u8; 3],
}

impl Header {
    fn parse(bytes: &[u8]) -> Option<Self> {
        let header: &[u8; TAG_HEADER_LEN] = bytes.first_chunk()?;
        let code = header[0] & 0x1f;
        if header[0] & 0xc0 != 0 || code == 0 {
            return None;
        }
        Some(Self {
            kind: TagKind::from_code(code),
            is_encrypted: header[0] & 0x20 != 0,
            size: u32::from_be_bytes([0, header[1], header[2], header[3]]) as usize,
            timestamp: u32::from_be_bytes([header[7], header[4], header[5], header[6]]),
            stream_id: [header[8], header[9], header[10]],
        })
    }

    /// Whether it can be the tag after `before`, of which there is no other proof.
    fn follows(&self, before: &Self) -> bool {
        const NEAR: u32 = 60_000;
        let apart = self.timestamp.wrapping_sub(before.timestamp).cast_signed();
        self.stream_id == before.stream_id && apart.unsigned_abs() < NEAR
    }
}

#[cfg(test)]
mod tests;
