//! From one quality of a programme to another: no picture twice, and none missing, as far as the
//! caster's clock tells where both are.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use crate::{
    flv::{Tag, TagKind, metadata},
    headers::StreamHeaders,
};

/// A key frame may come so much before it is expected.
const TOLERANCE_MS: i64 = 100;
/// So far behind what was shown nothing is; the clock was set.
const SET_BACK_MS: i64 = 60_000;
/// What is shown waits at most so long for a key frame of the other that is about to come.
const LONGEST_WAIT: Duration = Duration::from_millis(2500);
/// What is shown is silent after this: nothing is waited for any more.
const SILENT_AFTER: Duration = Duration::from_millis(700);
/// Tags of the other that may wait.
const MAX_WAITING: usize = 4096;

/// When a tag was cast.
#[derive(Debug, Default)]
pub struct Clock(Option<(u32, i64)>);

impl Clock {
    /// Reads what metadata says; when the tag was cast, in milliseconds, once that is known.
    pub fn time(&mut self, tag: &Tag) -> Option<i64> {
        let is_script = tag.kind == TagKind::Script;
        let said = is_script.then(|| metadata::number(&tag.payload, metadata::CAST_TIME)).flatten();
        if let Some(said) = said {
            self.0 = Some((tag.timestamp, said as i64));
        }
        let (stamp, time) = self.0?;
        Some(time.saturating_add(tag.timestamp.wrapping_sub(stamp).cast_signed().into()))
    }
}

/// What follows from a tag, or from time.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Joined {
    /// Of the quality that is shown.
    pub show: Vec<Tag>,
    /// The other takes over with these, headers first.
    pub take_over: Option<Vec<Tag>>,
}

/// Where the other quality takes over from the one that is shown.
#[derive(Debug, Default)]
pub struct Joint {
    clock: Clock,
    headers: StreamHeaders,
    /// The time of the newest that is shown.
    shown: Option<i64>,
    heard: Option<Instant>,
    /// Of what is shown, kept back.
    kept_back: VecDeque<(i64, Tag)>,
    kept_since: Option<Instant>,
    /// Of the other, from a key frame of that time on.
    entering: Option<(i64, Vec<Tag>)>,
    /// The other's latest key frame, and how long after the one before.
    latest_key: Option<i64>,
    interval: Option<i64>,
}

impl Joint {
    /// What is shown has come to that time, if that is known.
    pub fn after(shown: Option<i64>) -> Self {
        Self { shown, ..Self::default() }
    }

    /// A tag of what is shown, cast at that time.
    pub fn ours(&mut self, now: Instant, tag: Tag, time: Option<i64>, may_join: bool) -> Joined {
        self.heard = Some(now);
        // What has no time is of the headers, and belongs where it stands.
        let time = time.or(self.kept_back.back().map(|(time, _)| *time));
        let Some(time) = time else { return Joined { show: vec![tag], take_over: None } };
        self.kept_back.push_back((time, tag));
        self.advance(now, may_join)
    }

    /// A tag of the other.
    pub fn theirs(&mut self, now: Instant, tag: Tag, may_join: bool) -> Joined {
        let time = self.clock.time(&tag);
        self.headers.note(&tag);
        if let (Some(time), true) = (time, tag.is_media()) {
            self.note(time, tag);
        }
        self.advance(now, may_join)
    }

    fn note(&mut self, time: i64, tag: Tag) {
        let is_key = tag.is_key_frame()
            || (tag.kind == TagKind::Audio && self.headers.parameters(TagKind::Video).is_none());
        if is_key {
            self.interval = self.latest_key.map(|latest| time.saturating_sub(latest));
            self.latest_key = Some(time);
        }
        // A clock that was set back tells nothing.
        let is_of_use = |from: i64| {
            self.shown.is_none_or(|shown| from > shown || shown.saturating_sub(from) > SET_BACK_MS)
        };
        match &mut self.entering {
            Some((from, waiting)) if is_of_use(*from) && waiting.len() < MAX_WAITING => {
                waiting.push(tag);
            }
            entering => *entering = (is_key && is_of_use(time)).then(|| (time, vec![tag])),
        }
    }

    /// Time passes.
    pub fn advance(&mut self, now: Instant, may_join: bool) -> Joined {
        let mut joined = Joined::default();
        let from = self.entering.as_ref().map(|(from, _)| *from).filter(|_| may_join);
        while let Some((time, _)) = self.kept_back.front() {
            let waits = match from {
                Some(from) => *time >= from,
                None => may_join && self.is_about_to_come(*time) && self.has_patience(now),
            };
            if waits {
                self.kept_since.get_or_insert(now);
                break;
            }
            let Some((time, tag)) = self.kept_back.pop_front() else { break };
            self.shown = Some(self.shown.map_or(time, |shown| shown.max(time)));
            joined.show.push(tag);
        }
        if self.kept_back.is_empty() {
            self.kept_since = None;
        }
        let is_silent = self.heard.is_none_or(|heard| now >= heard + SILENT_AFTER);
        if from.is_some() && (is_silent || !self.kept_back.is_empty()) {
            let (_, waiting) = self.entering.take().unwrap_or_default();
            self.kept_back.clear();
            joined.take_over = Some(self.headers.tags().cloned().chain(waiting).collect());
        }
        joined
    }

