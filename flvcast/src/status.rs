//! What is true of a channel at this moment, for the page and for people at the terminal.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use serde::Serialize;

/// Nothing for so long is silence.
const SILENT_AFTER: Duration = Duration::from_millis(1500);

/// One word, and since when it is true.
#[derive(Debug, Clone, Copy, Serialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// The server does not answer, and no neighbour brings anything either.
    ServerGone,
    /// Nobody has cast yet.
    Waiting,
    /// It plays.
    Live,
    /// Somebody casts, but nothing comes.
    Silent,
    /// The broadcast is over; the next is waited for.
    Ended,
}

/// What is shown in the place of what is meant to be.
#[derive(Debug, Clone, Default, Serialize, PartialEq, Eq)]
pub struct Instead {
    /// The fallback plays.
    pub fallback: bool,
    /// The lower quality that is watched.
    pub quality: Option<String>,
}

/// Whether the server has us, and since when; shared by all channels of a process.
#[derive(Debug, Clone)]
pub struct Connection {
    state: Arc<Mutex<(bool, Instant)>>,
}

impl Connection {
    /// It has not.
    pub fn new(now: Instant) -> Self {
        Self { state: Arc::new(Mutex::new((false, now))) }
    }

    /// The server accepted us, or is gone.
    pub fn set(&self, now: Instant, is_up: bool) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.0 != is_up {
            *state = (is_up, now);
        }
    }

    /// The same, and since when.
    pub fn at(&self) -> (bool, Instant) {
        *self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Told by whoever hears of it, asked by whoever shows it.
#[derive(Debug, Clone)]
pub struct Status {
    connection: Connection,
    facts: Arc<Mutex<Facts>>,
}

#[derive(Debug, Default)]
struct Facts {
    last_media: Option<Instant>,
    ended: Option<Instant>,
    instead: Instead,
}

impl Status {
    /// Nothing was seen.
    pub fn new(connection: Connection) -> Self {
        Self { connection, facts: Arc::default() }
    }

    fn lock(&self) -> MutexGuard<'_, Facts> {
        self.facts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sound or picture came.
    pub fn media(&self, now: Instant) {
        let mut facts = self.lock();
        (facts.last_media, facts.ended) = (Some(now), None);
    }

    /// The broadcast is over.
    pub fn end(&self, now: Instant) {
        self.lock().ended = Some(now);
    }

    /// The fallback plays, or does no more.
    pub fn set_fallback(&self, plays: bool) {
        self.lock().instead.fallback = plays;
    }

    /// That lower quality is watched, or none.
    pub fn set_quality(&self, quality: Option<String>) {
        self.lock().instead.quality = quality;
    }

    /// What is shown in the place of what is meant to be.
    pub fn instead(&self) -> Instead {
        self.lock().instead.clone()
    }

    /// What is true, and for how long it has been.
    pub fn at(&self, now: Instant) -> (State, Duration) {
        let facts = self.lock();
        let since = |at: Instant| now.saturating_duration_since(at);
        let quiet = facts.last_media.map(since);
        if let Some(quiet) = quiet.filter(|quiet| *quiet < SILENT_AFTER && facts.ended.is_none()) {
            return (State::Live, quiet);
        }
        let (is_connected, changed) = self.connection.at();
        match (is_connected, facts.ended, quiet) {
            (false, ..) => (State::ServerGone, since(changed)),
            (true, Some(ended), _) => (State::Ended, since(ended)),
            (true, None, Some(quiet)) => (State::Silent, quiet),
            (true, None, None) => (State::Waiting, since(changed)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_what_is_true() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let connection = Connection::new(start);
        let status = Status::new(connection.clone());
        assert_eq!(status.at(at(3)), (State::ServerGone, Duration::from_secs(3)));
        connection.set(at(5), true);
        assert_eq!(status.at(at(7)), (State::Waiting, Duration::from_secs(2)));
        status.media(at(10));
        assert_eq!(status.at(at(11)).0, State::Live);
        assert_eq!(status.at(at(25)), (State::Silent, Duration::from_secs(15)));
        status.end(at(26));
        assert_eq!(status.at(at(27)), (State::Ended, Duration::from_secs(1)));
        status.media(at(30));
        connection.set(at(31), false);
        assert_eq!(status.at(at(31)).0, State::Live, "neighbours go on without the server");
        assert_eq!(status.at(at(40)), (State::ServerGone, Duration::from_secs(9)));
    }
}
