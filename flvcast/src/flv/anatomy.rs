//! What the first bytes of a tag say: which codec, and what it is to a player. FLV 10.1 §E.4,
//! Enhanced RTMP v2, and what writers do beyond both.

use super::TagKind;

/// A codec by its four characters, those of Enhanced RTMP where it names them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Codec(pub [u8; 4]);

impl Codec {
    /// H.264
    pub const AVC: Self = Self(*b"avc1");
    /// H.265
    pub const HEVC: Self = Self(*b"hvc1");
    /// AV1
    pub const AV1: Self = Self(*b"av01");
    /// H.266
    pub const VVC: Self = Self(*b"vvc1");
    /// AAC
    pub const AAC: Self = Self(*b"mp4a");
    /// MP3
    pub const MP3: Self = Self(*b".mp3");
    const OPUS: Self = Self(*b"Opus");
    const FLAC: Self = Self(*b"fLaC");

    /// By the number in the low half of a picture's first byte. 12 and 13 are what many programs
    /// write for H.265 and AV1.
    fn of_video(number: u8) -> Self {
        match number {
            2 => Self(*b"H263"),
            3 | 6 => Self(*b"SCRN"),
            4 | 5 => Self(*b"VP6F"),
            7 => Self::AVC,
            12 => Self::HEVC,
            13 => Self::AV1,
            14 => Self::VVC,
            _ => Self(*b"????"),
        }
    }

    /// By the number in the high half of a sound's first byte.
    fn of_audio(number: u8) -> Self {
        match number {
            0 | 3 => Self(*b"lpcm"),
            1 => Self(*b"adpc"),
            2 | 14 => Self::MP3,
            4..=6 => Self(*b"nell"),
            7 | 8 => Self(*b"g711"),
            10 => Self::AAC,
            11 => Self(*b"spex"),
            13 => Self::OPUS,
            _ => Self(*b"????"),
        }
    }

    /// Whether frames are of no use without parameters.
    pub fn needs_parameters(self) -> bool {
        [Self::AVC, Self::HEVC, Self::AV1, Self::VVC, Self::AAC, Self::OPUS, Self::FLAC]
            .contains(&self)
    }

    /// As people call it.
    pub fn name(self) -> &'static str {
        match &self.0 {
            b"avc1" => "H.264",
            b"hvc1" => "H.265",
            b"vvc1" => "H.266",
            b"av01" => "AV1",
            b"vp08" => "VP8",
            b"vp09" => "VP9",
            b"H263" => "Sorenson H.263",
            b"SCRN" => "Screen video",
            b"VP6F" => "VP6",
            b"mp4a" => "AAC",
            b".mp3" => "MP3",
            b"Opus" => "Opus",
            b"fLaC" => "FLAC",
            b"ac-3" => "AC-3",
            b"ec-3" => "E-AC-3",
            b"lpcm" => "PCM",
            b"adpc" => "ADPCM",
            b"nell" => "Nellymoser",
            b"g711" => "G.711",
            b"spex" => "Speex",
            _ => "unknown",
        }
    }
}

/// What a tag is to a player.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Part {
    /// `onMetaData`, also inside of `@setDataFrame`.
    Metadata,
    /// Text, cue points and other scripts.
    Data,
    /// What a decoder must have before frames.
    Parameters,
    /// What it should have: colours of HDR, layout of channels.
    Details,
    /// A picture that needs no other.
    KeyFrame,
    /// Any other picture, and sound.
    Frame,
    /// The end of a sequence, commands, and what is empty: nothing to see or hear.
    Other,
}

/// A tag's first bytes, read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Anatomy {
    /// What it is.
    pub part: Part,
    /// Of sound and picture.
    pub codec: Option<Codec>,
    /// Of several tracks of one kind; 0 is the main one.
    pub track: u8,
}

/// Reads a tag's first bytes; never fails, for what makes no sense is [`Part::Other`].
pub fn of(kind: TagKind, payload: &[u8]) -> Anatomy {
    let read = match kind {
        TagKind::Script => Some(Anatomy { part: script(payload), codec: None, track: 0 }),
        TagKind::Video => video(payload),
        TagKind::Audio => audio(payload),
    };
    read.unwrap_or(Anatomy { part: Part::Other, codec: None, track: 0 })
}

