//! Keeping broadcasts: FLV files that play anywhere, cut by length, each with an index beside it. A
//! crash costs at most the tag that was being written.

mod index;
mod segment;
mod shelf;

use std::{
    io,
    path::PathBuf,
    sync::{
        Arc, Mutex, PoisonError,
        mpsc::{Receiver, RecvTimeoutError, Sender, channel},
    },
    thread::JoinHandle,
    time::{Duration, Instant, SystemTime},
};

use serde::Serialize;

use crate::{
    hub::{Followed, Follower, Hub, Taken},
    journal::{Journal, Line},
};
use segment::Segment;
pub use shelf::{Opened, Saved, Shelf};

/// How often it is looked what is new.
const LOOK: Duration = Duration::from_millis(50);
/// Written in one go.
const MAX_TAGS: usize = 256;
/// After an error the folder is tried again.
const RETRY: Duration = Duration::from_secs(10);

/// How a channel is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordConfig {
    /// The folder of all channels; each has one of its own in it.
    pub folder: PathBuf,
    /// A file is that long, to the next key frame.
    pub segment: Duration,
    /// And no larger than that.
    pub segment_bytes: u64,
    /// What a channel's files may take together; the oldest go first.
    pub space: Option<u64>,
}

impl RecordConfig {
    /// An hour a file, and no bound.
    pub fn new(folder: PathBuf) -> Self {
        Self { folder, segment: Duration::from_secs(3600), segment_bytes: 2 << 30, space: None }
    }
}

/// Bytes, as people write them: 500M, 20G, 1.5T.
pub fn size(text: &str) -> Result<u64, String> {
    let wrong = || format!("'{text}' is no size; write 500M, 20G or 1.5T");
    let (digits, unit) = match text.char_indices().last() {
        Some((at, 'k' | 'K')) => (&text[..at], 1e3),
        Some((at, 'M')) => (&text[..at], 1e6),
        Some((at, 'G')) => (&text[..at], 1e9),
        Some((at, 'T')) => (&text[..at], 1e12),
        _ => (text, 1.0),
    };
    let number: f64 = digits.trim().parse().map_err(|_| wrong())?;
    let bytes = number * unit;
    if (1.0..1e18).contains(&bytes) { Ok(bytes as u64) } else { Err(wrong()) }
}

/// What is true of a recording.
#[derive(Debug, Clone, Default, Serialize)]
pub struct RecordState {
    /// The file that is written, without its folder.
    pub file: Option<String>,
    /// Bytes written so far, to all files.
    pub bytes: u64,
    /// What goes wrong, in words.
    pub trouble: Option<String>,
}

/// Read by those who show it.
pub type SharedState = Arc<Mutex<RecordState>>;

enum Order {
    Add(Box<Recording>),
    Remove(String),
}

/// Keeps any number of channels, on a thread of its own. Dropped, it writes the rest.
#[derive(Debug)]
pub struct Recorder {
    orders: Option<Sender<Order>>,
    thread: Option<JoinHandle<()>>,
    journal: Journal,
}

impl Recorder {
    /// Keeps nothing yet.
    pub fn start(journal: Journal) -> io::Result<Self> {
        let (orders, receiver) = channel();
        let thread = std::thread::Builder::new()
            .name("recorder".into())
            .spawn(move || Works { orders: receiver, recordings: Vec::new() }.run())?;
        Ok(Self { orders: Some(orders), thread: Some(thread), journal })
    }

    /// Keeps what a channel shows from now on.
    pub fn add(&self, channel: &str, hub: &Hub, config: RecordConfig) -> (Arc<Shelf>, SharedState) {
        let shelf = Arc::new(Shelf::of_channel(&config.folder, channel));
        let state = SharedState::default();
        let recording = Recording {
            channel: channel.to_owned(),
            follower: hub.follow(),
            config,
            shelf: shelf.clone(),
            segment: None,
            retry_at: None,
            closed: 0,
            state: state.clone(),
            journal: self.journal.clone(),
        };
        self.order(Order::Add(Box::new(recording)));
        (shelf, state)
    }

    /// Ends a recording, once the rest is written.
    pub fn remove(&self, channel: &str) {
        self.order(Order::Remove(channel.to_owned()));
    }

