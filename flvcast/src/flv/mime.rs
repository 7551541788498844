//! Codecs as browsers ask for them: RFC 6381, by what decoder parameters say.

use super::{Tag, TagKind};

/// "avc1.64001f" and the like, from parameters or a frame; nothing for what no browser plays.
pub fn of(tag: &Tag) -> Option<String> {
    let codec = tag.anatomy().codec?;
    match &codec.0 {
        b"avc1" => avc(tag),
        b"hvc1" => hevc(tag),
        b"av01" => av1(tag),
        b"vp09" => Some("vp09.00.10.08".into()),
        b"mp4a" => aac(tag),
        b".mp3" => Some("mp3".into()),
        b"Opus" => Some("opus".into()),
        b"fLaC" => Some("flac".into()),
        _ => None,
    }
}

/// What follows the bytes that say what the tag is.
fn parameters(tag: &Tag) -> Option<&[u8]> {
    let first = *tag.payload.first()?;
    let is_enhanced = match tag.kind {
        TagKind::Video => first & 0x80 != 0,
        _ => first >> 4 == 9,
    };
    let skipped = match (is_enhanced, tag.kind) {
        (true, _) | (false, TagKind::Video) => 5,
        (false, _) => 2,
    };
    tag.is_parameters().then(|| tag.payload.get(skipped..)).flatten()
}

fn avc(tag: &Tag) -> Option<String> {
    match parameters(tag)? {
        [_, profile, constraints, level, ..] => {
            Some(format!("avc1.{profile:02x}{constraints:02x}{level:02x}"))
        }
        _ => None,
    }
}

/// ISO 14496-15 §E.3.
fn hevc(tag: &Tag) -> Option<String> {
    let record: &[u8; 13] = parameters(tag)?.first_chunk()?;
    let space = ["", "A", "B", "C"][usize::from(record[1] >> 6)];
    let profile = record[1] & 0x1f;
    let tier = if record[1] & 0x20 == 0 { 'L' } else { 'H' };
    let compatible =
        u32::from_be_bytes([record[2], record[3], record[4], record[5]]).reverse_bits();
    let constraints = &record[6..12];
    let used = constraints.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
    let constraints: String = constraints[..used].iter().map(|byte| format!(".{byte:X}")).collect();
    Some(format!("hvc1.{space}{profile}.{compatible:X}.{tier}{}{constraints}", record[12]))
}

/// AV1-ISOBMFF §5.
fn av1(tag: &Tag) -> Option<String> {
    let [_, second, third, ..] = parameters(tag)? else { return None };
    let tier = if third & 0x80 == 0 { 'M' } else { 'H' };
    let depth = match (third & 0x40 != 0, third & 0x20 != 0) {
        (false, _) => 8,
        (true, false) => 10,
        (true, true) => 12,
    };
    Some(format!("av01.{}.{:02}{tier}.{depth:02}", second >> 5, second & 0x1f))
}

fn aac(tag: &Tag) -> Option<String> {
    let kind = parameters(tag)?.first()? >> 3;
    Some(format!("mp4a.40.{kind}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mime(kind: TagKind, payload: &[u8]) -> Option<String> {
        of(&Tag { kind, timestamp: 0, payload: bytes::Bytes::copy_from_slice(payload) })
    }

    #[test]
    fn parameters_say_what_browsers_ask() {
        let video = |payload: &[u8]| mime(TagKind::Video, payload);
        assert_eq!(video(&[0x17, 0, 0, 0, 0, 1, 0x64, 0, 0x1f]).as_deref(), Some("avc1.64001f"));
        let hvcc = [1, 0x01, 0x60, 0, 0, 0, 0x90, 0, 0, 0, 0, 0, 93];
        let enhanced = [&b"\x90hvc1"[..], &hvcc].concat();
        assert_eq!(video(&enhanced).as_deref(), Some("hvc1.1.6.L93.90"));
        let legacy = [&[0x1c, 0, 0, 0, 0][..], &hvcc].concat();
        assert_eq!(video(&legacy).as_deref(), Some("hvc1.1.6.L93.90"));
        assert_eq!(video(b"\x90av01\x81\x05\x0c").as_deref(), Some("av01.0.05M.08"));
        assert_eq!(video(&[0x12, 0]), None, "Sorenson");
        let audio = |payload: &[u8]| mime(TagKind::Audio, payload);
        assert_eq!(audio(&[0xaf, 0, 0x12, 0x10]).as_deref(), Some("mp4a.40.2"));
        assert_eq!(audio(&[0x2f, 0xff]).as_deref(), Some("mp3"));
        assert_eq!(audio(b"\x90Opus").as_deref(), Some("opus"));
    }
}
