//! A broadcast: what its sources give, each tag when it is due. It blocks nobody.

use std::time::{Duration, Instant};

use crate::{
    Error,
    desk::{Desk, Next},
    flv::Tag,
    mixer::Mixer,
    source::{Plan, Wake},
    stop::Stop,
};

/// Sent in one go; then others have their turn.
const MAX_TAGS: usize = 512;

/// Sources on their way to an audience.
#[derive(Debug)]
pub struct Broadcast {
    mixer: Mixer,
    desk: Desk,
}

/// When there is more to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pause {
    /// Then.
    Until(Instant),
    /// When the sources have given something, which they say by their [`Wake`]; after a tenth of a
    /// second at the latest.
    Sources,
    /// Never: all was sent.
    Over,
}

/// What a broadcast gives.
#[derive(Debug)]
pub enum Sent {
    /// A tag that is due.
    Tag(Tag),
    /// Something that a person should know.
    Notice(String),
}

impl Broadcast {
    /// Opens the sources; `fallback` plays while they give nothing.
    pub fn new(plan: Plan, fallback: Option<Plan>, wake: Wake) -> Self {
        Self::naming(Vec::new(), plan, fallback, wake)
    }

    /// One that tells viewers of channels with the same in lower qualities.
    pub fn naming(lower: Vec<String>, plan: Plan, fallback: Option<Plan>, wake: Wake) -> Self {
        let desk = Desk::new(Instant::now(), lower);
        Self { mixer: Mixer::new(plan, fallback, wake), desk }
    }

    /// Opens the sources once more, after they failed. What they give follows what was sent.
    pub fn reopen(&mut self, plan: Plan, fallback: Option<Plan>, wake: Wake) {
        self.mixer = Mixer::new(plan, fallback, wake);
        self.desk.begin_again();
    }

    /// Waits until the first source gives something, or fails. What has a fallback is not waited for.
    pub fn wait_for_first(&mut self, stop: &Stop) -> Result<(), Error> {
        self.mixer.wait_for_first(stop)
    }

    /// Whether the fallback plays.
    pub fn stands_in(&self) -> bool {
        self.mixer.stands_in()
    }

    /// Whether what plays is live.
    pub fn is_live(&self) -> bool {
        self.mixer.is_live()
    }

    /// What to do as long as nobody can be sent anything: see [`Desk::prepare`].
    pub fn prepare(&mut self, mut give: impl FnMut(Sent)) -> Result<(), Error> {
        self.desk.prepare(&mut self.mixer)?;
        while let Some(text) = self.desk.pop_said() {
            give(Sent::Notice(text));
        }
        Ok(())
    }

    /// Gives what is due.
    pub fn advance(&mut self, now: Instant, mut give: impl FnMut(Sent)) -> Result<Pause, Error> {
        let mut sent = 0;
        while sent < MAX_TAGS {
            match self.desk.next(now, |stamp| self.mixer.backlog(stamp))? {
                Next::Send(tags) => {
                    sent += tags.len();
                    tags.into_iter().for_each(|tag| give(Sent::Tag(tag)));
                }
                Next::Wait(until) => return Ok(Pause::Until(until)),
                Next::Read if self.desk.read(&mut self.mixer, Duration::ZERO) => {}
                Next::Read => return Ok(Pause::Sources),
                Next::Say(text) => give(Sent::Notice(text)),
                Next::End => return Ok(Pause::Over),
            }
        }
        Ok(Pause::Until(now))
    }
}
