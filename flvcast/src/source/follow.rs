//! `--follow`: a file that an encoder is still writing, from its newest key frame on, as `tail -F`
//! follows a log: over truncation, replacement and rotation.

use std::{
    fs::{File, Metadata},
    io::{self, Read, Seek, SeekFrom},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use super::{Cancel, Opened, Piece, Source, SourceError, bytes::STEADY};
use crate::{
    flv::{Demuxer, Tag},
    headers::StreamHeaders,
};

const READ: usize = 1 << 16;
const LOOK: Duration = Duration::from_millis(50);
/// Bytes that make no sense by then will never be a tag: the writer left it unfinished.
const PATIENCE: Duration = Duration::from_secs(10);

/// The file as it is followed.
pub struct Follow {
    path: PathBuf,
    cancel: Cancel,
    demuxer: Demuxer,
    file: Option<Followed>,
    /// Of the file's past: the headers of its beginning, and all since its newest key frame.
    catch_up: Option<CatchUp>,
    ready: std::collections::VecDeque<Piece>,
    has_told: bool,
    /// It was told that nothing is added to it.
    stands_still: bool,
    /// How often the end of the file is looked at.
    look: Duration,
}

struct Followed {
    file: File,
    identity: Identity,
    /// How far it was read.
    at: u64,
    grew: Instant,
}

/// Which file it is, whatever its name.
type Identity = (u64, u64);

fn identity(metadata: &Metadata) -> Identity {
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt;
        (metadata.dev(), metadata.ino())
    }
    #[cfg(not(unix))]
    {
        let created = metadata.created().ok();
        let created = created.and_then(|at| at.duration_since(std::time::UNIX_EPOCH).ok());
        (created.map_or(0, |at| at.as_nanos() as u64), 0)
    }
}

#[derive(Default)]
struct CatchUp {
    headers: StreamHeaders,
    group: Vec<Tag>,
    group_bytes: usize,
}

/// A group of pictures beyond that is not caught up with.
const MAX_GROUP_BYTES: usize = 64 << 20;

impl CatchUp {
    fn note(&mut self, tag: Tag) {
        self.headers.note(&tag);
        if tag.is_key_frame() || self.group_bytes > MAX_GROUP_BYTES {
            self.group.clear();
            self.group_bytes = 0;
        }
        // Sound alone has no groups: its last second or so will do.
        let is_sound_alone = self.group.len() > 100 && !self.group[0].is_key_frame();
        if is_sound_alone {
            self.group_bytes -= self.group.remove(0).payload.len();
        }
        self.group_bytes += tag.payload.len();
        self.group.push(tag);
    }

    fn into_pieces(self) -> impl Iterator<Item = Piece> {
        let first = self.group.first().map_or(0, |tag| tag.timestamp);
        let headers: Vec<Piece> = self
            .headers
            .tags()
            .map(|tag| Piece::Tag(Tag { timestamp: first, ..tag.clone() }))
            .collect();
        headers.into_iter().chain(self.group.into_iter().map(Piece::Tag))
    }
}

impl Follow {
    /// Follows what has this name, now or later.
    pub fn open(path: &Path, cancel: &Cancel) -> Opened {
        Opened::new(Self::new(path, cancel), STEADY)
    }

    fn new(path: &Path, cancel: &Cancel) -> Self {
        Self {
            path: path.into(),
            cancel: cancel.clone(),
            demuxer: Demuxer::of_growing_file(),
            file: None,
            catch_up: Some(CatchUp::default()),
            ready: std::collections::VecDeque::new(),
            has_told: false,
            stands_still: false,
            look: LOOK,
        }
    }

    fn failed(&self, error: &std::io::Error) -> SourceError {
        SourceError::Passing(format!("cannot read {}: {error}", self.path.display()))
    }

    /// The file of that name, from its beginning.
    fn begin(&mut self) -> Result<(), SourceError> {
        // A pipe must not even be opened: that waits for somebody who writes.
        let opened = self.path.metadata().and_then(|metadata| match metadata.is_file() {
            true => Ok((File::open(&self.path)?, metadata)),
            false => Err(io::ErrorKind::InvalidInput.into()),
        });
        let (file, metadata) = match opened {
            Ok(opened) => opened,
            Err(error) if error.kind() == io::ErrorKind::InvalidInput => {
                let path = self.path.display();
                let text = format!("{path} is no file; cast it without --follow");
                return Err(SourceError::Final(text));
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                if !std::mem::replace(&mut self.has_told, true) {
                    let text = format!("{} is not there yet; waiting for it", self.path.display());
                    self.ready.push_back(Piece::Notice(text));
                }
                return Ok(());
            }
            Err(error) => return Err(self.failed(&error)),
        };
        let identity = identity(&metadata);
        self.has_told = true;
        self.demuxer = Demuxer::of_growing_file();
        self.file = Some(Followed { file, identity, at: 0, grew: Instant::now() });
        Ok(())
    }

