//! What a host's groups want done, and what reaches them.

use std::time::Instant;

use netgroup::{Action, Channel, Incoming, Outgoing};

use super::{Host, Life};
use crate::swarm::{
    crowd::{Role, host_of, peer_id},
    figures::Tally,
    lies,
    messages::link::{Letter, Note},
    world::World,
};

impl Host {
    /// Does all that the groups want, and takes what they say.
    pub(super) fn settle(&mut self, world: &World, tally: &mut Tally, now: Instant) {
        while let Some(group) = self.groups.take_touched() {
            while let Some(action) = self.groups.ask(group).poll_action() {
                self.act(world, tally, now, group, action);
            }
            while let Some(event) = self.groups.ask(group).poll_event() {
                self.seat.on_event(world, tally, now, group, event);
            }
            self.groups.set_timer(group);
        }
        self.pump(world, tally, now);
    }

    pub(super) fn act(
        &mut self,
        world: &World,
        tally: &mut Tally,
        now: Instant,
        group: usize,
        action: Action,
    ) {
        match action {
            Action::Connect { peer, .. } => {
                self.connect(world, tally, now, group, host_of(&peer));
            }
            Action::Disconnect { peer } => self.disconnect(world, now, group, host_of(&peer)),
            Action::Send(Outgoing { peer, channel, bytes, deadline, .. }) => {
                let is_media = matches!(channel, Channel::Media(_));
                let is_withheld =
                    is_media && world.crowd.guests[self.number].role == Role::FreeRider;
                let to = host_of(&peer);
                let bytes = match world.crowd.guests[self.number].role {
                    Role::Liar(kind) => lies::twist(kind, channel, bytes),
                    _ => bytes,
                };
                if let Some(link) = self.links.get_mut(&to).filter(|_| !is_withheld) {
                    let flow = link.flow(group, channel);
                    let note = Note::Message { flow, kind: incoming(channel), bytes };
                    self.post(to, Letter { group, place: None, deadline, note }, is_media);
                }
            }
            Action::AskServer => self.ask_server(world, now, group),
            Action::Finish { peer, channel } => self.finish(group, host_of(&peer), channel),
            Action::Reject { peer, flow } => self.reject(group, host_of(&peer), flow),
        }
    }

    fn finish(&mut self, group: usize, to: usize, channel: Channel) {
        let flow = self.links.get_mut(&to).and_then(|link| link.take_flow(group, channel));
        if let Some(flow) = flow {
            let note = Note::Finished(flow);
            self.post(to, Letter { group, place: None, deadline: None, note }, false);
        }
    }

    /// Flows are rejected by what they are for, which the far end knows by their number.
    fn reject(&mut self, group: usize, to: usize, flow: u64) {
        let note = Note::Rejected(flow);
        self.post(to, Letter { group, place: None, deadline: None, note }, false);
    }

    pub(super) fn on_packet(
        &mut self,
        world: &World,
        tally: &mut Tally,
        now: Instant,
        from: usize,
        letters: Vec<Letter>,
    ) {
        if self.life == Life::Unborn {
            return;
        }
        for letter in letters {
            let size = letter.size() as u64;
            match letter.is_media() {
                true => {
                    (tally.media_bytes, tally.fragments) =
                        (tally.media_bytes + size, tally.fragments + 1)
                }
                false => tally.control_bytes += size,
            }
            let Some(link) = self.links.get_mut(&from) else { return };
            let mut ready = Vec::new();
            link.sort(letter, |letter| ready.push(letter));
            for letter in ready {
                self.on_letter(world, now, from, letter);
            }
        }
    }

    fn on_letter(&mut self, world: &World, now: Instant, from: usize, letter: Letter) {
        let (peer, group) = (peer_id(world.seed, from), letter.group);
        if group >= self.groups.len() {
            return;
        }
        match letter.note {
            Note::Message { flow, kind, bytes } => {
                if kind == Incoming::Control {
                    self.enter(world, now, from, group, false);
                }
                let Some(link) = self.links.get_mut(&from) else { return };
                if !link.known.contains(&(group, flow)) {
                    link.known.push((group, flow));
                    self.groups.at(group).handle_flow_opened(now, peer, flow, kind);
                }
                self.groups.at(group).handle_message(now, peer, flow, bytes);
            }
            Note::Finished(flow) => {
                let Some(link) = self.links.get_mut(&from) else { return };
                link.known.retain(|known| *known != (group, flow));
                self.groups.at(group).handle_flow_finished(now, peer, flow);
            }
            Note::Rejected(flow) => {
                let Some(link) = self.links.get(&from) else { return };
                if let Some((_, channel)) = link.channel(flow).filter(|(of, _)| *of == group) {
                    self.groups.at(group).handle_flow_rejected(now, peer, channel);
                }
            }
            Note::Left => {
                let Some(link) = self.links.get_mut(&from) else { return };
                link.entered &= !(1 << group);
                link.wanted_by &= !(1 << group);
                link.forget_flows(group);
                self.groups.at(group).handle_peer_closed(now, &peer, netgroup::Parting::Left);
                if link.wanted_by == 0 {
                    self.links.remove(&from);
                    let way = world.crowd.delay(self.number, from);
                    self.mail_host(now + way, from, super::Event::Closed { with: self.number });
                }
            }
        }
    }
}

fn incoming(channel: Channel) -> Incoming {
    match channel {
        Channel::Control => Incoming::Control,
        Channel::MediaControl(_) => Incoming::MediaControl,
        Channel::Media(key) => Incoming::Media(key),
    }
}
