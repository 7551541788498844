//! The index beside a file: a line for each key frame, written as it comes, so that a crash costs
//! the last line at most. Whatever is missing is found in the file itself.

use std::{
    fs::File,
    io::{self, Read, Seek, SeekFrom},
    path::Path,
};

use crate::flv::{Tag, TagKind};

/// No file of ours has more key frames.
const MAX_ENTRIES: usize = 1 << 20;
const MAX_BYTES: u64 = 64 << 20;
/// Where the first tag is: behind the header and the first trailing size.
const FIRST_TAG: u64 = 13;

/// A place where one can begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    /// Milliseconds from the file's beginning.
    pub time: u64,
    /// Where in the file.
    pub offset: u64,
}

impl Entry {
    /// As a line.
    pub fn line(self) -> String {
        format!("{} {}\n", self.time, self.offset)
    }

    fn parse(line: &str) -> Option<Self> {
        let (time, offset) = line.split_once(' ')?;
        Some(Self { time: time.parse().ok()?, offset: offset.parse().ok()? })
    }
}

/// What a file holds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Contents {
    /// Where one can begin, in order.
    pub entries: Vec<Entry>,
    /// The time of the last tag.
    pub duration: u64,
    /// The end of the last whole tag.
    pub end: u64,
}

impl Contents {
    /// Reads a file's index and looks at the file from the last entry on; without an index, at all
    /// of it.
    pub fn read(film: &Path, index: &Path) -> io::Result<Self> {
        let mut file = File::open(film)?;
        let length = file.metadata()?.len();
        let mut contents = Self { entries: entries(index, length), ..Self::default() };
        // The last one may be of a tag that was not written.
        let from = contents.entries.pop().map_or(FIRST_TAG, |last| last.offset);
        contents.walk(&mut file, from, length)?;
        Ok(contents)
    }

    /// Goes from tag to tag.
    fn walk(&mut self, file: &mut File, from: u64, length: u64) -> io::Result<()> {
        const HEAD: usize = 16;
        (self.end, self.duration) = (from.min(length), self.entries.last().map_or(0, |e| e.time));
        let mut at = from;
        while at + 11 <= length && self.entries.len() < MAX_ENTRIES {
            file.seek(SeekFrom::Start(at))?;
            let mut head = [0; HEAD];
            let count = read_some(file, &mut head)?;
            let Some(kind) = TagKind::from_code(head[0]).filter(|_| count >= 11) else { break };
            let size = u64::from(u32::from_be_bytes([0, head[1], head[2], head[3]]));
            let next = at + 11 + size + 4;
            if next > length {
                break;
            }
            let time = u64::from(u32::from_be_bytes([head[7], head[4], head[5], head[6]]));
            let shown = &head[11..count.min(11 + usize::try_from(size).unwrap_or(HEAD))];
            let payload = bytes::Bytes::copy_from_slice(shown);
            let tag = Tag { kind, timestamp: 0, payload };
            if tag.is_key_frame() {
                self.entries.push(Entry { time, offset: at });
            }
            (self.end, self.duration, at) = (next, self.duration.max(time), next);
        }
        Ok(())
    }

    /// The last place to begin at or before a time.
    pub fn before(&self, time: u64) -> Option<Entry> {
        let count = self.entries.partition_point(|entry| entry.time <= time);
        self.entries.get(count.saturating_sub(1)).copied()
    }
}

/// The whole lines of an index that make sense.
fn entries(path: &Path, length: u64) -> Vec<Entry> {
    let mut text = String::new();
    let Ok(file) = File::open(path) else { return Vec::new() };
    if file.take(MAX_BYTES).read_to_string(&mut text).is_err() {
        return Vec::new();
    }
    let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
    let mut last = Entry { time: 0, offset: FIRST_TAG - 1 };
    let mut entries = Vec::new();
    for entry in whole.lines().take(MAX_ENTRIES).map_while(Entry::parse) {
        if entry.offset <= last.offset || entry.time < last.time || entry.offset >= length {
            break;
        }
        last = entry;
        entries.push(entry);
    }
    entries
}

fn read_some(file: &mut File, buffer: &mut [u8]) -> io::Result<usize> {
    let mut count = 0;
    while count < buffer.len() {
        match file.read(&mut buffer[count..]) {
            Ok(0) => break,
            Ok(more) => count += more,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(count)
}