    /// Reads on. False at the end of what there is.
    fn fill(&mut self) -> Result<bool, SourceError> {
        let Some(followed) = &mut self.file else { return Ok(false) };
        let mut chunk = [0; READ];
        let read = followed.file.read(&mut chunk);
        let count = read.map_err(|error| {
            SourceError::Passing(format!("cannot read {}: {error}", self.path.display()))
        })?;
        followed.at += count as u64;
        self.demuxer.push(&chunk[..count]);
        if count > 0 {
            followed.grew = Instant::now();
            self.stands_still = false;
        }
        Ok(count > 0)
    }

    /// At the end: zeros that stand for what is not written yet are read again later.
    fn unread_zeros(&mut self) -> Result<(), SourceError> {
        if !self.demuxer.is_unwritten() {
            return Ok(());
        }
        let length = self.demuxer.pending().len() as u64;
        self.demuxer.forget_pending();
        if let Some(followed) = &mut self.file {
            followed.at -= length;
            let sought = followed.file.seek(SeekFrom::Start(followed.at));
            sought.map_err(|error| {
                SourceError::Passing(format!("cannot read {}: {error}", self.path.display()))
            })?;
        }
        Ok(())
    }

    /// Whether the name means another file now, or the file is shorter than what was read of it.
    fn was_replaced(&self) -> bool {
        let Some(followed) = &self.file else { return true };
        let is_shorter =
            followed.file.metadata().is_ok_and(|metadata| metadata.len() < followed.at);
        let is_other =
            self.path.metadata().is_ok_and(|metadata| identity(&metadata) != followed.identity);
        is_shorter || is_other
    }

    /// What can be done when nothing is left to read.
    fn at_the_end(&mut self) -> Result<(), SourceError> {
        self.unread_zeros()?;
        if self.was_replaced() {
            let is_first = self.file.take().is_none();
            self.catch_up.get_or_insert_default();
            self.begin()?;
            if self.file.is_some() && !is_first {
                self.ready.push_back(Piece::Restart);
            }
            return Ok(());
        }
        if let Some(catch_up) = self.catch_up.take() {
            self.ready.extend(catch_up.into_pieces());
        }
        let grew = self.file.as_ref().map_or_else(Instant::now, |followed| followed.grew);
        if grew.elapsed() > PATIENCE && !std::mem::replace(&mut self.stands_still, true) {
            let text = format!("{} does not grow; waiting for more", self.path.display());
            self.ready.push_back(Piece::Notice(text));
        }
        if !self.demuxer.pending().is_empty() && grew.elapsed() > PATIENCE {
            // What comes is looked for a tag in.
            self.demuxer.give_up_pending();
        }
        Ok(())
    }
}

impl Source for Follow {
    /// Catching up reads all of it.
    fn blocks(&self) -> bool {
        self.catch_up.is_some()
    }

    fn next(&mut self) -> Result<Piece, SourceError> {
        while !self.cancel.is_set() {
            if let Some(piece) = self.ready.pop_front() {
                return Ok(piece);
            }
            match self.demuxer.next_tag() {
                Ok(Some(tag)) => match &mut self.catch_up {
                    Some(catch_up) => catch_up.note(tag),
                    None => return Ok(Piece::Tag(tag)),
                },
                // One read, and it is looked whether anybody wants more.
                Ok(None) if !self.demuxer.is_unwritten() && self.fill()? => break,
                Ok(None) => {
                    self.at_the_end()?;
                    if self.ready.is_empty() {
                        // What is not there is looked for less often.
                        let times = if self.file.is_none() { 5 } else { 1 };
                        return Ok(Piece::Rest(self.look * times));
                    }
                }
                Err(error) => {
                    return Err(SourceError::Final(format!("{}: {error}", self.path.display())));
                }
            }
        }
        Ok(Piece::Nothing)
    }
}

#[cfg(test)]
mod tests;
