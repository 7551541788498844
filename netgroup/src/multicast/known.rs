//! Since when the group is known to have reached a fragment.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

/// Steps closer together than this are one.
const RESOLUTION: Duration = Duration::from_millis(20);
const MEMORY: Duration = Duration::from_secs(30);

/// The highest number heard of, and when it was what.
#[derive(Debug, Default)]
pub(super) struct Known {
    steps: VecDeque<(u64, Instant)>,
}

impl Known {
    pub fn highest(&self) -> u64 {
        self.steps.back().map_or(0, |(id, _)| *id)
    }

    /// A fragment was seen or spoken of.
    pub fn note(&mut self, now: Instant, id: u64) {
        match self.steps.back_mut() {
            Some((highest, _)) if *highest >= id => {}
            Some((highest, at)) if now.saturating_duration_since(*at) < RESOLUTION => *highest = id,
            _ => self.steps.push_back((id, now)),
        }
        while self.steps.front().is_some_and(|(_, at)| now.saturating_duration_since(*at) > MEMORY)
            && self.steps.len() > 1
        {
            self.steps.pop_front();
        }
    }

    /// How long ago `id` was first known to exist.
    pub fn age(&self, now: Instant, id: u64) -> Duration {
        let at = self.steps.partition_point(|(highest, _)| *highest < id);
        self.steps
            .get(at)
            .map_or(Duration::ZERO, |(_, since)| now.saturating_duration_since(*since))
    }
}
