//! A channel's qualities, as its viewer has them: each has a group of its own, and one is watched.

mod arrival;
mod joint;
mod ladder;

use std::time::Instant;

use crate::{
    channel::channel_group,
    flv::{Tag, metadata},
    link::Link,
    peer::{Member, MemberEvent, MemberId, SharedStats},
};
use joint::{Clock, Joined, Joint};
use ladder::{Ladder, Move};

/// A quality that is joined beside the one that is watched.
#[derive(Debug)]
struct Tried {
    seat: Seat,
    clock: Clock,
    joint: Joint,
}

/// A place in a quality's group.
#[derive(Debug, Clone)]
pub struct Seat {
    /// The member.
    pub member: MemberId,
    /// Its figures.
    pub stats: SharedStats,
    /// The quality's name.
    pub quality: String,
}

/// What follows.
#[derive(Debug, Default)]
pub struct Turned {
    /// To be shown, of the quality that was watched.
    pub show: Vec<Tag>,
    /// Another is watched from here on, beginning with these.
    pub switch: Option<(Seat, Vec<Tag>)>,
    /// To be told.
    pub said: Option<String>,
}

/// Which quality is watched, and how it comes to be another.
#[derive(Debug)]
pub struct Qualities {
    prefix: String,
    stream: String,
    /// The channel's own name first.
    names: Vec<String>,
    ladder: Ladder,
    clock: Clock,
    /// The time of the newest that came of what is watched.
    shown: Option<i64>,
    tried: Option<Tried>,
}

impl Qualities {
    /// The channel is watched; that it has others is not known yet.
    pub fn new(now: Instant, channel: &str, prefix: &str, stream: &str) -> Self {
        Self {
            prefix: prefix.to_owned(),
            stream: stream.to_owned(),
            names: vec![channel.to_owned()],
            ladder: Ladder::new(now),
            clock: Clock::default(),
            shown: None,
            tried: None,
        }
    }

    /// Whether this member is here to be tried.
    pub fn tries(&self, member: MemberId) -> bool {
        self.tried.as_ref().is_some_and(|tried| tried.seat.member == member)
    }

    /// Whether another one is tried.
    pub fn is_trying(&self) -> bool {
        self.tried.is_some()
    }

    /// Looks at a tag of the quality that is watched; when it was cast, in milliseconds.
    pub fn note(&mut self, now: Instant, tag: &Tag) -> Option<i64> {
        if self.ladder.at() == 0
            && let Some(below) = metadata::qualities(tag)
        {
            self.names.truncate(1);
            for name in below {
                if !self.names.contains(&name) {
                    self.names.push(name);
                }
            }
            self.ladder.set_rungs(self.names.len());
        }
        let time = self.clock.time(tag).filter(|_| tag.is_media())?;
        self.ladder.note(now, time);
        self.shown = self.shown.max(Some(time));
        Some(time)
    }

    /// Takes the tag, cast at that time, while another quality is tried.
    pub fn take(&mut self, now: Instant, tag: Tag, time: Option<i64>) -> Turned {
        let may_join = self.ladder.may_join(now);
        match &mut self.tried {
            Some(tried) => {
                let joined = tried.joint.ours(now, tag, time, may_join);
                self.turn(now, joined)
            }
            None => Turned { show: vec![tag], ..Turned::default() },
        }
    }

    /// Takes what happens at the one that is tried.
    pub fn on_tried(&mut self, now: Instant, event: MemberEvent, link: &mut Link) -> Turned {
        match event {
            MemberEvent::Tag(tag) => {
                let Some(tried) = &mut self.tried else { return Turned::default() };
                if let Some(time) = tried.clock.time(&tag).filter(|_| tag.is_media()) {
                    self.ladder.note_trial(now, time);
                }
                let may_join = self.ladder.may_join(now);
                let joined = tried.joint.theirs(now, tag, may_join);
                self.turn(now, joined)
            }
            MemberEvent::Ended => {
                self.ladder.note_failure(now);
                self.give_up(link)
            }
            MemberEvent::Began { .. } | MemberEvent::Found | MemberEvent::Contested => {
                Turned::default()
            }
        }
    }

