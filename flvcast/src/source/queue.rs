//! What lies between a source's thread and the broadcast: bounded, so that a source that is faster
//! waits.

use std::{
    collections::VecDeque,
    fmt,
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

/// Tags and bytes that may wait.
const MAX_ITEMS: usize = 2048;
const MAX_BYTES: usize = 16 << 20;

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
}

/// First in, first out.
pub struct Queue<T> {
    state: Mutex<State<T>>,
    changed: Condvar,
    on_news: Box<dyn Fn() + Send + Sync>,
}

impl<T> fmt::Debug for Queue<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Queue")
    }
}

impl<T: Sized> Queue<T> {
    /// An empty one; `on_news` is called when it ceases to be empty.
    pub fn new(on_news: impl Fn() + Send + Sync + 'static) -> Self {
        let state = State { items: VecDeque::new(), bytes: 0, is_closed: false };
        let on_news = Box::new(on_news);
        Self { state: Mutex::new(state), changed: Condvar::new(), on_news }
    }

    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for room. False if nobody takes any more.
    pub fn push(&self, item: T) -> bool {
        let is_full = |state: &mut State<T>| {
            let is_full = state.items.len() >= MAX_ITEMS || state.bytes >= MAX_BYTES;
            is_full && !state.is_closed
        };
        let waited = self.changed.wait_while(self.lock(), is_full);
        let mut state = waited.unwrap_or_else(PoisonError::into_inner);
        if state.is_closed {
            return false;
        }
        state.bytes += item.size();
        state.items.push_back(item);
        let is_news = state.items.len() == 1;
        drop(state);
        self.changed.notify_all();
        if is_news {
            (self.on_news)();
        }
        true
    }

    /// The next, or nothing within `patience`.
    pub fn pop(&self, patience: Duration) -> Option<T> {
        let is_empty = |state: &mut State<T>| state.items.is_empty() && !state.is_closed;
        let waited = self.changed.wait_timeout_while(self.lock(), patience, is_empty);
        let (mut state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        let item = state.items.pop_front()?;
        state.bytes -= item.size();
        self.changed.notify_all();
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
        self.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    impl Sized for usize {
        fn size(&self) -> usize {
            *self
        }
    }

    #[test]
    fn a_fast_source_waits_and_a_closed_queue_takes_nothing() {
        let queue = Arc::new(Queue::new(|| {}));
        let filling = queue.clone();
        let source = std::thread::spawn(move || {
            (0..100).take_while(|_| filling.push(MAX_BYTES / 4)).count()
        });
        for _ in 0..50 {
            assert_eq!(queue.pop(Duration::from_secs(60)), Some(MAX_BYTES / 4));
            assert!(queue.lock().bytes <= MAX_BYTES);
        }
        queue.close();
        assert!((50..=55).contains(&source.join().unwrap()));
        assert!(!queue.push(1));
        assert_eq!(queue.pop(Duration::ZERO), None);
    }
}
