//! What people write to say where tags come from.

use std::{fmt, path::PathBuf, str::FromStr};

use url::Url;

use super::{
    Cancel, Opened, ReplayFrom, Shown, SourceError, ffmpeg,
    film::Film,
    follow::Follow,
    recording::{self, Recording},
    remote,
    rtmp::{
        self,
        listen::{self, Listen},
        pull,
    },
    shown_name,
};

/// Which of several qualities is taken.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Quality {
    /// The highest.
    #[default]
    Best,
    /// The lowest.
    Worst,
    /// The highest with at most so many lines.
    Lines(u64),
    /// The highest with at most so many bits a second.
    Bitrate(u64),
}

impl FromStr for Quality {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let number = |digits: &str, unit: u64| digits.parse::<u64>().ok()?.checked_mul(unit);
        let lower = text.to_ascii_lowercase();
        let parsed = match lower.as_str() {
            "best" => Some(Self::Best),
            "worst" => Some(Self::Worst),
            text => {
                match (text.strip_suffix('p'), text.strip_suffix('k'), text.strip_suffix('m')) {
                    (Some(lines), ..) => number(lines, 1).map(Self::Lines),
                    (_, Some(kilobits), _) => number(kilobits, 1000).map(Self::Bitrate),
                    (.., Some(megabits)) => number(megabits, 1_000_000).map(Self::Bitrate),
                    _ => None,
                }
            }
        };
        parsed.filter(|parsed| !matches!(parsed, Self::Lines(0) | Self::Bitrate(0))).ok_or_else(
            || "write best, worst, lines as 720p, or bits a second as 800k or 2M".into(),
        )
    }
}

/// A source, told by what it looks like.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SourceSpec {
    /// A file, device or pipe.
    File(PathBuf),
    /// A file that is still being written.
    Follow(PathBuf),
    /// Standard input.
    StandardInput,
    /// FLV or a playlist.
    Http(Url, Quality),
    /// An RTMP server that is pulled from.
    RtmpPull(Url),
    /// Publishers come to us.
    RtmpListen(Listen),
    /// Anything that ffmpeg opens.
    Ffmpeg(String),
    /// What was kept of a channel.
    Recording(Recording),
    /// What is in memory, and its name.
    Memory(&'static str, &'static [u8]),
}

impl SourceSpec {
    /// Reads what people write. `follow`: files are still being written.
    pub fn parse(text: &str, follow: bool, quality: Quality) -> Result<Self, String> {
        let Some((scheme, rest)) = text.split_once("://") else {
            return match (text, follow) {
                ("-", false) => Ok(Self::StandardInput),
                ("-", true) => Err("--follow wants a file; a pipe is followed anyway".into()),
                (path, true) => Ok(Self::Follow(path.into())),
                (path, false) => Ok(Self::File(path.into())),
            };
        };
        let scheme = scheme.to_ascii_lowercase();
        if follow {
            return Err(format!("--follow is for files; {scheme} is followed anyway"));
        }
        match scheme.as_str() {
            "http" | "https" => Ok(Self::Http(parse_url(text)?, quality)),
            "rtmp" => Ok(Self::RtmpPull(parse_url(text)?)),
            "rtmp-listen" => parse_listen(rest).map(Self::RtmpListen),
            "file" => parse_url(text)?
                .to_file_path()
                .map(Self::File)
                .map_err(|()| format!("'{text}' names no file of this machine")),
            "recording" => Ok(Self::Recording(parse_recording(rest)?)),
            "rtmfp" => Err("RTMFP goes to --server; cast what you want others to see".into()),
            _ => Ok(Self::Ffmpeg(text.to_owned())),
        }
    }

    /// Opens it: what cannot be waited for is known then.
    pub fn open(&self, cancel: &Cancel) -> Result<Opened, SourceError> {
        match self {
            Self::File(path) => Film::open(path, cancel),
            Self::Follow(path) => Ok(Follow::open(path, cancel)),
            Self::StandardInput => Film::standard_input(cancel),
            Self::Http(url, quality) => remote::open(url, *quality, cancel),
            Self::RtmpPull(url) => pull::open(url, cancel),
            Self::RtmpListen(listen) => listen::open(listen, cancel),
            Self::Ffmpeg(name) => ffmpeg::open(name, cancel),
            Self::Recording(recording) => recording::open(recording),
            Self::Memory(name, bytes) => Ok(Film::memory(name, bytes)),
        }
    }

    /// Whether it can be there at all, without opening it: a mistake is told before anything is cast.
    pub fn check(&self) -> Result<(), SourceError> {
        let Self::File(path) = self else { return Ok(()) };
        match path.metadata() {
            Ok(metadata) if metadata.is_dir() => {
                Err(SourceError::Final(format!("{} is a folder; name its films", path.display())))
            }
            Ok(_) => Ok(()),
            Err(error) => Err(SourceError::Final(format!(
                "cannot read {}: {error}; check the path",
                path.display()
            ))),
        }
    }

