//! From one feed to another of the same stream, and back: what was shown is not shown again, and
//! what follows it is not left out.

use std::{
    collections::{VecDeque, hash_map::DefaultHasher},
    hash::{Hash, Hasher},
};

use crate::{
    flv::{Tag, TagKind},
    headers::{Noted, StreamHeaders},
};

/// Sounds and pictures remembered: a minute and more.
const MEMORY: usize = 8192;
/// A feed that is so much unlike what was shown is another one.
const MAX_MISSES: u32 = 100;
/// Sound is stored a little before or behind its picture.
const INTERLEAVING: u64 = 64;

/// Where tags come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Feed {
    /// The group.
    Swarm,
    /// The source that stands in for it.
    StandIn,
}

/// What becomes of a tag.
#[derive(Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is shown.
    Show,
    /// It was shown before, or is of no use.
    Drop,
    /// It follows what was shown, though its stamp is of another feed.
    Follow,
    /// It begins something new, after these headers.
    Begin(Vec<Tag>),
}

/// A sound or picture that was shown, by its hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Shown {
    kind: TagKind,
    hash: u64,
}

/// Where in the memory the next of a kind is looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cursor {
    /// As near to this as possible: silence is the same everywhere.
    Near(u64),
    /// From this on.
    From(u64),
}

/// How far a feed has come that took over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Entry {
    /// Nothing can be shown before its first key frame.
    AwaitsKey,
    /// It repeats what was shown, sound and pictures each from a place on; nothing once it is
    /// through.
    Repeats { cursors: [Option<Cursor>; 2], has_shown: bool, misses: u32 },
    /// All of it is new.
    Through,
}

/// The joint between two feeds.
#[derive(Debug)]
pub struct Splice {
    current: Feed,
    entry: Entry,
    memory: VecDeque<Shown>,
    /// How many were forgotten.
    forgotten: u64,
    headers: [StreamHeaders; 2],
}

impl Default for Splice {
    fn default() -> Self {
        Self {
            current: Feed::Swarm,
            entry: Entry::Through,
            memory: VecDeque::new(),
            forgotten: 0,
            headers: Default::default(),
        }
    }
}

fn identity(tag: &Tag) -> Shown {
    let mut hasher = DefaultHasher::new();
    tag.payload.hash(&mut hasher);
    Shown { kind: tag.kind, hash: hasher.finish() }
}

fn index(kind: TagKind) -> usize {
    usize::from(kind == TagKind::Video)
}

impl Splice {
    /// Which feed is shown.
    pub fn current(&self) -> Feed {
        self.current
    }

    /// The swarm is silent: the stand-in is shown from its first key frame on.
    pub fn stand_in(&mut self) {
        (self.current, self.entry) = (Feed::StandIn, Entry::AwaitsKey);
        self.headers[Feed::StandIn as usize] = StreamHeaders::default();
    }

    /// What to do with a tag. The swarm's takes over with a key frame.
    pub fn take(&mut self, from: Feed, tag: &Tag) -> Verdict {
        let is_header = self.headers[from as usize].note(tag) != Noted::NoHeader;
        if from != self.current {
            if from == Feed::StandIn || !self.can_begin(from, tag) {
                return Verdict::Drop;
            }
            (self.current, self.entry) = (from, Entry::AwaitsKey);
        }
        match self.entry {
            Entry::Through => {
                if tag.is_media() {
                    self.remember(tag);
                }
                Verdict::Show
            }
            Entry::AwaitsKey if self.can_begin(from, tag) => self.begin(from, tag),
            Entry::AwaitsKey => Verdict::Drop,
            // They come again and again.
            Entry::Repeats { .. } if is_header || !tag.is_media() => Verdict::Drop,
            Entry::Repeats { .. } => self.skip(tag),
        }
    }

    /// A picture that needs no other; sound, where there are no pictures.
    fn can_begin(&self, from: Feed, tag: &Tag) -> bool {
        let has_pictures = self.headers[from as usize].parameters(TagKind::Video).is_some();
        tag.is_key_frame() || (tag.kind == TagKind::Audio && tag.is_media() && !has_pictures)
    }

    fn begin(&mut self, from: Feed, tag: &Tag) -> Verdict {
        let wanted = identity(tag);
        let known = self.memory.iter().rposition(|shown| *shown == wanted);
        match known {
            Some(at) => {
                let at = self.forgotten + at as u64;
                let cursors = [Some(Cursor::Near(at)), Some(Cursor::From(at))];
                self.entry = Entry::Repeats { cursors, has_shown: false, misses: 0 };
                self.skip(tag)
            }
            None => {
                self.entry = Entry::Through;
                self.remember(tag);
                Verdict::Begin(self.headers[from as usize].tags().cloned().collect())
            }
        }
    }

    /// While a feed repeats what was shown, its sounds and pictures are found again in order.
    fn skip(&mut self, tag: &Tag) -> Verdict {
        let Entry::Repeats { mut cursors, mut has_shown, mut misses } = self.entry else {
            return Verdict::Show;
        };
        let wanted = identity(tag);
        let cursor = &mut cursors[index(tag.kind)];
        let found = cursor.and_then(|cursor| self.find(wanted, cursor));
        // What was lost when the rest was shown has no place any more.
        let is_lost = found.is_none()
            && misses < MAX_MISSES
            && cursor.is_some_and(|cursor| self.has_more(tag.kind, cursor));
        misses += u32::from(is_lost);
        if !is_lost {
            *cursor = found.map(|at| Cursor::From(at + 1));
        }
        let verdict = match found {
            Some(_) => Verdict::Drop,
            None if is_lost => Verdict::Drop,
            None if std::mem::replace(&mut has_shown, true) => Verdict::Show,
            None => Verdict::Follow,
        };
        self.entry = match cursors {
            [None, None] => Entry::Through,
            cursors => Entry::Repeats { cursors, has_shown, misses },
        };
        if verdict != Verdict::Drop {
            self.remember(tag);
        }
        verdict
    }

