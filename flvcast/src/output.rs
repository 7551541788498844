//! Writing what plays to a file or standard output, on a thread of its own.

use std::{
    fs::{File, OpenOptions},
    io::{self, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use bytes::Bytes;

use crate::{
    Error,
    flv::{Tracks, file_header},
    hub::{Hub, Taken, Viewer},
};

/// Written in one go, about.
const CHUNK: usize = 1 << 20;
/// How often it looks for news that it did not hear of.
const LOOK: Duration = Duration::from_millis(250);
/// At the end, who takes nothing is waited for this long: a reader of a pipe, and a disk.
const PIPE_PATIENCE: Duration = Duration::from_secs(2);
const DISK_PATIENCE: Duration = Duration::from_secs(30);

/// A running writer.
#[derive(Debug)]
pub struct Output {
    thread: JoinHandle<Result<u64, Error>>,
    /// Bytes so far.
    written: Arc<AtomicU64>,
    patience: Duration,
}

impl Output {
    /// To a file, or to standard output for `-`. Nothing is made before there is something to
    /// write; a file that exists is refused now, unless it may be replaced.
    pub fn start(path: &Path, overwrite: bool, hub: &Hub) -> Result<Self, Error> {
        let target = Target::new(path, overwrite)?;
        let patience = match target {
            Target::Stdout => PIPE_PATIENCE,
            _ => DISK_PATIENCE,
        };
        let (viewer, hub, written) =
            (hub.join_patiently(), hub.clone(), Arc::new(AtomicU64::new(0)));
        let writing = Writing { target, viewer, written: written.clone() };
        let thread =
            std::thread::Builder::new().name("output".into()).spawn(move || writing.run(&hub))?;
        Ok(Self { thread, written, patience })
    }

    /// Whether it has ended: by an error, or because nobody reads any more.
    pub fn has_ended(&self) -> bool {
        self.thread.is_finished()
    }

    /// Waits for the rest to be written, once the hub is closed; the bytes written in all.
    pub fn finish(self) -> Result<u64, Error> {
        let (mut written, mut moved) = (0, Instant::now());
        while !self.thread.is_finished() {
            let now = self.written.load(Ordering::Relaxed);
            if std::mem::replace(&mut written, now) != now {
                moved = Instant::now();
            }
            if moved.elapsed() >= self.patience {
                return Err(Error::NobodyReads);
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        self.thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }
}

enum Target {
    Stdout,
    /// Not made, or not opened, yet.
    Path {
        path: PathBuf,
        overwrite: bool,
    },
    File {
        path: PathBuf,
        file: File,
    },
}

impl Target {
    fn new(path: &Path, overwrite: bool) -> Result<Self, Error> {
        if path == Path::new("-") {
            return Ok(Self::Stdout);
        }
        let fail = |error| Err(Error::Output { path: path.into(), error, kept: 0 });
        match path.metadata() {
            Ok(metadata) if metadata.is_dir() => return fail(io::ErrorKind::IsADirectory.into()),
            Ok(metadata) if metadata.is_file() && !overwrite => {
                return Err(Error::OutputExists(path.into()));
            }
            Ok(_) => {}
            // It is made once there is something to write; its folder must be there now.
            Err(_) => {
                let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
                match folder.unwrap_or(Path::new(".")).metadata() {
                    Ok(metadata) if metadata.is_dir() => {}
                    Ok(_) => return fail(io::ErrorKind::NotADirectory.into()),
                    Err(error) => return fail(error),
                }
            }
        }
        Ok(Self::Path { path: path.into(), overwrite })
    }

    /// Devices and pipes are written to as they are; only what may be replaced is emptied.
    fn open(path: &Path, overwrite: bool) -> io::Result<File> {
        let mut options = OpenOptions::new();
        options.write(true);
        match path.metadata() {
            Ok(metadata) if !metadata.is_file() => options.open(path),
            Ok(_) if overwrite => options.truncate(true).open(path),
            _ => options.create_new(true).open(path),
        }
    }

    fn write(&mut self, chunks: &[Bytes]) -> io::Result<()> {
        if let Self::Path { path, overwrite } = self {
            let file = Self::open(path, *overwrite)?;
            *self = Self::File { path: std::mem::take(path), file };
        }
        match self {
            Self::Stdout => {
                let mut out = io::stdout().lock();
                chunks.iter().try_for_each(|bytes| out.write_all(bytes))?;
                out.flush()
            }
            Self::File { file, .. } => chunks.iter().try_for_each(|bytes| file.write_all(bytes)),
            Self::Path { .. } => Ok(()),
        }
    }

    /// After an error: what is left ends with a whole tag.
    fn mend(self, error: io::Error, kept: u64) -> Result<u64, Error> {
        match self {
            // Whoever read us has seen enough.
            Self::Stdout if error.kind() == io::ErrorKind::BrokenPipe => Ok(kept),
            Self::Stdout => Err(Error::Output { path: "-".into(), error, kept }),
            Self::Path { path, .. } => Err(Error::Output { path, error, kept }),
            Self::File { path, file } => {
                let _ = file.set_len(kept);
                Err(Error::Output { path, error, kept })
            }
        }
    }

    /// The header promises what turned out to be there; where it cannot be mended it stays.
    fn promise(&mut self, tracks: Tracks) {
        let Self::File { path, file } = self else { return };
        let header = file_header(tracks);
        if path.metadata().is_ok_and(|metadata| metadata.is_file())
            && file.seek(SeekFrom::Start(0)).is_ok()
        {
            let _ = file.write_all(&header);
        }
    }
}

/// What the thread has.
struct Writing {
    target: Target,
    viewer: Viewer,
    written: Arc<AtomicU64>,
}

impl Writing {
    fn run(mut self, hub: &Hub) -> Result<u64, Error> {
        let mut chunks = Vec::new();
        loop {
            chunks.clear();
            let taken = self.viewer.take(CHUNK, &mut chunks);
            if !chunks.is_empty() {
                if let Err(error) = self.target.write(&chunks) {
                    return self.fail(error);
                }
                let bytes = chunks.iter().map(|bytes| bytes.len() as u64).sum();
                self.written.fetch_add(bytes, Ordering::Relaxed);
            }
            match taken {
                Taken::More => {}
                Taken::UpToDate | Taken::Early => hub.wait(LOOK),
                Taken::Over => break,
                Taken::Lagged => {
                    return self.fail(io::Error::other("it is too slow for the stream"));
                }
            }
        }
        self.keep_promise();
        Ok(self.written.load(Ordering::Relaxed))
    }

    fn fail(self, error: io::Error) -> Result<u64, Error> {
        let written = self.written.load(Ordering::Relaxed);
        self.target.mend(error, written)
    }

    /// The header is to say what turned out to be there.
    fn keep_promise(&mut self) {
        let promised = self.viewer.promised();
        if let Some((promised, known)) = promised.filter(|(promised, known)| promised != known) {
            self.target.promise(Tracks {
                audio: promised.audio || known.audio,
                video: promised.video || known.video,
            });
        }
    }
}
