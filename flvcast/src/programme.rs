//! From the tags that a swarm brings to what a player can play: one timeline, headers once, and
//! nothing before a picture (or, where there is none, a sound) that can be decoded.

use std::{collections::VecDeque, time::Duration};

use crate::{
    flv::{Part, Tag, TagKind, Tracks, metadata},
    headers::{Noted, StreamHeaders},
    timeline::{Placed, Timeline},
};

/// Whether a stream has sound, or pictures, is known once so much of it was seen.
const SETTLED_AFTER: u64 = 1000;
/// If no picture can be decoded by then, sound is played without.
const NO_PICTURE_AFTER: u64 = 10_000;
/// What may be held while no picture can be decoded yet.
const MAX_HELD: usize = 4096;
const MAX_HELD_BYTES: usize = 32 << 20;

/// The next tag for players.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shown {
    /// Milliseconds on the programme's timeline.
    pub time: u64,
    /// Its stamp means nothing any more.
    pub tag: Tag,
    /// A player can begin here, with this as its zero, once it has the headers.
    pub opening: Option<u64>,
}

/// What plays on a channel, over all broadcasts there.
#[derive(Debug, Default)]
pub struct Programme {
    timeline: Timeline,
    headers: StreamHeaders,
    presence: Presence,
    gate: Gate,
    ready: VecDeque<Shown>,
}

/// Whether what comes can be played.
#[derive(Debug)]
enum Gate {
    /// Not yet: it is held.
    Closed { held: VecDeque<Placed>, bytes: usize, from_start: bool },
    /// It can; sound alone gives an opening now and then.
    Open {
        last_opening: u64,
        /// Pictures can be decoded, or there are none.
        has_picture: bool,
    },
}

impl Default for Gate {
    fn default() -> Self {
        Self::Closed { held: VecDeque::new(), bytes: 0, from_start: false }
    }
}

/// Which tracks there are, as far as that is known.
#[derive(Debug, Default)]
struct Presence {
    tracks: Tracks,
    first: Option<u64>,
    is_settled: bool,
    /// There are pictures, but none that can be decoded came for long.
    lacks_picture: bool,
}

impl Presence {
    fn note(&mut self, placed: &Placed) {
        match placed.tag.kind {
            TagKind::Audio => self.tracks.audio = true,
            TagKind::Video => self.tracks.video = true,
            TagKind::Script => {}
        }
        let Placed { time, tag } = placed;
        if tag.is_media() {
            let first = *self.first.get_or_insert(*time);
            let seen = time.saturating_sub(first);
            self.is_settled |= seen >= SETTLED_AFTER;
            self.lacks_picture |= seen >= NO_PICTURE_AFTER;
        }
        self.is_settled |= self.tracks == Tracks::BOTH;
    }
}

impl Programme {
    /// Another broadcast begins. `from_start`: its very first tag comes next, so that sound before
    /// the first picture is part of it and not what somebody missed the picture of.
    pub fn begin(&mut self, from_start: bool) {
        self.end();
        self.timeline.break_off();
        self.presence = Presence::default();
        self.gate = Gate::Closed { held: VecDeque::new(), bytes: 0, from_start };
    }

    /// What follows goes on where the last tag ended, though its stamps are of another feed.
    pub fn splice(&mut self) {
        self.timeline.flush();
        self.take();
        self.timeline.break_off();
    }

    /// The next tag of the broadcast, and when it came, on any clock.
    pub fn push(&mut self, tag: Tag, arrived: Duration) {
        let tag = match tag.kind {
            TagKind::Script => metadata::live(&tag),
            _ => Some(tag),
        };
        if let Some(tag) = tag {
            self.timeline.push(tag, Some(arrived));
            self.take();
        }
    }

    /// Nothing has come for a while: what is held for what might follow goes out.
    pub fn rest(&mut self) {
        self.timeline.flush();
        self.take();
        self.presence.is_settled |= self.presence.first.is_some();
        self.try_open();
    }

    /// The broadcast is over.
    pub fn end(&mut self) {
        self.rest();
        self.presence.lacks_picture = true;
        self.try_open();
    }

    /// The next tag for players.
    pub fn pop(&mut self) -> Option<Shown> {
        self.ready.pop_front()
    }

    /// Which tracks the broadcast has that can be played.
    pub fn tracks(&self) -> Tracks {
        let lacks_picture = matches!(self.gate, Gate::Open { has_picture: false, .. });
        Tracks { video: self.presence.tracks.video && !lacks_picture, ..self.presence.tracks }
    }

