//! A host's part in the show: what it casts, or what it watches.

use std::time::{Duration, Instant};

use netgroup::{
    Group, GroupEvent, StreamEvent,
    wire::{StreamKey, StreamParameters},
};

use super::{
    crowd::Role,
    figures::{Tally, Viewing},
    film::{STREAM, Slot},
    world::World,
};

/// A member this old opens no sessions any more, if its swarm rests.
pub(super) const MINUTE: Duration = Duration::from_secs(60);

#[derive(Debug)]
pub(super) struct Seat {
    number: usize,
    publications: Vec<StreamKey>,
    /// By group, from when the server has accepted it.
    viewings: Vec<Viewing>,
}

impl Seat {
    pub fn new(number: usize) -> Self {
        Self { number, publications: Vec::new(), viewings: Vec::new() }
    }

    /// It has joined another group.
    pub fn enter(&mut self, world: &World, now: Instant, group: &mut Group) {
        match world.crowd.guests[self.number].role {
            Role::Caster => {
                let key = group.publish(now, STREAM, StreamParameters::default());
                self.publications.push(key);
            }
            Role::Viewer | Role::FreeRider | Role::Liar(_) => group.subscribe(STREAM),
        }
    }

    /// The server has accepted it, for the first time or again.
    pub fn on_connected(&mut self, world: &World, now: Instant) {
        let guest = world.crowd.guests[self.number];
        let watches = matches!(guest.role, Role::Viewer | Role::FreeRider);
        if watches && self.viewings.is_empty() {
            let ends = guest.leaves.map_or(world.length, |leaving| leaving.at.min(world.length));
            let viewing = || Viewing::new(world.elapsed(now), ends, world.cut_off(self.number));
            self.viewings = world.specs.iter().map(|_| viewing()).collect();
        }
    }

    /// Publishes the next message of each film; what comes after it.
    pub fn publish<'a>(
        &self,
        world: &World,
        tally: &mut Tally,
        now: Instant,
        slot: Slot,
        groups: impl Iterator<Item = &'a mut Group>,
    ) -> Slot {
        let groups = groups.zip(self.publications.iter().copied());
        tally.source_published += world.film.publish(now, slot, groups);
        world.film.after(slot)
    }

    /// It opens a session, if that counts.
    pub fn on_session(&self, world: &World, tally: &mut Tally, now: Instant) {
        let guest = world.crowd.guests[self.number];
        if world.elapsed(now) > guest.joins + MINUTE && guest.role != Role::Caster {
            tally.late_sessions += 1;
        }
    }

    /// What one of its groups says.
    pub fn on_event(
        &mut self,
        world: &World,
        tally: &mut Tally,
        now: Instant,
        group: usize,
        event: GroupEvent,
    ) {
        match event {
            GroupEvent::NeighborBanned { peer, .. } => {
                let own = world.crowd.guests[self.number].role;
                match (own, world.role_of(&peer)) {
                    // What liars think of others is no matter.
                    (Role::Liar(_), _) => {}
                    (_, Role::Liar(_)) => tally.liars_dropped += 1,
                    _ => tally.honest_dropped += 1,
                }
            }
            GroupEvent::Stream { event: StreamEvent::Message(message), key } => {
                if let Some(viewing) = self.viewings.get_mut(group)
                    && world.casts(group, &key)
                {
                    viewing.play(tally, world.elapsed(now), &message.payload);
                }
            }
            _ => {}
        }
    }

    /// Adds what only the end shows.
    pub fn sum_up<'a>(
        &self,
        world: &World,
        tally: &mut Tally,
        ends: Duration,
        groups: impl Iterator<Item = &'a Group>,
    ) {
        for (viewing, group) in self.viewings.iter().zip(groups) {
            viewing.sum_up(tally, ends, &world.film, group);
        }
        let guest = world.crowd.guests[self.number];
        if guest.role != Role::Caster {
            tally.late_time += ends.saturating_sub(guest.joins + MINUTE);
        }
    }
}