    /// Whether what once worked is worth trying again after any error.
    pub fn comes_back(&self) -> bool {
        match self {
            Self::Http(..) | Self::RtmpPull(_) | Self::RtmpListen(_) | Self::Follow(_) => true,
            Self::Ffmpeg(_) => true,
            Self::File(_) | Self::StandardInput | Self::Recording(_) | Self::Memory(..) => false,
        }
    }
}

fn parse_url(text: &str) -> Result<Url, String> {
    let url = Url::parse(text).map_err(|error| format!("'{text}' is no URL: {error}"))?;
    match url.host_str() {
        Some(host) if !host.is_empty() => Ok(url),
        _ if url.scheme() == "file" => Ok(url),
        _ => Err(format!("'{text}' names no host")),
    }
}

/// `FOLDER[?from=TIME]`.
fn parse_recording(rest: &str) -> Result<Recording, String> {
    let (folder, from) = match rest.split_once("?from=") {
        Some((folder, from)) => (folder, from.parse()?),
        None => (rest, ReplayFrom::Start),
    };
    if folder.is_empty() {
        return Err(
            "write recording://FOLDER, for example recording:///var/lib/flvcast/news".into()
        );
    }
    Ok(Recording { folder: folder.into(), from })
}

/// `ADDR[:PORT]/APP/KEY`; an empty address is all of this machine's.
fn parse_listen(rest: &str) -> Result<Listen, String> {
    const FORM: &str = "write rtmp-listen://ADDR[:PORT]/APP/KEY, for example \
                        rtmp-listen://:1935/live/a-secret-key";
    let (authority, path) = rest.split_once('/').ok_or(FORM)?;
    let (app, key) = path.trim_end_matches('/').rsplit_once('/').ok_or(FORM)?;
    if app.is_empty() || key.is_empty() {
        return Err(FORM.into());
    }
    let addresses = crate::listen_addresses(authority, rtmp::DEFAULT_PORT)?;
    Ok(Listen { addresses, authority: authority.into(), app: app.into(), key: key.into() })
}

/// Without keys and passwords, which must not be in logs.
impl fmt::Display for SourceSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) | Self::Follow(path) => write!(f, "{}", path.display()),
            Self::StandardInput => f.write_str("the standard input"),
            Self::Http(url, _) | Self::RtmpPull(url) => Shown(url).fmt(f),
            Self::RtmpListen(listen) => {
                write!(f, "rtmp-listen://{}/{}", listen.authority, listen.app)
            }
            Self::Ffmpeg(name) => f.write_str(&shown_name(name)),
            Self::Recording(recording) => recording.fmt(f),
            Self::Memory(name, _) => f.write_str(name),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<SourceSpec, String> {
        SourceSpec::parse(text, false, Quality::Best)
    }

    #[test]
    fn sources_are_told_by_what_they_look_like() {
        assert_eq!(parse("film.flv"), Ok(SourceSpec::File("film.flv".into())));
        assert_eq!(parse("-"), Ok(SourceSpec::StandardInput));
        assert!(matches!(parse("HTTP://host/x.flv"), Ok(SourceSpec::Http(..))));
        assert!(matches!(parse("rtmp://host/live/x"), Ok(SourceSpec::RtmpPull(_))));
        assert!(matches!(parse("srt://host:9000"), Ok(SourceSpec::Ffmpeg(_))));
        assert_eq!(parse("file:///tmp/x.flv"), Ok(SourceSpec::File("/tmp/x.flv".into())));
        let Ok(SourceSpec::RtmpListen(listen)) = parse("rtmp-listen://127.0.0.1/a/b/key") else {
            panic!("it listens")
        };
        assert_eq!((listen.app.as_str(), listen.key.as_str()), ("a/b", "key"));
        assert_eq!(listen.addresses, ["127.0.0.1:1935".parse().unwrap()]);
        for wrong in ["rtmp-listen://:1935/live", "rtmp-listen://x", "http://", "rtmfp://host"] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
        assert!(SourceSpec::parse("http://x/y", true, Quality::Best).is_err());
    }

    #[test]
    fn secrets_are_not_shown() {
        let shown = |text| parse(text).unwrap().to_string();
        assert!(!shown("rtmp-listen://:1935/live/secret").contains("secret"));
        assert!(!shown("http://user:secret@host/").contains("secret"));
    }

    #[test]
    fn qualities() {
        assert_eq!("720p".parse(), Ok(Quality::Lines(720)));
        assert_eq!("2M".parse(), Ok(Quality::Bitrate(2_000_000)));
        assert_eq!("best".parse(), Ok(Quality::Best));
        assert!("middling".parse::<Quality>().is_err());
    }
}
