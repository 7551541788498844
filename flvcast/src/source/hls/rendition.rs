//! One playlist as it goes on: which segment comes next, and what is in it.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use url::Url;

use super::{
    MAX_PLAYLIST,
    fetch::{Fetcher, decrypt},
    playlist::{self, Key, Media, Part, Playlist, Segment},
};
use crate::{
    flv::{Demuxer, Tag},
    remux::{Mp4, Ts, Unit},
    source::{Shown, SourceError},
};

/// A segment is no larger.
const MAX_SEGMENT: usize = 64 << 20;
const MAX_KEY: usize = 1 << 10;
/// A live stream is begun so many segments from its end, RFC 8216 §6.3.3.
const FROM_END: usize = 3;
/// A segment that cannot be had is tried so often.
const TRIES: u32 = 3;
/// A live playlist that says nothing new for so many target durations is dead.
const PATIENCE: f64 = 6.0;
/// A playlist that ends so many segments before what was had is an old one; more, another.
const STALE: u64 = 10;
const LEAST_PATIENCE: Duration = Duration::from_secs(20);

/// What a rendition gives.
#[derive(Debug)]
pub enum Given {
    /// Nothing yet.
    Nothing,
    /// Of a segment of TS or fMP4.
    Units(Vec<Unit>),
    /// Of a segment of FLV, whose times may begin anew.
    Tags {
        /// They have nothing to do with those before.
        begin_anew: bool,
        /// All of the segment.
        tags: Vec<Tag>,
    },
    /// What comes next has times of its own.
    Break,
    /// Something that a person should know.
    Notice(String),
    /// There is no more.
    End,
}

/// A playlist, and how far it was played.
pub struct Rendition {
    fetcher: Fetcher,
    url: Url,
    media: Media,
    /// The number of the next segment.
    next: u64,
    load_at: Instant,
    changed: Instant,
    /// That nothing new comes was told.
    is_silent: bool,
    tries: u32,
    try_at: Instant,
    /// The break before the next segment was told.
    has_broken: bool,
    said: Vec<String>,
    key: Option<(Url, Bytes)>,
    map: Option<Arc<(Url, Part)>>,
    ts: Ts,
    mp4: Mp4,
    last_flv: Option<u32>,
}

impl Rendition {
    /// Begins at the beginning of what is over, and near the end of what goes on.
    pub fn new(fetcher: Fetcher, url: Url, media: Media) -> Self {
        let now = Instant::now();
        let skipped = if media.is_over { 0 } else { media.segments.len().saturating_sub(FROM_END) };
        Self {
            fetcher,
            url,
            next: media.sequence + skipped as u64,
            load_at: now + reload(&media, true),
            changed: now,
            is_silent: false,
            media,
            tries: 0,
            try_at: now,
            has_broken: false,
            said: Vec::new(),
            key: None,
            map: None,
            ts: Ts::default(),
            mp4: Mp4::default(),
            last_flv: None,
        }
    }

    /// How long nothing has to be fetched.
    pub fn rest(&self) -> Duration {
        let due = match self.segment() {
            Some(_) => self.try_at,
            None => self.load_at,
        };
        match self.said.is_empty() && !(self.media.is_over && self.segment().is_none()) {
            true => due.saturating_duration_since(Instant::now()),
            false => Duration::ZERO,
        }
    }

    /// The next segment, if it is there.
    fn segment(&self) -> Option<&Segment> {
        let at = usize::try_from(self.next.checked_sub(self.media.sequence)?).ok()?;
        self.media.segments.get(at)
    }

    /// What comes next, as far as it is there.
    pub fn next(&mut self) -> Result<Given, SourceError> {
        if let Some(text) = self.said.pop() {
            return Ok(Given::Notice(text));
        }
        let now = Instant::now();
        let segment = self.segment().cloned();
        match segment {
            Some(_) if now < self.try_at => Ok(Given::Nothing),
            Some(segment) => self.take(&segment),
            None if self.media.is_over => Ok(Given::End),
            None if now < self.load_at => Ok(Given::Nothing),
            None => self.load(now),
        }
    }

    fn take(&mut self, segment: &Segment) -> Result<Given, SourceError> {
        if segment.is_discontinuous && !std::mem::replace(&mut self.has_broken, true) {
            (self.ts, self.last_flv) = (Ts::default(), None);
            return Ok(Given::Break);
        }
        let given = if segment.is_gap { Ok(Given::Nothing) } else { self.fetch(segment) };
        if let Err(error) = given {
            self.tries += 1;
            if self.tries < TRIES {
                self.try_at = Instant::now() + Duration::from_secs_f64(self.media.target / 4.0);
                return Ok(Given::Nothing);
            }
            self.go_on();
            return Ok(Given::Notice(format!("{error}; the segment is left out")));
        }
        self.go_on();
        given
    }

    fn go_on(&mut self) {
        self.next += 1;
        (self.tries, self.has_broken) = (0, false);
    }

