//! FLV out of anything that bytes can be read from.

use std::{
    io::Read,
    time::{Duration, Instant},
};

use super::{Nature, Piece, Source, SourceError};
use crate::{
    crew::Readable,
    flv::{Demuxer, Skipped, Tag},
};

const READ: usize = 1 << 16;
/// What is live and gives so much without a tag is no FLV any more.
const MAX_BARREN: usize = 64 << 20;
/// What is waited for is looked at this often, whatever happens.
const LOOK: Duration = Duration::from_secs(1);
/// Enough to see what a file is.
pub const SNIFF: usize = 4096;

/// What the first bytes of a source are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// FLV, perhaps behind something else.
    Flv,
    /// A playlist.
    Playlist,
    /// Neither.
    Other,
    /// There are none.
    Empty,
}

/// Tells what begins like that.
pub fn kind(head: &[u8]) -> Kind {
    let text = head.strip_prefix("\u{feff}".as_bytes()).unwrap_or(head).trim_ascii_start();
    if head.is_empty() {
        return Kind::Empty;
    }
    if text.starts_with(b"#EXTM3U") {
        return Kind::Playlist;
    }
    let mut demuxer = Demuxer::default();
    demuxer.push(head);
    if demuxer.check_start().is_ok() { Kind::Flv } else { Kind::Other }
}