    /// Whether a key frame of the other is due at that time, by those before it.
    fn is_about_to_come(&self, time: i64) -> bool {
        let next = self
            .latest_key
            .zip(self.interval)
            .map(|(latest, interval)| latest.saturating_add(interval));
        next.is_some_and(|next| {
            time.saturating_add(TOLERANCE_MS) >= next && self.shown.is_none_or(|shown| next > shown)
        })
    }

    fn has_patience(&self, now: Instant) -> bool {
        self.kept_since.is_none_or(|since| now < since + LONGEST_WAIT)
    }

    /// Nothing takes over: what was kept back.
    pub fn give_up(self) -> impl Iterator<Item = Tag> {
        self.kept_back.into_iter().map(|(_, tag)| tag)
    }
}

#[cfg(test)]
mod tests {
    use rtmfp::rtmp::{Value, amf0};

    use super::*;

    /// A second of a programme is 25 pictures, with a key frame every two seconds.
    fn picture(number: i64, quality: u8) -> Tag {
        let first = if number % 50 == 0 { 0x17 } else { 0x27 };
        let payload = [&[first, 1, 0, 0, 0, quality][..], &number.to_be_bytes()].concat();
        let timestamp = number as u32 * 40 + u32::from(quality) * 7000;
        Tag { kind: TagKind::Video, timestamp, payload: payload.into() }
    }

    fn clock(number: i64, quality: u8) -> Tag {
        let mut payload = Vec::new();
        amf0::encode(&mut payload, &Value::string("onMetaData"));
        let time = Value::Number((number * 40) as f64);
        amf0::encode(&mut payload, &Value::EcmaArray(vec![("castTime".into(), time)]));
        Tag { kind: TagKind::Script, payload: payload.into(), ..picture(number, quality) }
    }

    /// What is shown, by number and quality, where they come so many pictures late.
    fn play(ours_late: i64, theirs_late: i64, pictures: i64, ends: i64) -> Vec<(i64, u8)> {
        let (start, mut joint, mut shown) = (Instant::now(), Joint::default(), Vec::new());
        let (mut ours_clock, mut has_joined) = (Clock::default(), false);
        let told = |tag: &Tag| {
            let number = i64::from_be_bytes(tag.payload[6..].try_into().unwrap());
            (number, tag.payload[5])
        };
        for at in 0..pictures {
            let now = start + Duration::from_millis(40 * at as u64);
            let mut joined = Vec::new();
            let number = at - ours_late;
            if (0..ends).contains(&number) && !has_joined {
                for tag in [clock(number, 1), picture(number, 1)] {
                    let time = ours_clock.time(&tag);
                    let time = time.filter(|_| tag.is_media());
                    joined.push(joint.ours(now, tag, time, true));
                    has_joined |= joined.last().is_some_and(|joined| joined.take_over.is_some());
                }
            }
            // The other is joined after a second.
            let number = at - theirs_late;
            if number > 25 {
                let clock = (number % 50 == 0).then(|| clock(number, 2));
                for tag in clock.into_iter().chain([picture(number, 2)]) {
                    match has_joined {
                        true => joined.push(Joined { show: vec![tag], take_over: None }),
                        false => joined.push(joint.theirs(now, tag, true)),
                    }
                    has_joined |= joined.last().is_some_and(|joined| joined.take_over.is_some());
                }
            }
            joined.push(joint.advance(now, true));
            for Joined { show, take_over } in joined {
                has_joined |= take_over.is_some();
                let all = show.into_iter().chain(take_over.into_iter().flatten());
                shown.extend(all.filter(Tag::is_media).map(|tag| told(&tag)));
            }
        }
        shown
    }

    #[test]
    fn each_picture_is_shown_once_whichever_comes_later() {
        for (ours_late, theirs_late) in [(0, 0), (0, 30), (30, 0), (10, 12)] {
            let shown = play(ours_late, theirs_late, 400, 400);
            let numbers: Vec<i64> = shown.iter().map(|(number, _)| *number).collect();
            let is_whole = numbers.iter().enumerate().all(|(at, number)| at as i64 == *number);
            assert!(is_whole, "{ours_late} {theirs_late}: {numbers:?}");
            assert!(shown.iter().any(|(number, quality)| (*number, *quality) == (399 - 30, 2)));
        }
    }

    #[test]
    fn silence_is_not_waited_for() {
        let shown = play(0, 0, 200, 60);
        assert_eq!(shown.iter().filter(|(_, quality)| *quality == 1).count(), 60);
        assert_eq!(shown[60], (100, 2), "at the next key frame");
    }
}
