//! One stream and its flows.

use std::time::Instant;

use crate::{
    FlowOptions, SessionId, SessionMut,
    crypto::PeerId,
    rtmp::{Command, MessageType},
    stream_flows::StreamFlows,
};

/// Names a stream of a NetConnection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StreamId(pub(super) u64);

/// What we are to a stream.
#[derive(Debug)]
pub(super) enum Role {
    /// It is the server's; the command waits until the server has made it.
    Server { command: Option<Command> },
    /// We asked a peer for it, or will when it is reached.
    Subscriber { peer: PeerId, command: Option<Command> },
    /// A peer asks for it on this flow of its.
    Publisher { control: u64 },
}

#[derive(Debug)]
pub(super) struct Stream {
    pub role: Role,
    pub session: Option<SessionId>,
    /// Our flow with the command that began it.
    pub request: Option<u64>,
    flows: StreamFlows,
}

impl Stream {
    pub fn new(stream_id: u64, role: Role) -> Self {
        Self { role, session: None, request: None, flows: StreamFlows::new(stream_id) }
    }

    pub fn stream_id(&self) -> u64 {
        self.flows.stream_id()
    }

    /// The server has made it.
    pub fn on_created(&mut self, session: SessionId, stream_id: u64) {
        self.session = Some(session);
        self.flows = StreamFlows::new(stream_id);
    }

    /// Sends the command that begins the stream, on a flow of its own.
    pub fn request(
        &mut self,
        now: Instant,
        view: &mut SessionMut<'_>,
        command: &Command,
        association: Option<u64>,
    ) {
        let flow = view.open_flow(&self.flows.metadata(), association, FlowOptions::CONTROL);
        let _ = view.send(now, flow, command.encode(), None);
        self.request = Some(flow);
    }

    /// Our flow for messages of this kind.
    pub fn flow_for(
        &mut self,
        view: &mut SessionMut<'_>,
        kind: MessageType,
        server_control: Option<u64>,
    ) -> u64 {
        let association = match self.role {
            Role::Publisher { control } => Some(control),
            Role::Server { .. } | Role::Subscriber { .. } => server_control,
        };
        self.flows.flow_for(view, kind, association)
    }

    /// Those of audio, video and data.
    pub fn media_flows(&self) -> impl Iterator<Item = u64> {
        self.flows.all()
    }

    /// Our flows of the stream.
    pub fn flows(&self) -> impl Iterator<Item = u64> {
        self.request.into_iter().chain(self.flows.all())
    }

    /// Closes our flows, and refuses the flow it was asked for on.
    pub fn close(&self, now: Instant, view: &mut SessionMut<'_>) {
        self.flows().for_each(|flow| view.close_flow(now, flow));
        if let Role::Publisher { control } = self.role {
            view.reject_flow(now, control, 0);
        }
    }
}
