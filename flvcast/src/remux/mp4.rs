//! Fragmented MP4, ISO 14496-12: boxes are walked here, with bounded depth; what they hold is read
//! by a library.

use std::collections::BTreeMap;

use bytes::Bytes;
use mp4_atom::{Atom, Elst, Esds, FourCC, Mdhd, Tfdt, Tfhd, Tkhd, Trex, Trun};

use super::{Frame, TICKS, Unit};
use crate::flv::Codec;

const MAX_TRACKS: usize = 16;
/// Frames of one segment.
const MAX_FRAMES: usize = 200_000;
/// The library reads descriptors within descriptors; no sane one is larger.
const MAX_ESDS: usize = 512;

/// Initialisation and segments in, units out.
#[derive(Debug, Default)]
pub struct Mp4 {
    tracks: Vec<Track>,
    /// Where each track's next fragment begins, if it does not say so.
    next: BTreeMap<u32, u64>,
    /// Tracks whose codec FLV cannot carry.
    unknown: Vec<String>,
    /// Frames that the segment at hand may still have.
    left: usize,
}

#[derive(Debug)]
struct Track {
    id: u32,
    timescale: u32,
    codec: Codec,
    record: Option<Bytes>,
    /// What fragments leave out.
    defaults: Option<Trex>,
    /// Added to times, by the edit list.
    shift: i64,
}

/// A box: what it is, where it is in the data, what it holds.
struct Part<'a> {
    kind: FourCC,
    start: usize,
    body: &'a [u8],
}

/// The boxes of `data`, up to the first that cannot be.
fn parts(data: &[u8]) -> impl Iterator<Item = Part<'_>> {
    let mut start = 0;
    std::iter::from_fn(move || {
        let rest = data.get(start..)?;
        let kind = FourCC::new(rest.get(4..8)?.first_chunk()?);
        let (header, size) = match u32::from_be_bytes(*rest.first_chunk()?) {
            0 => (8, rest.len()),
            1 => (16, usize::try_from(u64::from_be_bytes(*rest.get(8..)?.first_chunk()?)).ok()?),
            size => (8, size as usize),
        };
        let body = rest.get(header..size)?;
        let part = Part { kind, start, body };
        start += size;
        Some(part)
    })
}

fn child<'a>(data: &'a [u8], kind: &[u8; 4]) -> Option<&'a [u8]> {
    parts(data).find(|part| part.kind == FourCC::new(kind)).map(|part| part.body)
}

/// What a box without boxes in it holds; trailing bytes are of no account.
fn read<T: Atom>(mut body: &[u8]) -> Option<T> {
    T::decode_body(&mut body).ok()
}

fn read_child<T: Atom>(data: &[u8]) -> Option<T> {
    parts(data).find(|part| part.kind == T::KIND).and_then(|part| read(part.body))
}

impl Mp4 {
    /// Takes an initialisation segment. False if it is none.
    pub fn take_init(&mut self, data: &[u8], out: &mut Vec<Unit>) -> bool {
        let Some(moov) = child(data, b"moov") else { return false };
        let extends = child(moov, b"mvex").unwrap_or_default();
        let traks = parts(moov).filter(|part| part.kind == FourCC::new(b"trak")).take(MAX_TRACKS);
        self.tracks.clear();
        for trak in traks {
            match track(trak.body, movie_timescale(moov), extends) {
                Some(Ok(track)) => self.add(track, out),
                Some(Err(kind)) => self.unknown.push(kind),
                None => {}
            }
        }
        true
    }

    /// Of several sounds or pictures the first is taken.
    fn add(&mut self, track: Track, out: &mut Vec<Unit>) {
        let is_video = super::is_video(track.codec);
        if self.tracks.iter().any(|known| super::is_video(known.codec) == is_video) {
            return;
        }
        let codec = track.codec;
        out.extend(track.record.clone().map(|record| Unit::Parameters { codec, record }));
        self.tracks.push(track);
    }

    /// Codecs that were passed over, once each.
    pub fn take_unknown(&mut self) -> Vec<String> {
        std::mem::take(&mut self.unknown)
    }

