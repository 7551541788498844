//! What a viewer shows: the programme that comes of its tags, and what is true of it.

use std::time::{Duration, Instant};

use crate::{
    flv::{Tag, TagKind},
    hub::{Hub, Memory},
    programme::Programme,
    status::{Connection, State, Status},
    web::{Frames, Shown, Stream},
};

/// When nothing came for so long, what is held for what might follow is shown.
const REST: Duration = Duration::from_millis(1000);

/// Takes what a peer tells, and keeps what players and the page ask for.
#[derive(Debug)]
pub struct Screen {
    programme: Programme,
    hub: Hub,
    status: Status,
    frames: Frames,
    start: Instant,
    last_tag: Instant,
}

impl Screen {
    /// Nothing is shown yet.
    pub fn new(now: Instant, connection: &Connection, memory: Memory) -> Self {
        Self {
            programme: Programme::default(),
            hub: Hub::new(memory),
            status: Status::new(connection.clone()),
            frames: Frames::default(),
            start: now,
            last_tag: now,
        }
    }

    /// For players.
    pub fn hub(&self) -> &Hub {
        &self.hub
    }

    /// What is true, and for how long it has been.
    pub fn state(&self, now: Instant) -> (State, Duration) {
        self.status.at(now)
    }

    /// What is shown in the place of what is meant to be.
    pub fn status(&self) -> &Status {
        &self.status
    }

    /// Another broadcast begins.
    pub fn begin(&mut self, from_start: bool) {
        self.programme.begin(from_start);
        self.hub.take(&mut self.programme);
    }

    /// What follows has other stamps, but goes on where the last one ended.
    pub fn splice(&mut self) {
        self.programme.splice();
    }

    /// The next tag of it.
    pub fn take(&mut self, now: Instant, tag: Tag) {
        self.last_tag = now;
        match tag.kind {
            TagKind::Script => self.frames.note_clock(&tag),
            _ => self.frames.note(&tag),
        }
        if tag.is_media() {
            self.status.media(now);
        }
        self.programme.push(tag, now - self.start);
        self.hub.take(&mut self.programme);
    }

    /// Time passes.
    pub fn tick(&mut self, now: Instant) {
        if now.saturating_duration_since(self.last_tag) >= REST {
            self.last_tag = now;
            self.programme.rest();
            self.hub.take(&mut self.programme);
        }
    }

    /// The broadcast is over.
    pub fn end(&mut self, now: Instant) {
        self.status.end(now);
        self.programme.end();
        self.hub.take(&mut self.programme);
    }

    /// Nothing will be shown any more: players get the rest.
    pub fn close(&mut self) {
        self.programme.end();
        self.hub.take(&mut self.programme);
        self.hub.close();
    }

    /// What is shown now.
    pub fn shown(&self) -> Shown {
        shown(&self.status, &self.hub, &self.frames)
    }

    /// Something that tells it elsewhere.
    pub fn reader(&self) -> impl Fn() -> Shown + Send + Sync + 'static {
        let (status, hub, frames) = (self.status.clone(), self.hub.clone(), self.frames.clone());
        move || shown(&status, &hub, &frames)
    }
}

fn shown(status: &Status, hub: &Hub, frames: &Frames) -> Shown {
    let (state, since) = status.at(Instant::now());
    Shown {
        state,
        state_ms: since.as_millis() as u64,
        instead: status.instead(),
        stream: Stream::of(&hub.headers(), frames, hub.bitrate()),
        delay_ms: frames.delay_ms(),
    }
}
