//! All sessions by their handle, address, peer and tag, with what is due and what is ready.

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, HashMap, VecDeque},
    net::SocketAddr,
    time::Instant,
};

use slab::Slab;

use super::opening::{Opening, Tag};
use crate::{crypto::PeerId, event::SessionId, session::Session};

/// Slab index in the low bits of a [`SessionId`], above it a number that nobody can guess and that
/// makes reuse rare.
const INDEX_BITS: u32 = 20;
const INDEX_MASK: u32 = (1 << INDEX_BITS) - 1;

/// What a handle stands for.
#[derive(Debug)]
pub(super) enum Slot {
    Opening(Box<Opening>),
    Session(Box<Session>),
}

impl Slot {
    fn next_timeout(&self) -> Option<Instant> {
        match self {
            Self::Opening(opening) => Some(opening.next_timeout()),
            Self::Session(session) => session.next_timeout(),
        }
    }
}

#[derive(Debug)]
struct Entry {
    id: SessionId,
    slot: Slot,
    scheduled: Option<Instant>,
    is_ready: bool,
}

/// A step from one birth's number to the next: odd, so that all come up in turn.
const BIRTH_STEP: u32 = 0x9e5;

#[derive(Debug, Default)]
pub(super) struct Table {
    entries: Slab<Entry>,
    /// Its low bits go into the next handle.
    births: u32,
    by_address: HashMap<SocketAddr, SessionId>,
    by_peer: HashMap<PeerId, SessionId>,
    by_tag: HashMap<Tag, SessionId>,
    /// May hold outdated times; each session is asked again when one comes up.
    timers: BinaryHeap<Reverse<(Instant, SessionId)>>,
    ready: VecDeque<SessionId>,
}

impl Table {
    /// Without sessions; handles follow from `seed`.
    pub fn new(seed: u64) -> Self {
        Self { births: seed as u32, ..Self::default() }
    }

    pub fn len(&self) -> usize {
        self.entries.len()
    }

    pub fn ids(&self) -> Vec<SessionId> {
        self.entries.iter().map(|(_, entry)| entry.id).collect()
    }

    fn entry(&mut self, id: SessionId) -> Option<&mut Entry> {
        let index = (id.0 & INDEX_MASK).checked_sub(1)?;
        self.entries.get_mut(index as usize).filter(|entry| entry.id == id)
    }

    pub fn get_mut(&mut self, id: SessionId) -> Option<&mut Slot> {
        self.entry(id).map(|entry| &mut entry.slot)
    }

    /// Adds what `make` makes for its new handle. Nothing when the numbers are used up.
    pub fn insert(&mut self, make: impl FnOnce(SessionId) -> Slot) -> Option<SessionId> {
        let vacant = self.entries.vacant_entry();
        let index = u32::try_from(vacant.key()).ok().filter(|index| *index < INDEX_MASK)?;
        self.births = self.births.wrapping_add(BIRTH_STEP);
        let id = SessionId(self.births << INDEX_BITS | (index + 1));
        vacant.insert(Entry { id, slot: make(id), scheduled: None, is_ready: false });
        self.list(id);
        Some(id)
    }

    /// An opening session is open.
    pub fn replace(&mut self, id: SessionId, session: Session) {
        self.unlist(id);
        if let Some(entry) = self.entry(id) {
            entry.slot = Slot::Session(Box::new(session));
        }
        self.list(id);
    }

    /// Makes it findable; not by its peer's name, for it has not proved that yet.
    fn list(&mut self, id: SessionId) {
        match self.get_mut(id) {
            Some(Slot::Opening(opening)) => {
                let tag = opening.tag;
                self.by_tag.insert(tag, id);
            }
            Some(Slot::Session(session)) => {
                let remote = session.path().remote;
                self.by_address.insert(remote, id);
            }
            None => {}
        }
    }

    /// It can no longer be found but by its handle.
    pub fn unlist(&mut self, id: SessionId) {
        match self.get_mut(id) {
            Some(Slot::Opening(opening)) => {
                let tag = opening.tag;
                self.by_tag.remove(&tag);
            }
            Some(Slot::Session(session)) => {
                let (remote, peer) = (session.path().remote, session.far.certificate.peer_id());
                if self.by_address.get(&remote) == Some(&id) {
                    self.by_address.remove(&remote);
                }
                if self.by_peer.get(&peer) == Some(&id) {
                    self.by_peer.remove(&peer);
                }
            }
            None => {}
        }
    }

    /// The session is at another address now.
    pub fn relocate(&mut self, id: SessionId, from: SocketAddr, to: SocketAddr) {
        if self.by_address.get(&from) == Some(&id) {
            self.by_address.remove(&from);
        }
        self.by_address.insert(to, id);
    }