    fn find(&self, wanted: Shown, cursor: Cursor) -> Option<u64> {
        let end = self.forgotten + self.memory.len() as u64;
        let is_there = |at: &u64| {
            let index = at.checked_sub(self.forgotten).and_then(|at| usize::try_from(at).ok());
            index.and_then(|index| self.memory.get(index)) == Some(&wanted)
        };
        match cursor {
            Cursor::From(from) => (from..end).find(is_there),
            Cursor::Near(at) => (0..INTERLEAVING)
                .flat_map(|away| [at + away, at.saturating_sub(away)])
                .find(is_there),
        }
    }

    /// Whether something of a kind was shown after what is looked for next.
    fn has_more(&self, kind: TagKind, cursor: Cursor) -> bool {
        let (Cursor::From(from) | Cursor::Near(from)) = cursor;
        let skipped = usize::try_from(from.saturating_sub(self.forgotten)).unwrap_or(usize::MAX);
        self.memory.iter().skip(skipped).any(|shown| shown.kind == kind)
    }

    fn remember(&mut self, tag: &Tag) {
        self.memory.push_back(identity(tag));
        if self.memory.len() > MEMORY {
            self.memory.pop_front();
            self.forgotten += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A film: parameters, then five pictures a group, and a sound behind each.
    fn film(from: u32, to: u32) -> Vec<Tag> {
        let tag =
            |kind, timestamp, payload: Vec<u8>| Tag { kind, timestamp, payload: payload.into() };
        let mut film = vec![tag(TagKind::Video, 0, vec![0x17, 0, 0, 0, 0, 1])];
        for at in from..to {
            let first = if at.is_multiple_of(5) { 0x17 } else { 0x27 };
            film.push(tag(
                TagKind::Video,
                at * 40,
                [&[first, 1, 0, 0, 0][..], &at.to_be_bytes()].concat(),
            ));
            // All sounds are the same: silence.
            film.push(tag(TagKind::Audio, at * 40 + 7, vec![0x2f, 0]));
        }
        film
    }

    /// What is shown of pictures, by their numbers, and how many sounds.
    #[derive(Default)]
    struct Screen {
        pictures: Vec<u32>,
        sounds: usize,
        begun: usize,
        followed: usize,
    }

    impl Screen {
        fn take(&mut self, splice: &mut Splice, from: Feed, film: &[Tag]) {
            for tag in film {
                match splice.take(from, tag) {
                    Verdict::Drop => continue,
                    Verdict::Show => {}
                    Verdict::Follow => self.followed += 1,
                    Verdict::Begin(_) => self.begun += 1,
                }
                match tag.kind {
                    TagKind::Video if tag.is_media() => {
                        let number = tag.payload[5..9].try_into().unwrap();
                        self.pictures.push(u32::from_be_bytes(number));
                    }
                    TagKind::Audio => self.sounds += 1,
                    _ => {}
                }
            }
        }
    }

    #[test]
    fn no_picture_twice_and_none_left_out() {
        let (mut splice, mut screen) = (Splice::default(), Screen::default());
        screen.take(&mut splice, Feed::Swarm, &film(0, 23));
        splice.stand_in();
        // The stand-in begins with a key frame that was shown.
        screen.take(&mut splice, Feed::StandIn, &film(18, 61));
        assert_eq!(splice.current(), Feed::StandIn);
        // The swarm is behind it.
        screen.take(&mut splice, Feed::Swarm, &film(52, 100));
        assert_eq!(screen.pictures, (0..100).collect::<Vec<_>>());
        assert!((98..=102).contains(&screen.sounds), "{}", screen.sounds);
        assert_eq!((screen.begun, screen.followed), (0, 2));
        screen.take(&mut splice, Feed::StandIn, &film(61, 80));
        assert_eq!(screen.pictures.len(), 100, "the stand-in is shown no more");
    }

    #[test]
    fn a_picture_that_was_lost_is_not_shown_later() {
        let (mut splice, mut screen) = (Splice::default(), Screen::default());
        let mut swarm = film(0, 34);
        swarm.retain(|tag| tag.timestamp != 31 * 40);
        screen.take(&mut splice, Feed::Swarm, &swarm);
        splice.stand_in();
        screen.take(&mut splice, Feed::StandIn, &film(28, 50));
        let expected: Vec<u32> = (0..50).filter(|number| *number != 31).collect();
        assert_eq!(screen.pictures, expected);
    }

    #[test]
    fn what_was_never_shown_begins_anew_with_its_key_frame() {
        let (mut splice, mut screen) = (Splice::default(), Screen::default());
        splice.stand_in();
        screen.take(&mut splice, Feed::StandIn, &film(1003, 1020));
        assert_eq!(screen.pictures, (1005..1020).collect::<Vec<_>>());
        screen.take(&mut splice, Feed::Swarm, &film(2, 30));
        assert_eq!(screen.pictures[15..], (5..30).collect::<Vec<_>>());
        assert_eq!(screen.begun, 2);
    }
}
