//! What the sessions of an endpoint tell each other of time critical data. RFC 7016 §3.5.2.1.

use std::time::Duration;

/// How long such data is remembered.
pub(crate) const TIME_CRITICAL_MEMORY: Duration = Duration::from_millis(800);

/// What several sessions share while packets are handled.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Surroundings {
    /// Time critical data went out on some session lately.
    pub sent_time_critical: bool,
    /// Time critical data came in on another session lately.
    pub time_critical_elsewhere: bool,
}
