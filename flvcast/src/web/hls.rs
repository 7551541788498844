//! HLS, RFC 8216: a playlist of what is kept, and segments of fragmented MP4 made when they are
//! asked for.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    sync::{Arc, Mutex, PoisonError},
};

use axum::{
    body::Body,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use bytes::Bytes;

use super::{channel_path, lineup::Exhibit};
use crate::{
    flv::Codec,
    fmp4::{self, Packable},
    hub::{Cut, Hub},
};

/// Segments that are made once for all who ask soon.
const REMEMBERED: usize = 4;
/// A segment that is not over yet is worth waiting for; a channel needs some to begin with.
const MIN_TARGET: u64 = 2;

/// Made segments of a channel, and what its players were told.
#[derive(Debug)]
pub struct Packager {
    /// In the names of all parts: what a channel of this name had before is something else.
    id: String,
    made: Mutex<Made>,
}

impl Default for Packager {
    fn default() -> Self {
        Self { id: format!("{:08x}", rand::random::<u32>()), made: Mutex::default() }
    }
}

#[derive(Debug, Default)]
struct Made {
    segments: BTreeMap<u64, Arc<Vec<Bytes>>>,
    /// RFC 8216 §4.3.3.1: it must not change; it grows when it has to.
    target: u64,
}

/// The playlist: `query` goes after each name, for those who need a token.
pub fn playlist(exhibit: &Exhibit, query: &str) -> Response {
    let (cuts, end) = exhibit.hub.cuts();
    if let Some(cut) = cuts.last().filter(|cut| packed(cut).is_none()) {
        let names = cut.headers.tags().filter_map(|tag| tag.anatomy().codec).map(Codec::name);
        let names = names.collect::<BTreeSet<_>>().into_iter().collect::<Vec<_>>().join(", ");
        let hint = format!("HLS cannot carry this ({names}); take the film as .flv\n");
        return (StatusCode::UNSUPPORTED_MEDIA_TYPE, hint).into_response();
    }
    let whole = if end.is_some() { cuts.len() } else { cuts.len().saturating_sub(1) };
    if whole == 0 {
        const HINT: &str = "nothing to play yet; try again in some seconds\n";
        return (StatusCode::NOT_FOUND, [(header::CACHE_CONTROL, "no-store")], HINT)
            .into_response();
    }
    let length = |index: usize| {
        let until = cuts[index].until.or(cuts.get(index + 1).map(|next| next.time)).or(end);
        until.unwrap_or(cuts[index].time).saturating_sub(cuts[index].time).max(1)
    };
    let longest = (0..whole).map(length).max().unwrap_or(0).div_ceil(1000);
    let target = {
        let mut made = exhibit.packager().made.lock().unwrap_or_else(PoisonError::into_inner);
        made.target = made.target.max(longest).max(MIN_TARGET);
        made.target
    };
    let parts = format!("{}/hls/{}-", &channel_path(&exhibit.name)[1..], exhibit.packager().id);
    let mut text = format!(
        "#EXTM3U\n#EXT-X-VERSION:7\n#EXT-X-TARGETDURATION:{target}\n#EXT-X-MEDIA-SEQUENCE:{}\n\
         #EXT-X-DISCONTINUITY-SEQUENCE:{}\n#EXT-X-INDEPENDENT-SEGMENTS\n",
        cuts[0].sequence, cuts[0].discontinuity
    );
    let (mut version, mut discontinuity) = (None, cuts[0].discontinuity);
    for (index, cut) in cuts.iter().enumerate().take(whole) {
        if std::mem::replace(&mut discontinuity, cut.discontinuity) != cut.discontinuity {
            text += "#EXT-X-DISCONTINUITY\n";
        }
        if version.replace(cut.version) != Some(cut.version) {
            // Writing to a string does not fail.
            let _ = writeln!(text, "#EXT-X-MAP:URI=\"{parts}init-{}.mp4{query}\"", cut.version);
        }
        let seconds = length(index) as f64 / 1000.0;
        let _ = write!(text, "#EXTINF:{seconds:.3},\n{parts}{}.m4s{query}\n", cut.sequence);
    }
    if end.is_some() {
        text += "#EXT-X-ENDLIST\n";
    }
    let head = [
        (header::CONTENT_TYPE, "application/vnd.apple.mpegurl"),
        (header::CACHE_CONTROL, "no-store"),
        (header::ACCESS_CONTROL_ALLOW_ORIGIN, "*"),
    ];
    (head, text).into_response()
}

/// `ID-init-VERSION.mp4` or `ID-SEQUENCE.m4s`.
pub fn part(exhibit: &Exhibit, name: &str) -> Response {
    let own = name.strip_prefix(&exhibit.packager().id).and_then(|rest| rest.strip_prefix('-'));
    let name = own.unwrap_or_default();
    let version = name.strip_prefix("init-").and_then(|name| name.strip_suffix(".mp4"));
    let made = match version {
        Some(version) => version.parse().ok().and_then(|version| init(&exhibit.hub, version)),
        None => {
            let sequence = name.strip_suffix(".m4s").and_then(|name| name.parse().ok());
            sequence.and_then(|sequence| segment(exhibit, sequence))
        }
    };
    let Some(chunks) = made else {
        return (StatusCode::NOT_FOUND, "this segment is not kept here\n").into_response();
    };
    let length: usize = chunks.iter().map(Bytes::len).sum();
    let head = [
        (header::CONTENT_TYPE, "video/mp4".to_owned()),
        (header::CONTENT_LENGTH, length.to_string()),
        (header::CACHE_CONTROL, "max-age=3600".to_owned()),
        (header::ACCESS_CONTROL_ALLOW_ORIGIN, "*".to_owned()),
    ];
    let chunks: Vec<_> = chunks.iter().cloned().map(Ok::<_, std::io::Error>).collect();
    (head, Body::from_stream(futures_util::stream::iter(chunks))).into_response()
}

fn init(hub: &Hub, version: u64) -> Option<Arc<Vec<Bytes>>> {
    let (cuts, _) = hub.cuts();
    let cut = cuts.iter().find(|cut| cut.version == version)?;
    Some(Arc::new(vec![packed(cut)?.0]))
}

/// The initialisation of a cut's segment, and its tracks.
fn packed(cut: &Cut) -> Option<(Bytes, Packable)> {
    fmp4::init(&cut.headers, cut.has_mp3)
}

fn segment(exhibit: &Exhibit, sequence: u64) -> Option<Arc<Vec<Bytes>>> {
    let packager = exhibit.packager();
    let lock = || packager.made.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(known) = lock().segments.get(&sequence) {
        return Some(known.clone());
    }
    let (cuts, end) = exhibit.hub.cuts();
    let index = cuts.iter().position(|cut| cut.sequence == sequence)?;
    let next = cuts.get(index + 1);
    if next.is_none() && end.is_none() {
        return None;
    }
    let (_, packable) = packed(&cuts[index])?;
    let (shown, following) = exhibit.hub.between(cuts[index].number, next.map(|next| next.number));
    let number = u32::try_from(sequence % u64::from(u32::MAX)).ok()? + 1;
    let made = Arc::new(fmp4::segment(number, &shown, packable, following)?);
    let mut kept = lock();
    kept.segments.insert(sequence, made.clone());
    while kept.segments.len() > REMEMBERED {
        kept.segments.pop_first();
    }
    Some(made)
}
