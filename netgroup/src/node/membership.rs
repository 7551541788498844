//! One group that a node is in, and its flow to the server.

use std::time::{Duration, Instant};

use rtmfp::{Connection, Endpoint, FlowOptions};

use crate::{
    Group,
    wire::{ServerJoin, signature},
};

/// Servers see that we left before we come again.
const REJOIN: Duration = Duration::from_millis(500);

/// The group at the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Channel {
    /// Not joined.
    None,
    /// Joined, on this flow.
    Open(u64),
    /// Left, to join again.
    Rejoin(Instant),
}

#[derive(Debug)]
pub(super) struct Membership {
    pub group: Group,
    channel: Channel,
}

impl Membership {
    pub fn new(group: Group) -> Self {
        Self { group, channel: Channel::None }
    }

    /// Joins at the server, if there is a connection.
    pub fn join(&mut self, now: Instant, endpoint: &mut Endpoint, connection: &Connection) {
        self.channel = Channel::None;
        let (Some(session), association) = (connection.session(), connection.server_control())
        else {
            return;
        };
        let Some(mut view) = endpoint.session(session) else { return };
        let flow = view.open_flow(signature::SERVER_CHANNEL, association, FlowOptions::CONTROL);
        let join = ServerJoin(self.group.spec().group_id()).encode();
        if view.send(now, flow, join.into(), None).is_ok() {
            self.channel = Channel::Open(flow);
        }
    }

    /// Leaves at the server.
    pub fn leave(&mut self, now: Instant, endpoint: &mut Endpoint, connection: &Connection) {
        if let Channel::Open(flow) = std::mem::replace(&mut self.channel, Channel::None)
            && let Some(mut view) = connection.session().and_then(|id| endpoint.session(id))
        {
            view.close_flow(now, flow);
        }
    }

    /// Leaves and joins again, for the server names members to who joins.
    pub fn ask_again(&mut self, now: Instant, endpoint: &mut Endpoint, connection: &Connection) {
        if let Channel::Open(_) = self.channel {
            self.leave(now, endpoint, connection);
            self.channel = Channel::Rejoin(now + REJOIN);
        }
    }

    /// The connection is gone, and the flow with it.
    pub fn on_server_lost(&mut self) {
        self.channel = Channel::None;
    }

    /// Whether the server's flow answers ours.
    pub fn is_answered_by(&self, association: Option<u64>) -> bool {
        matches!((self.channel, association), (Channel::Open(ours), Some(theirs)) if ours == theirs)
    }

    pub fn poll_timeout(&self) -> Instant {
        match self.channel {
            Channel::Rejoin(at) => at.min(self.group.poll_timeout()),
            Channel::None | Channel::Open(_) => self.group.poll_timeout(),
        }
    }

    pub fn handle_timeout(
        &mut self,
        now: Instant,
        endpoint: &mut Endpoint,
        connection: &Connection,
    ) {
        if let Channel::Rejoin(at) = self.channel
            && at <= now
        {
            self.join(now, endpoint, connection);
        }
        if self.group.poll_timeout() <= now {
            self.group.handle_timeout(now);
        }
    }
}
