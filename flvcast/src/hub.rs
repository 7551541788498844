//! One broadcast to many HTTP viewers: each starts with the latest group of pictures.

use std::sync::{Arc, Mutex, MutexGuard};

use bytes::Bytes;
use tokio::sync::mpsc;

use crate::{flv::Tag, headers::StreamHeaders, recorder::Recorder};

/// Writes of one viewer that may wait; a viewer slower than that is let go.
const QUEUE: usize = 2048;
/// A group of pictures larger than this is not kept: new viewers wait for the next key frame.
const MAX_GROUP_BYTES: usize = 32 << 20;
const MAX_GROUP_TAGS: usize = 10_000;
const MAX_VIEWERS: usize = 256;

#[derive(Debug, Default)]
struct State {
    headers: StreamHeaders,
    /// From the latest key frame on.
    group: Vec<Tag>,
    group_bytes: usize,
    viewers: Vec<Viewer>,
}

#[derive(Debug)]
struct Viewer {
    recorder: Recorder,
    sender: mpsc::Sender<Bytes>,
}

impl Viewer {
    /// False when the viewer is gone or too slow.
    fn push(&mut self, tag: &Tag) -> bool {
        let mut bytes = Vec::new();
        self.recorder.push(tag, &mut bytes);
        if bytes.is_empty() {
            !self.sender.is_closed()
        } else {
            self.sender.try_send(bytes.into()).is_ok()
        }
    }
}

/// A handle to the broadcast, for the one who feeds it and those who watch.
#[derive(Debug, Clone, Default)]
pub struct Hub {
    state: Arc<Mutex<State>>,
}

impl Hub {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// The next tag of the broadcast.
    pub fn push(&self, tag: &Tag) {
        let mut state = self.lock();
        let is_header = state.headers.note(tag);
        if tag.is_key_frame()
            || state.group_bytes > MAX_GROUP_BYTES
            || state.group.len() > MAX_GROUP_TAGS
        {
            state.group.clear();
            state.group_bytes = 0;
        }
        if !is_header && (tag.is_key_frame() || !state.group.is_empty()) {
            state.group_bytes += tag.payload.len();
            state.group.push(tag.clone());
        }
        state.viewers.retain_mut(|viewer| viewer.push(tag));
    }

    /// A new viewer's bytes; nothing if there are too many.
    pub fn watch(&self) -> Option<mpsc::Receiver<Bytes>> {
        let mut state = self.lock();
        if state.viewers.len() >= MAX_VIEWERS {
            return None;
        }
        let (sender, receiver) = mpsc::channel(QUEUE);
        let mut recorder = Recorder::with_headers(state.headers.clone());
        let mut bytes = Vec::new();
        state.group.iter().for_each(|tag| recorder.push(tag, &mut bytes));
        if !bytes.is_empty() {
            sender.try_send(bytes.into()).ok()?;
        }
        state.viewers.push(Viewer { recorder, sender });
        Some(receiver)
    }

    /// Viewers now.
    pub fn viewers(&self) -> usize {
        self.lock().viewers.len()
    }
}
