//! What a channel that casts does.

use std::time::Instant;

use super::{CONNECTING, Channel, FIRST_PAUSE, LONGEST_PAUSE, Phase};
use crate::{
    Error,
    broadcast::{Broadcast, Pause, Sent},
    journal::Line,
    link::Link,
    station::Role,
};

impl Channel {
    pub(super) fn open(&mut self) {
        if let Role::Cast { plan, fallback, lower, .. } = &self.config.role {
            let (plan, fallback, wake) = (plan.clone(), fallback.clone(), self.wake.clone());
            match &mut self.broadcast {
                Some(broadcast) => broadcast.reopen(plan, fallback, wake),
                None => {
                    let lower = lower.clone();
                    self.broadcast = Some(Broadcast::naming(lower, plan, fallback, wake));
                }
            }
        }
        self.phase = Phase::Running;
    }

    pub(super) fn cast(
        &mut self,
        now: Instant,
        link: &Link,
        was_connected: bool,
    ) -> Result<Pause, Error> {
        let Role::Cast { starts_alone, .. } = self.config.role else { return Ok(Pause::Sources) };
        let Some(broadcast) = &mut self.broadcast else { return Ok(Pause::Sources) };
        if !matches!(self.phase, Phase::Running) {
            return Ok(Pause::Sources);
        }
        let (screen, member) = (&mut self.screen, self.member);
        let journal = self.journal.of(&self.config.name);
        let (has_tags, pause, witness) = (&mut self.has_tags, &mut self.pause, &self.witness);
        let give = |sent| match sent {
            Sent::Tag(tag) => {
                (*has_tags, *pause) = (true, FIRST_PAUSE);
                if let Some(witness) = witness {
                    // Who does not listen any more hears nothing.
                    let _ = witness.send((tag.clone(), Instant::now()));
                }
                link.publish(member, tag.clone());
                screen.take(now, tag);
            }
            Sent::Notice(text) => journal.say(Line::Notice, text),
        };
        if was_connected || (starts_alone && broadcast.is_live()) {
            broadcast.advance(now, give)
        } else if now.saturating_duration_since(self.started) < CONNECTING {
            Ok(Pause::Sources)
        } else {
            broadcast.prepare(give)?;
            Ok(Pause::Sources)
        }
    }

    /// The sources have ended.
    pub(super) fn end(&mut self, link: &Link) {
        self.journal.of(&self.config.name).say(Line::Notice, "the sources have ended");
        (self.broadcast, self.phase) = (None, Phase::Over);
        link.finish(self.member);
        self.screen.end(Instant::now());
    }

    pub(super) fn fail(&mut self, now: Instant, error: Error, link: &Link) {
        let Role::Cast { retries, .. } = self.config.role else { return };
        if !retries {
            link.finish(self.member);
            self.phase = Phase::Failed(error, None);
            return;
        }
        let text = format!("{error}. Trying again in {}", humantime::format_duration(self.pause));
        self.journal.of(&self.config.name).say(Line::Trouble, text);
        self.phase = Phase::Failed(error, Some(now + self.pause));
        self.pause = (self.pause * 2).min(LONGEST_PAUSE);
    }
}