    fn order(&self, order: Order) {
        if let Some(orders) = &self.orders {
            let _ = orders.send(order);
        }
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        self.orders = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

struct Works {
    orders: Receiver<Order>,
    recordings: Vec<Recording>,
}

impl Works {
    fn run(mut self) {
        loop {
            match self.orders.recv_timeout(LOOK) {
                Ok(Order::Add(recording)) => self.recordings.push(*recording),
                Ok(Order::Remove(channel)) => self.remove(&channel),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
            self.recordings.retain_mut(|recording| {
                let goes_on = recording.advance();
                if !goes_on {
                    recording.close();
                }
                goes_on
            });
        }
        for recording in &mut self.recordings {
            recording.advance();
            recording.close();
        }
    }

    fn remove(&mut self, channel: &str) {
        for recording in self.recordings.extract_if(.., |recording| recording.channel == channel) {
            let mut recording = recording;
            recording.advance();
            recording.close();
        }
    }
}

/// One channel that is kept.
struct Recording {
    channel: String,
    follower: Follower,
    config: RecordConfig,
    shelf: Arc<Shelf>,
    segment: Option<Segment>,
    retry_at: Option<Instant>,
    /// Bytes of files that are whole.
    closed: u64,
    state: SharedState,
    journal: Journal,
}

impl Recording {
    /// Writes what is new. False if nothing more will come.
    fn advance(&mut self) -> bool {
        let mut followed = Vec::new();
        loop {
            let taken = self.follower.take(MAX_TAGS, &mut followed);
            for next in followed.drain(..) {
                self.take(&next);
            }
            self.flush();
            match taken {
                Taken::More => {}
                Taken::Over => return false,
                Taken::Lagged => {
                    self.close();
                    let text = "the disk is too slow for the stream; a part is missing";
                    self.journal.of(&self.channel).say(Line::Trouble, text);
                }
                Taken::UpToDate | Taken::Early => return true,
            }
        }
    }

    /// So that the oldest can go before the bound on space is reached.
    fn segment_bytes(&self) -> u64 {
        let part = self.config.space.map_or(u64::MAX, |space| space / 4);
        self.config.segment_bytes.min(part)
    }

    fn flush(&mut self) {
        let Some(segment) = &mut self.segment else { return };
        if let Err(error) = segment.flush() {
            return self.fail(&error);
        }
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.bytes = self.closed + segment.bytes();
        if segment.has_media() {
            state.trouble = None;
        }
    }

    fn take(&mut self, next: &Followed) {
        if self.retry_at.is_some_and(|at| at > Instant::now()) {
            return;
        }
        let is_full = self.segment.as_ref().is_some_and(|segment| {
            let length = Duration::from_millis(next.shown.time.saturating_sub(segment.zero()));
            let is_other =
                next.headers.as_ref().is_some_and(|headers| !segment.can_go_on_with(headers));
            is_other || length >= self.config.segment || segment.bytes() >= self.segment_bytes()
        });
        if next.headers.is_some() && (is_full || self.segment.is_none()) {
            self.close();
            self.open(next);
        }
        let Some(segment) = &mut self.segment else { return };
        if let Err(error) = segment.write(&next.shown) {
            self.fail(&error);
        }
    }

    fn open(&mut self, next: &Followed) {
        let (Some(zero), Some(headers)) = (next.shown.opening, &next.headers) else { return };
        if let Some(space) = self.config.space {
            self.shelf.make_room(space.saturating_sub(self.segment_bytes()));
        }
        match Segment::create(&self.shelf, SystemTime::now(), zero, headers) {
            Ok(segment) => {
                let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
                state.file = Some(segment.name());
                drop(state);
                self.retry_at = None;
                self.segment = Some(segment);
            }
            Err(error) => self.fail(&error),
        }
    }

    /// Whole tags stay; it is tried again later.
    fn fail(&mut self, error: &io::Error) {
        let text = format!(
            "nothing is recorded: cannot write into {}: {error}; check its space and rights. What is \
             there is kept; trying again every {} s",
            self.shelf.folder().display(),
            RETRY.as_secs()
        );
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let is_new = state.trouble.as_ref() != Some(&text);
        (state.file, state.trouble) = (None, Some(text.clone()));
        drop(state);
        if is_new {
            self.journal.of(&self.channel).say(Line::Trouble, text);
        }
        self.close();
        self.retry_at = Some(Instant::now() + RETRY);
    }

    fn close(&mut self) {
        let Some(segment) = self.segment.take() else { return };
        self.closed += segment.bytes();
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        (state.bytes, state.file) = (self.closed, None);
        drop(state);
        segment.close();
    }
}

#[cfg(test)]
mod tests;
