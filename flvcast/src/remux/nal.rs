//! H.264 and H.265 as transport streams carry them: NAL units behind start codes, parameters among
//! them. ITU-T H.264 and H.265, Annex B; ISO 14496-15 for the records.

use bytes::{BufMut, Bytes, BytesMut};
use memchr::memmem;

use super::bits::Bits;
use crate::flv::Codec;

/// Parameter sets of one kind.
const MAX_SETS: usize = 32;
const MAX_SET: usize = 1 << 14;

/// Access units in, frames and their parameters out.
#[derive(Debug)]
pub struct Pictures {
    codec: Codec,
    /// By kind, in the order of the record: (video,) sequence, picture parameters.
    sets: Vec<Vec<Bytes>>,
}

/// An access unit as FLV has it.
#[derive(Debug)]
pub struct AccessUnit {
    /// Parameters that are new with it.
    pub record: Option<Bytes>,
    /// Needs no other.
    pub is_key: bool,
    /// NAL units with their lengths; empty if there was nothing but parameters.
    pub data: Bytes,
}

/// What a NAL unit is.
enum Nal {
    Parameters(usize),
    /// A slice, or something that belongs to one.
    Picture {
        is_key: bool,
    },
    /// Means nothing outside of a transport stream.
    Delimiter,
}

impl Pictures {
    /// Of H.264 or H.265.
    pub fn new(codec: Codec) -> Self {
        let kinds = if codec == Codec::AVC { 2 } else { 3 };
        Self { codec, sets: vec![Vec::new(); kinds] }
    }

    /// Takes one access unit.
    pub fn take(&mut self, bytes: &[u8]) -> AccessUnit {
        let mut found = vec![Vec::new(); self.sets.len()];
        let (mut data, mut is_key) = (BytesMut::with_capacity(bytes.len() + 16), false);
        for nal in nals(bytes) {
            match self.classify(nal) {
                Nal::Parameters(kind) => {
                    if found[kind].len() < MAX_SETS && nal.len() <= MAX_SET {
                        found[kind].push(Bytes::copy_from_slice(nal));
                    }
                }
                Nal::Picture { is_key: needs_no_other } => {
                    is_key |= needs_no_other;
                    data.put_u32(nal.len() as u32);
                    data.extend_from_slice(nal);
                }
                Nal::Delimiter => {}
            }
        }
        let mut is_new = false;
        for (known, found) in self.sets.iter_mut().zip(found) {
            if !found.is_empty() && *known != found {
                *known = found;
                is_new = true;
            }
        }
        let record = is_new.then(|| self.record()).flatten();
        AccessUnit { record, is_key, data: data.freeze() }
    }

    fn classify(&self, nal: &[u8]) -> Nal {
        let first = nal.first().copied().unwrap_or_default();
        if self.codec == Codec::AVC {
            return match first & 0x1f {
                7 => Nal::Parameters(0),
                8 => Nal::Parameters(1),
                9 => Nal::Delimiter,
                6 => Nal::Picture { is_key: has_recovery_point(nal) },
                kind => Nal::Picture { is_key: kind == 5 },
            };
        }
        match first >> 1 & 0x3f {
            kind @ 32..=34 => Nal::Parameters(usize::from(kind) - 32),
            35 => Nal::Delimiter,
            kind => Nal::Picture { is_key: (16..=21).contains(&kind) },
        }
    }

    fn record(&self) -> Option<Bytes> {
        if self.sets.iter().any(Vec::is_empty) {
            return None;
        }
        if self.codec == Codec::AVC { self.avcc() } else { self.hvcc() }
    }

    /// AVCDecoderConfigurationRecord, ISO 14496-15 §5.3.3.1.
    fn avcc(&self) -> Option<Bytes> {
        let [sequence, picture] = &self.sets[..] else { return None };
        let [_, profile, constraints, level, ..] = sequence.first()?[..] else { return None };
        let mut out = BytesMut::new();
        out.extend_from_slice(&[1, profile, constraints, level, 0xff]);
        out.put_u8(0xe0 | sequence.len() as u8 & 0x1f);
        put_sets(&mut out, sequence);
        out.put_u8(picture.len() as u8);
        put_sets(&mut out, picture);
        Some(out.freeze())
    }

    /// HEVCDecoderConfigurationRecord, ISO 14496-15 §8.3.3.1.
    fn hvcc(&self) -> Option<Bytes> {
        let sequence = HevcSequence::parse(self.sets.get(1)?.first()?)?;
        let mut out = BytesMut::new();
        out.put_u8(1);
        out.extend_from_slice(&sequence.profile);
        out.extend_from_slice(&[0xf0, 0, 0xfc, 0xfc | sequence.chroma]);
        out.extend_from_slice(&[0xf8 | sequence.luma_depth, 0xf8 | sequence.chroma_depth, 0, 0]);
        out.put_u8(sequence.layers << 3 | sequence.is_nested << 2 | 3);
        out.put_u8(self.sets.len() as u8);
        for (kind, sets) in self.sets.iter().enumerate() {
            out.put_u8(0x80 | (32 + kind as u8));
            out.put_u16(sets.len() as u16);
            put_sets(&mut out, sets);
        }
        Some(out.freeze())
    }
}

