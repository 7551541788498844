//! What a stream must be preceded by for whoever joins late: metadata and parameters.

use crate::flv::{Tag, TagKind};

/// The latest metadata and codec parameters.
#[derive(Debug, Default, Clone)]
pub struct StreamHeaders {
    metadata: Option<Tag>,
    video: Option<Tag>,
    audio: Option<Tag>,
}

impl StreamHeaders {
    fn slot(&mut self, tag: &Tag) -> Option<&mut Option<Tag>> {
        if tag.is_metadata() {
            Some(&mut self.metadata)
        } else if tag.is_video_header() {
            Some(&mut self.video)
        } else if tag.is_audio_header() {
            Some(&mut self.audio)
        } else {
            None
        }
    }

    /// Remembers a header. True if the tag is one.
    pub fn note(&mut self, tag: &Tag) -> bool {
        self.slot(tag).map(|slot| *slot = Some(tag.clone())).is_some()
    }

    /// True if the tag is a header that says nothing new.
    pub fn is_repeated(&mut self, tag: &Tag) -> bool {
        self.slot(tag)
            .is_some_and(|slot| slot.as_ref().is_some_and(|known| known.payload == tag.payload))
    }

    /// Whether pictures can be decoded: their parameters came, or their codec has none.
    pub fn can_decode(&self, frame: &Tag) -> bool {
        const NEEDS_PARAMETERS: [u8; 2] = [7, 12];
        let codec = frame.payload.first().map_or(0, |first| first & 0x0f);
        let is_enhanced = frame.payload.first().is_some_and(|first| first & 0x80 != 0);
        frame.kind != TagKind::Video
            || self.video.is_some()
            || !(is_enhanced || NEEDS_PARAMETERS.contains(&codec))
    }

    /// All of them, in the order players want.
    pub fn tags(&self) -> impl Iterator<Item = &Tag> {
        [&self.metadata, &self.video, &self.audio].into_iter().flatten()
    }
}
