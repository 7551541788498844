//! One who takes the programme tag by tag, to put it into another form.

use std::{sync::Arc, time::Duration};

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
    /// It begins with the latest that can be begun with, not the first.
    is_live: bool,
}

impl Follower {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self { shared, next: None, is_live: false }
    }

    pub(super) fn live(shared: Arc<Shared>) -> Self {
        Self { is_live: true, ..Self::new(shared) }
    }

    /// How far behind the newest it is.
    pub fn lag(&self) -> Duration {
        let ring = self.shared.lock();
        let lag = self.next.map_or(Some(0), |next| ring.lag_of(next));
        lag.map_or(Duration::MAX, Duration::from_millis)
    }

    /// Appends what is there to `out`, `most` at once.
    pub fn take(&mut self, most: usize, out: &mut Vec<Followed>) -> Taken {
        let ring = self.shared.lock();
        let begin = || {
            let openings = &ring.openings;
            let opening = if self.is_live { openings.back() } else { openings.front() };
            opening.map(|opening| opening.number)
        };
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
