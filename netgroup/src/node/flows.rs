//! What comes on peers' flows, and which group it is for.

use std::time::Instant;

use bytes::Bytes;
use rtmfp::{Endpoint, FlowEvent, ReceiveOrder, SessionId};

use super::{
    GroupHandle, Node,
    peers::{Bound, Kind, named_group},
};
use crate::Incoming;

impl Node {
    pub(super) fn on_peer_flow(
        &mut self,
        now: Instant,
        endpoint: &mut Endpoint,
        session: SessionId,
        event: FlowEvent,
    ) {
        match event {
            FlowEvent::Opened { flow, metadata, association } => {
                self.on_flow_opened(now, endpoint, session, flow, &metadata, association);
            }
            FlowEvent::Message { flow, data } => {
                self.on_peer_message(now, endpoint, session, flow, data);
            }
            FlowEvent::Finished { flow } => {
                let Some(link) = self.links.get_mut(&session) else { return };
                let peer = link.peer;
                if let Some(Bound::To(group)) = link.unbind(flow)
                    && let Some(membership) = self.memberships.get_mut(&group)
                {
                    membership.group.handle_flow_finished(now, peer, flow);
                }
            }
            // Fragments have numbers of their own.
            FlowEvent::Gap { .. } => {}
            FlowEvent::Rejected { flow, .. } => {
                let Some(link) = self.links.get_mut(&session) else { return };
                let peer = link.peer;
                if let Some((group, channel)) = link.remove_channel(flow)
                    && let Some(membership) = self.memberships.get_mut(&group)
                {
                    membership.group.handle_flow_rejected(now, peer, channel);
                }
            }
        }
    }

    fn on_flow_opened(
        &mut self,
        now: Instant,
        endpoint: &mut Endpoint,
        session: SessionId,
        flow: u64,
        metadata: &[u8],
        association: Option<u64>,
    ) {
        let (Some(link), Some(mut view)) =
            (self.links.get_mut(&session), endpoint.session(session))
        else {
            return;
        };
        let peer = link.peer;
        let (group, kind) = match link.classify(metadata, association) {
            None => return view.reject_flow(now, flow, 0),
            Some(Kind::Control) => return link.bind(flow, Bound::Unbound),
            Some(Kind::MediaControl(group)) => (group, Incoming::MediaControl),
            Some(Kind::Media(group, key)) => {
                view.set_receive_order(flow, ReceiveOrder::Network);
                (group, Incoming::Media(key))
            }
        };
        link.bind(flow, Bound::To(group));
        if let Some(membership) = self.memberships.get_mut(&group) {
            membership.group.handle_flow_opened(now, peer, flow, kind);
        }
    }

    fn on_peer_message(
        &mut self,
        now: Instant,
        endpoint: &mut Endpoint,
        session: SessionId,
        flow: u64,
        data: Bytes,
    ) {
        let Some(link) = self.links.get_mut(&session) else { return };
        let peer = link.peer;
        let group = match link.bound(flow) {
            Some(Bound::To(group)) => group,
            Some(Bound::Unbound) => {
                let Some(group) = named_group(&data).and_then(|id| self.by_id(&id)) else {
                    return self.reject(now, endpoint, session, flow);
                };
                self.bind_control(now, endpoint, session, flow, group);
                group
            }
            None => return,
        };
        if let Some(membership) = self.memberships.get_mut(&group) {
            membership.group.handle_message(now, peer, flow, data);
        }
    }

    /// A control flow has named its group.
    fn bind_control(
        &mut self,
        now: Instant,
        endpoint: &mut Endpoint,
        session: SessionId,
        flow: u64,
        group: GroupHandle,
    ) {
        self.enter(now, endpoint, session, group, false);
        let Some(link) = self.links.get_mut(&session) else { return };
        link.bind(flow, Bound::To(group));
        let peer = link.peer;
        if let Some(membership) = self.memberships.get_mut(&group) {
            membership.group.handle_flow_opened(now, peer, flow, Incoming::Control);
        }
    }

    pub(super) fn reject(
        &mut self,
        now: Instant,
        endpoint: &mut Endpoint,
        session: SessionId,
        flow: u64,
    ) {
        if let Some(link) = self.links.get_mut(&session) {
            link.unbind(flow);
        }
        if let Some(mut view) = endpoint.session(session) {
            view.reject_flow(now, flow, 0);
        }
    }
}
