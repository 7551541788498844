//! Fragmented MP4 for HLS: one initialisation segment for each set of parameters, and a fragment of
//! sound and pictures as they are. ISO 14496-12 and -14, by a library; times are milliseconds.

use bytes::Bytes;
use mp4_atom::{
    Atom, Audio, Av01, Av1c, Avc1, Avcc, Codec as Entry, Dinf, Dops, Dref, DrefEntry, Encode, Esds,
    Ftyp, Hdlr, Hvc1, Hvcc, Mdhd, Mdia, Mfhd, Minf, Moof, Moov, Mp4a, Mvex, Mvhd, Opus, Smhd, Stbl,
    Stsd, Styp, Tfdt, Tfhd, Tkhd, Traf, Trak, Trex, Trun, TrunEntry, Url, Visual, Vmhd,
    esds::{DecoderConfig, DecoderSpecific, EsDescriptor, SLConfig},
};

use crate::{
    flv::{Codec, Tag, TagKind, inside, metadata},
    headers::StreamHeaders,
    hub::PAUSE_MS,
    programme::Shown,
};

const TIMESCALE: u32 = 1000;
const PICTURES: u32 = 1;
const SOUND: u32 = 2;
/// ISO 14496-12 §8.8.3.1: a picture that needs no other, any other, and sound.
const KEY: u32 = 0x0200_0000;
const NOT_KEY: u32 = 0x0101_0000;
/// Where nothing follows that would tell: 25 pictures a second, and a frame of AAC.
const PICTURE_MS: u32 = 40;
const SOUND_MS: u32 = 23;
/// The library reads what a stranger wrote; no sane record is larger.
const MAX_RECORD: usize = 4096;

/// Which tracks can be put into MP4.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Packable {
    /// Pictures.
    pub video: bool,
    /// Sound.
    pub audio: bool,
}

/// What a tag's parameters hold after the bytes that say what it is.
fn record(tag: &Tag) -> Option<&[u8]> {
    let record = tag.payload.get(inside(tag)?.offset..)?;
    (record.len() <= MAX_RECORD).then_some(record)
}

fn decoded<T: Atom>(mut record: &[u8]) -> Option<T> {
    T::decode_body(&mut record).ok()
}

/// The sample entry of pictures; nothing if MP4 does not know them.
fn picture_entry(headers: &StreamHeaders) -> Option<(Entry, (u16, u16))> {
    let tag = headers.parameters(TagKind::Video)?;
    let size = |name| {
        let said = metadata::number(&headers.metadata()?.payload, name)?;
        (1.0..=16384.0).contains(&said).then_some(said as u16)
    };
    let (width, height) = (size("width").unwrap_or(1280), size("height").unwrap_or(720));
    let visual = Visual { data_reference_index: 1, width, height, ..Visual::default() };
    let record = record(tag)?;
    let entry = match tag.anatomy().codec? {
        Codec::AVC => Avc1 { visual, avcc: decoded::<Avcc>(record)?, ..bare_avc() }.into(),
        Codec::HEVC => Hvc1 { visual, hvcc: decoded::<Hvcc>(record)?, ..bare_hevc() }.into(),
        Codec::AV1 => av1(visual, decoded::<Av1c>(record)?).into(),
        _ => return None,
    };
    Some((entry, (width, height)))
}

fn bare_avc() -> Avc1 {
    Avc1 {
        visual: Visual::default(),
        avcc: Avcc::default(),
        btrt: None,
        colr: None,
        pasp: None,
        taic: None,
        fiel: None,
        spatial: None,
    }
}

fn bare_hevc() -> Hvc1 {
    Hvc1 {
        visual: Visual::default(),
        hvcc: Hvcc::default(),
        lhvc: None,
        btrt: None,
        colr: None,
        pasp: None,
        taic: None,
        fiel: None,
        ccst: None,
        spatial: None,
    }
}

fn av1(visual: Visual, av1c: Av1c) -> Av01 {
    Av01 { visual, av1c, btrt: None, ccst: None, colr: None, pasp: None, taic: None, spatial: None }
}

/// The sample entry of sound. MP3 has no parameters: it is known by a frame.
fn sound_entry(headers: &StreamHeaders, has_mp3: bool) -> Option<Entry> {
    let audio = |channels: u16, rate: u32| Audio {
        data_reference_index: 1,
        channel_count: channels,
        sample_size: 16,
        sample_rate: u16::try_from(rate).unwrap_or(0).into(),
    };
    let Some(tag) = headers.parameters(TagKind::Audio) else {
        const MPEG1_LAYER3: u8 = 0x6b;
        return has_mp3.then(|| mpeg(audio(2, 44_100), MPEG1_LAYER3, None).into());
    };
    let record = record(tag)?;
    match tag.anatomy().codec? {
        Codec::AAC => {
            const AAC: u8 = 0x40;
            let config = AacConfig::read(record)?;
            let specific = DecoderSpecific { raw: record.to_vec(), ..DecoderSpecific::default() };
            Some(mpeg(audio(config.channels, config.rate), AAC, Some(specific)).into())
        }
        Codec(kind) if &kind == b"Opus" => {
            let dops = opus(record)?;
            let audio = audio(dops.output_channel_count.into(), 48_000);
            Some(Opus { audio, dops, btrt: None }.into())
        }
        _ => None,
    }
}

