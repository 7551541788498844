//! What groups want done: sessions opened, shared and ended, and messages sent.

use std::{net::SocketAddr, time::Instant};

use rtmfp::{Endpoint, FlowOptions, OpenError, SessionId, crypto::PeerId};

use super::{GroupHandle, Node};
use crate::{Action, Channel, Outgoing, wire::signature};

impl Node {
    /// Does what a group wants. Its own wishes come by themselves; this is for what no honest group
    /// wishes, in tests of what others make of it.
    #[doc(hidden)]
    pub fn act(
        &mut self,
        now: Instant,
        endpoint: &mut Endpoint,
        group: GroupHandle,
        action: Action,
    ) {
        match action {
            Action::Connect { peer, addresses } => {
                self.connect(now, endpoint, group, peer, &addresses);
            }
            Action::Disconnect { peer } => {
                self.withdraw_wish(endpoint, peer, group);
                if let Some(session) = self.session_of(endpoint, &peer) {
                    self.leave_session(now, endpoint, session, group);
                }
            }
            Action::Send(message) => self.send(now, endpoint, group, message),
            Action::AskServer => {
                if let Some(membership) = self.memberships.get_mut(&group) {
                    membership.ask_again(now, endpoint, &self.server.connection);
                }
            }
            Action::Finish { peer, channel } => self.finish(now, endpoint, group, &peer, channel),
            Action::Reject { peer, flow } => {
                if let Some(session) = self.session_of(endpoint, &peer) {
                    self.reject(now, endpoint, session, flow);
                }
            }
        }
    }

    /// The session with a peer that groups have to do with, or may.
    pub(super) fn session_of(&self, endpoint: &Endpoint, peer: &PeerId) -> Option<SessionId> {
        endpoint.session_with(peer).filter(|session| self.links.contains_key(session))
    }

    fn connect(
        &mut self,
        now: Instant,
        endpoint: &mut Endpoint,
        group: GroupHandle,
        peer: PeerId,
        addresses: &[SocketAddr],
    ) {
        if let Some(session) = self.session_of(endpoint, &peer) {
            return self.enter(now, endpoint, session, group, true);
        }
        self.wishes.entry(peer).or_default().insert(group);
        let candidates: Vec<SocketAddr> =
            self.server.servers.iter().chain(addresses).copied().collect();
        let opening = self.openings.open(now, endpoint, peer, &candidates);
        // It opened one to us meanwhile, and we shall hear of it.
        let is_open = matches!(opening, Err(OpenError::Exists(session))
            if !self.server.connection.is_with(session));
        if opening.is_err() && !is_open {
            self.wishes.remove(&peer);
            if let Some(membership) = self.memberships.get_mut(&group) {
                membership.group.handle_connect_failed(now, &peer);
            }
        }
    }

    pub(super) fn withdraw_wish(
        &mut self,
        endpoint: &mut Endpoint,
        peer: PeerId,
        group: GroupHandle,
    ) {
        let Some(wishing) = self.wishes.get_mut(&peer) else { return };
        wishing.remove(&group);
        if !wishing.is_empty() {
            return;
        }
        self.wishes.remove(&peer);
        self.openings.cancel(endpoint, &peer);
    }

    /// A group is done with a session; it ends with the last.
    pub(super) fn leave_session(
        &mut self,
        now: Instant,
        endpoint: &mut Endpoint,
        session: SessionId,
        group: GroupHandle,
    ) {
        let Some(link) = self.links.get_mut(&session) else { return };
        let (ours, theirs) = link.leave(group);
        if link.groups().is_empty() {
            return self.close_session(now, endpoint, session);
        }
        let Some(mut view) = endpoint.session(session) else { return };
        ours.into_iter().for_each(|flow| view.close_flow(now, flow));
        theirs.into_iter().for_each(|flow| view.reject_flow(now, flow, 0));
    }

    fn finish(
        &mut self,
        now: Instant,
        endpoint: &mut Endpoint,
        group: GroupHandle,
        peer: &PeerId,
        channel: Channel,
    ) {
        let Some(session) = self.session_of(endpoint, peer) else { return };
        let flow = self.links.get_mut(&session).and_then(|link| link.take_channel(group, channel));
        if let (Some(flow), Some(mut view)) = (flow, endpoint.session(session)) {
            view.close_flow(now, flow);
        }
    }

    fn send(
        &mut self,
        now: Instant,
        endpoint: &mut Endpoint,
        group: GroupHandle,
        message: Outgoing,
    ) {
        let Some(session) = self.session_of(endpoint, &message.peer) else { return };
        let (Some(link), Some(mut view)) =
            (self.links.get_mut(&session), endpoint.session(session))
        else {
            return;
        };
        let flow = link.channel(group, message.channel).unwrap_or_else(|| {
            let (metadata, options) = match message.channel {
                Channel::Control => (signature::CONTROL, FlowOptions::CONTROL),
                Channel::MediaControl(_) => (signature::MEDIA_CONTROL, FlowOptions::CONTROL),
                Channel::Media(_) => (signature::MEDIA, FlowOptions::default()),
            };
            let flow = view.open_flow(metadata, message.association, options);
            link.set_channel(group, message.channel, flow);
            flow
        });
        let _ = view.send(now, flow, message.bytes, message.deadline);
    }
}
