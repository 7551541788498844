//! Writing a broadcast to a file or standard output, on a thread of its own.

use std::{
    fs::File,
    io::{self, Write},
    path::{Path, PathBuf},
    sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel},
    thread::JoinHandle,
};

use crate::{Error, flv::Tag, recorder::Recorder};

/// Tags that may wait for a slow disk; some minutes of them.
const QUEUE: usize = 16_384;

/// What becomes of a tag.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Written {
    /// It will be written.
    Soon,
    /// Writing cannot keep up with the stream.
    TooSlow,
    /// Writing has ended: [`Output::finish`] says why, if that is an error.
    Over,
}

/// A running writer.
#[derive(Debug)]
pub struct Output {
    tags: SyncSender<Tag>,
    thread: JoinHandle<Result<u64, Error>>,
}

impl Output {
    /// To a file, or to standard output for `-`.
    pub fn start(path: &Path) -> Result<Self, Error> {
        let target = Target::open(path)?;
        let (tags, receiver) = sync_channel(QUEUE);
        let thread = std::thread::spawn(move || write_all(target, &receiver));
        Ok(Self { tags, thread })
    }

    /// Hands over a tag.
    pub fn write(&self, tag: &Tag) -> Written {
        match self.tags.try_send(tag.clone()) {
            Ok(()) => Written::Soon,
            Err(TrySendError::Full(_)) => Written::TooSlow,
            Err(TrySendError::Disconnected(_)) => Written::Over,
        }
    }

    /// Waits for the rest to be written; the bytes written in all.
    pub fn finish(self) -> Result<u64, Error> {
        drop(self.tags);
        match self.thread.join() {
            Ok(result) => result,
            Err(panic) => std::panic::resume_unwind(panic),
        }
    }
}

enum Target {
    Stdout,
    File(PathBuf, File),
}

impl Target {
    fn open(path: &Path) -> Result<Self, Error> {
        if path == Path::new("-") {
            return Ok(Self::Stdout);
        }
        let file = File::create(path).map_err(|error| Error::Output {
            path: path.into(),
            error,
            kept: 0,
        })?;
        Ok(Self::File(path.into(), file))
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::Stdout => {
                let mut out = io::stdout().lock();
                out.write_all(bytes)?;
                out.flush()
            }
            Self::File(_, file) => file.write_all(bytes),
        }
    }

    /// After an error: what is left ends with a whole tag, or is not there at all.
    fn mend(self, error: io::Error, kept: u64) -> Result<u64, Error> {
        match self {
            // Whoever read us has seen enough.
            Self::Stdout if error.kind() == io::ErrorKind::BrokenPipe => Ok(kept),
            Self::Stdout => Err(Error::Output { path: "-".into(), error, kept }),
            Self::File(path, file) => {
                let _ = file.set_len(kept);
                drop(file);
                remove_if_empty(&path, kept);
                Err(Error::Output { path, error, kept })
            }
        }
    }
}

/// Never a device or a pipe.
fn remove_if_empty(path: &Path, kept: u64) {
    if kept == 0 && path.metadata().is_ok_and(|metadata| metadata.is_file()) {
        let _ = std::fs::remove_file(path);
    }
}

fn write_all(mut target: Target, tags: &Receiver<Tag>) -> Result<u64, Error> {
    let (mut recorder, mut bytes, mut written) = (Recorder::default(), Vec::new(), 0u64);
    for tag in tags {
        bytes.clear();
        recorder.push(&tag, &mut bytes);
        if let Err(error) = target.write(&bytes) {
            return target.mend(error, written);
        }
        written += bytes.len() as u64;
    }
    if let Target::File(path, file) = target {
        drop(file);
        remove_if_empty(&path, written);
    }
    Ok(written)
}
