//! Which publications are known: those that are wanted, as far as there is room, and nobody takes all
//! of that for himself.

use std::time::{Duration, Instant};

use rtmfp::crypto::PeerId;

use super::{Action, Channel, Group, GroupEvent, neighbour::MediaLink};
use crate::{
    multicast::{Misconduct, Stream, publisher_of},
    wire::{Announcement, StreamKey},
};

/// Publications known at once; the least credible makes room.
const MAX_STREAMS: usize = 16;
/// Publications that one neighbour may make or bring to us.
const MAX_BROUGHT: usize = 4;
/// Publications for which there was no room and that may get some.
const MAX_WAITING: usize = 32;
/// Publications of others under our own names that are told of in a time.
const MAX_CONTESTED: usize = 8;
const CONTEST_MEMORY: Duration = Duration::from_secs(600);
/// Bytes held of all publications of others together.
const MAX_HELD: usize = 256 << 20;
/// What one neighbour alone speaks of makes room after being still for so long.
const IDLE: Duration = Duration::from_secs(10);
/// A stream that we want and get nothing of for this long may be cut off from us.
const SILENCE: Duration = Duration::from_millis(2500);
/// Nobody knows of a stream for so long after it fell silent: it is over.
const LONG_SILENCE: Duration = Duration::from_secs(120);

impl Group {
    /// True if the stream is known, or wanted and now known.
    pub(super) fn take_stream(
        &mut self,
        now: Instant,
        peer: PeerId,
        announcement: Announcement,
    ) -> bool {
        let key = announcement.key;
        if self.streams.contains_key(&key) {
            return true;
        }
        let publishes_it =
            |stream: &Stream| stream.is_publisher() && stream.name() == announcement.name;
        if self.streams.values().any(publishes_it) {
            self.note_contest(now, &peer, key);
            return false;
        }
        if !self.subscriptions.contains(&announcement.name) {
            return false;
        }
        if self.answers_for(&peer) >= MAX_BROUGHT {
            // A relay tells of what there is; too many are its own doing only if it made them.
            if publisher_of(&key, &peer) {
                self.suspect(now, peer, Misconduct::TooManyStreams);
            }
            return false;
        }
        if !self.make_room(now, &peer) {
            self.waiting.retain(|(_, waiting)| waiting.key != key);
            self.waiting.truncate(MAX_WAITING - 1);
            self.waiting.push_front((peer, announcement));
            return false;
        }
        let name = announcement.name.clone();
        self.streams.insert(key, Stream::subscribed(now, peer, announcement));
        self.events.push_back(GroupEvent::StreamFound { key, name });
        true
    }

    /// Streams for which there was no room are asked for once there is; who waits longest comes
    /// first.
    pub(super) fn take_waiting(&mut self, now: Instant) {
        for (peer, announcement) in std::mem::take(&mut self.waiting).into_iter().rev() {
            let key = announcement.key;
            let is_here = self.neighbours.get(&peer).is_some_and(|other| other.is_member());
            let is_news = !self.streams.contains_key(&key);
            if is_here && is_news && self.take_stream(now, peer, announcement) {
                self.announce(peer, &key, MediaLink::Offered);
            }
        }
    }

    /// How many streams a neighbour made, or told us of.
    fn answers_for(&self, peer: &PeerId) -> usize {
        self.streams.values().filter(|stream| stream.principal() == Some(*peer)).count()
    }

    /// Tells once of each, and not of any number of them. What is not its publisher speaks for a
    /// while of what is over, of our own publication before this one perhaps.
    fn note_contest(&mut self, now: Instant, peer: &PeerId, key: StreamKey) {
        let is_stale = self.published.is_none_or(|at| now < at + LONG_SILENCE + IDLE);
        if is_stale && !publisher_of(&key, peer) {
            return;
        }
        let is_old =
            |(_, at): &(StreamKey, Instant)| now.saturating_duration_since(*at) > CONTEST_MEMORY;
        let is_over = self
            .contested
            .front()
            .is_some_and(|contest| is_old(contest) && !self.is_published_here(&contest.0));
        if is_over {
            self.contested.pop_front();
        }
        let is_known = self.contested.iter().any(|(known, _)| *known == key);
        if !is_known && self.contested.len() < MAX_CONTESTED {
            self.contested.push_back((key, now));
            self.events.push_back(GroupEvent::StreamContested { key });
        }
    }

