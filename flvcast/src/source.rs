//! Where tags come from: a file, paced by its timestamps, on a thread of its own.

use std::{
    fs::File,
    io::Read,
    path::{Path, PathBuf},
    sync::mpsc::{Receiver, SyncSender, sync_channel},
    time::{Duration, Instant},
};

use crate::{
    Error,
    flv::{Demuxer, Skipped, Tag},
    headers::StreamHeaders,
};

/// Tags read ahead of their time.
const AHEAD: usize = 64;
const READ: usize = 1 << 16;
/// How often headers are repeated for late joiners, key frames apart.
const REPEAT_HEADERS: u32 = 1000;
/// Timestamps that leap further than this are a new beginning, not a pause.
const MAX_LEAP: u32 = 10_000;
/// Between the last tag of a round and the first of the next.
const LOOP_GAP: u32 = 40;

/// Reads the tags of a file once, without pacing.
#[derive(Debug)]
pub struct FileSource {
    path: PathBuf,
    file: Box<dyn ReadDebug>,
    demuxer: Demuxer,
    count: u64,
}

trait ReadDebug: Read + Send + std::fmt::Debug {}
impl<T: Read + Send + std::fmt::Debug> ReadDebug for T {}

impl FileSource {
    /// Opens the file and makes sure that it begins as FLV does.
    pub fn open(path: &Path) -> Result<Self, Error> {
        let file = File::open(path).map_err(|error| Error::Source(path.into(), error))?;
        let mut source = Self::over(path, file);
        source.fill()?;
        source.demuxer.check_start().map_err(|error| Error::NotFlv(path.into(), error))?;
        Ok(source)
    }

    /// Reads bytes that are in memory already.
    pub fn from_bytes(name: &Path, bytes: &'static [u8]) -> Self {
        Self::over(name, bytes)
    }

    fn over(path: &Path, file: impl Read + Send + std::fmt::Debug + 'static) -> Self {
        Self { path: path.into(), file: Box::new(file), demuxer: Demuxer::default(), count: 0 }
    }

    fn fill(&mut self) -> Result<usize, Error> {
        let mut chunk = [0; READ];
        let read =
            self.file.read(&mut chunk).map_err(|error| Error::Source(self.path.clone(), error))?;
        self.demuxer.push(&chunk[..read]);
        Ok(read)
    }

    /// The next tag; nothing at the end.
    pub fn next_tag(&mut self) -> Result<Option<Tag>, Error> {
        loop {
            match self.demuxer.next_tag() {
                Ok(Some(tag)) => {
                    self.count += 1;
                    return Ok(Some(tag));
                }
                Ok(None) if self.fill()? > 0 => {}
                Ok(None) if self.count == 0 => return Err(Error::Empty(self.path.clone())),
                Ok(None) => return Ok(None),
                Err(error) => return Err(Error::NotFlv(self.path.clone(), error)),
            }
        }
    }

    /// What was passed over, and whether the end is missing, in words; nothing if all is well.
    pub fn complaint(&self) -> Option<String> {
        let Skipped { bytes, places } = self.demuxer.skipped();
        let tail = self.demuxer.pending();
        let path = self.path.display();
        match (places, tail) {
            (0, 0) => None,
            (0, tail) => Some(format!(
                "{path} ends in the middle of a tag; its last {tail} bytes were left out"
            )),
            (places, _) => Some(format!(
                "{path} is damaged in {places} place(s); {bytes} bytes were passed over"
            )),
        }
    }
}

/// Gives each tag its time in one continuous broadcast, over loops and leaps.
#[derive(Debug, Default)]
struct Timeline {
    /// Added to timestamps of the file, which wraps as they may.
    shift: u32,
    last: Option<u32>,
}

impl Timeline {
    fn place(&mut self, timestamp: u32) -> u32 {
        let mut placed = timestamp.wrapping_add(self.shift);
        let last = self.last.unwrap_or(0);
        let (back, ahead) = (last.wrapping_sub(placed), placed.wrapping_sub(last));
        if self.last.is_none() || (ahead > MAX_LEAP && back > MAX_LEAP) {
            let next = self.last.map_or(0, |last| last + LOOP_GAP);
            self.shift = next.wrapping_sub(timestamp);
            placed = next;
        }
        self.last = Some(placed.max(last));
        placed
    }

