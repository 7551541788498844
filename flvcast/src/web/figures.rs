//! What the page shows, as JSON.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use serde::Serialize;

use crate::{
    flv::{Tag, TagKind, metadata, mime},
    headers::StreamHeaders,
    peer::MemberStats,
    status::{Instead, State},
};

/// Figures of one viewer, as the page shows them. Bytes count from the start.
#[derive(Debug, Clone, Default, Serialize)]
pub struct ViewerFigures {
    /// "viewer 1"
    pub name: String,
    /// Members of the group, itself included.
    pub members: u64,
    /// The group is too large to be counted: `members` is a likely number.
    pub members_estimated: bool,
    /// Connected members.
    pub neighbours: usize,
    /// Fragments from the caster.
    pub bytes_from_source: u64,
    /// Fragments from other viewers.
    pub bytes_from_peers: u64,
    /// Fragments passed on to others.
    pub bytes_relayed: u64,
    /// Fragments never received.
    pub lost: u64,
    /// From the caster's publishing to this viewer's playing; nothing if it cannot be known.
    pub delay_ms: Option<u64>,
}

impl ViewerFigures {
    /// A member's counters as figures.
    pub fn of(name: &str, stats: MemberStats, delay_ms: Option<u64>) -> Self {
        Self {
            name: name.to_owned(),
            members: stats.group.members,
            members_estimated: stats.group.is_estimate,
            neighbours: stats.group.neighbours,
            bytes_from_source: stats.stream.bytes_from_source,
            bytes_from_peers: stats.stream.bytes_from_peers,
            bytes_relayed: stats.stream.bytes_sent,
            lost: stats.stream.fragments_lost,
            delay_ms,
        }
    }
}

/// All figures.
#[derive(Debug, Clone, Serialize)]
pub struct Figures {
    /// The channel's name.
    pub channel: String,
    /// For people, if it is not the name.
    pub title: Option<String>,
    /// Whether it is cast from here.
    pub is_caster: bool,
    /// How far one can go back.
    pub kept_ms: u64,
    /// What is true of it now.
    #[serde(flatten)]
    pub shown: Shown,
    /// Who casts. Two are one too many.
    pub casters: usize,
    /// One or, in the demonstration, several.
    pub viewers: Vec<ViewerFigures>,
    /// Whether delays were measured by one clock. Else they are as right as the clocks of caster
    /// and viewer.
    pub is_one_clock: bool,
    /// Fragments that the caster sent, if it runs here.
    pub bytes_cast: Option<u64>,
    /// Bytes of the stream itself, if the caster runs here.
    pub bytes_published: Option<u64>,
    /// Browsers and players on this page's film.
    pub http_viewers: usize,
}

impl Figures {
    /// Of a channel that does not run, and has not for so long.
    pub fn of_nothing(channel: &str, since: Duration) -> Self {
        Self {
            channel: channel.to_owned(),
            title: None,
            is_caster: true,
            kept_ms: 0,
            shown: Shown {
                state: State::Ended,
                state_ms: since.as_millis() as u64,
                instead: Instead::default(),
                stream: Stream::default(),
                delay_ms: None,
            },
            casters: 0,
            viewers: vec![ViewerFigures { name: "nobody".into(), ..ViewerFigures::default() }],
            is_one_clock: false,
            bytes_cast: None,
            bytes_published: None,
            http_viewers: 0,
        }
    }
}

/// What a viewer shows.
#[derive(Debug, Clone, Serialize)]
pub struct Shown {
    /// What is true now.
    pub state: State,
    /// For how long, in milliseconds.
    pub state_ms: u64,
    /// What is shown in the place of what is meant to be.
    #[serde(flatten)]
    pub instead: Instead,
    /// What plays.
    pub stream: Stream,
    /// From the caster to here, by both clocks.
    #[serde(skip)]
    pub delay_ms: Option<u64>,
}

/// What plays, as its headers tell.
#[derive(Debug, Clone, Default, Serialize, PartialEq)]
pub struct Stream {
    /// Pictures.
    pub video: Option<Track>,
    /// Sound.
    pub audio: Option<Track>,
    /// Bits a second of both.
    pub bitrate: u64,
}

/// Sound or pictures.
#[derive(Debug, Clone, Default, Serialize, PartialEq)]
pub struct Track {
    /// "H.264"
    pub name: &'static str,
    /// As browsers ask for it, "avc1.64001f"; nothing for what none of them plays.
    pub mime: Option<String>,
    /// Pixels, if said.
    pub width: Option<f64>,
    /// Pixels, if said.
    pub height: Option<f64>,
    /// Pictures a second, if said.
    pub frame_rate: Option<f64>,
}

impl Stream {
    /// From the latest headers and, for codecs without any, a frame of each kind.
    pub fn of(headers: &StreamHeaders, frames: &Frames, bitrate: u64) -> Self {
        let [audio, video] = &frames.lock().latest;
        let said = |name| {
            let metadata = headers.metadata()?;
            metadata::number(&metadata.payload, name).filter(|number| *number > 0.0)
        };
        let track = |kind, frame: &Option<Tag>| {
            let tag = headers.parameters(kind).or(frame.as_ref())?;
            let codec = tag.anatomy().codec?;
            Some(Track { name: codec.name(), mime: mime::of(tag), ..Track::default() })
        };
        let video = track(TagKind::Video, video).map(|track| Track {
            width: said("width"),
            height: said("height"),
            frame_rate: said("framerate").or(said("videoframerate")),
            ..track
        });
        Self { video, audio: track(TagKind::Audio, audio), bitrate }
    }
}

/// What single tags tell: codecs that have no parameters, and how old they are.
#[derive(Debug, Clone, Default)]
pub struct Frames {
    facts: Arc<Mutex<Facts>>,
}

#[derive(Debug, Default)]
struct Facts {
    /// The first bytes of a frame of sound, and of a picture.
    latest: [Option<Tag>; 2],
    delay_ms: Option<u64>,
}

/// Clocks that differ by more than this tell nothing.
const MAX_DELAY_MS: f64 = 60_000.0;

impl Frames {
    fn lock(&self) -> std::sync::MutexGuard<'_, Facts> {
        self.facts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Remembers what a frame looks like, if no parameters say what it is.
    pub fn note(&self, tag: &Tag) {
        const LOOK: usize = 8;
        if tag.anatomy().codec.is_none_or(|codec| codec.needs_parameters()) {
            return;
        }
        let payload = Bytes::copy_from_slice(&tag.payload[..tag.payload.len().min(LOOK)]);
        let slot = usize::from(tag.kind == TagKind::Video);
        self.lock().latest[slot] = Some(Tag { payload, ..tag.clone() });
    }

    /// Metadata of our casters says when it was cast, by their clock.
    pub fn note_clock(&self, tag: &Tag) {
        let Some(cast) = metadata::number(&tag.payload, metadata::CAST_TIME) else { return };
        let delay = metadata::clock(SystemTime::now()) - cast;
        self.lock().delay_ms = (delay.abs() <= MAX_DELAY_MS).then_some(delay.max(0.0) as u64);
    }

    /// From the caster to here.
    pub fn delay_ms(&self) -> Option<u64> {
        self.lock().delay_ms
    }
}