    fn fetch(&mut self, segment: &Segment) -> Result<Given, SourceError> {
        let mut units = Vec::new();
        if let Some(map) = &segment.map
            && self.map.as_ref() != Some(map)
        {
            let (_, bytes) = self.fetcher.get(&map.0, map.1, MAX_SEGMENT)?;
            if !self.mp4.take_init(&bytes, &mut units) {
                return Err(SourceError::Passing(format!(
                    "{} is no initialisation of fMP4",
                    Shown(&map.0)
                )));
            }
            self.map = Some(map.clone());
        }
        let (_, bytes) = self.fetcher.get(&segment.url, segment.part, MAX_SEGMENT)?;
        let bytes = self.decrypt(segment, bytes)?;
        if bytes.starts_with(b"FLV") {
            return Ok(self.take_flv(&bytes));
        }
        if segment.map.is_none() && bytes.get(4..8) == Some(b"ftyp") {
            self.mp4.take_init(&bytes, &mut units);
        }
        if !self.mp4.take_segment(&bytes, &mut units) {
            self.ts.take_segment(&bytes, &mut units);
        }
        self.say_unknown();
        if units.is_empty() {
            return Err(SourceError::Passing(format!(
                "{} holds nothing that can be cast",
                Shown(&segment.url)
            )));
        }
        Ok(Given::Units(units))
    }

    fn decrypt(&mut self, segment: &Segment, bytes: Bytes) -> Result<Bytes, SourceError> {
        let (url, iv) = match segment.key.as_deref() {
            None => return Ok(bytes),
            Some(Key::Aes { url, iv }) => (url, iv.unwrap_or(self.next.into())),
            Some(Key::Unknown(method)) => {
                return Err(SourceError::Passing(format!(
                    "{}: encrypted by {method}",
                    Shown(&segment.url)
                )));
            }
        };
        if self.key.as_ref().is_none_or(|(known, _)| known != url) {
            self.key = Some((url.clone(), self.fetcher.get(url, None, MAX_KEY)?.1));
        }
        match &self.key {
            Some((_, key)) => decrypt(&segment.url, &bytes, key, iv),
            None => Ok(bytes),
        }
    }

    /// Each segment is a file of its own; its times may go on, or begin anew.
    fn take_flv(&mut self, bytes: &[u8]) -> Given {
        let mut demuxer = Demuxer::default();
        demuxer.push(bytes);
        demuxer.finish();
        let tags: Vec<Tag> = std::iter::from_fn(|| demuxer.next_tag().ok().flatten()).collect();
        let mut stamps = tags.iter().filter(|tag| tag.is_media()).map(|tag| tag.timestamp);
        let first = stamps.next();
        let begin_anew = match (self.last_flv, first) {
            (Some(last), Some(first)) => first.saturating_add(500) < last,
            _ => false,
        };
        self.last_flv = stamps.last().or(first).or(self.last_flv);
        Given::Tags { begin_anew, tags }
    }

    fn say_unknown(&mut self) {
        let types = self.ts.take_unknown();
        let types = types.iter().map(|kind| format!("TS stream type {kind:#04x}"));
        let codecs = self.mp4.take_unknown();
        for what in types.chain(codecs) {
            let text = format!("{what} of {} is left out: FLV cannot carry it", Shown(&self.url));
            self.said.push(text);
        }
    }

    /// Asks for the playlist again.
    fn load(&mut self, now: Instant) -> Result<Given, SourceError> {
        let patience = Duration::from_secs_f64(self.media.target * PATIENCE).max(LEAST_PATIENCE);
        if now > self.changed + patience && !std::mem::replace(&mut self.is_silent, true) {
            // It is asked on: beginning anew would play again what was played.
            let seconds = patience.as_secs();
            let text = format!("{} has had nothing new for {seconds} s", Shown(&self.url));
            return Ok(Given::Notice(text));
        }
        let loaded = self.fetcher.get(&self.url, None, MAX_PLAYLIST);
        if let Err(error) = &loaded
            && now > self.changed + patience
        {
            // The address may have run out, and whoever gave it may have another.
            return Err(SourceError::Passing(error.to_string()));
        }
        let parsed = loaded.map(|(from, text)| playlist::parse(&text, &from));
        let Ok(Some(Playlist::Media(media))) = parsed else {
            // It may be in the making; the patience above is the limit.
            self.load_at = now + reload(&self.media, false);
            return Ok(Given::Nothing);
        };
        let end = media.sequence + media.segments.len() as u64;
        // One of several servers is a little behind: the next answer will know more.
        let is_stale = end < self.next && self.next - end <= STALE;
        if is_stale && now <= self.changed + patience {
            self.load_at = now + reload(&self.media, false);
            return Ok(Given::Nothing);
        }
        let is_new = media != self.media;
        self.load_at = now + reload(&media, is_new);
        if is_new {
            (self.changed, self.is_silent) = (now, false);
        }
        let skipped = media.sequence.saturating_sub(self.next);
        let was_reset = end < self.next;
        self.media = media;
        if skipped > 0 || was_reset {
            return Ok(self.jump(skipped, end));
        }
        Ok(Given::Nothing)
    }

    /// The playlist has gone on without us, or begun anew.
    fn jump(&mut self, skipped: u64, end: u64) -> Given {
        self.next = end.saturating_sub(FROM_END as u64).max(self.media.sequence);
        (self.ts, self.last_flv, self.has_broken) = (Ts::default(), None, true);
        let url = &self.url;
        self.said.push(match skipped {
            0 => format!("{} begins anew", Shown(url)),
            skipped => {
                format!("{skipped} segments of {} were gone before they could be had", Shown(url))
            }
        });
        Given::Break
    }
}

/// When a playlist is asked for again, RFC 8216 §6.3.4.
fn reload(media: &Media, is_new: bool) -> Duration {
    let last = media.segments.last().map_or(media.target, |segment| segment.duration);
    let wait = if is_new { last.clamp(0.5, media.target) } else { media.target / 2.0 };
    Duration::from_secs_f64(wait.clamp(0.25, 30.0))
}
