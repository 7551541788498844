//! What was kept of a channel, cast once more.

use std::{
    collections::VecDeque,
    fmt,
    fs::File,
    io::{Read, Seek, SeekFrom},
    path::{Path, PathBuf},
    time::Duration,
};

use super::{Nature, Opened, Piece, Source, SourceError, bytes::FlvReader};
use crate::record::{Saved, Shelf};

/// Where to begin.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum From {
    /// With the oldest.
    #[default]
    Start,
    /// So long after the beginning of the oldest, not counting times in which nothing was kept.
    After(Duration),
    /// What was on at that time, since 1970.
    At(Duration),
}

impl std::str::FromStr for From {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Ok(after) = humantime::parse_duration(text) {
            return Ok(Self::After(after));
        }
        let time = humantime::parse_rfc3339_weak(text).map_err(|_| {
            format!("'{text}' is neither a time, such as 2026-11-28T20:15:00Z, nor a duration")
        })?;
        let since = time.duration_since(std::time::UNIX_EPOCH);
        since.map(Self::At).map_err(|_| format!("'{text}' is before 1970"))
    }
}

/// The folder, and where to begin in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recording {
    /// What `--record` wrote for the channel.
    pub folder: PathBuf,
    /// Where in it.
    pub from: From,
}

impl fmt::Display for Recording {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the recording in {}", self.folder.display())
    }
}

/// File after file.
struct Files {
    shelf: Shelf,
    left: VecDeque<(String, Duration)>,
    current: Option<FlvReader<Box<dyn Read + Send>>>,
    is_first: bool,
}

/// Finds where to begin.
pub fn open(recording: &Recording) -> Result<Opened, SourceError> {
    let shelf = Shelf::new(recording.folder.clone());
    let saved = shelf.list();
    if saved.is_empty() {
        let folder = recording.folder.display();
        let hint = match &shelf.channels()[..] {
            [] => "name the folder of a channel".to_owned(),
            channels => format!("name one of the channels in it: {}", channels.join(", ")),
        };
        let text = format!("{folder} holds no recording; {hint}");
        return Err(SourceError::Final(text));
    }
    let mut skip = Duration::ZERO;
    let begin = saved.iter().position(|film| {
        let length = Duration::from_millis(film.duration_ms);
        let wanted = match recording.from {
            From::Start => Duration::ZERO,
            From::After(after) => after.saturating_sub(skip),
            From::At(time) => time.saturating_sub(Duration::from_millis(film.begun_ms)),
        };
        if wanted <= length {
            skip = wanted;
            return true;
        }
        skip += length;
        false
    });
    let Some(begin) = begin else {
        let length = humantime::format_duration(Duration::from_secs(skip.as_secs()));
        let text = format!("{recording} ends before that: it is {length} long{}", last(&saved));
        return Err(SourceError::Final(text));
    };
    let left = saved[begin..]
        .iter()
        .enumerate()
        .map(|(index, film)| (film.name.clone(), if index == 0 { skip } else { Duration::ZERO }));
    let files = Files { left: left.collect(), shelf, current: None, is_first: true };
    let left: u64 = saved[begin..].iter().map(|film| film.duration_ms).sum();
    let left = Duration::from_millis(left).saturating_sub(skip);
    let begun = Duration::from_millis(saved[begin].begun_ms) + skip;
    let notice = format!(
        "from {}, {} of it",
        time(begun),
        humantime::format_duration(Duration::from_secs(left.as_secs()))
    );
    let opened = Opened::new(files, Nature::Recorded);
    Ok(Opened { notice: Some(notice), ..opened })
}

/// A time since 1970, as people write it.
fn time(since: Duration) -> impl fmt::Display {
    humantime::format_rfc3339_seconds(std::time::UNIX_EPOCH + since)
}

/// When the last of them ends.
fn last(saved: &[Saved]) -> String {
    let end = |film: &Saved| Duration::from_millis(film.begun_ms + film.duration_ms);
    saved.last().map_or(String::new(), |film| format!(", until {}", time(end(film))))
}

impl Source for Files {
    fn next(&mut self) -> Result<Piece, SourceError> {
        loop {
            if let Some(current) = &mut self.current {
                match current.next() {
                    Ok(Piece::End) => self.current = None,
                    Ok(piece) => return Ok(piece),
                    // One that is damaged does not keep the others from being played.
                    Err(error) => {
                        self.current = None;
                        return Ok(Piece::Notice(format!("a file is passed over: {error}")));
                    }
                }
            }
            let Some((name, from)) = self.left.pop_front() else { return Ok(Piece::End) };
            match reader(&self.shelf, &name, from) {
                Ok(reader) => self.current = Some(reader),
                Err(error) => {
                    return Ok(Piece::Notice(format!("{name} is passed over: {error}")));
                }
            }
            if !std::mem::replace(&mut self.is_first, false) {
                return Ok(Piece::Restart);
            }
        }
    }
}

/// A file from a place in it, after its headers.
fn reader(
    shelf: &Shelf,
    name: &str,
    from: Duration,
) -> std::io::Result<FlvReader<Box<dyn Read + Send>>> {
    let opened = shelf.open(name, from)?;
    let film = |from: u64, to: u64| part(&opened.path, from, to);
    let input: Box<dyn Read + Send> = match (opened.first, opened.from) {
        (Some(first), Some(from)) => {
            Box::new(film(0, first.offset)?.chain(film(from.offset, opened.end)?))
        }
        _ => Box::new(film(0, opened.end)?),
    };
    Ok(FlvReader::new(opened.path.display().to_string(), &[], input, Nature::Recorded))
}

fn part(path: &Path, from: u64, to: u64) -> std::io::Result<std::io::Take<File>> {
    let mut file = File::open(path)?;
    file.seek(SeekFrom::Start(from))?;
    Ok(file.take(to.saturating_sub(from)))
}
