//! One who takes the programme tag by tag, to put it into another form.

use std::sync::Arc;

use super::{Opening, Shared, Shown, Taken};
use crate::headers::StreamHeaders;

/// The next of the programme.
#[derive(Debug, Clone)]
pub struct Followed {
    /// A tag.
    pub shown: Shown,
    /// What must precede it, where one can begin with it.
    pub headers: Option<StreamHeaders>,
}

/// Takes all that is shown from an opening on, and waits as long as it is kept.
#[derive(Debug)]
pub struct Follower {
    shared: Arc<Shared>,
    next: Option<u64>,
}

impl Follower {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self { shared, next: None }
    }

    /// Appends what is there to `out`, `most` at once.
    pub fn take(&mut self, most: usize, out: &mut Vec<Followed>) -> Taken {
        let ring = self.shared.lock();
        let begin = || ring.openings.front().map(|opening| opening.number);
        let Some(mut next) = self.next.or_else(begin) else {
            return if ring.is_over { Taken::Over } else { Taken::UpToDate };
        };
        if next < ring.first {
            // What was lost is lost; it goes on where one can begin.
            self.next = None;
            return Taken::Lagged;
        }
        let until = ring.end().min(next + most as u64);
        let mut openings = ring.openings.partition_point(|opening| opening.number < next);
        while next < until {
            let Some(shown) = ring.get(next) else { break };
            let opening = ring.openings.get(openings).filter(|opening| opening.number == next);
            openings += usize::from(opening.is_some());
            let headers = opening.map(|Opening { headers, .. }| headers.clone());
            out.push(Followed { shown: shown.clone(), headers });
            next += 1;
        }
        self.next = Some(next);
        match next < ring.end() {
            true => Taken::More,
            false if ring.is_over => Taken::Over,
            false => Taken::UpToDate,
        }
    }
}
