//! Telling a source that nobody wants it any more, or that there is something to look at.

use std::{
    fmt,
    sync::{
        Arc, Condvar, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use crate::crew::Nudge;

type Hook = Box<dyn FnOnce() + Send>;

#[derive(Default)]
struct Shared {
    is_set: AtomicBool,
    hooks: Mutex<Vec<Hook>>,
    changed: Condvar,
    nudge: Option<Nudge>,
}

/// Set once; seen by all clones, by those who sleep, and by what they left to be done.
#[derive(Clone, Default)]
pub struct Cancel {
    shared: Arc<Shared>,
}

impl fmt::Debug for Cancel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Cancel({})", self.is_set())
    }
}

impl Cancel {
    /// Of a source that the crew runs.
    pub fn of(nudge: Nudge) -> Self {
        let shared = Shared { nudge: Some(nudge), ..Shared::default() };
        Self { shared: Arc::new(shared) }
    }

    /// The source has something new to look at.
    pub fn nudge(&self) {
        if let Some(nudge) = &self.shared.nudge {
            nudge.nudge();
        }
    }

    /// Whether it is time to end.
    pub fn is_set(&self) -> bool {
        self.shared.is_set.load(Ordering::Relaxed)
    }

    /// Ends everything that looks at it, and does what was left to be done.
    pub fn set(&self) {
        self.shared.is_set.store(true, Ordering::Relaxed);
        let mut hooks = self.shared.hooks.lock().unwrap_or_else(PoisonError::into_inner);
        let hooks = std::mem::take(&mut *hooks);
        self.shared.changed.notify_all();
        hooks.into_iter().for_each(|hook| hook());
        self.nudge();
    }

    /// Leaves something to be done then: to close a socket that blocks, to end a program.
    pub fn on_set(&self, hook: impl FnOnce() + Send + 'static) {
        let mut hooks = self.shared.hooks.lock().unwrap_or_else(PoisonError::into_inner);
        if self.is_set() {
            drop(hooks);
            hook();
        } else {
            hooks.push(Box::new(hook));
        }
    }

    /// What was left to be done is of no use any more.
    pub fn forget_hooks(&self) {
        self.shared.hooks.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// Sleeps, unless it is set. True if it was not.
    pub fn sleep(&self, time: Duration) -> bool {
        let hooks = self.shared.hooks.lock().unwrap_or_else(PoisonError::into_inner);
        let is_going_on = |_: &mut Vec<Hook>| !self.is_set();
        drop(self.shared.changed.wait_timeout_while(hooks, time, is_going_on));
        !self.is_set()
    }
}