fn script(payload: &[u8]) -> Part {
    let name = match script_name(payload) {
        Some((b"@setDataFrame", after)) => script_name(after).map(|(name, _)| name),
        other => other.map(|(name, _)| name),
    };
    if name == Some(b"onMetaData") { Part::Metadata } else { Part::Data }
}

/// The AMF0 string at the beginning, and what follows it.
pub(super) fn script_name(payload: &[u8]) -> Option<(&[u8], &[u8])> {
    let [2, high, low, rest @ ..] = payload else { return None };
    rest.split_at_checked(usize::from(u16::from_be_bytes([*high, *low])))
}

fn video(payload: &[u8]) -> Option<Anatomy> {
    let first = *payload.first()?;
    let frame_type = first >> 4 & 0x07;
    let frame = match frame_type {
        1 | 4 => Part::KeyFrame,
        5 => Part::Other,
        _ => Part::Frame,
    };
    if first & 0x80 != 0 {
        return enhanced(TagKind::Video, first & 0x0f, &payload[1..], frame);
    }
    let codec = Codec::of_video(first & 0x0f);
    let part = match payload.get(1) {
        _ if !codec.needs_parameters() => frame,
        Some(0) => Part::Parameters,
        Some(1) => frame,
        _ => Part::Other,
    };
    Some(Anatomy { part, codec: Some(codec), track: 0 })
}

fn audio(payload: &[u8]) -> Option<Anatomy> {
    const ENHANCED: u8 = 9;
    let first = *payload.first()?;
    if first >> 4 == ENHANCED {
        return enhanced(TagKind::Audio, first & 0x0f, &payload[1..], Part::Frame);
    }
    let codec = Codec::of_audio(first >> 4);
    let part = match payload.get(1) {
        None => Part::Other,
        Some(0) if codec.needs_parameters() => Part::Parameters,
        Some(_) => Part::Frame,
    };
    Some(Anatomy { part, codec: Some(codec), track: 0 })
}

/// Packet types of Enhanced RTMP.
mod packet {
    pub const SEQUENCE_START: u8 = 0;
    pub const CODED_FRAMES: u8 = 1;
    /// Pictures without composition time.
    pub const CODED_FRAMES_X: u8 = 3;
    /// Colours, or the layout of channels.
    pub const DETAILS: u8 = 4;
    /// Pictures: parameters as MPEG-2 TS has them.
    pub const TS_START: u8 = 5;
    pub const AUDIO_TRACKS: u8 = 5;
    pub const VIDEO_TRACKS: u8 = 6;
    pub const MODIFIERS: u8 = 7;
}

/// What follows the first byte. Of several tracks in one tag the first one counts.
fn enhanced(kind: TagKind, packet_type: u8, rest: &[u8], frame: Part) -> Option<Anatomy> {
    let (packet_type, rest) = skip_modifiers(packet_type, rest)?;
    let is_video = kind == TagKind::Video;
    let tracks = if is_video { packet::VIDEO_TRACKS } else { packet::AUDIO_TRACKS };
    let (packet_type, codec, track) = match packet_type {
        several if several == tracks => of_tracks(rest)?,
        one => (one, codec_at(rest)?, 0),
    };
    let part = match packet_type {
        packet::SEQUENCE_START => Part::Parameters,
        packet::TS_START if is_video => Part::Parameters,
        packet::CODED_FRAMES => frame,
        packet::CODED_FRAMES_X if is_video => frame,
        packet::DETAILS => Part::Details,
        _ => Part::Other,
    };
    Some(Anatomy { part, codec: Some(codec), track })
}

/// Modifiers, such as nanoseconds of the time, stand before the packet type that counts.
fn skip_modifiers(mut packet_type: u8, mut rest: &[u8]) -> Option<(u8, &[u8])> {
    const LONG: u8 = 255;
    while packet_type == packet::MODIFIERS {
        let (size, after) = match rest {
            [LONG, high, low, after @ ..] => (u16::from_be_bytes([*high, *low]).into(), after),
            [size, after @ ..] => (usize::from(*size), after),
            [] => return None,
        };
        let after = after.get(size + 1..)?;
        packet_type = after.first()? & 0x0f;
        rest = &after[1..];
    }
    Some((packet_type, rest))
}

