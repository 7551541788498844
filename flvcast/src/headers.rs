//! What a stream must be preceded by for whoever joins late: metadata, parameters, details.

use crate::flv::{Anatomy, Codec, Part, Tag, TagKind};

/// Tracks beyond that go unremembered.
const MAX_HEADERS: usize = 16;
/// A header larger than this is none: it would be kept and repeated.
const MAX_SIZE: usize = 1 << 20;

/// What a tag says that was a header or not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Noted {
    /// It is none.
    NoHeader,
    /// It says something new.
    New,
    /// It says what was known.
    Repeated,
}

/// In the order players want them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    order: u8,
    kind: TagKind,
    track: u8,
}

/// The latest metadata, codec parameters and details.
#[derive(Debug, Default, Clone)]
pub struct StreamHeaders {
    headers: Vec<(Place, Option<Codec>, Tag)>,
}

impl StreamHeaders {
    fn place(kind: TagKind, anatomy: Anatomy) -> Option<Place> {
        let order = match (anatomy.part, kind) {
            (Part::Metadata, _) => 0,
            (Part::Parameters, TagKind::Video) => 1,
            (Part::Details, TagKind::Video) => 2,
            (Part::Parameters, _) => 3,
            (Part::Details, _) => 4,
            _ => return None,
        };
        Some(Place { order, kind, track: anatomy.track })
    }

    /// Remembers a header.
    pub fn note(&mut self, tag: &Tag) -> Noted {
        let anatomy = tag.anatomy();
        let Some(place) = Self::place(tag.kind, anatomy).filter(|_| tag.payload.len() <= MAX_SIZE)
        else {
            self.forget_other_codecs(tag.kind, anatomy);
            return Noted::NoHeader;
        };
        match self.headers.binary_search_by_key(&place, |(place, ..)| *place) {
            Ok(at) if self.headers[at].2.payload == tag.payload => return Noted::Repeated,
            Ok(at) => self.headers[at] = (place, anatomy.codec, tag.clone()),
            Err(at) if self.headers.len() < MAX_HEADERS => {
                self.headers.insert(at, (place, anatomy.codec, tag.clone()));
            }
            Err(_) => return Noted::NoHeader,
        }
        self.forget_other_codecs(tag.kind, anatomy);
        Noted::New
    }

    /// Once a track changes its codec, what was said of the old one is no longer true.
    fn forget_other_codecs(&mut self, kind: TagKind, now: Anatomy) {
        if kind != TagKind::Script && now.codec.is_some() {
            self.headers.retain(|(place, codec, _)| {
                place.kind != kind || place.track != now.track || *codec == now.codec
            });
        }
    }

    /// Whether a frame can be decoded: its parameters came, or its codec has none.
    pub fn can_decode(&self, frame: &Tag) -> bool {
        let anatomy = frame.anatomy();
        anatomy.codec.is_some_and(|codec| {
            !codec.needs_parameters()
                || self.headers.iter().any(|(place, known, tag)| {
                    place.kind == frame.kind
                        && place.track == anatomy.track
                        && *known == Some(codec)
                        && tag.is_parameters()
                })
        })
    }

    /// All of them, in the order players want.
    pub fn tags(&self) -> impl Iterator<Item = &Tag> {
        self.headers.iter().map(|(.., tag)| tag)
    }

    /// The metadata.
    pub fn metadata(&self) -> Option<&Tag> {
        self.tags().find(|tag| tag.kind == TagKind::Script)
    }

    /// The parameters of the first track of a kind.
    pub fn parameters(&self, kind: TagKind) -> Option<&Tag> {
        self.tags().find(|tag| tag.kind == kind && tag.is_parameters())
    }

    /// Whether decoders that know these can go on with those.
    pub fn has_same_parameters(&self, other: &Self) -> bool {
        let of = |headers: &Self| -> Vec<_> {
            let parameters = headers.tags().filter(|tag| tag.is_parameters());
            parameters.map(|tag| (tag.kind, tag.payload.clone())).collect()
        };
        of(self) == of(other)
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.headers.is_empty()
    }

    /// Bytes of all of them.
    pub fn size(&self) -> usize {
        self.tags().map(|tag| tag.payload.len()).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn video(payload: &'static [u8]) -> Tag {
        Tag { kind: TagKind::Video, timestamp: 0, payload: bytes::Bytes::from_static(payload) }
    }

    #[test]
    fn a_new_codec_replaces_what_was_said_of_the_old_one() {
        let mut headers = StreamHeaders::default();
        assert_eq!(headers.note(&video(b"\x90hvc1a")), Noted::New);
        assert_eq!(headers.note(&video(b"\x94hvc1colours")), Noted::New);
        assert_eq!(headers.note(&video(b"\x90hvc1a")), Noted::Repeated);
        assert_eq!(headers.tags().count(), 2);
        assert_eq!(headers.note(&video(&[0x17, 0, 1])), Noted::New);
        assert_eq!(headers.tags().count(), 1);
        assert!(headers.can_decode(&video(&[0x17, 1])) && !headers.can_decode(&video(b"\x91hvc1")));
        assert_eq!(headers.note(&video(&[0x12, 1])), Noted::NoHeader);
        assert!(headers.is_empty(), "Sorenson needs none");
    }

    #[test]
    fn tracks_have_headers_of_their_own() {
        let mut headers = StreamHeaders::default();
        headers.note(&video(b"\x96\x00hvc1\x00a"));
        headers.note(&video(b"\x96\x00hvc1\x01b"));
        assert_eq!(headers.tags().count(), 2);
        assert!(headers.can_decode(&video(b"\xa6\x03hvc1\x01")));
        assert!(!headers.can_decode(&video(b"\xa6\x03hvc1\x02")));
    }
}
