//! `….m3u8`: live and finished playlists of FLV, TS and fMP4 segments. RFC 8216.

mod fetch;
mod merge;
pub mod playlist;
mod rendition;

use std::{path::Path, time::Duration};

use ureq::Agent;
use url::Url;

use super::{Nature, Opened, Piece, Quality, Shown, Source, SourceError};
use fetch::Fetcher;
use merge::Merge;
use playlist::{Master, Media, Playlist, Variant};
use rendition::{Given, Rendition};

/// A playlist is no larger.
pub const MAX_PLAYLIST: usize = 4 << 20;
/// A playlist that leads to a playlist that leads to a playlist… does so for ever.
const MAX_DEPTH: usize = 4;
/// Variants that are tried.
const MAX_TRIED: usize = 4;

/// A stream in segments.
struct Hls {
    pictures: Rendition,
    /// Sound that has a playlist of its own.
    sound: Option<Rendition>,
    merge: Merge,
}

impl Hls {
    /// How long nothing has to be fetched.
    fn rest(&self) -> Duration {
        if self.merge.has_more() {
            return Duration::ZERO;
        }
        let renditions = std::iter::once(&self.pictures).chain(&self.sound).enumerate();
        let wanted = renditions.filter(|(index, _)| self.merge.wants(*index));
        wanted.map(|(_, rendition)| rendition.rest()).min().unwrap_or_default()
    }
}

/// Opens a playlist of which the text came from `url`.
pub fn open(agent: Agent, url: Url, text: &[u8], quality: Quality) -> Result<Opened, SourceError> {
    open_with(Fetcher::new(agent, url.scheme() == "file"), url, text, quality)
}

/// Opens a playlist that is a file.
pub fn open_file(path: &Path) -> Result<Opened, SourceError> {
    let failed = |error: std::io::Error| {
        SourceError::Final(format!("cannot read {}: {error}", path.display()))
    };
    let path = path.canonicalize().map_err(failed)?;
    let url = Url::from_file_path(&path)
        .map_err(|()| SourceError::Final(format!("{} has no URL", path.display())))?;
    let text = std::fs::read(&path).map_err(failed)?;
    open(super::http::agent(), url, &text, Quality::Best)
}

fn open_with(
    fetcher: Fetcher,
    mut url: Url,
    text: &[u8],
    quality: Quality,
) -> Result<Opened, SourceError> {
    let mut playlist = parse(text, &url)?;
    let mut sound = None;
    for _ in 0..MAX_DEPTH {
        match playlist {
            Playlist::Media(media) => {
                return begin(fetcher, url, media, sound);
            }
            Playlist::Master(master) => {
                (url, playlist, sound) = follow(&fetcher, master, &url, quality)?;
            }
        }
    }
    Err(SourceError::Final(format!(
        "{}: playlists that lead to playlists without end",
        Shown(&url)
    )))
}

fn parse(text: &[u8], url: &Url) -> Result<Playlist, SourceError> {
    let none = || SourceError::Passing(format!("{} is no playlist", Shown(url)));
    playlist::parse(text, url).ok_or_else(none)
}

/// A playlist, where it came from, and its sound if that is apart.
type Followed = (Url, Playlist, Option<(Url, Media)>);

/// Takes the variant that was asked for; if that is not to be had, the next best.
fn follow(
    fetcher: &Fetcher,
    mut master: Master,
    url: &Url,
    quality: Quality,
) -> Result<Followed, SourceError> {
    let mut failure = SourceError::Final(format!("{}: the playlist names no stream", Shown(url)));
    for _ in 0..MAX_TRIED {
        let Some(variant) = master.choose(quality).cloned() else { break };
        match follow_variant(fetcher, &master, &variant) {
            Ok(followed) => return Ok(followed),
            Err(error) => failure = error,
        }
        master.variants.retain(|other| other.url != variant.url);
    }
    Err(failure)
}

fn follow_variant(
    fetcher: &Fetcher,
    master: &Master,
    variant: &Variant,
) -> Result<Followed, SourceError> {
    let fetch = |url: &Url| {
        let (from, text) = fetcher.get(url, None, MAX_PLAYLIST)?;
        let playlist = parse(&text, &from)?;
        Ok::<_, SourceError>((from, playlist))
    };
    let sound = match master.audio_of(variant) {
        None => None,
        Some(url) => match fetch(url)? {
            (from, Playlist::Media(media)) => Some((from, media)),
            (from, Playlist::Master(_)) => {
                let text = format!("{}: sound in several qualities", Shown(&from));
                return Err(SourceError::Final(text));
            }
        },
    };
    let (from, playlist) = fetch(&variant.url)?;
    Ok((from, playlist, sound))
}

fn begin(
    fetcher: Fetcher,
    url: Url,
    media: Media,
    sound: Option<(Url, Media)>,
) -> Result<Opened, SourceError> {
    let nature = if media.is_over {
        Nature::Recorded
    } else {
        // It begins three segments from the end, and comes a segment at a time.
        Nature::Live { cushion: Duration::from_secs_f64(media.target * 4.0 + 1.0) }
    };
    let sound = sound.map(|(url, media)| Rendition::new(fetcher.clone(), url, media));
    let merge = Merge::new(sound.is_some());
    let pictures = Rendition::new(fetcher, url, media);
    Ok(Opened::new(Hls { pictures, sound, merge }, nature))
}

impl Source for Hls {
    fn blocks(&self) -> bool {
        !self.merge.has_more() && self.rest().is_zero()
    }

    fn next(&mut self) -> Result<Piece, SourceError> {
        if let Some(piece) = self.merge.pop() {
            return Ok(piece);
        }
        let mut is_idle = true;
        for (index, rendition) in
            std::iter::once(&mut self.pictures).chain(&mut self.sound).enumerate()
        {
            if !self.merge.wants(index) {
                continue;
            }
            match rendition.next()? {
                Given::Nothing => {}
                Given::End => self.merge.end(index),
                Given::Break => self.merge.break_off(index),
                Given::Notice(text) => return Ok(Piece::Notice(text)),
                Given::Units(units) => {
                    self.merge.push(index, units);
                    is_idle = false;
                }
                Given::Tags { begin_anew, tags } => {
                    self.merge.push_tags(begin_anew, tags);
                    is_idle = false;
                }
            }
        }
        if self.merge.is_over() {
            return Ok(Piece::End);
        }
        let rest = if is_idle { self.rest() } else { Duration::ZERO };
        Ok(if rest.is_zero() { Piece::Nothing } else { Piece::Rest(rest) })
    }
}
