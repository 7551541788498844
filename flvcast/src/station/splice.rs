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
/// A feed is held for so long to find where it joins what is shown; longer than any of two feeds of
/// one stream is mostly behind the other.
const HELD_OF_SWARM_MS: i32 = 4000;
/// Nothing is shown meanwhile.
const HELD_OF_STAND_IN_MS: i32 = 1000;
const MAX_HELD: usize = 2048;
const MAX_HELD_BYTES: usize = 32 << 20;
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

/// What is to be shown.
#[derive(Debug, PartialEq, Eq)]
pub enum Act {
    /// The next.
    Show(Tag),
    /// It follows what was shown, though its stamp is of another feed.
    Follow(Tag),
    /// It begins something new; headers come first.
    Begin(Vec<Tag>, Tag),
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

/// How far the feed that is shown has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Entry {
    /// It repeats what was shown, sound and pictures each from a place on; nothing once it is
    /// through.
    Repeats { cursors: [Option<Cursor>; 2], has_shown: bool, misses: u32 },
    /// All of it is new.
    Through,
}

/// A feed that is to take over, held until it is known where it joins.
#[derive(Debug)]
struct Entering {
    feed: Feed,
    /// From a key frame on, each with what tells it from others.
    held: Vec<(Shown, Tag)>,
    bytes: usize,
}

/// The joint between two feeds.
#[derive(Debug)]
pub struct Splice {
    current: Feed,
    entry: Entry,
    entering: Option<Entering>,
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
            entering: None,
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

impl Entering {
    fn new(feed: Feed) -> Self {
        Self { feed, held: Vec::new(), bytes: 0 }
    }

    /// Whether it was held for long enough: what had a place in what was shown had shown it.
    fn is_overdue(&self) -> bool {
        let longest = match self.feed {
            Feed::Swarm => HELD_OF_SWARM_MS,
            Feed::StandIn => HELD_OF_STAND_IN_MS,
        };
        let stamp = |held: Option<&(Shown, Tag)>| held.map_or(0, |(_, tag)| tag.timestamp);
        let length = stamp(self.held.last()).wrapping_sub(stamp(self.held.first()));
        let is_too_much = self.held.len() >= MAX_HELD || self.bytes >= MAX_HELD_BYTES;
        length.cast_signed() >= longest || is_too_much
    }
}

impl Splice {
    /// Which feed is shown.
    pub fn current(&self) -> Feed {
        self.current
    }

    /// The swarm is silent: the stand-in is to take over.
    pub fn stand_in(&mut self) {
        self.headers[Feed::StandIn as usize] = StreamHeaders::default();
        self.entering = Some(Entering::new(Feed::StandIn));
    }

    /// What the swarm gives next has nothing in common with what it gave.
    pub fn begin_again(&mut self) {
        if self.current == Feed::Swarm {
            self.entry = Entry::Through;
        }
        self.entering.take_if(|entering| entering.feed == Feed::Swarm);
        self.headers[Feed::Swarm as usize] = StreamHeaders::default();
    }

    /// What to show now that a tag came. The swarm's takes over from a key frame on.
    pub fn take(&mut self, from: Feed, tag: Tag) -> Vec<Act> {
        let mut acts = Vec::new();
        let is_header = self.headers[from as usize].note(&tag) != Noted::NoHeader;
        let is_entering = self.entering.as_ref().is_some_and(|entering| entering.feed == from);
        if from == self.current && !is_entering {
            // The swarm is back by itself.
            self.entering.take_if(|entering| entering.feed == Feed::StandIn);
            let shown = tag.is_media().then(|| identity(&tag));
            self.show(tag, is_header, &mut acts);
            if let Some(shown) = shown {
                self.join_at(shown, &mut acts);
            }
        } else if is_entering || from == Feed::Swarm {
            self.hold(from, tag, is_header, &mut acts);
        }
        acts
    }

