//! `http(s)://…`: FLV, endless or not, or a playlist, or whatever ffmpeg can read.

use url::Url;

use super::{
    Cancel, Nature, Opened, Quality, SourceError,
    bytes::{FlvReader, Kind, STEADY, kind, sniff},
    ffmpeg, hls,
    http::{Answer, agent, get, passing, read_all},
};

/// Opens what is there.
pub fn open(url: &Url, quality: Quality, cancel: &Cancel) -> Result<Opened, SourceError> {
    let agent = agent();
    let mut answer = get(&agent, url, None)?;
    let head = sniff(&mut answer.body).map_err(|error| passing(url, &error))?;
    match kind(&head) {
        Kind::Flv => Ok(flv(url, &head, answer)),
        Kind::Playlist => {
            let text = read_all(answer.body, head, hls::MAX_PLAYLIST);
            let text = text.map_err(|error| passing(url, &error))?;
            hls::open(agent, answer.url, &text, quality, cancel)
        }
        Kind::Empty => Err(SourceError::Passing(format!("{url}: the answer is empty"))),
        Kind::Other => {
            drop(answer);
            ffmpeg::open(url.as_str(), cancel)
        }
    }
}

/// What says how long it is, is a film; all else is live.
fn flv(url: &Url, head: &[u8], answer: Answer) -> Opened {
    let nature = if answer.length.is_some() { Nature::Recorded } else { STEADY };
    Opened::new(FlvReader::new(url.to_string(), head, answer.body, nature), nature)
}

#[cfg(test)]
mod tests;
