//! Scripts: what a file says of itself is made what a live stream says of itself.

use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use rtmfp::rtmp::{Value, amf0};

use super::{
    Part, Tag, TagKind,
    anatomy::{self, script_name},
};

/// Said of the file that a film came from, and wrong of a broadcast: how long and how large it is,
/// where its key frames lie, when it ends.
const OF_A_FILE: [&str; 19] = [
    "duration",
    "totalduration",
    "totalDuration",
    "filesize",
    "fileSize",
    "datasize",
    "videosize",
    "audiosize",
    "keyframes",
    "seekpoints",
    "hasKeyframes",
    "lasttimestamp",
    "lastkeyframetimestamp",
    "lastkeyframelocation",
    "canSeekToEnd",
    "bytelength",
    "cuePoints",
    CAST_TIME,
    QUALITIES,
];
/// Ours: when it was cast, in milliseconds since 1970 by the caster's clock. Viewers of ours take
/// it out again; to others it is one word more.
pub const CAST_TIME: &str = "castTime";
/// Ours as well: the channels on which the same programme is cast in lower qualities, from the
/// better to the worse.
const QUALITIES: &str = "qualities";
/// So many may be named, by names so long.
pub const MAX_QUALITIES: usize = 8;
/// Metadata goes out again and again: of larger ones only numbers and short words are kept.
const MAX_METADATA: usize = 8 << 10;
const MAX_WORD: usize = 200;
/// More words than anybody needs.
const MAX_MEMBERS: usize = 100;

const SET: &[u8] = b"@setDataFrame";
const CLEAR: &[u8] = b"@clearDataFrame";

/// A script as it goes into a broadcast: metadata without what is true of a file only, and without
/// the words by which a publisher tells a server to keep it. Nothing if there is nothing to tell.
pub fn live(tag: &Tag) -> Option<Tag> {
    let payload = match script_name(&tag.payload) {
        Some((SET, after)) => tag.payload.slice_ref(after),
        Some((CLEAR, _)) => return None,
        _ => tag.payload.clone(),
    };
    if payload.is_empty() {
        return None;
    }
    let is_metadata = anatomy::of(TagKind::Script, &payload).part == Part::Metadata;
    let payload = if is_metadata { live_metadata(payload)? } else { payload };
    Some(Tag { payload, ..tag.clone() })
}

fn live_metadata(payload: Bytes) -> Option<Bytes> {
    let Some(mut members) = members(&payload) else {
        // Whoever made sense of it may do so again.
        return (payload.len() <= MAX_METADATA).then_some(payload);
    };
    members.retain(|(name, _)| !OF_A_FILE.contains(&name.as_str()));
    if members.is_empty() {
        return None;
    }
    // Always in one form, so that what says the same is the same.
    let mut encoded = encode(members.clone());
    if encoded.len() > MAX_METADATA {
        members.retain(|(name, value)| name.len() <= MAX_WORD && is_small(value));
        members.truncate(MAX_MEMBERS);
        encoded = encode(members);
    }
    Some(encoded)
}

fn is_small(value: &Value) -> bool {
    match value {
        Value::String(text) => text.len() <= MAX_WORD,
        Value::Number(_) | Value::Boolean(_) | Value::Date(_) => true,
        _ => false,
    }
}

fn encode(members: Vec<(String, Value)>) -> Bytes {
    let mut out = Vec::new();
    amf0::encode(&mut out, &Value::string("onMetaData"));
    amf0::encode(&mut out, &Value::EcmaArray(members));
    out.into()
}

/// The members of `onMetaData`; nothing if it cannot be read.
pub fn members(payload: &[u8]) -> Option<Vec<(String, Value)>> {
    let mut values = amf0::decode_all(payload).into_iter().skip_while(|value| {
        value.as_str().is_some_and(|name| name == "onMetaData" || name == "@setDataFrame")
    });
    match values.next()? {
        Value::Object(members) | Value::EcmaArray(members) | Value::TypedObject(_, members) => {
            Some(members)
        }
        _ => None,
    }
}

/// A number that metadata states.
pub fn number(payload: &[u8], name: &str) -> Option<f64> {
    members(payload)?.iter().find(|(member, _)| member == name)?.1.as_number()
}

/// A clock's time as [`CAST_TIME`] has it.
pub fn clock(now: SystemTime) -> f64 {
    now.duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_millis() as f64)
}

/// Metadata that also says when it is cast, and in which lower qualities; nothing if it cannot be
/// read.
pub fn with_clock(metadata: Option<&Tag>, now: SystemTime, lower: &[String]) -> Option<Bytes> {
    let mut members = match metadata {
        Some(tag) => members(&tag.payload)?,
        None => Vec::new(),
    };
    members.push((CAST_TIME.into(), Value::Number(clock(now))));
    if !lower.is_empty() {
        let names = lower.iter().map(Value::string).collect();
        members.push((QUALITIES.into(), Value::StrictArray(names)));
    }
    Some(encode(members))
}

/// The lower qualities that the metadata of a cast names; nothing if it is no such metadata.
pub fn qualities(tag: &Tag) -> Option<Vec<String>> {
    if tag.kind != TagKind::Script {
        return None;
    }
    let members = members(&tag.payload)?;
    let member = |wanted| members.iter().find(|(name, _)| name == wanted).map(|(_, value)| value);
    member(CAST_TIME)?;
    let Some(Value::StrictArray(names)) = member(QUALITIES) else { return Some(Vec::new()) };
    let names = names.iter().filter_map(|name| Some(name.as_str()?.to_owned()));
    let is_name = |name: &String| {
        !name.is_empty() && name.len() <= MAX_WORD && !name.contains(char::is_control)
    };
    Some(names.filter(is_name).take(MAX_QUALITIES).collect())
}