    /// Takes a segment. Boxes that make no sense are passed over; frames that lie outside of it end
    /// it. False if it has no fragment.
    pub fn take_segment(&mut self, data: &Bytes, out: &mut Vec<Unit>) -> bool {
        let (mut has_fragment, mut frames) = (false, Vec::new());
        self.left = MAX_FRAMES;
        for moof in parts(data).filter(|part| part.kind == FourCC::new(b"moof")) {
            has_fragment = true;
            if self.take_fragment(data, &moof, &mut frames).is_none() {
                break;
            }
        }
        frames.sort_by_key(|frame| frame.dts);
        out.extend(frames.into_iter().map(Unit::Frame));
        has_fragment
    }

    /// Nothing if a frame lies outside of the segment, or there are too many.
    fn take_fragment(&mut self, data: &Bytes, moof: &Part<'_>, out: &mut Vec<Frame>) -> Option<()> {
        let mut end = moof.start as u64;
        let mut is_first = true;
        for traf in parts(moof.body).filter(|part| part.kind == FourCC::new(b"traf")) {
            let Some(head) = read_child::<Tfhd>(traf.body) else { continue };
            let is_relative = std::mem::take(&mut is_first) || head.default_base_is_moof;
            let base = if is_relative { moof.start as u64 } else { end };
            // Where it was in the file that it was cut from, which may be this one.
            let in_file = head.base_data_offset.filter(|base| *base <= data.len() as u64);
            let base = in_file.unwrap_or(base);
            end = self.take_runs(data, &head, traf.body, base, out)?;
        }
        Some(())
    }

    fn take_runs(
        &mut self,
        data: &Bytes,
        head: &Tfhd,
        traf: &[u8],
        base: u64,
        out: &mut Vec<Frame>,
    ) -> Option<u64> {
        let track = self.tracks.iter().find(|track| track.id == head.track_id);
        let defaults = track.and_then(|track| track.defaults.as_ref());
        let said = read_child::<Tfdt>(traf).map(|time| time.base_media_decode_time);
        let mut time = said.or(self.next.get(&head.track_id).copied()).unwrap_or(0);
        let mut at = base;
        for run in parts(traf).filter(|part| part.kind == Trun::KIND) {
            let Some(run) = read::<Trun>(run.body) else { continue };
            if let Some(offset) = run.data_offset {
                at = base.checked_add_signed(offset.into())?;
            }
            for sample in run.samples.iter() {
                let or = |own: Option<u32>, head: Option<u32>, default: fn(&Trex) -> u32| {
                    own.or(head).or(defaults.map(default)).unwrap_or(0)
                };
                let size =
                    or(sample.size, head.default_sample_size, |trex| trex.default_sample_size);
                let duration = or(sample.duration, head.default_sample_duration, |trex| {
                    trex.default_sample_duration
                });
                let flags =
                    or(sample.flags, head.default_sample_flags, |trex| trex.default_sample_flags);
                let end = at.checked_add(size.into()).filter(|end| *end <= data.len() as u64)?;
                // Counts need no bytes behind them.
                self.left = self.left.checked_sub(1)?;
                if let Some(track) = track {
                    let bytes = data.slice(at as usize..end as usize);
                    out.push(track.frame(time, sample.cts.unwrap_or(0), flags, bytes));
                }
                (at, time) = (end, time.wrapping_add(duration.into()));
            }
        }
        self.next.insert(head.track_id, time);
        Some(at)
    }
}

impl Track {
    fn frame(&self, time: u64, composition: impl Into<i64>, flags: u32, data: Bytes) -> Frame {
        const NEEDS_OTHERS: u32 = 0x0001_0000;
        let dts = i128::from(time) + i128::from(self.shift);
        let pts = dts + i128::from(composition.into());
        let ticks =
            |time: i128| (time * i128::from(TICKS)).div_euclid(i128::from(self.timescale)) as i64;
        let is_key = !super::is_video(self.codec) || flags & NEEDS_OTHERS == 0;
        Frame { codec: self.codec, dts: ticks(dts), pts: ticks(pts), is_key, data }
    }
}