    fn take(&mut self) {
        while let Some(placed) = self.timeline.pop() {
            self.presence.note(&placed);
            let noted = self.headers.note(&placed.tag);
            match &mut self.gate {
                Gate::Open { .. } if noted == Noted::Repeated => {}
                Gate::Open { .. } => self.show(placed),
                Gate::Closed { held, bytes, .. } => {
                    if noted == Noted::NoHeader {
                        *bytes += placed.tag.payload.len();
                        held.push_back(placed);
                    }
                    self.try_open();
                }
            }
        }
    }

    fn show(&mut self, Placed { time, tag }: Placed) {
        let Gate::Open { last_opening, has_picture } = &mut self.gate else { return };
        let is_opening = match tag.kind {
            TagKind::Video => tag.is_key_frame() && self.headers.can_decode(&tag),
            TagKind::Audio => {
                let is_due = time.saturating_sub(*last_opening) >= SETTLED_AFTER;
                let is_alone = !(self.presence.tracks.video && *has_picture);
                is_alone && is_due && tag.is_media()
            }
            TagKind::Script => false,
        };
        if is_opening {
            *last_opening = time;
            *has_picture |= tag.kind == TagKind::Video;
        }
        if tag.kind != TagKind::Video || *has_picture || tag.is_parameters() {
            self.ready.push_back(Shown { time, tag, opening: is_opening.then_some(time) });
        }
    }

    /// Opens at the first held tag that can be decoded, if it is known which tracks there are.
    fn try_open(&mut self) {
        let Gate::Closed { held, bytes, from_start } = &mut self.gate else { return };
        let Presence { tracks, is_settled, lacks_picture, .. } = self.presence;
        let can_begin = |placed: &Placed, with_sound: bool| {
            let part = placed.tag.anatomy().part;
            let is_wanted = match placed.tag.kind {
                TagKind::Video => part == Part::KeyFrame,
                TagKind::Audio => with_sound && part == Part::Frame,
                TagKind::Script => false,
            };
            is_wanted && self.headers.can_decode(&placed.tag)
        };
        let picture = held.iter().position(|placed| can_begin(placed, !tracks.video));
        let sound = || held.iter().position(|placed| can_begin(placed, true));
        let first = if lacks_picture { picture.or_else(sound) } else { picture };
        match first.filter(|_| is_settled) {
            Some(first) => {
                let midway = (!*from_start).then(|| held[first].time);
                let has_picture = picture.is_some() || !tracks.video;
                let tags = lead(held, first, *from_start);
                self.open(tags, midway, has_picture);
            }
            None => shorten(held, bytes),
        }
    }

    /// Players' zero is the picture to begin with, or the earliest of all if nothing was missed.
    fn open(&mut self, tags: Vec<Placed>, zero: Option<u64>, has_picture: bool) {
        let media = tags.iter().filter(|placed| placed.tag.is_media());
        let zero = zero.or(media.map(|placed| placed.time).min()).unwrap_or_default();
        for header in self.headers.tags() {
            self.ready.push_back(Shown { time: zero, tag: header.clone(), opening: None });
        }
        self.gate = Gate::Open { last_opening: zero, has_picture };
        let from = self.ready.len();
        for Placed { time, tag } in tags {
            self.show(Placed { time: time.max(zero), tag });
        }
        self.ready.range_mut(from..).for_each(|shown| shown.opening = None);
        if let Some(first) = self.ready.get_mut(from) {
            first.opening = Some(zero);
        }
    }
}

/// What goes out once the tag at `first` is where to begin: scripts before it, sound before it if
/// the broadcast began with it, and all behind it.
fn lead(held: &mut VecDeque<Placed>, first: usize, from_start: bool) -> Vec<Placed> {
    let is_lead = |placed: &Placed| match placed.tag.kind {
        TagKind::Script => true,
        TagKind::Audio => from_start,
        TagKind::Video => false,
    };
    let tags = held.drain(..).enumerate().filter(|(at, placed)| *at >= first || is_lead(placed));
    tags.map(|(_, placed)| placed).collect()
}

/// Keeps what is held within bounds. Pictures are of no use until a key frame is held, be it one
/// whose parameters have yet to come.
fn shorten(held: &mut VecDeque<Placed>, bytes: &mut usize) {
    let is_picture = |placed: &Placed| placed.tag.kind == TagKind::Video;
    let newest_is_useless =
        held.back().is_some_and(is_picture) && !held.iter().any(|placed| placed.tag.is_key_frame());
    let last = newest_is_useless.then(|| held.pop_back()).flatten();
    *bytes -= last.map_or(0, |placed| placed.tag.payload.len());
    while held.len() > MAX_HELD || *bytes > MAX_HELD_BYTES {
        let Some(oldest) = held.pop_front() else { return };
        *bytes -= oldest.tag.payload.len();
    }
}

#[cfg(test)]
mod tests;
