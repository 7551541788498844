//! A host's groups, of which only those are looked at to which something happened.

use std::time::Instant;

use netgroup::Group;

#[derive(Debug, Default)]
pub(in crate::swarm::messages) struct Groups {
    all: Vec<Group>,
    /// When each wants the time.
    timers: Vec<Instant>,
    /// Bits of those that may want something done.
    touched: u16,
}

impl Groups {
    pub fn push(&mut self, group: Group) {
        self.timers.push(group.poll_timeout());
        self.touched |= 1 << self.all.len();
        self.all.push(group);
    }

    pub fn len(&self) -> usize {
        self.all.len()
    }

    pub fn iter(&self) -> impl Iterator<Item = &Group> {
        self.all.iter()
    }

    /// For something that happens to all.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut Group> {
        self.touched = u16::MAX;
        self.all.iter_mut()
    }

    /// For something that happens to this one.
    pub fn at(&mut self, index: usize) -> &mut Group {
        self.touched |= 1 << index;
        &mut self.all[index]
    }

    /// For what it wants done.
    pub fn ask(&mut self, index: usize) -> &mut Group {
        &mut self.all[index]
    }

    /// One to which something has happened since it was last asked.
    pub fn take_touched(&mut self) -> Option<usize> {
        let index = self.touched.trailing_zeros() as usize;
        self.touched &= self.touched.wrapping_sub(1);
        (index < self.all.len()).then_some(index)
    }

    /// It was asked for all that it wants done.
    pub fn set_timer(&mut self, index: usize) {
        self.timers[index] = self.all[index].poll_timeout();
    }

    /// When one of them wants the time.
    pub fn next(&self) -> Option<Instant> {
        self.timers.iter().copied().min()
    }

    /// Whether this one wants it now.
    pub fn is_due(&self, index: usize, now: Instant) -> bool {
        self.timers[index] <= now
    }

    pub fn clear(&mut self) {
        *self = Self::default();
    }
}