    /// The next of a feed that is to take over.
    fn hold(&mut self, feed: Feed, tag: Tag, is_header: bool, acts: &mut Vec<Act>) {
        let can_begin = self.can_begin(feed, &tag);
        let entering = self.entering.get_or_insert_with(|| Entering::new(feed));
        // Headers are known by themselves, and before its key frame nothing is of use.
        if is_header || !tag.is_media() || (entering.held.is_empty() && !can_begin) {
            return;
        }
        let shown = identity(&tag);
        let is_picture = tag.kind == TagKind::Video || can_begin;
        entering.bytes += tag.payload.len();
        entering.held.push((shown, tag));
        let known = self.memory.iter().rposition(|other| *other == shown);
        if let Some(at) = known.filter(|_| is_picture) {
            self.join(self.forgotten + at as u64, shown, acts);
        } else if self.memory.is_empty() || entering.is_overdue() {
            self.begin(acts);
        }
    }

    /// What is shown has come to where a feed that is held begins.
    fn join_at(&mut self, shown: Shown, acts: &mut Vec<Act>) {
        let Some(entering) = self.entering.as_ref().filter(|_| shown.kind == TagKind::Video) else {
            return;
        };
        if entering.held.iter().any(|(held, _)| *held == shown)
            && let Some(at) = self.memory.iter().rposition(|other| *other == shown)
        {
            self.join(self.forgotten + at as u64, shown, acts);
        }
    }

    /// The feed that is held takes over: `shown`, which it has, stands `at` this place in the memory.
    fn join(&mut self, at: u64, shown: Shown, acts: &mut Vec<Act>) {
        let Some(Entering { feed, held, .. }) = self.entering.take() else { return };
        let cursors = [Some(Cursor::Near(at)), Some(Cursor::From(at))];
        self.current = feed;
        self.entry = Entry::Repeats { cursors, has_shown: false, misses: 0 };
        // What comes before that was lost when the rest was shown.
        for (_, tag) in held.into_iter().skip_while(|(held, _)| *held != shown) {
            self.show(tag, false, acts);
        }
    }

    /// The feed that is held has nothing in common with what was shown.
    fn begin(&mut self, acts: &mut Vec<Act>) {
        let Some(Entering { feed, held, .. }) = self.entering.take() else { return };
        (self.current, self.entry) = (feed, Entry::Through);
        let mut held = held.into_iter().map(|(_, tag)| tag);
        let Some(first) = held.next() else { return };
        self.remember(&first);
        let headers = self.headers[feed as usize].tags().cloned().collect();
        acts.push(Act::Begin(headers, first));
        held.for_each(|tag| self.show(tag, false, acts));
    }

    /// The next of the feed that is shown.
    fn show(&mut self, tag: Tag, is_header: bool, acts: &mut Vec<Act>) {
        match self.entry {
            Entry::Through => {
                if tag.is_media() {
                    self.remember(&tag);
                }
                acts.push(Act::Show(tag));
            }
            // They come again and again.
            Entry::Repeats { .. } if is_header || !tag.is_media() => {}
            Entry::Repeats { .. } => self.skip(tag, acts),
        }
    }

    /// A picture that needs no other; sound, where there are no pictures.
    fn can_begin(&self, from: Feed, tag: &Tag) -> bool {
        let has_pictures = self.headers[from as usize].parameters(TagKind::Video).is_some();
        tag.is_key_frame() || (tag.kind == TagKind::Audio && tag.is_media() && !has_pictures)
    }

    /// While a feed repeats what was shown, its sounds and pictures are found again in order.
    fn skip(&mut self, tag: Tag, acts: &mut Vec<Act>) {
        let Entry::Repeats { mut cursors, mut has_shown, mut misses } = self.entry else { return };
        let wanted = identity(&tag);
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
        if found.is_none() && !is_lost {
            self.remember(&tag);
            let is_first = !std::mem::replace(&mut has_shown, true);
            acts.push(if is_first { Act::Follow(tag) } else { Act::Show(tag) });
        }
        self.entry = match cursors {
            [None, None] => Entry::Through,
            cursors => Entry::Repeats { cursors, has_shown, misses },
        };
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
        let tag = |kind, timestamp, payload: Vec<u8>| {
            let payload = payload.into();
            Tag { kind, timestamp, payload }
        };
        let mut film = vec![tag(TagKind::Video, from * 40, vec![0x17, 0, 0, 0, 0, 1])];
        for at in from..to {
            let first = if at.is_multiple_of(5) { 0x17 } else { 0x27 };
            let payload = [&[first, 1, 0, 0, 0][..], &at.to_be_bytes()].concat();
            film.push(tag(TagKind::Video, at * 40, payload));
            // All sounds are the same: silence.
            film.push(tag(TagKind::Audio, at * 40 + 7, vec![0x2f, 0]));
        }
        film
    }