/// Metadata in the words by which a publisher tells a server to keep it.
pub fn to_keep(payload: &Bytes) -> Bytes {
    let mut out = Vec::new();
    amf0::encode(&mut out, &Value::string("@setDataFrame"));
    out.extend_from_slice(payload);
    out.into()
}

/// Metadata that begins with a duration of zero, and where in it that number is: eight bytes,
/// big-endian, to be overwritten once it is known.
pub fn with_duration(metadata: Option<&Tag>) -> (Bytes, usize) {
    const NAME: &str = "duration";
    // Name of the script, kind of the array, count, length of the word, word, kind of the number.
    const AT: usize = 3 + "onMetaData".len() + 1 + 4 + 2 + NAME.len() + 1;
    let known = metadata.and_then(|tag| members(&tag.payload)).unwrap_or_default();
    let duration = (NAME.to_owned(), Value::Number(0.0));
    (encode([duration].into_iter().chain(known).collect()), AT)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn script(values: &[Value]) -> Tag {
        let mut out = Vec::new();
        values.iter().for_each(|value| amf0::encode(&mut out, value));
        Tag { kind: TagKind::Script, timestamp: 7, payload: out.into() }
    }

    fn metadata(members: Vec<(&str, Value)>) -> Value {
        Value::EcmaArray(members.into_iter().map(|(name, value)| (name.into(), value)).collect())
    }

    #[test]
    fn what_is_true_of_a_file_only_goes() {
        let width = ("width", Value::Number(640.0));
        let said = metadata(vec![
            ("duration", Value::Number(4.0)),
            width.clone(),
            ("filesize", Value::Number(1e6)),
            ("keyframes", Value::Object(vec![])),
        ]);
        let expected = script(&[Value::string("onMetaData"), metadata(vec![width])]);
        assert_eq!(
            live(&script(&[Value::string("onMetaData"), said.clone()])),
            Some(expected.clone())
        );
        let set = script(&[Value::string("@setDataFrame"), Value::string("onMetaData"), said]);
        assert_eq!(live(&set), Some(expected.clone()));
        assert_eq!(live(&expected), Some(expected.clone()), "byte for byte");
    }

    #[test]
    fn lower_qualities_are_named_to_viewers_and_cast_no_further() {
        let lower = ["news-480".to_owned(), "news-240".to_owned()];
        let payload = with_clock(None, SystemTime::now(), &lower).unwrap();
        let tag = Tag { kind: TagKind::Script, timestamp: 0, payload };
        assert_eq!(qualities(&tag).unwrap(), lower);
        assert_eq!(live(&tag), None, "nothing else was said");
        let payload = with_clock(None, SystemTime::now(), &[]).unwrap();
        assert_eq!(qualities(&Tag { payload, ..tag.clone() }).unwrap(), [""; 0]);
        let names = vec![Value::string("x".repeat(300)), Value::Null, Value::string("y")];
        let names = [names, vec![Value::string("z"); 100]].concat();
        let said = metadata(vec![("qualities", Value::StrictArray(names))]);
        let other = script(&[Value::string("onMetaData"), said.clone()]);
        assert_eq!(qualities(&other), None, "it is not of ours");
        let Value::EcmaArray(mut members) = said else { panic!("it is an array") };
        members.push((CAST_TIME.into(), Value::Number(1.0)));
        let hostile = script(&[Value::string("onMetaData"), Value::EcmaArray(members)]);
        assert_eq!(qualities(&hostile).unwrap().len(), MAX_QUALITIES);
    }

    #[test]
    fn a_duration_is_filled_in_later() {
        let said = metadata(vec![("width", Value::Number(640.0))]);
        let (payload, at) = with_duration(Some(&script(&[Value::string("onMetaData"), said])));
        let mut payload = payload.to_vec();
        payload[at..at + 8].copy_from_slice(&12.5f64.to_be_bytes());
        assert_eq!(number(&payload, "duration"), Some(12.5));
        assert_eq!(number(&payload, "width"), Some(640.0));
    }

    #[test]
    fn large_metadata_keeps_its_small_words() {
        let index = Value::StrictArray(vec![Value::Number(1.0); 5000]);
        let said = metadata(vec![("times", index), ("framerate", Value::Number(25.0))]);
        let live = live(&script(&[Value::string("onMetaData"), said])).unwrap();
        assert_eq!(number(&live.payload, "framerate"), Some(25.0));
        assert!(live.payload.len() < 100);
    }

    #[test]
    fn other_scripts_stay_and_what_cannot_be_read_is_bounded() {
        let cue = script(&[Value::string("onCuePoint"), Value::Null]);
        assert_eq!(live(&cue), Some(cue));
        let torn = |size| Tag {
            kind: TagKind::Script,
            timestamp: 0,
            payload: [&b"\x02\0\x0aonMetaData\x0c\xff"[..], &vec![0; size]].concat().into(),
        };
        assert_eq!(live(&torn(10)), Some(torn(10)));
        assert_eq!(live(&torn(MAX_METADATA)), None);
        assert_eq!(live(&script(&[Value::string("@clearDataFrame")])), None);
    }
}
