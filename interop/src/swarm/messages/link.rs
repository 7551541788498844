//! A session between two hosts as each end sees it: what waits to be sent, and what came too early.

use std::{
    collections::{BTreeMap, VecDeque},
    time::{Duration, Instant},
};

use bytes::Bytes;
use netgroup::{Channel, Incoming};

/// Bytes of a chunk besides its message.
const CHUNK: usize = 9;

/// A message, or what a far end says of a flow.
#[derive(Debug, Clone)]
pub(super) struct Letter {
    /// Which of the host's groups.
    pub group: usize,
    /// The place among the letters that must come in order; media need not.
    pub place: Option<u64>,
    /// After this it is not worth sending.
    pub deadline: Option<Instant>,
    pub note: Note,
}

#[derive(Debug, Clone)]
pub(super) enum Note {
    Message {
        flow: u64,
        kind: Incoming,
        bytes: Bytes,
    },
    /// "Nothing more comes on my flow of this number."
    Finished(u64),
    /// "I take no more of your flow of this number."
    Rejected(u64),
    /// "I have no more on my flows for this group."
    Left,
}

impl Letter {
    /// What it takes of a packet.
    pub fn size(&self) -> usize {
        CHUNK
            + match &self.note {
                Note::Message { bytes, .. } => bytes.len(),
                Note::Finished(_) | Note::Rejected(_) | Note::Left => 4,
            }
    }

    /// A fragment of a stream.
    pub fn is_media(&self) -> bool {
        self.place.is_none()
    }
}

#[derive(Debug)]
pub(super) struct Link {
    pub is_open: bool,
    /// Bits of groups that want it, and of those that were told that it is open.
    pub wanted_by: u16,
    pub entered: u16,
    pub rtt: Duration,
    pub control: VecDeque<Letter>,
    pub media: VecDeque<Letter>,
    /// Bytes in `media`, of each group.
    backlog: Vec<usize>,
    pub has_turn: bool,
    /// Our flows.
    flows: Vec<(usize, Channel)>,
    /// Theirs that we know of, by group and number.
    pub known: Vec<(usize, u64)>,
    next_place: u64,
    expected: u64,
    early: BTreeMap<u64, Letter>,
    pub last_sent: Instant,
    /// The mean time between packets, for how soon a loss shows.
    pub spacing: Duration,
}

impl Link {
    pub fn opening(now: Instant, group: usize) -> Self {
        Self { is_open: false, ..Self::open(now, Duration::ZERO, 1 << group) }
    }

    pub fn open(now: Instant, way: Duration, wanted_by: u16) -> Self {
        Self {
            is_open: true,
            wanted_by,
            entered: 0,
            rtt: way * 2,
            control: VecDeque::new(),
            media: VecDeque::new(),
            backlog: Vec::new(),
            has_turn: false,
            flows: Vec::new(),
            known: Vec::new(),
            next_place: 0,
            expected: 0,
            early: BTreeMap::new(),
            last_sent: now,
            spacing: Duration::from_millis(250),
        }
    }

    /// The number of our flow for this, from 1.
    pub fn flow(&mut self, group: usize, channel: Channel) -> u64 {
        let known = self.flows.iter().position(|flow| *flow == (group, channel));
        let index = known.unwrap_or_else(|| {
            self.flows.push((group, channel));
            self.flows.len() - 1
        });
        index as u64 + 1
    }

    /// Our flow for this, which is to end; its number is not used again.
    pub fn take_flow(&mut self, group: usize, channel: Channel) -> Option<u64> {
        let index = self.flows.iter().position(|flow| *flow == (group, channel))?;
        self.flows[index].0 = usize::MAX;
        Some(index as u64 + 1)
    }

    /// What our flow is for.
    pub fn channel(&self, flow: u64) -> Option<(usize, Channel)> {
        self.flows.get(usize::try_from(flow.checked_sub(1)?).ok()?).copied()
    }

    pub fn forget_flows(&mut self, group: usize) {
        // Numbers are not used again: a flow that is over is a flow of no group.
        self.flows.iter_mut().filter(|flow| flow.0 == group).for_each(|flow| flow.0 = usize::MAX);
        self.known.retain(|(of, _)| *of != group);
    }

    /// Puts a letter last; those that must come in order get their place.
    pub fn push(&mut self, mut letter: Letter, is_media: bool) {
        if is_media {
            *self.backlog_of(letter.group) += letter.size();
            self.media.push_back(letter);
        } else {
            letter.place = Some(self.next_place);
            self.next_place += 1;
            self.control.push_back(letter);
        }
    }

    /// Puts a fragment that was lost before all others.
    pub fn push_again(&mut self, letter: Letter) {
        *self.backlog_of(letter.group) += letter.size();
        self.media.push_front(letter);
    }

    /// Bytes of fragments that wait, of a group.
    pub fn backlog(&self, group: usize) -> usize {
        self.backlog.get(group).copied().unwrap_or(0)
    }

    /// Bytes of fragments that wait, of all.
    pub fn waiting(&self) -> usize {
        self.backlog.iter().sum()
    }

    fn backlog_of(&mut self, group: usize) -> &mut usize {
        if self.backlog.len() <= group {
            self.backlog.resize(group + 1, 0);
        }
        &mut self.backlog[group]
    }

    /// The next letter that is worth sending and fits; what fits no packet goes alone, in several.
    pub fn pop(&mut self, now: Instant, room: usize, is_first: bool) -> Option<Letter> {
        let fits = |letter: &Letter| is_first || letter.size() <= room;
        if let Some(letter) = self.control.pop_front_if(|letter| fits(letter)) {
            return Some(letter);
        }
        if !self.control.is_empty() {
            return None;
        }
        while let Some(letter) = self.media.pop_front() {
            if letter.deadline.is_some_and(|deadline| deadline < now) {
                *self.backlog_of(letter.group) -= letter.size();
                continue;
            }
            if !fits(&letter) {
                self.media.push_front(letter);
                return None;
            }
            *self.backlog_of(letter.group) -= letter.size();
            return Some(letter);
        }
        None
    }

    /// Letters in their order; those that came too early wait.
    pub fn sort(&mut self, letter: Letter, mut take: impl FnMut(Letter)) {
        let Some(place) = letter.place else { return take(letter) };
        if place != self.expected {
            self.early.insert(place, letter);
            return;
        }
        take(letter);
        self.expected += 1;
        while let Some(letter) = self.early.remove(&self.expected) {
            take(letter);
            self.expected += 1;
        }
    }
}