fn codec_at(bytes: &[u8]) -> Option<Codec> {
    Some(Codec(*bytes.first_chunk()?))
}

/// The packet type, codec and number of the first track.
fn of_tracks(rest: &[u8]) -> Option<(u8, Codec, u8)> {
    let (first, rest) = rest.split_first()?;
    let codec = codec_at(rest)?;
    Some((first & 0x0f, codec, *rest.get(4)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(kind: TagKind, payload: &[u8], part: Part, codec: &[u8; 4], track: u8) {
        let expected = Anatomy { part, codec: Some(Codec(*codec)), track };
        assert_eq!(of(kind, payload), expected, "{payload:02x?}");
    }

    #[test]
    fn pictures_old_and_new() {
        use TagKind::Video;
        check(Video, &[0x17, 0, 0, 0, 0], Part::Parameters, b"avc1", 0);
        check(Video, &[0x17, 1, 0, 0, 0], Part::KeyFrame, b"avc1", 0);
        check(Video, &[0x27, 1, 0, 0, 0], Part::Frame, b"avc1", 0);
        check(Video, &[0x17, 2, 0, 0, 0], Part::Other, b"avc1", 0);
        check(Video, &[0x1c, 0], Part::Parameters, b"hvc1", 0);
        check(Video, &[0x1d, 0], Part::Parameters, b"av01", 0);
        check(Video, &[0x12, 0], Part::KeyFrame, b"H263", 0);
        check(Video, &[0x52, 0], Part::Other, b"H263", 0);
        check(Video, b"\x90hvc1", Part::Parameters, b"hvc1", 0);
        check(Video, b"\x93hvc1", Part::KeyFrame, b"hvc1", 0);
        check(Video, b"\xa1av01", Part::Frame, b"av01", 0);
        check(Video, b"\x95av01", Part::Parameters, b"av01", 0);
        check(Video, b"\x94hvc1", Part::Details, b"hvc1", 0);
        check(Video, b"\x96\x00hvc1\x00", Part::Parameters, b"hvc1", 0);
        check(Video, b"\xa6\x13hvc1\x02", Part::Frame, b"hvc1", 2);
        check(Video, b"\x97\x02abc\x01hvc1", Part::KeyFrame, b"hvc1", 0);
    }

    #[test]
    fn sound_old_and_new() {
        use TagKind::Audio;
        check(Audio, &[0xaf, 0, 0x12], Part::Parameters, b"mp4a", 0);
        check(Audio, &[0xaf, 1, 0x12], Part::Frame, b"mp4a", 0);
        check(Audio, &[0x2f, 0], Part::Frame, b".mp3", 0);
        check(Audio, b"\x90Opus", Part::Parameters, b"Opus", 0);
        check(Audio, b"\x91fLaC", Part::Frame, b"fLaC", 0);
        check(Audio, b"\x94Opus", Part::Details, b"Opus", 0);
        check(Audio, b"\x95\x01Opus\x01", Part::Frame, b"Opus", 1);
    }

    #[test]
    fn what_is_cut_short_is_nothing() {
        for payload in [&b""[..], b"\x17", b"\x90hv", b"\x97", b"\x97\xff\xff\xff", b"\x96\x00hvc1"]
        {
            assert_eq!(of(TagKind::Video, payload).part, Part::Other, "{payload:02x?}");
        }
    }

    #[test]
    fn metadata_by_both_its_names() {
        let script = |names: &[&str]| {
            let text: Vec<u8> = names
                .iter()
                .flat_map(|name| [&[2, 0, name.len() as u8], name.as_bytes()].concat())
                .collect();
            of(TagKind::Script, &text).part
        };
        assert_eq!(script(&["onMetaData"]), Part::Metadata);
        assert_eq!(script(&["@setDataFrame", "onMetaData"]), Part::Metadata);
        assert_eq!(script(&["onCuePoint"]), Part::Data);
    }
}
