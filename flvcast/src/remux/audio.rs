//! Sound as transport streams carry it: frames behind headers that say how long they are.

use bytes::{Buf, Bytes, BytesMut};

use super::TICKS;
use crate::flv::Codec;

/// Bytes without a frame that are kept.
const MAX_PENDING: usize = 1 << 16;
const SAMPLE_RATES: [u32; 13] = [
    96_000, 88_200, 64_000, 48_000, 44_100, 32_000, 24_000, 22_050, 16_000, 12_000, 11_025, 8000,
    7350,
];

/// A frame's header, read.
struct Head {
    /// Bytes before the sound that FLV leaves out.
    skipped: usize,
    /// Of all of it.
    length: usize,
    samples: u32,
    rate: u32,
    /// AudioSpecificConfig, where FLV wants it.
    config: Option<[u8; 2]>,
}

/// A frame, with what is new before it.
pub struct SoundFrame {
    /// What a decoder must have, if it has changed.
    pub config: Option<Bytes>,
    /// When it is heard, in ticks.
    pub time: i64,
    /// As FLV has it.
    pub data: Bytes,
}

/// Pieces in, frames out.
#[derive(Debug)]
pub struct Sound {
    codec: Codec,
    pending: BytesMut,
    /// When the next frame is heard.
    next: Option<i64>,
    /// Parts of ticks, by the sample rate.
    remainder: i64,
    config: Option<[u8; 2]>,
}

impl Sound {
    /// AAC with ADTS headers, or MP3.
    pub fn new(codec: Codec) -> Self {
        Self { codec, pending: BytesMut::new(), next: None, remainder: 0, config: None }
    }

    /// Takes a piece. `time` is that of the first frame which begins in it.
    pub fn take(&mut self, bytes: &[u8], time: Option<i64>, out: &mut Vec<SoundFrame>) {
        let before = self.pending.len();
        self.pending.extend_from_slice(bytes);
        let mut consumed = 0;
        let mut time = time;
        while let Some(head) = self.find(&mut consumed) {
            // What began before this piece has the time that follows from what was there.
            if consumed >= before
                && let Some(time) = time.take()
            {
                (self.next, self.remainder) = (Some(time), 0);
            }
            consumed += head.length;
            let frame = self.pending.split_to(head.length);
            if let Some(time) = self.advance(&head) {
                let config = head.config.filter(|config| self.config != Some(*config));
                self.config = head.config.or(self.config);
                let config = config.map(|config| Bytes::copy_from_slice(&config));
                let data = Bytes::copy_from_slice(&frame[head.skipped..]);
                out.push(SoundFrame { config, time, data });
            }
        }
        if self.pending.len() > MAX_PENDING {
            self.pending.clear();
        }
    }

    /// Finds a whole frame, passing over what is none.
    fn find(&mut self, consumed: &mut usize) -> Option<Head> {
        loop {
            let sync =
                self.pending.iter().position(|byte| *byte == 0xff).unwrap_or(self.pending.len());
            self.pending.advance(sync);
            *consumed += sync;
            if self.pending.len() < 7 {
                return None;
            }
            let head =
                if self.codec == Codec::AAC { adts(&self.pending) } else { mp3(&self.pending) };
            match head {
                Some(head) if self.pending.len() < head.length => return None,
                Some(head) => return Some(head),
                None => {
                    self.pending.advance(1);
                    *consumed += 1;
                }
            }
        }
    }

    /// The time of the frame at hand.
    fn advance(&mut self, head: &Head) -> Option<i64> {
        let time = self.next?;
        let ticks = i64::from(head.samples) * TICKS + self.remainder;
        self.remainder = ticks % i64::from(head.rate);
        self.next = Some(time + ticks / i64::from(head.rate));
        Some(time)
    }
}

