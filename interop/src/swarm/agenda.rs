//! What lies ahead, by time; what was planned first comes first of what comes at once.

use std::{cmp::Reverse, collections::BinaryHeap, time::Instant};

#[derive(Debug)]
struct Planned<T> {
    at: Instant,
    order: u64,
    what: T,
}

impl<T> PartialEq for Planned<T> {
    fn eq(&self, other: &Self) -> bool {
        (self.at, self.order) == (other.at, other.order)
    }
}

impl<T> Eq for Planned<T> {}

impl<T> PartialOrd for Planned<T> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl<T> Ord for Planned<T> {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at, self.order).cmp(&(other.at, other.order))
    }
}

#[derive(Debug)]
pub(super) struct Agenda<T> {
    ahead: BinaryHeap<Reverse<Planned<T>>>,
    order: u64,
}

impl<T> Default for Agenda<T> {
    fn default() -> Self {
        Self { ahead: BinaryHeap::new(), order: 0 }
    }
}

impl<T> Agenda<T> {
    pub fn plan(&mut self, at: Instant, what: T) {
        self.order += 1;
        self.ahead.push(Reverse(Planned { at, order: self.order, what }));
    }

    /// When the next of it is due.
    pub fn next(&self) -> Option<Instant> {
        self.ahead.peek().map(|Reverse(planned)| planned.at)
    }

    /// The next that is due by `now`, and when it was.
    pub fn pop_due(&mut self, now: Instant) -> Option<(Instant, T)> {
        self.next().filter(|at| *at <= now)?;
        self.ahead.pop().map(|Reverse(planned)| (planned.at, planned.what))
    }

    pub fn clear(&mut self) {
        self.ahead.clear();
    }
}
