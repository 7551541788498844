//! What a viewer sees while the swarm is silent.

use std::time::{Duration, Instant};

use super::splice::{Feed, Splice};
use crate::{
    Error,
    broadcast::{Broadcast, Pause, Sent},
    flv::Tag,
    source::{Plan, Wake},
};

/// A stand-in that failed is tried again after this, as long as it is wanted.
const RETRY: Duration = Duration::from_secs(5);

/// A swarm is never quiet for less: what comes in groups is no silence.
const LEAST_PATIENCE: Duration = Duration::from_millis(500);

/// What stands in, and when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StandInConfig {
    /// What.
    pub plan: Plan,
    /// The swarm may be silent for so long.
    pub patience: Duration,
}

/// Looks whether it is wanted, and plays.
#[derive(Debug)]
pub struct StandIn {
    config: StandInConfig,
    wake: Wake,
    /// The swarm gave something, or we began to wait.
    heard: Instant,
    playing: Option<Broadcast>,
    retry_at: Option<Instant>,
    /// It was said that the swarm is silent.
    is_told: bool,
    pub(super) splice: Splice,
}

/// What it gives.
#[derive(Debug)]
pub enum Given {
    /// A tag, for the splice.
    Tag(Tag),
    /// Something that a person should know.
    Notice(String),
    /// Something that a person may have to mend.
    Trouble(Error),
}

impl StandIn {
    /// Waits for the swarm first.
    pub fn new(now: Instant, config: StandInConfig, wake: Wake) -> Self {
        let (playing, retry_at, is_told) = (None, None, false);
        let patience = config.patience.max(LEAST_PATIENCE);
        let config = StandInConfig { patience, ..config };
        Self { config, wake, heard: now, playing, retry_at, is_told, splice: Splice::default() }
    }

    /// The swarm gave sound or a picture; once it is shown, nothing stands in.
    pub fn heard(&mut self, now: Instant) {
        self.heard = now;
        if self.splice.current() == Feed::Swarm {
            (self.playing, self.retry_at, self.is_told) = (None, None, false);
        }
    }

    /// Plays what is due, if it is wanted; when to look again.
    pub fn advance(&mut self, now: Instant, mut give: impl FnMut(Given)) -> Instant {
        const LOOK: Duration = Duration::from_millis(100);
        if self.playing.is_none() && !self.begin(now, &mut give) {
            return now + LOOK;
        }
        let Some(playing) = &mut self.playing else { return now + LOOK };
        let pause = playing.advance(now, |sent| match sent {
            Sent::Tag(tag) => give(Given::Tag(tag)),
            Sent::Notice(text) => give(Given::Notice(text)),
        });
        match pause {
            Ok(Pause::Until(due)) => due,
            Ok(Pause::Sources) => now + LOOK,
            Ok(Pause::Over) => {
                self.again(now);
                now + LOOK
            }
            Err(error) => {
                self.again(now);
                give(Given::Trouble(error));
                now + LOOK
            }
        }
    }

    fn again(&mut self, now: Instant) {
        (self.playing, self.retry_at) = (None, Some(now + RETRY));
    }

    fn begin(&mut self, now: Instant, give: &mut impl FnMut(Given)) -> bool {
        let is_silent = now.saturating_duration_since(self.heard) >= self.config.patience;
        if !is_silent || self.retry_at.is_some_and(|at| at > now) {
            return false;
        }
        if !std::mem::replace(&mut self.is_told, true) {
            give(Given::Notice("the swarm is silent; the fallback plays meanwhile".into()));
        }
        self.splice.stand_in();
        self.playing = Some(Broadcast::new(self.config.plan.clone(), None, self.wake.clone()));
        true
    }
}