fn mpeg(audio: Audio, object: u8, specific: Option<DecoderSpecific>) -> Mp4a {
    const SOUND_STREAM: u8 = 5;
    let dec_config = DecoderConfig {
        object_type_indication: object,
        stream_type: SOUND_STREAM,
        dec_specific: specific,
        ..DecoderConfig::default()
    };
    let es_desc =
        EsDescriptor { es_id: 1, dec_config, sl_config: SLConfig {}, ..EsDescriptor::default() };
    Mp4a { audio, esds: Esds { es_desc }, btrt: None, taic: None }
}

/// ISO 14496-3 §1.6.2.1, as far as MP4 repeats it.
struct AacConfig {
    channels: u16,
    rate: u32,
}

impl AacConfig {
    fn read(record: &[u8]) -> Option<Self> {
        const RATES: [u32; 13] = [
            96_000, 88_200, 64_000, 48_000, 44_100, 32_000, 24_000, 22_050, 16_000, 12_000, 11_025,
            8000, 7350,
        ];
        let [first, second, ..] = record else { return None };
        let index = usize::from((first & 7) << 1 | second >> 7);
        let channels = match second >> 3 & 0x0f {
            0 => 2,
            7 => 8,
            count => u16::from(count),
        };
        Some(Self { channels, rate: RATES.get(index).copied().unwrap_or(48_000) })
    }
}

/// RFC 7845 §5.1, as MP4 has it, big-endian and without the magic.
fn opus(record: &[u8]) -> Option<Dops> {
    let head = record.strip_prefix(b"OpusHead").unwrap_or(record);
    let [_, channels, skip0, skip1, r0, r1, r2, r3, g0, g1, 0, ..] = head else { return None };
    Some(Dops {
        output_channel_count: *channels,
        pre_skip: u16::from_le_bytes([*skip0, *skip1]),
        input_sample_rate: u32::from_le_bytes([*r0, *r1, *r2, *r3]),
        output_gain: i16::from_le_bytes([*g0, *g1]),
        channel_mapping: None,
    })
}

/// The initialisation segment, and which tracks it has; nothing if there is none to have.
pub fn init(headers: &StreamHeaders, has_mp3: bool) -> Option<(Bytes, Packable)> {
    let (pictures, sound) = (picture_entry(headers), sound_entry(headers, has_mp3));
    let packable = Packable { video: pictures.is_some(), audio: sound.is_some() };
    let mut trak = Vec::new();
    if let Some((entry, size)) = pictures {
        let minf = Minf { vmhd: Some(Vmhd::default()), ..media(entry) };
        trak.push(track(
            PICTURES,
            size,
            Hdlr { handler: (*b"vide").into(), name: "".into() },
            minf,
        ));
    }
    if let Some(entry) = sound {
        let minf = Minf { smhd: Some(Smhd::default()), ..media(entry) };
        trak.push(track(SOUND, (0, 0), Hdlr { handler: (*b"soun").into(), name: "".into() }, minf));
    }
    if trak.is_empty() {
        return None;
    }
    let extends = |track: &Trak| Trex {
        track_id: track.tkhd.track_id,
        default_sample_description_index: 1,
        ..Trex::default()
    };
    let mvex = Mvex { mehd: None, trex: trak.iter().map(extends).collect() };
    let mvhd = Mvhd {
        timescale: TIMESCALE,
        rate: 1.into(),
        volume: 1.into(),
        next_track_id: 3,
        ..Mvhd::default()
    };
    let moov = Moov { mvhd, meta: None, mvex: Some(mvex), trak, udta: None, ainf: None };
    let ftyp = Ftyp {
        major_brand: (*b"iso6").into(),
        minor_version: 0,
        compatible_brands: vec![(*b"iso6").into(), (*b"mp41").into()],
    };
    let mut out = Vec::new();
    ftyp.encode(&mut out).ok()?;
    moov.encode(&mut out).ok()?;
    Some((out.into(), packable))
}

fn media(entry: Entry) -> Minf {
    let dref = Dref { entries: vec![DrefEntry::Url(Url::default())] };
    let stbl = Stbl { stsd: Stsd { codecs: vec![entry] }, ..Stbl::default() };
    Minf { dinf: Dinf { dref }, stbl, ..Minf::default() }
}

