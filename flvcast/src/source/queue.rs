//! What lies between a source and the broadcast: bounded, so that a source that is faster waits.

use std::{
    collections::VecDeque,
    fmt,
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

/// Tags and bytes that may wait.
const MAX_ITEMS: usize = 2048;
const MAX_BYTES: usize = 16 << 20;
/// Once it is full there is room again when so little waits, so that it is filled in large pieces.
const FEW_ITEMS: usize = MAX_ITEMS / 2;
const FEW_BYTES: usize = MAX_BYTES / 2;

/// What waits has a size.
pub trait Sized {
    /// Bytes.
    fn size(&self) -> usize;
}

#[derive(Debug)]
struct State<T> {
    items: VecDeque<T>,
    bytes: usize,
    is_closed: bool,
    /// Somebody waits for room.
    was_full: bool,
}

/// What was not taken.
#[derive(Debug, PartialEq, Eq)]
pub enum Refused<T> {
    /// It may be offered again once there is room.
    Full(T),
    /// Nobody takes any more.
    Closed,
}

/// First in, first out.
pub struct Queue<T> {
    state: Mutex<State<T>>,
    changed: Condvar,
    on_news: Box<dyn Fn() + Send + Sync>,
    on_room: Box<dyn Fn() + Send + Sync>,
}

impl<T> fmt::Debug for Queue<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Queue")
    }
}

impl<T: Sized> Queue<T> {
    /// An empty one; `on_news` is called when it ceases to be empty, `on_room` when there is room
    /// where there was none, or it is closed.
    pub fn new(
        on_news: impl Fn() + Send + Sync + 'static,
        on_room: impl Fn() + Send + Sync + 'static,
    ) -> Self {
        let (items, bytes) = (VecDeque::new(), 0);
        let state = Mutex::new(State { items, bytes, is_closed: false, was_full: false });
        let (on_news, on_room) = (Box::new(on_news), Box::new(on_room));
        Self { state, changed: Condvar::new(), on_news, on_room }
    }

    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes an item, if there is room.
    pub fn offer(&self, item: T) -> Result<(), Refused<T>> {
        let mut state = self.lock();
        if state.is_closed {
            return Err(Refused::Closed);
        }
        let (items, bytes) = match state.was_full {
            true => (FEW_ITEMS, FEW_BYTES),
            false => (MAX_ITEMS, MAX_BYTES),
        };
        state.was_full = state.items.len() >= items || state.bytes >= bytes;
        if state.was_full {
            return Err(Refused::Full(item));
        }
        self.take(state, item);
        Ok(())
    }

    /// Takes an item though there be no room.
    pub fn force(&self, item: T) {
        let state = self.lock();
        if !state.is_closed {
            self.take(state, item);
        }
    }

    fn take(&self, mut state: MutexGuard<'_, State<T>>, item: T) {
        state.bytes += item.size();
        state.items.push_back(item);
        let is_news = state.items.len() == 1;
        drop(state);
        if is_news {
            self.changed.notify_all();
            (self.on_news)();
        }
    }

    /// The next, or nothing within `patience`.
    pub fn pop(&self, patience: Duration) -> Option<T> {
        let mut state = self.lock();
        if state.items.is_empty() && !patience.is_zero() {
            let is_empty = |state: &mut State<T>| state.items.is_empty() && !state.is_closed;
            let waited = self.changed.wait_timeout_while(state, patience, is_empty);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        let item = state.items.pop_front()?;
        state.bytes -= item.size();
        let has_room = state.items.len() < FEW_ITEMS && state.bytes < FEW_BYTES;
        let is_waited_for = has_room && std::mem::take(&mut state.was_full);
        drop(state);
        if is_waited_for {
            (self.on_room)();
        }
        Some(item)
    }

    /// Looks at the last.
    pub fn last<R>(&self, look: impl FnOnce(&T) -> Option<R>) -> Option<R> {
        self.lock().items.back().and_then(look)
    }

    /// Nobody takes any more.
    pub fn close(&self) {
        let mut state = self.lock();
        state.is_closed = true;
        state.items.clear();
        state.bytes = 0;
        drop(state);
        self.changed.notify_all();
        (self.on_room)();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    };

    use super::*;

    impl Sized for usize {
        fn size(&self) -> usize {
            *self
        }
    }

    #[test]
    fn a_fast_source_waits_until_half_of_it_is_taken() {
        let rooms = Arc::new(AtomicUsize::new(0));
        let told = rooms.clone();
        let queue = Queue::new(
            || {},
            move || {
                told.fetch_add(1, Ordering::Relaxed);
            },
        );
        let piece = MAX_BYTES / 8;
        let fill = || (0..).find(|_| queue.offer(piece).is_err()).unwrap();
        assert_eq!(fill(), 8);
        for left in (4..8).rev() {
            assert_eq!(queue.offer(piece), Err(Refused::Full(piece)), "{left} are too many");
            assert_eq!(queue.pop(Duration::ZERO), Some(piece));
            assert_eq!(rooms.load(Ordering::Relaxed), 0);
        }
        assert_eq!(queue.pop(Duration::ZERO), Some(piece));
        assert_eq!(rooms.load(Ordering::Relaxed), 1, "told once");
        assert_eq!(fill(), 5);
        queue.force(1);
        queue.close();
        assert_eq!(queue.offer(1), Err(Refused::Closed));
        assert_eq!(queue.pop(Duration::from_secs(60)), None);
    }
}
