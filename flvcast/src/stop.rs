//! Stopping: Ctrl-C, a time limit, or somebody else's word.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use signal_hook::{
    consts::{SIGHUP, SIGINT, SIGTERM},
    flag,
};

/// Set once, seen by all clones.
#[derive(Debug, Clone, Default)]
pub struct Stop {
    is_set: Arc<AtomicBool>,
    is_hung_up: Arc<AtomicBool>,
    deadline: Option<Instant>,
}

impl Stop {
    /// Set by Ctrl-C, termination and hangup, and after `limit`.
    pub fn on_signals(limit: Option<Duration>) -> Self {
        Self::registered(limit, |stop| {
            [SIGINT, SIGTERM, SIGHUP].iter().try_for_each(|signal| stop.listen(*signal))
        })
    }

    /// Set by Ctrl-C and termination; a hangup is told by [`Self::take_hangup`].
    pub fn but_for_hangup() -> Self {
        Self::registered(None, |stop| {
            flag::register(SIGHUP, stop.is_hung_up.clone())?;
            [SIGINT, SIGTERM].iter().try_for_each(|signal| stop.listen(*signal))
        })
    }

    fn registered(limit: Option<Duration>, register: impl FnOnce(&Self) -> io::Result<()>) -> Self {
        // What is too far off to be counted is never.
        let deadline = limit.and_then(|limit| Instant::now().checked_add(limit));
        let stop = Self { deadline, ..Self::default() };
        if let Err(error) = register(&stop) {
            log::warn!("Ctrl-C will not stop cleanly: {error}");
        }
        stop
    }

    fn listen(&self, signal: i32) -> io::Result<()> {
        flag::register(signal, self.is_set.clone()).map(|_| ())
    }

    /// Whether it is time to stop.
    pub fn is_set(&self) -> bool {
        self.is_set.load(Ordering::Relaxed) || self.has_run_out()
    }

    /// Whether the time limit is over.
    pub fn has_run_out(&self) -> bool {
        self.deadline.is_some_and(|deadline| deadline <= Instant::now())
    }

    /// Whether there was a hangup since this was asked last.
    pub fn take_hangup(&self) -> bool {
        self.is_hung_up.swap(false, Ordering::Relaxed)
    }

    /// Stops all.
    pub fn set(&self) {
        self.is_set.store(true, Ordering::Relaxed);
    }
}
