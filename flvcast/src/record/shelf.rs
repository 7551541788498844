//! What is saved of a channel, in order.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Serialize;

use rtmfp::crypto::sha256;

use super::index::{Contents, Entry};

/// What stays as it is in the name of a folder.
const PLAIN: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b' ');
const FILM: &str = "flv";
const INDEX: &str = "index";
/// Of a folder's name; the rest of longer ones is told apart by its hash.
const MAX_NAME: usize = 200;
/// More files than anybody looks through.
const MAX_FILES: usize = 100_000;

/// A file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Saved {
    /// Its name, without the ending.
    pub name: String,
    /// When it was begun, in milliseconds since 1970.
    pub begun_ms: u64,
    /// How long it is.
    pub duration_ms: u64,
    /// How large it is.
    pub bytes: u64,
}

/// What is known of a file of such a size.
type Known = BTreeMap<String, (u64, Saved)>;

/// A channel's folder.
#[derive(Debug)]
pub struct Shelf {
    folder: PathBuf,
    known: Mutex<Known>,
}

impl Shelf {
    /// The folder of a channel in the folder of all.
    pub fn of_channel(folder: &Path, channel: &str) -> Self {
        let mut name = utf8_percent_encode(channel, PLAIN).to_string();
        if name.len() > MAX_NAME {
            let hash = sha256(&[channel.as_bytes()]);
            name.truncate(MAX_NAME);
            name = format!("{name}-{}", netgroup::hex(&hash[..8]));
        }
        Self::new(folder.join(name))
    }

    /// A folder that has the files.
    pub fn new(folder: PathBuf) -> Self {
        Self { folder, known: Mutex::default() }
    }

    /// Folders of this one that hold recordings, by name: it is one of all channels, perhaps.
    pub fn channels(&self) -> Vec<String> {
        let Ok(entries) = fs::read_dir(&self.folder) else { return Vec::new() };
        let folders = entries.filter_map(|entry| Some(entry.ok()?.path()));
        let kept =
            folders.filter(|path| path.is_dir() && !Self::new(path.clone()).names().is_empty());
        let mut names: Vec<String> =
            kept.filter_map(|path| Some(path.file_name()?.to_str()?.to_owned())).collect();
        names.sort();
        names
    }

    /// Where the files are.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The names of all files, the oldest first.
    fn names(&self) -> Vec<String> {
        let Ok(entries) = fs::read_dir(&self.folder) else { return Vec::new() };
        let name = |entry: io::Result<fs::DirEntry>| {
            let path = entry.ok()?.path();
            let name = path.file_stem()?.to_str()?.to_owned();
            (path.extension()? == FILM && number(&name).is_some()).then_some(name)
        };
        let mut names: Vec<String> = entries.filter_map(name).take(MAX_FILES).collect();
        names.sort_by_key(|name| number(name));
        names
    }

    fn path(&self, name: &str, ending: &str) -> PathBuf {
        self.folder.join(format!("{name}.{ending}"))
    }

    /// Name and places of the next file. Files are in the order of their numbers, whatever clocks
    /// do.
    pub(super) fn next(&self, now: SystemTime) -> io::Result<(String, PathBuf, PathBuf)> {
        fs::create_dir_all(&self.folder)?;
        let last = self.names().last().and_then(|name| number(name)).unwrap_or(0);
        let time = humantime::format_rfc3339_seconds(now).to_string().replace([':', '-'], "");
        let name = format!("{:06}-{time}", last + 1);
        let (film, index) = (self.path(&name, FILM), self.path(&name, INDEX));
        // An index without its film is of no use.
        let _ = fs::remove_file(&index);
        Ok((name, film, index))
    }

    /// All files, the oldest first.
    pub fn list(&self) -> Vec<Saved> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let before = std::mem::take(&mut *known);
        for name in self.names() {
            let Ok(length) = self.path(&name, FILM).metadata().map(|film| film.len()) else {
                continue;
            };
            let same = before.get(&name).filter(|(of_length, _)| *of_length == length).cloned();
            let saved = same.or_else(|| Some((length, self.look_at(&name).ok()?)));
            if let Some(saved) = saved {
                known.insert(name, saved);
            }
        }
        let mut all: Vec<Saved> = known.values().map(|(_, saved)| saved.clone()).collect();
        all.sort_by_key(|saved| number(&saved.name));
        all
    }

    fn look_at(&self, name: &str) -> io::Result<Saved> {
        let contents = self.contents(name)?;
        let begun_ms = begun(name).map_or(0, |time| time.as_millis() as u64);
        let (duration_ms, bytes) = (contents.duration, contents.end);
        Ok(Saved { name: name.to_owned(), begun_ms, duration_ms, bytes })
    }

    fn contents(&self, name: &str) -> io::Result<Contents> {
        Contents::read(&self.path(name, FILM), &self.path(name, INDEX))
    }

    /// A file that is on the shelf: where it is, and the first and the wanted place to begin.
    pub fn open(&self, name: &str, from: Duration) -> io::Result<Opened> {
        if !self.names().iter().any(|known| known == name) {
            return Err(io::ErrorKind::NotFound.into());
        }
        let contents = self.contents(name)?;
        let path = self.path(name, FILM);
        let first = contents.entries.first().copied();
        let from = contents.before(from.as_millis() as u64).or(first);
        Ok(Opened { path, first, from, end: contents.end })
    }

    /// Removes the oldest until no more than so many bytes are there. The newest stays.
    pub fn make_room(&self, space: u64) {
        let names = self.names();
        let size = |name: &String| {
            let of = |ending| self.path(name, ending).metadata().map_or(0, |file| file.len());
            of(FILM) + of(INDEX)
        };
        let mut total: u64 = names.iter().map(size).sum();
        for name in names.iter().take(names.len().saturating_sub(1)) {
            if total <= space {
                return;
            }
            total -= size(name);
            let _ = fs::remove_file(self.path(name, FILM));
            let _ = fs::remove_file(self.path(name, INDEX));
        }
    }
}

/// A file to read.
#[derive(Debug, Clone)]
pub struct Opened {
    /// Where it is.
    pub path: PathBuf,
    /// Before this are the headers.
    pub first: Option<Entry>,
    /// Where to begin.
    pub from: Option<Entry>,
    /// The end of the last whole tag.
    pub end: u64,
}

/// The number that a name begins with.
fn number(name: &str) -> Option<u64> {
    name.split_once('-')?.0.parse().ok()
}

/// When a file was begun, since 1970, by its name.
fn begun(name: &str) -> Option<Duration> {
    let time = name.split_once('-')?.1;
    let (date, clock) = time.strip_suffix('Z')?.split_once('T')?;
    let at = |text: &str, from: usize, to: usize| text.get(from..to).map(str::to_owned);
    let text = format!(
        "{}-{}-{}T{}:{}:{}Z",
        at(date, 0, 4)?,
        at(date, 4, 6)?,
        at(date, 6, 8)?,
        at(clock, 0, 2)?,
        at(clock, 2, 4)?,
        at(clock, 4, 6)?
    );
    humantime::parse_rfc3339(&text).ok()?.duration_since(UNIX_EPOCH).ok()
}
