//! Playlists, RFC 8216. What makes no sense is passed over; what it would spoil is spoilt, no more.

use std::sync::Arc;

use url::Url;

use crate::source::Quality;

/// Bytes of all their addresses.
const MAX_URLS: usize = 16 << 20;
/// Segments and variants of one playlist.
const MAX_SEGMENTS: usize = 50_000;
const MAX_VARIANTS: usize = 200;
const MAX_LINE: usize = 8192;
/// No stream has had so many segments.
const MAX_SEQUENCE: u64 = 1 << 53;

/// A playlist of either kind.
#[derive(Debug, Clone, PartialEq)]
pub enum Playlist {
    /// Several qualities.
    Master(Master),
    /// Segments.
    Media(Media),
}

/// Several qualities of the same.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Master {
    /// Each of them.
    pub variants: Vec<Variant>,
    /// Sound on its own, by group.
    pub audio: Vec<(String, Url)>,
}

/// One quality.
#[derive(Debug, Clone, PartialEq)]
pub struct Variant {
    /// Its playlist.
    pub url: Url,
    /// Bits a second.
    pub bandwidth: u64,
    /// Pixels.
    pub lines: Option<u64>,
    /// The group of its sound.
    pub audio: Option<String>,
}

/// Segments, and how they go on.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Media {
    /// Seconds that no segment exceeds.
    pub target: f64,
    /// The number of the first segment.
    pub sequence: u64,
    /// Nothing will be added.
    pub is_over: bool,
    /// In order.
    pub segments: Vec<Segment>,
}

/// Bytes of a resource: all, or from there so many.
pub type Part = Option<(u64, u64)>;

/// A piece of the stream.
#[derive(Debug, Clone, PartialEq)]
pub struct Segment {
    /// Where it is.
    pub url: Url,
    /// What of it.
    pub part: Part,
    /// Seconds.
    pub duration: f64,
    /// Its times have nothing to do with those before.
    pub is_discontinuous: bool,
    /// It is not there.
    pub is_gap: bool,
    /// What it needs before it.
    pub map: Option<Arc<(Url, Part)>>,
    /// How it is encrypted.
    pub key: Option<Arc<Key>>,
}

/// A key, RFC 8216 §4.3.2.4.
#[derive(Debug, Clone, PartialEq)]
pub enum Key {
    /// AES-128 in CBC over the whole segment.
    Aes {
        /// Where the key is.
        url: Url,
        /// The initialisation vector; the segment's number without.
        iv: Option<u128>,
    },
    /// Any other method.
    Unknown(String),
}

/// What holds for the segments that follow, until it is said otherwise.
#[derive(Default)]
struct Following {
    duration: Option<f64>,
    part: Option<(u64, Option<u64>)>,
    is_discontinuous: bool,
    is_gap: bool,
    map: Option<Arc<(Url, Part)>>,
    key: Option<Arc<Key>>,
    /// Where a part without a beginning begins.
    after: Option<(Url, u64)>,
}

/// Reads a playlist that came from `base`; nothing if it is none.
pub fn parse(text: &[u8], base: &Url) -> Option<Playlist> {
    let text = String::from_utf8_lossy(text);
    let text = text.trim_start_matches('\u{feff}').trim_start();
    let lines = text.strip_prefix("#EXTM3U")?.split(['\n', '\r']).map(str::trim);
    let lines: Vec<&str> =
        lines.filter(|line| !line.is_empty() && line.len() <= MAX_LINE).collect();
    if lines.iter().any(|line| line.starts_with("#EXT-X-STREAM-INF:")) {
        Some(Playlist::Master(master(&lines, base)))
    } else {
        Some(Playlist::Media(media(&lines, base)))
    }
}

