//! Saved broadcasts: a list of them, and each as a film that can be sought in.

use std::{
    fs::File,
    io::{self, Read, Seek, SeekFrom},
    ops::Range,
    sync::Arc,
    time::Duration,
};

use axum::{
    Json,
    body::Body,
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
};
use bytes::Bytes;

use super::connections::Seat;
use crate::record::{Opened, Shelf};

/// Read at once.
const CHUNK: usize = 128 << 10;

/// All that is saved, the oldest first.
pub async fn list(shelf: Arc<Shelf>) -> Response {
    // Files that grew are looked at again, which may take a disk's time.
    match tokio::task::spawn_blocking(move || shelf.list()).await {
        Ok(list) => ([(header::CACHE_CONTROL, "no-store")], Json(list)).into_response(),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

/// One of them, from a time on. It is served as if its headers and what follows were one file.
pub async fn film(
    shelf: Arc<Shelf>,
    name: String,
    from: Duration,
    headers: &HeaderMap,
    seat: Seat,
) -> Response {
    let opened = tokio::task::spawn_blocking(move || {
        let opened = shelf.open(&name, from)?;
        Ok::<_, io::Error>((File::open(&opened.path)?, opened))
    });
    let Ok(Ok((file, opened))) = opened.await else {
        return (StatusCode::NOT_FOUND, "this is not saved here\n").into_response();
    };
    let parts = parts(&opened);
    let length: u64 = parts.iter().map(|part| part.end - part.start).sum();
    let kind = (header::CONTENT_TYPE, "video/x-flv".to_owned());
    let ranges = (header::ACCEPT_RANGES, "bytes".to_owned());
    let origins = (header::ACCESS_CONTROL_ALLOW_ORIGIN, "*".to_owned());
    let size = |bytes: u64| (header::CONTENT_LENGTH, bytes.to_string());
    let asked = headers.get(header::RANGE).and_then(|range| range.to_str().ok());
    match asked.map(|asked| range(asked, length)) {
        None => {
            let body = body(file, parts, seat);
            ([kind, ranges, origins, size(length)], body).into_response()
        }
        Some(Some(range)) => {
            let said = format!("bytes {}-{}/{length}", range.start, range.end - 1);
            let said = (header::CONTENT_RANGE, said);
            let (bytes, parts) = (range.end - range.start, cut(&parts, &range));
            let head = [kind, ranges, origins, size(bytes), said];
            (StatusCode::PARTIAL_CONTENT, head, body(file, parts, seat)).into_response()
        }
        Some(None) => {
            let said = (header::CONTENT_RANGE, format!("bytes */{length}"));
            (StatusCode::RANGE_NOT_SATISFIABLE, [said]).into_response()
        }
    }
}

/// The headers, and what comes from the wanted place on.
fn parts(opened: &Opened) -> Vec<Range<u64>> {
    match (opened.first, opened.from) {
        (Some(first), Some(from)) => {
            vec![0..first.offset, from.offset..opened.end.max(from.offset)]
        }
        _ => std::iter::once(0..opened.end).collect(),
    }
}

/// RFC 9110 §14.1.2, a single range; others are not worth the trouble.
fn range(text: &str, length: u64) -> Option<Range<u64>> {
    let (from, to) = text.strip_prefix("bytes=")?.split_once('-')?;
    let range = match (from.trim(), to.trim()) {
        ("", last) => length.saturating_sub(last.parse().ok()?)..length,
        (from, "") => from.parse().ok()?..length,
        (from, to) => from.parse().ok()?..to.parse::<u64>().ok()?.saturating_add(1).min(length),
    };
    (range.start < range.end).then_some(range)
}

/// The parts of parts that lie in a range of all of them together.
fn cut(parts: &[Range<u64>], range: &Range<u64>) -> Vec<Range<u64>> {
    let mut at = 0;
    let mut cut = Vec::new();
    for part in parts {
        let end = at + (part.end - part.start);
        let (from, to) = (range.start.max(at), range.end.min(end));
        if from < to {
            cut.push(part.start + (from - at)..part.start + (to - at));
        }
        at = end;
    }
    cut
}

struct Reading {
    file: File,
    left: Vec<Range<u64>>,
    _seat: Seat,
}

impl Reading {
    fn next(&mut self) -> io::Result<Option<Bytes>> {
        let Some(part) = self.left.first_mut() else { return Ok(None) };
        let size = usize::try_from(part.end - part.start).unwrap_or(CHUNK).min(CHUNK);
        let mut chunk = vec![0; size];
        self.file.seek(SeekFrom::Start(part.start))?;
        self.file.read_exact(&mut chunk)?;
        part.start += size as u64;
        if part.start >= part.end {
            self.left.remove(0);
        }
        Ok(Some(chunk.into()))
    }
}

fn body(file: File, left: Vec<Range<u64>>, seat: Seat) -> Body {
    let reading = Reading { file, left, _seat: seat };
    Body::from_stream(futures_util::stream::unfold(reading, |mut reading| async move {
        let read = tokio::task::spawn_blocking(move || (reading.next(), reading)).await;
        match read {
            Ok((Ok(Some(chunk)), reading)) => Some((Ok(chunk), reading)),
            Ok((Ok(None), _)) | Err(_) => None,
            Ok((Err(error), mut reading)) => {
                reading.left.clear();
                Some((Err(error), reading))
            }
        }
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_of_two_parts() {
        let parts = [0..10, 100..150];
        assert_eq!(range("bytes=5-", 60), Some(5..60));
        assert_eq!(range("bytes=-5", 60), Some(55..60));
        assert_eq!(range("bytes=5-500", 60), Some(5..60));
        for wrong in ["bytes=60-", "bytes=5-4", "bytes=a-", "lines=1-2", "bytes=1-2,4-5"] {
            assert_eq!(range(wrong, 60), None, "{wrong}");
        }
        assert_eq!(cut(&parts, &(5..20)), [5..10, 100..110]);
        assert_eq!(cut(&parts, &(10..60))[0], 100..150);
        assert_eq!(cut(&parts, &(0..1))[0], 0..1);
    }
}
