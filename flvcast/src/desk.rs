//! From what sources give to what is sent, and when: one timeline, paced, with headers repeated.

use std::{
    collections::VecDeque,
    time::{Duration, Instant, SystemTime},
};

use crate::{
    Error,
    flv::Tag,
    mixer::{Mixed, Mixer},
    pacer::Pacer,
    repeater::Repeater,
    timeline::{Placed, Timeline},
};

/// When nothing came for so long, what is held for what might follow goes out.
const REST: Duration = Duration::from_millis(500);

/// How far behind its source something is, and how far it may be.
pub type Backlog = Option<(Duration, Duration)>;

/// What is to be done next.
#[derive(Debug)]
pub enum Next {
    /// These are due.
    Send(Vec<Tag>),
    /// Nothing is due before.
    Wait(Instant),
    /// More has to be read.
    Read,
    /// Somebody should know this.
    Say(String),
    /// Everything was sent.
    End,
}

/// A broadcast in the making.
#[derive(Debug)]
pub struct Desk {
    timeline: Timeline,
    pacer: Pacer,
    repeater: Repeater,
    /// The next tag, and when it is due.
    next: Option<(Instant, Placed)>,
    said: VecDeque<String>,
    last_time: u64,
    last_read: Instant,
    has_tag: bool,
    is_at_end: bool,
    failure: Option<Error>,
}

impl Desk {
    /// Nothing was cast yet. `lower` are channels with the same in lower qualities.
    pub fn new(now: Instant, lower: Vec<String>) -> Self {
        Self {
            timeline: Timeline::default(),
            pacer: Pacer::default(),
            repeater: Repeater::naming(lower),
            next: None,
            said: VecDeque::new(),
            last_time: 0,
            last_read: now,
            has_tag: false,
            is_at_end: false,
            failure: None,
        }
    }

    /// Other sources follow.
    pub fn begin_again(&mut self) {
        self.timeline.flush();
        self.timeline.break_off();
        (self.is_at_end, self.failure, self.has_tag) = (false, None, false);
    }

    /// What to do at this time. `backlog` says of a stamp how far behind the source it is, and how
    /// far it may be; nothing of recordings.
    pub fn next(&mut self, now: Instant, backlog: impl Fn(u32) -> Backlog) -> Result<Next, Error> {
        if let Some(text) = self.pop_said() {
            return Ok(Next::Say(text));
        }
        if self.next.is_none() {
            self.next = self.timeline.pop().map(|placed| self.schedule(now, placed, backlog));
        }
        match self.next.take() {
            Some((due, placed)) if due > now => {
                self.next = Some((due, placed));
                Ok(Next::Wait(due))
            }
            Some((_, placed)) => {
                let mut tags = Vec::new();
                self.repeater.expand(placed, SystemTime::now(), &mut tags);
                Ok(Next::Send(tags))
            }
            None => match (self.failure.take(), self.is_at_end) {
                (Some(error), _) => Err(error),
                (None, true) => Ok(Next::End),
                (None, false) => Ok(Next::Read),
            },
        }
    }

    fn schedule(
        &mut self,
        now: Instant,
        placed: Placed,
        backlog: impl Fn(u32) -> Backlog,
    ) -> (Instant, Placed) {
        let due = self.pacer.due(now, placed.time);
        if let Some((backlog, cushion)) = backlog(placed.tag.timestamp) {
            self.pacer.hurry(self.last_time, backlog, cushion);
        }
        self.last_time = self.last_time.max(placed.time);
        (due, placed)
    }

    /// Takes the next that the sources have, waiting `patience` at most. False if there is nothing
    /// new.
    pub fn read(&mut self, mixer: &mut Mixer, patience: Duration) -> bool {
        match mixer.pop(patience) {
            Ok(Some(mixed)) => {
                self.last_read = Instant::now();
                self.take(mixed);
                true
            }
            Ok(None) => {
                let rests = self.last_read.elapsed() >= REST;
                rests && self.timeline.flush()
            }
            Err(error) => {
                self.timeline.flush();
                self.failure = Some(error);
                true
            }
        }
    }

    fn take(&mut self, mixed: Mixed) {
        match mixed {
            Mixed::Tag(tag, arrived) => {
                self.has_tag = true;
                self.timeline.push(tag, arrived);
            }
            Mixed::Break => self.timeline.break_off(),
            Mixed::Say(text) => self.said.push_back(text),
            Mixed::End => {
                self.timeline.flush();
                self.is_at_end = true;
            }
        }
    }

    /// As long as there is no connection, what a live source gives is lost, but for its headers; of
    /// a recording the first tag is taken, so that one that cannot be read is known at once.
    pub fn prepare(&mut self, mixer: &mut Mixer) -> Result<(), Error> {
        while mixer.is_live() || !self.has_tag {
            match mixer.pop(Duration::ZERO)? {
                Some(Mixed::Tag(tag, Some(_))) => self.repeater.note(&tag),
                Some(mixed) => self.take(mixed),
                None => return Ok(()),
            }
            if self.is_at_end {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Something that somebody should know.
    pub fn pop_said(&mut self) -> Option<String> {
        self.said.pop_front()
    }
}

#[cfg(test)]
mod tests;