    /// Time passes.
    pub fn advance(&mut self, now: Instant, stats: &SharedStats, link: &mut Link) -> Turned {
        if self.names.len() == 1 && self.tried.is_none() {
            return Turned::default();
        }
        let figures = stats.latest_stream();
        self.ladder.look(now, figures.newest, figures.fragments_lost);
        if let Some(tried) = &self.tried {
            let figures = tried.seat.stats.latest_stream();
            self.ladder.look_at_trial(now, figures.newest, figures.fragments_lost);
        }
        match self.ladder.decide(now) {
            Some(Move::Try(rung)) => self.join(now, rung, link),
            Some(Move::GiveUp) => self.give_up(link),
            None => {
                let may_join = self.ladder.may_join(now);
                let Some(tried) = &mut self.tried else { return Turned::default() };
                let joined = tried.joint.advance(now, may_join);
                self.turn(now, joined)
            }
        }
    }

    fn join(&mut self, now: Instant, rung: usize, link: &mut Link) -> Turned {
        match self.seat(rung, link) {
            Some(seat) => {
                let (clock, joint) = (Clock::default(), Joint::after(self.shown));
                self.tried = Some(Tried { seat, clock, joint });
            }
            // Somebody watches that one already, in this process.
            None => self.ladder.note_failure(now),
        }
        Turned::default()
    }

    fn seat(&self, rung: usize, link: &mut Link) -> Option<Seat> {
        let quality = self.names.get(rung)?.clone();
        let group = channel_group(&self.prefix, &quality).ok()?;
        let member = Member { group, stream: self.stream.clone(), publishes: false };
        let (member, stats) = link.join(member).ok()?;
        Some(Seat { member, stats, quality })
    }

    fn give_up(&mut self, link: &mut Link) -> Turned {
        let Some(tried) = self.tried.take() else { return Turned::default() };
        link.leave(tried.seat.member);
        Turned { show: tried.joint.give_up().collect(), ..Turned::default() }
    }

    fn turn(&mut self, now: Instant, joined: Joined) -> Turned {
        let Joined { show, take_over } = joined;
        let tried = if take_over.is_some() { self.tried.take() } else { None };
        let (Some(first), Some(Tried { seat, clock, .. })) = (take_over, tried) else {
            return Turned { show, ..Turned::default() };
        };
        let before = self.ladder.at();
        self.ladder.note_switch(now);
        self.clock = clock;
        let said = match self.ladder.at() > before {
            true => format!("too little arrives; '{}' is watched meanwhile", seat.quality),
            false => format!("'{}' arrives again", seat.quality),
        };
        Turned { show, switch: Some((seat, first)), said: Some(said) }
    }

    /// The broadcast is over, and so is what was tried beside it: what is still to be shown.
    pub fn end_trial(&mut self, now: Instant, link: &mut Link) -> Vec<Tag> {
        self.ladder.note_failure(now);
        self.give_up(link).show
    }

    /// The next broadcast begins with the best. Where it is to be watched, if that is elsewhere and
    /// can be had.
    pub fn begin_again(
        &mut self,
        now: Instant,
        watched: MemberId,
        link: &mut Link,
    ) -> Option<Seat> {
        let best = match self.ladder.at() {
            0 => None,
            _ => Some(self.seat(0, link)?),
        };
        self.ladder.begin_again(now);
        self.clock = Clock::default();
        if best.is_some() {
            link.leave(watched);
        }
        best
    }

    /// The broadcast that was watched is over; that of another quality may not be.
    pub fn note_end(&mut self, now: Instant) {
        self.ladder.note_end(now);
    }

    /// Whether a quality is tried in this group.
    pub fn tries_in(&self, group: &[u8; 32], link: &Link) -> bool {
        let tried = self.tried.as_ref();
        tried.is_some_and(|tried| link.group_of(tried.seat.member).as_ref() == Some(group))
    }
}