fn track(id: u32, (width, height): (u16, u16), hdlr: Hdlr, minf: Minf) -> Trak {
    let tkhd = Tkhd {
        track_id: id,
        enabled: true,
        in_movie: true,
        volume: u8::from(id == SOUND).into(),
        width: width.into(),
        height: height.into(),
        ..Tkhd::default()
    };
    let mdhd = Mdhd { timescale: TIMESCALE, language: "und".into(), ..Mdhd::default() };
    let mdia = Mdia { mdhd, hdlr, minf };
    Trak { tkhd, edts: None, meta: None, mdia, senc: None, tref: None, udta: None }
}

/// One track of a fragment in the making.
struct Run {
    id: u32,
    begin: u64,
    entries: Vec<TrunEntry>,
    data: Vec<Bytes>,
    size: usize,
}

impl Run {
    /// From the tags of one kind, each with its time; `next` is the time of the one behind.
    fn new(id: u32, tags: &[(u64, &Tag)], next: Option<u64>) -> Option<Self> {
        let begin = tags.first()?.0;
        let usual = if id == PICTURES { PICTURE_MS } else { SOUND_MS };
        let mut run = Self { id, begin, entries: Vec::new(), data: Vec::new(), size: 0 };
        let mut at = begin;
        for (index, (time, tag)) in tags.iter().enumerate() {
            let Some(inside) = inside(tag) else { continue };
            // Before a pause nothing is shown for all of it.
            let next = next.filter(|next| *next < time + PAUSE_MS);
            let following = tags.get(index + 1).map(|(time, _)| *time).or(next);
            // Times do not go back; what is shown for no time at all confuses players.
            let last = run.entries.last().and_then(|entry| entry.duration).unwrap_or(usual);
            let until = following.unwrap_or(at + u64::from(last));
            let duration = u32::try_from(until.saturating_sub(at)).unwrap_or(usual).max(1);
            at += u64::from(duration);
            let data = tag.payload.slice(inside.offset..);
            run.entries.push(TrunEntry {
                duration: Some(duration),
                size: u32::try_from(data.len()).ok(),
                flags: Some(if id == SOUND || tag.is_key_frame() { KEY } else { NOT_KEY }),
                cts: (id == PICTURES).then_some(inside.composition.into()),
            });
            run.size += data.len();
            run.data.push(data);
        }
        (!run.entries.is_empty()).then_some(run)
    }

    fn traf(&self, data_offset: i32) -> Traf {
        let tfhd = Tfhd { track_id: self.id, default_base_is_moof: true, ..Tfhd::default() };
        Traf {
            tfhd,
            tfdt: Some(Tfdt { base_media_decode_time: self.begin }),
            trun: vec![Trun {
                data_offset: Some(data_offset),
                samples: self.entries.clone().into(),
            }],
            ..Traf::default()
        }
    }
}

/// A media segment of some tags in order. `next` are the times of the next picture and sound.
pub fn segment(
    number: u32,
    shown: &[Shown],
    packable: Packable,
    next: [Option<u64>; 2],
) -> Option<Vec<Bytes>> {
    let of = |kind: TagKind| -> Vec<(u64, &Tag)> {
        let media = shown.iter().filter(|shown| shown.tag.kind == kind && shown.tag.is_media());
        media.map(|shown| (shown.time, &shown.tag)).collect()
    };
    let pictures = packable.video.then(|| Run::new(PICTURES, &of(TagKind::Video), next[0]));
    let sound = packable.audio.then(|| Run::new(SOUND, &of(TagKind::Audio), next[1]));
    let runs: Vec<Run> = [pictures, sound].into_iter().flatten().flatten().collect();
    if runs.is_empty() {
        return None;
    }
    let moof = |base: usize| {
        let mut at = base;
        let traf = runs.iter().map(|run| {
            let offset = i32::try_from(at).unwrap_or(i32::MAX);
            at += run.size;
            run.traf(offset)
        });
        let moof = Moof { mfhd: Mfhd { sequence_number: number }, traf: traf.collect() };
        let mut out = Vec::new();
        moof.encode(&mut out).ok()?;
        Some(out)
    };
    const BOX: usize = 8;
    // Offsets have a fixed size, so the box's own size does not depend on them.
    let length = moof(0)?.len();
    let size: usize = runs.iter().map(|run| run.size).sum();
    let mut head = Vec::new();
    let brand = Styp {
        major_brand: (*b"msdh").into(),
        minor_version: 0,
        compatible_brands: vec![(*b"msdh").into(), (*b"msix").into()],
    };
    brand.encode(&mut head).ok()?;
    head.extend(moof(length + BOX)?);
    head.extend(u32::try_from(size + BOX).ok()?.to_be_bytes());
    head.extend(b"mdat");
    let mut out = vec![Bytes::from(head)];
    out.extend(runs.into_iter().flat_map(|run| run.data));
    Some(out)
}
