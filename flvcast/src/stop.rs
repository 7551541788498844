//! Stopping: Ctrl-C, a time limit, or somebody else's word.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

/// Set once, seen by all clones.
#[derive(Debug, Clone, Default)]
pub struct Stop {
    is_set: Arc<AtomicBool>,
    deadline: Option<Instant>,
}

impl Stop {
    /// Set by Ctrl-C and termination, and after `limit`.
    pub fn on_signals(limit: Option<Duration>) -> Self {
        // What is too far off to be counted is never.
        let deadline = limit.and_then(|limit| Instant::now().checked_add(limit));
        let stop = Self { is_set: Arc::default(), deadline };
        let flag = stop.is_set.clone();
        if let Err(error) = ctrlc::set_handler(move || flag.store(true, Ordering::Relaxed)) {
            log::warn!("Ctrl-C will not stop cleanly: {error}");
        }
        stop
    }

    /// Whether it is time to stop.
    pub fn is_set(&self) -> bool {
        self.is_set.load(Ordering::Relaxed) || self.has_run_out()
    }

    /// Whether the time limit is over.
    pub fn has_run_out(&self) -> bool {
        self.deadline.is_some_and(|deadline| deadline <= Instant::now())
    }

    /// Stops all.
    pub fn set(&self) {
        self.is_set.store(true, Ordering::Relaxed);
    }
}