fn movie_timescale(moov: &[u8]) -> u32 {
    let timescale = child(moov, b"mvhd").and_then(|body| {
        let at = if body.first() == Some(&1) { 20 } else { 12 };
        Some(u32::from_be_bytes(*body.get(at..)?.first_chunk()?))
    });
    timescale.unwrap_or(1000).max(1)
}

/// A track, or the name of a codec that FLV cannot carry; nothing if it makes no sense.
fn track(trak: &[u8], movie_timescale: u32, extends: &[u8]) -> Option<Result<Track, String>> {
    let id = read_child::<Tkhd>(trak)?.track_id;
    let mdia = child(trak, b"mdia")?;
    let timescale = read_child::<Mdhd>(mdia)?.timescale;
    let stsd = child(child(child(mdia, b"minf")?, b"stbl")?, b"stsd")?;
    let entry = parts(stsd.get(8..)?).next()?;
    if timescale == 0 {
        return None;
    }
    let Some((codec, record)) = codec(&entry) else {
        let kind: [u8; 4] = entry.kind.into();
        return Some(Err(String::from_utf8_lossy(&kind).into_owned()));
    };
    let defaults = parts(extends)
        .filter(|part| part.kind == Trex::KIND)
        .filter_map(|part| read::<Trex>(part.body))
        .find(|trex| trex.track_id == id);
    let shift = child(trak, b"edts")
        .and_then(read_child::<Elst>)
        .map_or(0, |edits| shift(&edits, timescale, movie_timescale));
    Some(Ok(Track { id, timescale, codec, record, defaults, shift }))
}

/// The codec of a sample entry, and its parameters.
fn codec(entry: &Part<'_>) -> Option<(Codec, Option<Bytes>)> {
    /// ISO 14496-12 §12.1.3, before the boxes.
    const VISUAL: usize = 78;
    let kind: [u8; 4] = entry.kind.into();
    let record = |name| Some(Bytes::copy_from_slice(child(entry.body.get(VISUAL..)?, name)?));
    match &kind {
        b"avc1" | b"avc3" => Some((Codec::AVC, Some(record(b"avcC")?))),
        b"hvc1" | b"hev1" => Some((Codec::HEVC, Some(record(b"hvcC")?))),
        b".mp3" => Some((Codec::MP3, None)),
        b"mp4a" => mpeg_audio(entry.body),
        _ => None,
    }
}

/// ISO 14496-1 table 5: AAC of several ages, and MP3.
fn mpeg_audio(body: &[u8]) -> Option<(Codec, Option<Bytes>)> {
    let version = u16::from_be_bytes(*body.get(8..)?.first_chunk()?);
    // QuickTime's entries are longer.
    let boxes = body.get(28 + [0, 16, 36].get(usize::from(version)).copied().unwrap_or(0)..)?;
    let esds = child(boxes, b"esds").or_else(|| child(child(boxes, b"wave")?, b"esds"));
    let config = read::<Esds>(esds.filter(|body| body.len() <= MAX_ESDS)?)?.es_desc.dec_config;
    match config.object_type_indication {
        0x40 | 0x66..=0x68 => Some((Codec::AAC, Some(config.dec_specific?.raw.into()))),
        0x69 | 0x6b => Some((Codec::MP3, None)),
        _ => None,
    }
}

/// How much later an edit list has a track begin: its empty edits, less what it leaves out.
fn shift(edits: &Elst, timescale: u32, movie_timescale: u32) -> i64 {
    let mut shift = 0i64;
    for edit in &edits.entries {
        match edit.media_time {
            None => {
                let empty = u128::from(edit.segment_duration) * u128::from(timescale);
                let empty = empty / u128::from(movie_timescale);
                shift = shift.saturating_add(i64::try_from(empty).unwrap_or(0));
            }
            Some(start) => {
                return shift.saturating_sub(i64::try_from(start).unwrap_or(0));
            }
        }
    }
    shift
}