/// Reads as much as tells what it is: `SNIFF` bytes, or all there are.
pub fn sniff(input: &mut impl Read) -> std::io::Result<Vec<u8>> {
    let mut head = Vec::new();
    // One that begins like FLV need not be waited for.
    while head.len() < SNIFF && !head.starts_with(b"FLV") {
        let mut chunk = [0; SNIFF];
        match input.read(&mut chunk[..SNIFF - head.len()]) {
            Ok(0) => break,
            Ok(count) => head.extend_from_slice(&chunk[..count]),
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(head)
}

/// An input that does not block.
#[derive(Debug, Clone, Copy)]
struct Waits {
    readable: Readable,
    silence: Option<Silence>,
    heard: Instant,
}

/// How long nothing may come of what is live.
#[derive(Debug, Clone, Copy)]
pub enum Silence {
    /// From the start.
    Always(Duration),
    /// Once something has come.
    OnceBegun(Duration),
}

/// Tags of an input.
pub struct FlvReader<R> {
    name: String,
    input: R,
    /// What to wait for when it would block; without, it blocks.
    waits: Option<Waits>,
    nature: Nature,
    demuxer: Demuxer,
    headers: u64,
    /// Sounds and pictures.
    count: u64,
    /// Bytes since the last tag.
    barren: usize,
    has_tags: bool,
    /// Behind a beginning that was just told.
    next: Option<Tag>,
    is_at_end: bool,
    has_complained: bool,
}

impl<R: Read + Send> FlvReader<R> {
    /// `head` was read already. `name` is for messages.
    pub fn new(name: String, head: &[u8], input: R, nature: Nature) -> Self {
        let mut demuxer = Demuxer::default();
        demuxer.push(head);
        Self {
            name,
            input,
            waits: None,
            nature,
            demuxer,
            headers: 0,
            count: 0,
            barren: 0,
            has_tags: false,
            next: None,
            is_at_end: false,
            has_complained: false,
        }
    }

    /// It never blocks: the next is there when this can be read. A live one of which nothing comes
    /// for as long as `silence` is dead.
    pub fn waiting_for(self, readable: Readable, silence: Option<Silence>) -> Self {
        Self { waits: Some(Waits { readable, silence, heard: Instant::now() }), ..self }
    }

    fn fill(&mut self) -> Result<Option<Piece>, SourceError> {
        let mut chunk = [0; READ];
        match self.input.read(&mut chunk) {
            Ok(0) => {
                self.is_at_end = true;
                self.demuxer.finish();
            }
            Ok(count) => {
                self.demuxer.push(&chunk[..count]);
                self.barren += count;
                // A film has an end, and what is behind its damage is worth finding.
                let is_live = matches!(self.nature, Nature::Live { .. });
                if is_live && self.barren > MAX_BARREN {
                    let text = format!("{}: {} MB without a tag", self.name, MAX_BARREN >> 20);
                    return Err(self.error(text));
                }
                if let Some(waits) = &mut self.waits {
                    waits.heard = Instant::now();
                }
            }
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                return self.wait().map(Some);
            }
            Err(error) => return Err(self.error(format!("cannot read {}: {error}", self.name))),
        }
        Ok(None)
    }

    fn wait(&self) -> Result<Piece, SourceError> {
        let Some(Waits { readable, silence, heard }) = self.waits else {
            return Ok(Piece::Nothing);
        };
        let longest = match silence {
            Some(Silence::Always(longest)) => longest,
            Some(Silence::OnceBegun(longest)) if self.has_tags => longest,
            _ => Duration::MAX,
        };
        if heard.elapsed() > longest {
            return Err(self.error(format!("nothing comes from {}", self.name)));
        }
        Ok(Piece::Read(readable, LOOK))
    }

    fn error(&self, text: String) -> SourceError {
        match self.nature {
            Nature::Recorded => SourceError::Final(text),
            Nature::Live { .. } => SourceError::Passing(text),
        }
    }

    /// Where files were put together, the second begins anew.
    fn announce(&mut self, tag: Tag) -> Piece {
        let headers = std::mem::replace(&mut self.headers, self.demuxer.headers());
        if headers != 0 && headers != self.headers {
            self.next = Some(tag);
            return Piece::Restart;
        }
        self.give(tag)
    }

    fn give(&mut self, tag: Tag) -> Piece {
        self.has_tags = true;
        self.count += u64::from(tag.is_media());
        Piece::Tag(tag)
    }

    fn end(&mut self) -> Result<Piece, SourceError> {
        if let Some(complaint) = self.complaint() {
            return Ok(Piece::Notice(complaint));
        }
        match self.nature {
            Nature::Live { .. } => Err(self.error(format!("{} has ended", self.name))),
            Nature::Recorded if self.count > 0 => Ok(Piece::End),
            Nature::Recorded => Err(self
                .error(format!("{} holds no whole FLV tag; there is nothing to cast", self.name))),
        }
    }

    /// What was passed over, and whether the end is missing, in words, once.
    fn complaint(&mut self) -> Option<String> {
        let is_silent = self.count == 0 || matches!(self.nature, Nature::Live { .. });
        if is_silent || std::mem::replace(&mut self.has_complained, true) {
            return None;
        }
        let Skipped { bytes, places, encrypted } = self.demuxer.skipped();
        let (name, tail) = (&self.name, self.demuxer.pending().len());
        match (places, encrypted, tail) {
            (0, 0, 0) => None,
            (0, 0, tail) => Some(format!(
                "{name} ends in the middle of a tag; its last {tail} bytes were left out"
            )),
            (0, encrypted, _) => {
                Some(format!("{encrypted} tags of {name} are encrypted; they were left out"))
            }
            (places, ..) => Some(format!(
                "{name} is damaged in {places} place(s); {bytes} bytes were passed over"
            )),
        }
    }
}

impl<R: Read + Send> Source for FlvReader<R> {
    fn blocks(&self) -> bool {
        self.waits.is_none()
    }

    fn next(&mut self) -> Result<Piece, SourceError> {
        if let Some(tag) = self.next.take() {
            return Ok(self.give(tag));
        }
        match self.demuxer.next_tag() {
            Ok(Some(tag)) => {
                self.barren = 0;
                Ok(self.announce(tag))
            }
            Ok(None) if self.is_at_end => self.end(),
            // One read, and others have their turn.
            Ok(None) => Ok(self.fill()?.unwrap_or(Piece::Nothing)),
            Err(error) => Err(self.error(format!("{}: {error}", self.name))),
        }
    }
}

/// A live source of which little waits.
pub const STEADY: Nature = Nature::Live { cushion: Duration::from_millis(1000) };