    fn begin_round(&mut self, first: u32) {
        let next = self.last.map_or(0, |last| last + LOOP_GAP);
        self.shift = next.wrapping_sub(first);
    }
}

/// A tag with what belongs before it for late joiners.
#[derive(Debug, Default)]
struct Repeater {
    headers: StreamHeaders,
    last: u32,
}

impl Repeater {
    /// The tags to send for this one, in order.
    fn expand(&mut self, tag: Tag) -> Vec<Tag> {
        if self.headers.note(&tag) {
            return vec![tag];
        }
        let is_due = tag.is_key_frame() || tag.timestamp.wrapping_sub(self.last) >= REPEAT_HEADERS;
        let mut tags = Vec::new();
        if is_due {
            self.last = tag.timestamp;
            tags.extend(
                self.headers
                    .tags()
                    .map(|header| Tag { timestamp: tag.timestamp, ..header.clone() }),
            );
        }
        tags.push(tag);
        tags
    }
}

/// What a paced source says.
#[derive(Debug)]
pub enum Paced {
    /// The next tag, now due.
    Tag(Tag),
    /// Something a person should know.
    Warning(String),
    /// Reading failed.
    Failed(Error),
    /// There is no more.
    End,
}

/// Plays a source in real time on a thread of its own, from the start again if `repeats`.
pub fn pace(
    mut open: impl FnMut() -> Result<FileSource, Error> + Send + 'static,
    repeats: bool,
) -> Receiver<Paced> {
    let (sender, receiver) = sync_channel(AHEAD);
    std::thread::spawn(move || {
        let outcome = play(&mut open, repeats, &sender);
        let last = outcome.map_or_else(Paced::Failed, |()| Paced::End);
        let _ = sender.send(last);
    });
    receiver
}

fn play(
    open: &mut impl FnMut() -> Result<FileSource, Error>,
    repeats: bool,
    sender: &SyncSender<Paced>,
) -> Result<(), Error> {
    let start = Instant::now();
    let (mut timeline, mut repeater) = (Timeline::default(), Repeater::default());
    let mut has_complained = false;
    loop {
        let mut source = open()?;
        let mut is_first = true;
        while let Some(mut tag) = source.next_tag()? {
            if std::mem::take(&mut is_first) {
                timeline.begin_round(tag.timestamp);
            }
            tag.timestamp = timeline.place(tag.timestamp);
            wait_until(start + Duration::from_millis(tag.timestamp.into()));
            for tag in repeater.expand(tag) {
                if sender.send(Paced::Tag(tag)).is_err() {
                    return Ok(());
                }
            }
        }
        if let Some(complaint) =
            source.complaint().filter(|_| !std::mem::replace(&mut has_complained, true))
        {
            let _ = sender.send(Paced::Warning(complaint));
        }
        if !repeats {
            return Ok(());
        }
    }
}

fn wait_until(due: Instant) {
    let now = Instant::now();
    if due > now {
        std::thread::sleep(due - now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flv::TagKind;

    #[test]
    fn rounds_and_leaps_are_one_timeline() {
        let mut timeline = Timeline::default();
        timeline.begin_round(5000);
        let placed: Vec<_> = [5000, 5040, 5030, 5080].map(|stamp| timeline.place(stamp)).into();
        assert_eq!(placed, [0, 40, 30, 80]);
        timeline.begin_round(5000);
        assert_eq!(timeline.place(5000), 120);
        assert_eq!(timeline.place(5000 + 3_600_000), 160);
        assert_eq!(timeline.place(3), 200);
        assert_eq!(timeline.place(43), 240);
    }

    #[test]
    fn headers_come_before_each_key_frame() {
        let tag = |payload: &[u8], timestamp| Tag {
            kind: TagKind::Video,
            timestamp,
            payload: bytes::Bytes::copy_from_slice(payload),
        };
        let mut repeater = Repeater::default();
        assert_eq!(repeater.expand(tag(&[0x17, 0], 0)).len(), 1);
        let sent = repeater.expand(tag(&[0x17, 1], 40));
        assert_eq!(sent, [tag(&[0x17, 0], 40), tag(&[0x17, 1], 40)]);
        assert_eq!(repeater.expand(tag(&[0x27, 1], 80)).len(), 1);
        assert_eq!(repeater.expand(tag(&[0x27, 1], 1080)).len(), 2);
    }
}