    /// What is shown of pictures, by their numbers, and how many sounds.
    #[derive(Default)]
    struct Screen {
        splice: Splice,
        pictures: Vec<u32>,
        sounds: usize,
        begun: usize,
        followed: usize,
    }

    impl Screen {
        fn take(&mut self, from: Feed, film: Vec<Tag>) {
            for tag in film {
                for act in self.splice.take(from, tag) {
                    let tag = match act {
                        Act::Show(tag) => tag,
                        Act::Follow(tag) => {
                            self.followed += 1;
                            tag
                        }
                        Act::Begin(_, tag) => {
                            self.begun += 1;
                            tag
                        }
                    };
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
    }

    #[test]
    fn no_picture_twice_and_none_left_out() {
        let mut screen = Screen::default();
        screen.take(Feed::Swarm, film(0, 23));
        screen.splice.stand_in();
        // The stand-in begins with a key frame that was shown.
        screen.take(Feed::StandIn, film(18, 61));
        assert_eq!(screen.splice.current(), Feed::StandIn);
        // The swarm is behind it.
        screen.take(Feed::Swarm, film(52, 100));
        assert_eq!(screen.pictures, (0..100).collect::<Vec<_>>());
        assert!((98..=102).contains(&screen.sounds), "{}", screen.sounds);
        assert_eq!((screen.begun, screen.followed), (0, 2));
        screen.take(Feed::StandIn, film(61, 80));
        assert_eq!(screen.pictures.len(), 100, "the stand-in is shown no more");
    }

    #[test]
    fn a_swarm_that_is_ahead_is_held_until_the_stand_in_comes_to_it() {
        let mut screen = Screen::default();
        screen.splice.stand_in();
        screen.take(Feed::StandIn, film(0, 10));
        screen.take(Feed::Swarm, film(50, 70));
        assert_eq!(screen.pictures, (0..10).collect::<Vec<_>>());
        screen.take(Feed::StandIn, film(10, 60));
        screen.take(Feed::Swarm, film(70, 80));
        assert_eq!(screen.pictures, (0..80).collect::<Vec<_>>());
        assert_eq!((screen.begun, screen.followed), (1, 1));
    }

    #[test]
    fn a_picture_that_was_lost_is_not_shown_later() {
        let mut screen = Screen::default();
        let mut swarm = film(0, 34);
        swarm.retain(|tag| tag.timestamp != 31 * 40);
        screen.take(Feed::Swarm, swarm);
        screen.splice.stand_in();
        screen.take(Feed::StandIn, film(28, 50));
        let expected: Vec<u32> = (0..50).filter(|number| *number != 31).collect();
        assert_eq!(screen.pictures, expected);
        // Nor if a feed begins in the midst of what was lost.
        let mut screen = Screen::default();
        let mut swarm = film(0, 60);
        swarm.retain(|tag| !(27 * 40..43 * 40).contains(&tag.timestamp));
        screen.take(Feed::Swarm, swarm);
        screen.splice.stand_in();
        screen.take(Feed::StandIn, film(30, 80));
        assert_eq!(screen.pictures, (0..27).chain(43..80).collect::<Vec<_>>());
    }

    #[test]
    fn what_has_nothing_in_common_begins_with_its_key_frame_after_a_while() {
        let mut screen = Screen::default();
        screen.splice.stand_in();
        screen.take(Feed::StandIn, film(1003, 1020));
        assert_eq!(screen.pictures, (1005..1020).collect::<Vec<_>>());
        screen.take(Feed::Swarm, film(2, 140));
        assert_eq!(screen.pictures[15..], (5..140).collect::<Vec<_>>());
        assert_eq!(screen.begun, 2);
    }

    #[test]
    fn a_swarm_that_is_back_before_anything_stands_in_goes_on() {
        let mut screen = Screen::default();
        screen.take(Feed::Swarm, film(0, 20));
        screen.splice.stand_in();
        screen.take(Feed::Swarm, film(20, 30));
        screen.take(Feed::StandIn, film(15, 60));
        assert_eq!(screen.pictures, (0..30).collect::<Vec<_>>());
    }
}
