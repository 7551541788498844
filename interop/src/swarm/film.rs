//! A film in virtual time: pictures and sound at a steady rate, each message with its number.

use std::time::{Duration, Instant};

use bytes::{BufMut, Bytes, BytesMut};
use netgroup::{Group, wire::StreamKey};

use super::scenario;

/// The stream's name in every group.
pub(crate) const STREAM: &str = "stream";
const PICTURES_A_SECOND: u32 = 25;
/// AAC at 44.1 kHz: 1024 samples a frame.
const SOUND_EVERY: Duration = Duration::from_micros(23_220);
const SOUND_SIZE: usize = 186;
/// A key frame is so many times as large as another picture.
const KEY_FRAME_WEIGHT: f64 = 8.0;
const VIDEO: u8 = 9;
const AUDIO: u8 = 8;
/// Two bytes of codec, then the number.
const HEAD: usize = 10;

/// One message of a film.
#[derive(Debug, Clone)]
pub(crate) struct Message {
    pub kind: u8,
    pub payload: Bytes,
}

/// What is published when.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Film {
    gop: u64,
    picture: usize,
}

/// When a message is published, and what it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Slot {
    pub at: Duration,
    is_picture: bool,
    /// Among pictures, or among sounds.
    index: u64,
}

impl Film {
    pub fn new(film: scenario::Film) -> Self {
        let gop = (film.key_frame_every * f64::from(PICTURES_A_SECOND)).round().max(1.0) as u64;
        let sound = SOUND_SIZE as f64 / SOUND_EVERY.as_secs_f64();
        let pictures = (film.kbits * 125.0 - sound).max(1000.0);
        let weight = (gop as f64 - 1.0 + KEY_FRAME_WEIGHT) / gop as f64;
        let picture = (pictures / f64::from(PICTURES_A_SECOND) / weight) as usize;
        Self { gop, picture: picture.max(HEAD) }
    }

    /// The first message.
    pub fn first(&self) -> Slot {
        Slot { at: Duration::ZERO, is_picture: true, index: 0 }
    }

    /// The one after it: of the next picture and the next sound, which is earlier.
    pub fn after(&self, slot: Slot) -> Slot {
        let (picture, sound) = if slot.is_picture {
            let sounds = slot.at.as_nanos().div_ceil(SOUND_EVERY.as_nanos()) as u64;
            (slot.index + 1, sounds)
        } else {
            let pictures = slot.at.as_nanos() / picture_time(1).as_nanos() + 1;
            (pictures as u64, slot.index + 1)
        };
        let (pictured, sounded) = (picture_time(picture), sound_time(sound));
        if sounded < pictured {
            Slot { at: sounded, is_picture: false, index: sound }
        } else {
            Slot { at: pictured, is_picture: true, index: picture }
        }
    }

    /// How many messages are published before `time`.
    pub fn count_before(&self, time: Duration) -> u64 {
        let pictures = time.as_nanos().div_ceil(picture_time(1).as_nanos());
        let sounds = time.as_nanos().div_ceil(SOUND_EVERY.as_nanos());
        (pictures + sounds) as u64
    }

    /// Publishes the message of a slot in every group; how many bytes that are in all.
    pub fn publish<'a>(
        &self,
        now: Instant,
        slot: Slot,
        groups: impl Iterator<Item = (&'a mut Group, StreamKey)>,
    ) -> u64 {
        let mut published = 0;
        for (group, key) in groups {
            let message = self.message(slot);
            published += message.payload.len() as u64;
            let timestamp = slot.at.as_millis() as u32;
            group.publish_message(now, &key, message.kind, timestamp, &message.payload);
        }
        published
    }

    /// The message of a slot.
    pub fn message(&self, slot: Slot) -> Message {
        let is_key = slot.is_picture && slot.index.is_multiple_of(self.gop);
        let (kind, codec, size) = match (slot.is_picture, is_key) {
            (true, true) => (VIDEO, [0x17, 1], (self.picture as f64 * KEY_FRAME_WEIGHT) as usize),
            (true, false) => (VIDEO, [0x27, 1], self.picture),
            (false, _) => (AUDIO, [0xaf, 1], SOUND_SIZE),
        };
        let mut payload = BytesMut::with_capacity(size.max(HEAD));
        payload.put_slice(&codec);
        payload.put_u64(slot.at.as_micros() as u64);
        payload.resize(size.max(HEAD), 0);
        Message { kind, payload: payload.freeze() }
    }
}

fn picture_time(index: u64) -> Duration {
    Duration::from_micros(index * 1_000_000 / u64::from(PICTURES_A_SECOND))
}

fn sound_time(index: u64) -> Duration {
    SOUND_EVERY * u32::try_from(index).unwrap_or(u32::MAX)
}

/// When a message that was received was published, and whether it is a key frame; nothing of what
/// is not of a film, for liars forge messages.
pub(super) fn published(payload: &[u8]) -> Option<(Duration, bool)> {
    if !matches!(payload, [0x17 | 0x27 | 0xaf, 1, ..]) {
        return None;
    }
    let micros = payload.get(2..HEAD)?.try_into().ok()?;
    Some((Duration::from_micros(u64::from_be_bytes(micros)), payload[0] == 0x17))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_is_what_was_asked_for_and_every_message_has_its_time() {
        for (kbits, key_frame_every) in [(500.0, 2.0), (200.0, 10.0), (5000.0, 0.5)] {
            let film = Film::new(scenario::Film { kbits, key_frame_every });
            let (mut slot, mut bytes, mut count, mut last) = (film.first(), 0, 0, None);
            while slot.at < Duration::from_secs(60) {
                let message = film.message(slot);
                bytes += message.payload.len();
                count += 1;
                let (at, _) = published(&message.payload).unwrap();
                assert_eq!(at, slot.at);
                assert!(last <= Some(at));
                last = Some(at);
                slot = film.after(slot);
            }
            assert_eq!(count, film.count_before(Duration::from_secs(60)));
            let rate = bytes as f64 / 60.0 / 125.0;
            assert!((rate / kbits - 1.0).abs() < 0.05, "{rate} of {kbits}");
        }
    }
}
