//! What goes before key frames again and again, for whoever joins late: metadata, parameters,
//! details. The metadata says each time when it is cast.

use std::time::SystemTime;

use crate::{
    flv::{Tag, TagKind, metadata},
    headers::{Noted, StreamHeaders},
    timeline::Placed,
};

/// Headers are repeated no more often than this, key frames or not.
const REPEAT_MS: u64 = 1000;
/// Of what is cast, headers may be this part, unless they are as small as they mostly are.
const SHARE: usize = 20;
const SMALL: usize = 2048;

/// Makes of each tag those that are to be sent.
#[derive(Debug, Default)]
pub struct Repeater {
    headers: StreamHeaders,
    repeated_at: Option<u64>,
    /// Sent since headers were repeated.
    bytes: usize,
    /// Channels on which this is cast in lower qualities.
    lower: Vec<String>,
}

impl Repeater {
    /// One that names lower qualities each time.
    pub fn naming(lower: Vec<String>) -> Self {
        Self { lower, ..Self::default() }
    }

    /// Remembers headers of what is not sent.
    pub fn note(&mut self, tag: &Tag) {
        self.headers.note(tag);
    }

    /// The tags to send for this one, in order, as they travel.
    pub fn expand(&mut self, placed: Placed, clock: SystemTime, out: &mut Vec<Tag>) {
        let time = placed.time;
        let Some(tag) = live(placed.into_tag()) else { return };
        self.bytes += tag.payload.len();
        match self.headers.note(&tag) {
            Noted::NoHeader => {
                if self.is_due(time, &tag) {
                    self.repeat(time, tag.timestamp, clock, out);
                }
                out.push(tag);
            }
            Noted::New => out.push(tag),
            // They are repeated when it is time.
            Noted::Repeated => {}
        }
    }

    fn is_due(&self, time: u64, tag: &Tag) -> bool {
        let size = self.headers.size();
        let waited = self.repeated_at.map_or(u64::MAX, |last| time.saturating_sub(last));
        let is_affordable = size * SHARE <= self.bytes;
        match tag.is_key_frame() {
            true => is_affordable || size <= SMALL || waited >= 10 * REPEAT_MS,
            false => is_affordable && waited >= REPEAT_MS,
        }
    }

    fn repeat(&mut self, time: u64, timestamp: u32, clock: SystemTime, out: &mut Vec<Tag>) {
        self.repeated_at = Some(time);
        self.bytes = 0;
        let metadata = self.headers.metadata();
        let timed = metadata::with_clock(metadata, clock, &self.lower);
        out.extend(timed.map(|payload| Tag { kind: TagKind::Script, timestamp, payload }));
        let headers = self.headers.tags().filter(|header| header.kind != TagKind::Script);
        out.extend(headers.map(|header| Tag { timestamp, ..header.clone() }));
    }
}

fn live(tag: Tag) -> Option<Tag> {
    if tag.kind == TagKind::Script { metadata::live(&tag) } else { Some(tag) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tag(payload: &[u8], timestamp: u32) -> Tag {
        let kind = if payload[0] == 2 { TagKind::Script } else { TagKind::Video };
        Tag { kind, timestamp, payload: bytes::Bytes::copy_from_slice(payload) }
    }

    fn expand(repeater: &mut Repeater, payload: &[u8], time: u64) -> Vec<Tag> {
        let mut out = Vec::new();
        repeater.expand(Placed { time, tag: tag(payload, 0) }, SystemTime::now(), &mut out);
        out.retain(|tag| tag.kind != TagKind::Script);
        out
    }

    #[test]
    fn headers_come_before_each_key_frame() {
        let mut repeater = Repeater::default();
        assert_eq!(expand(&mut repeater, &[0x17, 0], 0).len(), 1);
        let sent = expand(&mut repeater, &[0x17, 1], 40);
        assert_eq!(sent, [tag(&[0x17, 0], 40), tag(&[0x17, 1], 40)]);
        assert_eq!(expand(&mut repeater, &[0x27, 1], 80).len(), 1);
        assert_eq!(expand(&mut repeater, &[0x17, 0], 80).len(), 0, "they will be repeated");
        let long = [&[0x27, 1][..], &[0; 100]].concat();
        assert_eq!(expand(&mut repeater, &long, 1080).len(), 2, "or after a while");
    }

    #[test]
    fn large_headers_are_a_small_part_of_what_is_sent() {
        let mut repeater = Repeater::default();
        let parameters = [&[0x17, 0][..], &[1; 100_000]].concat();
        let key = [&[0x17, 1][..], &[2; 50_000]].concat();
        let mut sent = 0;
        expand(&mut repeater, &parameters, 0);
        for second in 0..100 {
            let tags = expand(&mut repeater, &key, second * 1000);
            sent += tags.iter().map(|tag| tag.payload.len()).sum::<usize>();
        }
        assert!(sent < 5_000_000 + 14 * 100_000, "{sent}");
    }

    #[test]
    fn times_travel_modulo_32_bits() {
        let sent = expand(&mut Repeater::default(), &[0x27, 1], (1 << 32) + 5);
        assert_eq!(sent[0].timestamp, 5);
    }
}
