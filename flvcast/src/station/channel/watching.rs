//! What a channel that watches does: what comes of the swarm, of its qualities, and of what stands in
//! for it, is shown as one.

use std::time::Instant;

use super::Channel;
use crate::{
    flv::Tag,
    journal::Line,
    link::Link,
    peer::{MemberEvent, MemberId},
    station::{
        qualities::{Seat, Turned},
        splice::{Act, Feed},
        stand_in::{Given, StandIn},
    },
};

impl Channel {
    pub(super) fn advance_qualities(&mut self, now: Instant, link: &mut Link) {
        let Some(qualities) = &mut self.qualities else { return };
        let turned = qualities.advance(now, &self.tuned.get(), link);
        self.turn(now, turned, link);
    }

    /// Shows what comes of several qualities.
    fn turn(&mut self, now: Instant, turned: Turned, link: &mut Link) {
        turned.show.into_iter().for_each(|tag| self.take_tag(now, tag));
        if let Some(text) = turned.said {
            self.say(Line::Notice, text);
        }
        let Some((seat, first)) = turned.switch else { return };
        link.leave(self.member);
        self.take_seat(seat);
        if !self.stands_in() {
            self.screen.begin(false);
        }
        if let Some(stand_in) = &mut self.stand_in {
            stand_in.splice.begin_again();
        }
        first.into_iter().for_each(|tag| self.take_tag(now, tag));
    }

    fn take_seat(&mut self, Seat { member, stats, quality }: Seat) {
        self.member = member;
        stats.go_on_from(&self.tuned.get());
        self.tuned.set(stats);
        let lower = Some(quality).filter(|quality| *quality != self.config.name);
        self.screen.status().set_quality(lower);
    }

    pub(super) fn stands_in(&self) -> bool {
        self.stand_in.as_ref().is_some_and(|stand| stand.splice.current() == Feed::StandIn)
    }

    pub(in crate::station) fn on_event(
        &mut self,
        now: Instant,
        member: MemberId,
        event: MemberEvent,
        link: &mut Link,
    ) {
        if let Some(qualities) = &mut self.qualities {
            let turned = match event {
                event if member != self.member => qualities.on_tried(now, event, link),
                MemberEvent::Tag(tag) => match qualities.note(now, &tag) {
                    _ if !qualities.is_trying() => return self.take_tag(now, tag),
                    time => qualities.take(now, tag, time),
                },
                other => return self.on_happening(now, other, link),
            };
            return self.turn(now, turned, link);
        }
        match event {
            MemberEvent::Tag(tag) => self.take_tag(now, tag),
            other => self.on_happening(now, other, link),
        }
    }

    fn on_happening(&mut self, now: Instant, event: MemberEvent, link: &mut Link) {
        let stands_in = self.stands_in();
        match event {
            MemberEvent::Tag(tag) => self.take_tag(now, tag),
            // Where something stands in, the joint is found by what is shown.
            MemberEvent::Began { .. } if stands_in => {
                if let Some(stand_in) = &mut self.stand_in {
                    stand_in.splice.begin_again();
                }
            }
            MemberEvent::Ended if stands_in => self.end_broadcast(now, link),
            MemberEvent::Began { from_start } => self.screen.begin(from_start),
            MemberEvent::Found => self.has_found = true,
            MemberEvent::Ended => {
                self.end_broadcast(now, link);
                self.screen.end(now);
                self.journal.of(&self.config.name).say(Line::Event, "the broadcast has ended");
            }
            MemberEvent::Contested => {
                if !std::mem::replace(&mut self.is_contested, true) {
                    let text = format!(
                        "somebody else casts '{}' too: each viewer sees one of you; stop one, or \
                         take another channel",
                        self.config.name
                    );
                    self.journal.of(&self.config.name).say(Line::Trouble, text);
                }
            }
        }
    }

    fn end_broadcast(&mut self, now: Instant, link: &mut Link) {
        self.endings += 1;
        self.leave_trial(now, link);
        self.go_home(now, link);
        if let Some(qualities) = &mut self.qualities {
            qualities.note_end(now);
        }
    }

    /// Shows what was held back for a quality that was tried.
    fn leave_trial(&mut self, now: Instant, link: &mut Link) {
        let Some(qualities) = &mut self.qualities else { return };
        let rest = qualities.end_trial(now, link);
        rest.into_iter().for_each(|tag| self.take_tag(now, tag));
    }

    /// Watches the channel itself again, if it watches a lower quality.
    fn go_home(&mut self, now: Instant, link: &mut Link) {
        let qualities = self.qualities.as_mut();
        let best = qualities.and_then(|other| other.begin_again(now, self.member, link));
        if let Some(best) = best {
            self.take_seat(best);
        }
    }

    /// Another channel of this process wants to be in this group, where this one is for its quality.
    pub(in crate::station) fn make_room(
        &mut self,
        now: Instant,
        group: &[u8; 32],
        link: &mut Link,
    ) {
        if self.qualities.as_ref().is_some_and(|qualities| qualities.tries_in(group, link)) {
            self.leave_trial(now, link);
        }
        let is_there = link.group_of(self.member).as_ref() == Some(group);
        if is_there && self.config.group.group_id() != *group {
            self.leave_trial(now, link);
            self.go_home(now, link);
            self.screen.begin(false);
        }
    }

    /// Nothing more is watched.
    pub(super) fn end_watching(&mut self, now: Instant, link: &mut Link) {
        self.leave_trial(now, link);
        (self.stand_in, self.qualities) = (None, None);
    }

    fn take_tag(&mut self, now: Instant, tag: Tag) {
        self.has_tags = true;
        let Some(mut stand_in) = self.stand_in.take() else { return self.screen.take(now, tag) };
        let is_media = tag.is_media();
        self.splice(now, &mut stand_in, Feed::Swarm, tag);
        if is_media {
            stand_in.heard(now);
        }
        self.stand_in = Some(stand_in);
    }

    /// Shows a tag of one of two feeds, as far as it is new.
    fn splice(&mut self, now: Instant, stand_in: &mut StandIn, from: Feed, tag: Tag) {
        let stood_in = stand_in.splice.current() == Feed::StandIn;
        let acts = stand_in.splice.take(from, tag);
        if stood_in && stand_in.splice.current() == Feed::Swarm {
            self.say(Line::Notice, "the swarm is back");
        }
        for act in acts {
            let tag = match act {
                Act::Show(tag) => tag,
                Act::Follow(tag) => {
                    self.screen.splice();
                    tag
                }
                Act::Begin(headers, tag) => {
                    self.screen.begin(false);
                    headers.into_iter().for_each(|header| self.screen.take(now, header));
                    tag
                }
            };
            self.screen.take(now, tag);
        }
    }

    pub(super) fn advance_stand_in(&mut self, now: Instant) -> Option<Instant> {
        let mut stand_in = self.stand_in.take()?;
        let mut given = Vec::new();
        let due = stand_in.advance(now, |next| given.push(next));
        for next in given {
            match next {
                Given::Tag(tag) => self.splice(now, &mut stand_in, Feed::StandIn, tag),
                Given::Notice(text) => self.say(Line::Notice, text),
                Given::Trouble(error) => self.say(Line::Trouble, error),
            }
        }
        self.stand_in = Some(stand_in);
        Some(due)
    }
}