fn master(lines: &[&str], base: &Url) -> Master {
    let mut master = Master::default();
    let mut said: Option<Vec<(&str, &str)>> = None;
    for line in lines {
        if let Some(text) = line.strip_prefix("#EXT-X-STREAM-INF:") {
            said = Some(attributes(text));
        } else if let Some(text) = line.strip_prefix("#EXT-X-MEDIA:") {
            let said = attributes(text);
            let get = |name| attribute(&said, name);
            if get("TYPE") == Some("AUDIO")
                && let (Some(group), Some(url)) = (get("GROUP-ID"), get("URI"))
                && let Ok(url) = base.join(url)
                && master.audio.len() < MAX_VARIANTS
            {
                let is_default = get("DEFAULT") == Some("YES");
                let at = if is_default { 0 } else { master.audio.len() };
                master.audio.insert(at, (group.to_owned(), url));
            }
        } else if !line.starts_with('#')
            && let Some(said) = said.take()
            && let Ok(url) = base.join(line)
            && master.variants.len() < MAX_VARIANTS
        {
            let lines = attribute(&said, "RESOLUTION")
                .and_then(|size| size.split(['x', 'X']).nth(1)?.trim().parse().ok());
            let bandwidth = attribute(&said, "BANDWIDTH").and_then(number).unwrap_or(0.0) as u64;
            let audio = attribute(&said, "AUDIO").map(str::to_owned);
            master.variants.push(Variant { url, bandwidth, lines, audio });
        }
    }
    master
}

impl Master {
    /// The variant that was asked for; if none is as small as that, the smallest.
    pub fn choose(&self, quality: Quality) -> Option<&Variant> {
        let size = |variant: &&Variant| (variant.lines.unwrap_or(0), variant.bandwidth);
        let variants = || self.variants.iter();
        let chosen = match quality {
            Quality::Best => variants().max_by_key(size),
            Quality::Worst => None,
            Quality::Lines(lines) => variants()
                .filter(|variant| variant.lines.is_some_and(|own| own <= lines))
                .max_by_key(size),
            Quality::Bitrate(bitrate) => variants()
                .filter(|variant| variant.bandwidth <= bitrate)
                .max_by_key(|variant| variant.bandwidth),
        };
        chosen.or_else(|| variants().min_by_key(size))
    }

    /// The sound of a variant, if it is apart.
    pub fn audio_of(&self, variant: &Variant) -> Option<&Url> {
        let group = variant.audio.as_ref()?;
        let (_, url) = self.audio.iter().find(|(name, _)| name == group)?;
        (*url != variant.url).then_some(url)
    }
}

fn media(lines: &[&str], base: &Url) -> Media {
    let mut media = Media::default();
    let (mut following, mut size) = (Following::default(), 0);
    for line in lines {
        let (name, value) = line.split_once(':').unwrap_or((line, ""));
        match name {
            "#EXTINF" => following.duration = number(value),
            "#EXT-X-TARGETDURATION" => media.target = number(value).unwrap_or(0.0),
            "#EXT-X-MEDIA-SEQUENCE" => {
                media.sequence = (number(value).unwrap_or(0.0) as u64).min(MAX_SEQUENCE);
            }
            "#EXT-X-ENDLIST" => media.is_over = true,
            "#EXT-X-DISCONTINUITY" => following.is_discontinuous = true,
            "#EXT-X-GAP" => following.is_gap = true,
            "#EXT-X-BYTERANGE" => following.part = byte_range(value),
            "#EXT-X-MAP" => following.map = map(value, base).map(Arc::new),
            "#EXT-X-KEY" => following.key = key(value, base).map(Arc::new),
            _ if line.starts_with('#') => {}
            _ if media.segments.len() >= MAX_SEGMENTS || size > MAX_URLS => {}
            _ => {
                let segment = following.segment(line, base);
                size += segment.as_ref().map_or(0, |segment| segment.url.as_str().len());
                media.segments.extend(segment);
            }
        }
    }
    let longest = media.segments.iter().map(|segment| segment.duration).fold(0.0, f64::max);
    if media.target <= 0.0 {
        media.target = longest;
    }
    media.target = media.target.clamp(0.5, 600.0);
    media
}

