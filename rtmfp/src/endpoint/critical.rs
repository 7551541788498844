//! Who carried time critical data lately. RFC 7016 §3.5.2.1.

use std::time::Instant;

use crate::{
    event::SessionId,
    session::{Surroundings, TIME_CRITICAL_MEMORY},
};

/// What each session is told of the others.
#[derive(Debug, Default)]
pub(super) struct CriticalMemory {
    sent: Option<Instant>,
    /// The latest sender to us, and the latest other one.
    received: [Option<(SessionId, Instant)>; 2],
}

impl CriticalMemory {
    pub fn on_sent(&mut self, now: Instant) {
        self.sent = Some(now);
    }

    pub fn on_received(&mut self, now: Instant, session: SessionId) {
        if self.received[0].is_some_and(|(latest, _)| latest != session) {
            self.received[1] = self.received[0];
        }
        self.received[0] = Some((session, now));
    }

    pub fn around(&self, now: Instant, session: SessionId) -> Surroundings {
        let is_recent = |at: Instant| now.saturating_duration_since(at) < TIME_CRITICAL_MEMORY;
        let elsewhere = |entry: &Option<(SessionId, Instant)>| {
            entry.is_some_and(|(other, at)| other != session && is_recent(at))
        };
        Surroundings {
            sent_time_critical: self.sent.is_some_and(is_recent),
            time_critical_elsewhere: self.received.iter().any(elsewhere),
        }
    }
}