/// ISO 14496-3 §1.A.2.2.
fn adts(bytes: &[u8]) -> Option<Head> {
    let header: &[u8; 7] = bytes.first_chunk()?;
    if header[0] != 0xff || header[1] & 0xf6 != 0xf0 {
        return None;
    }
    let skipped = if header[1] & 1 == 1 { 7 } else { 9 };
    let profile = header[2] >> 6;
    let rate_index = header[2] >> 2 & 0x0f;
    let channels = header[2] << 2 & 4 | header[3] >> 6;
    let length = usize::from(header[3] & 3) << 11
        | usize::from(header[4]) << 3
        | usize::from(header[5] >> 5);
    let blocks = u32::from(header[6] & 3) + 1;
    let rate = *SAMPLE_RATES.get(usize::from(rate_index))?;
    let config =
        u16::from(profile + 1) << 11 | u16::from(rate_index) << 7 | u16::from(channels) << 3;
    let is_whole = length > skipped;
    let config = Some(config.to_be_bytes());
    is_whole.then_some(Head { skipped, length, samples: 1024 * blocks, rate, config })
}

/// ISO 11172-3 §2.4.2.3, ISO 13818-3: layer III only, which is what FLV can carry.
fn mp3(bytes: &[u8]) -> Option<Head> {
    const KILOBITS: [[usize; 15]; 2] = [
        [0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320],
        [0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160],
    ];
    let header: &[u8; 4] = bytes.first_chunk()?;
    if header[0] != 0xff || header[1] & 0xe0 != 0xe0 || header[1] >> 1 & 3 != 1 {
        return None;
    }
    let (halvings, is_half) = match header[1] >> 3 & 3 {
        3 => (0, false),
        2 => (1, true),
        0 => (2, true),
        _ => return None,
    };
    let rate = [44_100u32, 48_000, 32_000].get(usize::from(header[2] >> 2 & 3))? >> halvings;
    let kilobits = *KILOBITS[usize::from(is_half)].get(usize::from(header[2] >> 4))?;
    let padding = usize::from(header[2] >> 1 & 1);
    let (per_bit, samples) = if is_half { (72_000, 576) } else { (144_000, 1152) };
    let length = per_bit * kilobits / rate as usize + padding;
    (kilobits > 0).then_some(Head { skipped: 0, length, samples, rate, config: None })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two ADTS frames of 44.1 kHz stereo, with `size` bytes of sound each.
    fn adts_frames(size: usize) -> Vec<u8> {
        let length = size + 7;
        let header = [
            0xff,
            0xf1,
            0x50,
            0x80 | (length >> 11) as u8,
            (length >> 3) as u8,
            (length << 5) as u8 | 0x1f,
            0xfc,
        ];
        [&header[..], &vec![1; size], &header[..], &vec![2; size]].concat()
    }

    #[test]
    fn frames_over_pieces_have_the_time_that_follows() {
        let bytes = adts_frames(100);
        let (mut sound, mut out) = (Sound::new(Codec::AAC), Vec::new());
        sound.take(&bytes[..150], Some(9000), &mut out);
        sound.take(&bytes[150..], Some(90_000), &mut out);
        sound.take(&bytes, Some(20_000), &mut out);
        let times: Vec<i64> = out.iter().map(|frame| frame.time).collect();
        assert_eq!(times, [9000, 9000 + 2089, 20_000, 22_089]);
        assert_eq!(out[0].config.as_deref(), Some(&[0x12, 0x10][..]));
        assert!(out[1].config.is_none());
        assert_eq!((out[0].data.len(), out[1].data[0]), (100, 2));
    }

    #[test]
    fn junk_between_frames_is_passed_over() {
        let bytes = [&[0xff, 0x00, 0x12][..], &adts_frames(50)].concat();
        let (mut sound, mut out) = (Sound::new(Codec::AAC), Vec::new());
        sound.take(&bytes, Some(0), &mut out);
        assert_eq!(out.len(), 2);
    }

    #[test]
    fn layer_three_by_its_bitrate() {
        let head = mp3(&[0xff, 0xfb, 0x90, 0x00]).unwrap();
        assert_eq!((head.length, head.samples, head.rate), (417, 1152, 44_100));
        assert!(mp3(&[0xff, 0xfd, 0x90, 0x00]).is_none(), "layer II");
    }
}