impl Following {
    /// The segment that a line names, with what was said before it.
    fn segment(&mut self, line: &str, base: &Url) -> Option<Segment> {
        let (duration, part) = (self.duration.take(), self.part.take());
        let is_discontinuous = std::mem::take(&mut self.is_discontinuous);
        let is_gap = std::mem::take(&mut self.is_gap);
        let url = base.join(line).ok()?;
        let part = part.map(|(length, from)| {
            let after = self.after.as_ref().filter(|(last, _)| *last == url).map(|(_, end)| *end);
            (from.or(after).unwrap_or(0), length)
        });
        self.after = part.map(|(from, length)| (url.clone(), from.saturating_add(length)));
        Some(Segment {
            url,
            part,
            duration: duration.unwrap_or(0.0),
            is_discontinuous,
            is_gap,
            map: self.map.clone(),
            key: self.key.clone(),
        })
    }
}

/// `LENGTH[@FROM]`, perhaps in quotes.
fn byte_range(text: &str) -> Option<(u64, Option<u64>)> {
    let text = text.trim_matches('"');
    let (length, from) = text.split_once('@').unwrap_or((text, ""));
    let from = (!from.is_empty()).then(|| from.trim().parse().ok()).flatten();
    Some((length.trim().parse().ok()?, from))
}

fn map(text: &str, base: &Url) -> Option<(Url, Part)> {
    let said = attributes(text);
    let part = attribute(&said, "BYTERANGE").and_then(byte_range);
    let url = base.join(attribute(&said, "URI")?).ok()?;
    Some((url, part.map(|(length, from)| (from.unwrap_or(0), length))))
}

/// What cannot be understood must not pass for clear.
fn key(text: &str, base: &Url) -> Option<Key> {
    let said = attributes(text);
    let get = |name| attribute(&said, name);
    let method = get("METHOD").unwrap_or("unknown");
    let is_plain = get("KEYFORMAT").is_none_or(|format| format == "identity");
    let iv = get("IV").map(|iv| {
        let digits = iv.strip_prefix("0x").or_else(|| iv.strip_prefix("0X"))?;
        u128::from_str_radix(digits, 16).ok()
    });
    match (method, get("URI").and_then(|url| base.join(url).ok()), iv) {
        ("NONE", ..) => None,
        ("AES-128", Some(url), None) if is_plain => Some(Key::Aes { url, iv: None }),
        ("AES-128", Some(url), Some(Some(iv))) if is_plain => Some(Key::Aes { url, iv: Some(iv) }),
        _ => Some(Key::Unknown(method.to_owned())),
    }
}

/// The number that a text begins with.
fn number(text: &str) -> Option<f64> {
    let text = text.trim();
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    text[..end].parse().ok().filter(|number: &f64| number.is_finite())
}

/// `NAME=VALUE,NAME="VALUE"`: names and values, without quotes.
fn attributes(text: &str) -> Vec<(&str, &str)> {
    let mut found = Vec::new();
    let mut rest = text;
    while let Some((name, after)) = rest.split_once('=') {
        let after = after.trim_start();
        let (value, after) = match after.strip_prefix('"') {
            Some(quoted) => {
                let (value, after) = quoted.split_once('"').unwrap_or((quoted, ""));
                (value, after.split_once(',').map_or("", |(_, after)| after))
            }
            None => after.split_once(',').unwrap_or((after, "")),
        };
        found.push((name.trim().trim_start_matches(',').trim(), value.trim()));
        rest = after;
    }
    found
}

fn attribute<'a>(attributes: &[(&str, &'a str)], name: &str) -> Option<&'a str> {
    attributes.iter().find(|(own, _)| *own == name).map(|(_, value)| *value)
}

#[cfg(test)]
mod tests;