    /// The session holds its certificate's keys: it is the one known by that name. Returns the
    /// one that was.
    pub fn prove(&mut self, id: SessionId, peer: PeerId) -> Option<SessionId> {
        self.by_peer.insert(peer, id).filter(|other| *other != id)
    }

    pub fn remove(&mut self, id: SessionId) {
        self.unlist(id);
        if self.entry(id).is_some() {
            self.entries.remove(((id.0 & INDEX_MASK) - 1) as usize);
        }
    }

    pub fn by_address(&self, remote: &SocketAddr) -> Option<SessionId> {
        self.by_address.get(remote).copied()
    }

    pub fn by_peer(&self, peer: &PeerId) -> Option<SessionId> {
        self.by_peer.get(peer).copied()
    }

    pub fn by_tag(&self, tag: &[u8]) -> Option<SessionId> {
        self.by_tag.get(&Tag::try_from(tag).ok()?).copied()
    }

    /// Those still opening; few at any time.
    pub fn openings(&mut self) -> impl Iterator<Item = (SessionId, &Opening)> {
        let (tags, entries) = (&self.by_tag, &self.entries);
        tags.values().filter_map(|id| {
            let entry = entries.get(((id.0 & INDEX_MASK) - 1) as usize)?;
            match &entry.slot {
                Slot::Opening(opening) => Some((*id, &**opening)),
                Slot::Session(_) => None,
            }
        })
    }

    /// Sessions that are being keyed with this peer.
    pub fn openings_to(&mut self, peer: &PeerId) -> Vec<SessionId> {
        let is_to = |opening: &Opening| {
            opening.keying().is_some_and(|keying| keying.far.peer_id() == *peer)
        };
        self.openings().filter(|(_, opening)| is_to(opening)).map(|(id, _)| id).collect()
    }

    /// To be called after anything that may change when `id` wants time or has something to send.
    pub fn touch(&mut self, now: Instant, id: SessionId) {
        let Some(entry) = self.entry(id) else { return };
        let has_work = match &mut entry.slot {
            Slot::Opening(_) => false,
            Slot::Session(session) => session.has_work(now),
        };
        let due = entry.slot.next_timeout();
        let becomes_ready = has_work && !entry.is_ready;
        entry.is_ready |= has_work;
        // What is due because it waits to be sent is looked at again once it was.
        let earlier = due
            .filter(|due| *due > now || !has_work)
            .filter(|due| entry.scheduled.is_none_or(|scheduled| *due < scheduled));
        if let Some(due) = earlier {
            entry.scheduled = Some(due);
            self.timers.push(Reverse((due, id)));
            self.drop_outdated();
        }
        if becomes_ready {
            self.ready.push_back(id);
        }
    }

    /// Timers that were brought forward leave their old times behind; they must not pile up.
    fn drop_outdated(&mut self) {
        if self.timers.len() <= 4 * self.entries.len() + 64 {
            return;
        }
        let scheduled = self
            .entries
            .iter()
            .filter_map(|(_, entry)| entry.scheduled.map(|at| Reverse((at, entry.id))));
        self.timers = scheduled.collect();
    }

    /// When the first handle wants time. Most timers are put off before they come up; to wake for
    /// them all the same would cost more than to look.
    pub fn next_due(&mut self) -> Option<Instant> {
        loop {
            let Reverse((at, id)) = *self.timers.peek()?;
            let due = self
                .entry(id)
                .filter(|entry| entry.scheduled == Some(at))
                .and_then(|entry| entry.slot.next_timeout());
            if due.is_some_and(|due| due <= at) {
                return Some(at);
            }
            self.timers.pop();
            if let Some(entry) = self.entry(id).filter(|entry| entry.scheduled == Some(at)) {
                entry.scheduled = due;
                self.timers.extend(due.map(|due| Reverse((due, id))));
            }
        }
    }

    /// The handles whose time has come, each once.
    pub fn take_due(&mut self, now: Instant) -> Vec<SessionId> {
        let mut due = Vec::new();
        while let Some(Reverse((at, id))) =
            self.timers.peek().copied().filter(|Reverse((at, _))| *at <= now)
        {
            self.timers.pop();
            if let Some(entry) = self.entry(id).filter(|entry| entry.scheduled == Some(at)) {
                entry.scheduled = None;
                due.push(id);
            }
        }
        due
    }

    /// The next session that has something to send.
    pub fn pop_ready(&mut self) -> Option<SessionId> {
        loop {
            let id = self.ready.pop_front()?;
            if let Some(entry) = self.entry(id) {
                entry.is_ready = false;
                return Some(id);
            }
        }
    }
}
