//! Films for tests, and comparing what was cast with what was watched.

use std::path::Path;

use bytes::Bytes;
use flvcast::flv::{Demuxer, Tag, TagKind, Tracks, file_header, put_tag};

/// The bundled film.
pub const SAMPLE: &[u8] = include_bytes!("../../flvcast/assets/sample.flv");

/// All tags of an FLV; the last may be cut off.
pub fn tags(bytes: &[u8]) -> Vec<Tag> {
    let mut demuxer = Demuxer::default();
    demuxer.push(bytes);
    std::iter::from_fn(|| demuxer.next_tag().expect("it is FLV")).collect()
}

/// The bundled film `rounds` times in a row, and each key frame distinct.
pub fn long_film(rounds: u32) -> Vec<Tag> {
    let sample = tags(SAMPLE);
    let length = sample.last().map_or(0, |tag| tag.timestamp) + 40;
    let mut film = Vec::new();
    for round in 0..rounds {
        for tag in sample.iter().filter(|tag| round == 0 || tag.is_media()) {
            film.push(Tag { timestamp: tag.timestamp + round * length, ..tag.clone() });
        }
    }
    film
}

/// A film of so many seconds, no two pictures of which are the same, so that each can be told.
pub fn distinct(seconds: u32, variant: u8) -> Vec<Tag> {
    let mut film = long_film(seconds.div_ceil(8));
    for (index, tag) in film.iter_mut().enumerate() {
        if tag.kind == TagKind::Video && tag.is_media() {
            // Behind the last NAL unit, where decoders do not look.
            let mark = [&(index as u32).to_be_bytes()[..], &[variant]].concat();
            tag.payload = [&tag.payload[..], &[0, 0, 0, 6, 0x0c][..], &mark].concat().into();
        }
    }
    film
}

/// Which variant of [`distinct`] a picture is of.
pub fn variant(picture: &Tag) -> u8 {
    *picture.payload.last().expect("a picture has a payload")
}

/// Makes the first key frame after `after` ms larger by `size` bytes, which decoders skip.
pub fn enlarge_key_frame(film: &mut [Tag], after: u32, size: usize) {
    let frame = film
        .iter_mut()
        .find(|tag| tag.is_key_frame() && tag.timestamp >= after)
        .expect("there is one");
    let mut payload = frame.payload.to_vec();
    // A NAL unit of type 12 is filler.
    payload.extend_from_slice(&(size as u32).to_be_bytes());
    payload.push(12);
    payload.extend((1..size).map(|at| (at * 31 % 251) as u8 + 1));
    frame.payload = Bytes::from(payload);
}

/// Writes an FLV file.
pub fn write(path: &Path, film: &[Tag]) {
    let tracks = Tracks {
        audio: film.iter().any(|tag| tag.kind == TagKind::Audio),
        video: film.iter().any(|tag| tag.kind == TagKind::Video),
    };
    let mut out = file_header(tracks).to_vec();
    film.iter().for_each(|tag| put_tag(&mut out, tag));
    std::fs::write(path, out).expect("the test's folder can be written");
}

/// The bundled film `rounds` times in a row, of one kind of track alone.
pub fn alone(kind: TagKind, rounds: u32) -> Vec<Tag> {
    let mut film = long_film(rounds);
    film.retain(|tag| tag.kind == kind);
    film
}

fn media(tags: &[Tag]) -> Vec<&Tag> {
    tags.iter().filter(|tag| tag.is_media() && tag.kind != TagKind::Script).collect()
}

/// Checks that what was watched is a run of what was cast: payload, type and relative timestamp of
/// every tag, in order, none missing, from a key frame on. Returns the index of the first tag and
/// how many there are.
pub fn check_watched(name: &str, cast: &[Tag], watched: &[Tag]) -> (usize, usize) {
    let (cast, watched) = (media(cast), media(watched));
    let first = *watched.first().unwrap_or_else(|| panic!("{name} shows nothing"));
    assert!(first.is_key_frame(), "{name} begins with {first:?}");
    assert_eq!(first.timestamp, 0, "{name}");
    let is_run = |start: usize| {
        watched.len() <= cast.len() - start
            && watched.iter().zip(&cast[start..]).all(|(seen, sent)| {
                seen.kind == sent.kind
                    && seen.payload == sent.payload
                    && seen.timestamp == sent.timestamp.saturating_sub(cast[start].timestamp)
            })
    };
    let starts = (0..cast.len()).filter(|start| cast[*start].payload == first.payload);
    let start = starts.into_iter().find(|start| is_run(*start));
    let start = start.unwrap_or_else(|| panic!("{name}: {}", describe_difference(&cast, &watched)));
    (start, watched.len())
}

/// Where what was watched leaves what was cast, from the start that agrees with it longest.
fn describe_difference(cast: &[&Tag], watched: &[&Tag]) -> String {
    let same_from = |start: usize| {
        let pairs = watched.iter().zip(&cast[start..]);
        pairs.take_while(|(seen, sent)| seen.payload == sent.payload).count()
    };
    let (start, same) = (0..cast.len())
        .map(|start| (start, same_from(start)))
        .max_by_key(|(_, same)| *same)
        .unwrap_or_default();
    let show = |tag: Option<&&Tag>| match tag {
        Some(tag) => format!("{:?} of {} bytes at {}", tag.kind, tag.payload.len(), tag.timestamp),
        None => "nothing".to_owned(),
    };
    format!(
        "{} tags; after {same} from number {start} on they differ: watched {}, cast {}",
        watched.len(),
        show(watched.get(same)),
        show(cast.get(start + same)),
    )
}