fn put_sets(out: &mut BytesMut, sets: &[Bytes]) {
    for set in sets {
        out.put_u16(set.len() as u16);
        out.extend_from_slice(set);
    }
}

/// NAL units between start codes, without the zeros that may follow them.
fn nals(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    const START: &[u8] = &[0, 0, 1];
    let mut starts = memmem::find_iter(bytes, START).map(|at| at + START.len());
    let mut next = starts.next();
    std::iter::from_fn(move || {
        let from = next?;
        next = starts.next();
        let to = next.map_or(bytes.len(), |next| next - START.len());
        let nal = &bytes[from..to];
        let end = nal.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
        Some(&nal[..end])
    })
    .filter(|nal| !nal.is_empty())
}

/// Streams without IDR pictures say by a SEI message where one can begin. H.264 §D.2.8.
fn has_recovery_point(nal: &[u8]) -> bool {
    const RECOVERY_POINT: usize = 6;
    let mut rest = nal.get(1..).unwrap_or_default();
    while rest.len() > 2 {
        let Some((kind, after)) = sei_number(rest) else { return false };
        let Some((size, after)) = sei_number(after) else { return false };
        if kind == RECOVERY_POINT {
            return true;
        }
        rest = after.get(size..).unwrap_or_default();
    }
    false
}

/// A sum of bytes, of which the last is not 255.
fn sei_number(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let end = bytes.iter().position(|byte| *byte != 0xff)?;
    Some((end * 255 + usize::from(bytes[end]), &bytes[end + 1..]))
}

/// What the record repeats of a sequence parameter set, ITU-T H.265 §7.3.2.2.
struct HevcSequence {
    profile: [u8; 12],
    layers: u8,
    is_nested: u8,
    chroma: u8,
    luma_depth: u8,
    chroma_depth: u8,
}

impl HevcSequence {
    fn parse(nal: &[u8]) -> Option<Self> {
        let mut bits = Bits::of_nal(nal);
        bits.skip(16 + 4);
        let further_layers = bits.read(3)?;
        let is_nested = bits.read(1)? as u8;
        let profile = *bits.bytes().first_chunk()?;
        bits.skip(12 * 8);
        skip_layers(&mut bits, further_layers)?;
        bits.golomb()?;
        let chroma = bits.golomb()?;
        if chroma == 3 {
            bits.skip(1);
        }
        // Width and height, and what is cut off of them.
        skip_golombs(&mut bits, 2)?;
        if bits.read(1)? == 1 {
            skip_golombs(&mut bits, 4)?;
        }
        let (luma_depth, chroma_depth) = (bits.golomb()?, bits.golomb()?);
        Some(Self {
            profile,
            layers: further_layers as u8 + 1,
            is_nested,
            chroma: chroma as u8 & 3,
            luma_depth: luma_depth as u8 & 7,
            chroma_depth: chroma_depth as u8 & 7,
        })
    }
}

fn skip_golombs(bits: &mut Bits, count: usize) -> Option<()> {
    (0..count).try_for_each(|_| bits.golomb().map(drop))
}

/// Profiles and levels of layers below the highest, H.265 §7.3.3.
fn skip_layers(bits: &mut Bits, count: u32) -> Option<()> {
    if count == 0 {
        return Some(());
    }
    let present: Vec<(u32, u32)> =
        (0..count).map(|_| Some((bits.read(1)?, bits.read(1)?))).collect::<Option<_>>()?;
    bits.skip(2 * (8 - count as usize));
    for (has_profile, has_level) in present {
        bits.skip(88 * has_profile as usize + 8 * has_level as usize);
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn access_units_lose_delimiters_and_keep_their_slices() {
        let sequence = [0x67, 0x64, 0, 0x1f, 0xac];
        let bytes = [
            &[0, 0, 0, 1, 9, 0xf0, 0, 0, 0, 1][..],
            &sequence,
            &[0, 0, 1, 0x68, 0xee, 0, 0, 1, 0x65, 1, 2, 3, 0, 0, 0, 1, 0x65, 4, 0],
        ]
        .concat();
        let mut pictures = Pictures::new(Codec::AVC);
        let unit = pictures.take(&bytes);
        assert!(unit.is_key);
        assert_eq!(unit.data[..], [0, 0, 0, 4, 0x65, 1, 2, 3, 0, 0, 0, 2, 0x65, 4]);
        let record = unit.record.unwrap();
        let expected =
            [&[1, 0x64, 0, 0x1f, 0xff, 0xe1, 0, 5][..], &sequence, &[1, 0, 2, 0x68, 0xee]];
        assert_eq!(record[..], expected.concat());
        assert!(pictures.take(&bytes).record.is_none(), "they say nothing new");
        let changed = [0, 0, 1, 0x67, 0x4d, 0, 0x1f, 0, 0, 1, 0x41, 9];
        let unit = pictures.take(&changed);
        assert!(unit.record.is_some() && !unit.is_key);
    }

    #[test]
    fn a_recovery_point_is_where_one_can_begin() {
        assert!(has_recovery_point(&[6, 1, 1, 0, 6, 1, 0xc4, 0x80]));
        assert!(!has_recovery_point(&[6, 5, 2, 6, 6, 0x80]));
        assert!(!has_recovery_point(&[6, 0xff, 0xff, 0xff]));
    }
}