    /// How many neighbours publish under a name of ours at this time.
    pub(super) fn contenders(&self) -> usize {
        self.contested.iter().filter(|(key, _)| self.is_published_here(key)).count()
    }

    /// Whether the publisher of a stream is a neighbour.
    fn is_published_here(&self, key: &StreamKey) -> bool {
        let mut members = self.neighbours.iter().filter(|(_, other)| other.is_member());
        members.any(|(peer, _)| publisher_of(key, peer))
    }

    /// Makes room for a stream that `peer` answers for. Streams that several know are not displaced
    /// by such as only one speaks of; but nobody keeps two places while others have none.
    fn make_room(&mut self, now: Instant, peer: &PeerId) -> bool {
        if self.streams.len() < MAX_STREAMS {
            return true;
        }
        let fair = self.answers_for(peer) + 1;
        let takes_too_many = |stream: &Stream| {
            stream.principal().is_some_and(|principal| self.answers_for(&principal) > fair)
        };
        let may_go = |stream: &Stream| {
            let idle = stream.idle(now);
            let is_still = idle > LONG_SILENCE || (!stream.is_vouched_for() && idle > IDLE);
            !stream.is_publisher() && (is_still || takes_too_many(stream))
        };
        let candidates = self.streams.iter().filter(|(_, stream)| may_go(stream));
        let idlest = candidates.max_by_key(|(_, stream)| stream.idle(now));
        let Some(key) = idlest.map(|(key, _)| *key) else { return false };
        self.forget_stream(&key);
        true
    }

    /// A stream that is over leaves nothing behind: neither our flows for it nor neighbours'.
    pub(super) fn forget_stream(&mut self, key: &StreamKey) {
        self.streams.remove(key);
        for (peer, neighbour) in self.neighbours.iter_mut() {
            let Some(link) = neighbour.media.remove(key) else { continue };
            for channel in [Channel::Media(*key), Channel::MediaControl(*key)] {
                self.actions.push_back(Action::Finish { peer: *peer, channel });
            }
            let theirs = neighbour.extract_flows(key, link).into_iter();
            self.actions.extend(theirs.map(|flow| Action::Reject { peer: *peer, flow }));
        }
    }

    /// Who holds most makes do with less.
    pub(super) fn keep_to_budget(&mut self) {
        loop {
            let others = || self.streams.iter().filter(|(_, stream)| !stream.is_publisher());
            let held: usize = others().map(|(_, stream)| stream.bytes_held()).sum();
            let largest = others().max_by_key(|(_, stream)| stream.bytes_held());
            let Some(key) = largest.filter(|_| held > MAX_HELD).map(|(key, _)| *key) else {
                return;
            };
            if let Some(stream) = self.streams.get_mut(&key) {
                stream.let_go_of(held - MAX_HELD);
            }
        }
    }

    /// Whether all we had of a stream that we want has fallen silent, though it may go on elsewhere.
    pub(super) fn misses_stream(&self, now: Instant) -> bool {
        self.subscriptions.iter().any(|name| {
            let mut of_name =
                self.streams.values().filter(|stream| stream.name() == name).peekable();
            of_name.peek().is_some() && of_name.all(|stream| is_missed(now, stream))
        })
    }

    /// Whether a stream is wanted of which nobody here knows; or one of several publications has
    /// fallen silent, which the others may have replaced, or may only hide.
    pub(super) fn may_miss_stream(&self, now: Instant) -> bool {
        let is_known = |name: &String| self.streams.values().any(|stream| stream.name() == name);
        let is_cut_off = |stream: &Stream| is_missed(now, stream) && stream.has_fragments();
        !self.subscriptions.iter().all(is_known) || self.streams.values().any(is_cut_off)
    }
}

/// Silent before its end, and not for so long that it is likely to be over.
fn is_missed(now: Instant, stream: &Stream) -> bool {
    let is_silent = (SILENCE..LONG_SILENCE).contains(&stream.idle(now));
    is_silent && !stream.is_publisher() && !stream.has_ended()
}
