//! One stream and its flows.

use std::time::Instant;

use crate::{
    FlowOptions, Priority, SessionId, SessionMut,
    crypto::PeerId,
    rtmp::{Command, FlowMetadata, MessageType},
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
    pub stream_id: u64,
    pub role: Role,
    pub session: Option<SessionId>,
    /// Our flow with the command that began it.
    pub request: Option<u64>,
    audio: Option<u64>,
    video: Option<u64>,
    data: Option<u64>,
}

impl Stream {
    pub fn new(stream_id: u64, role: Role) -> Self {
        let (session, request, audio, video, data) = Default::default();
        Self { stream_id, role, session, request, audio, video, data }
    }

    fn metadata(&self) -> Vec<u8> {
        FlowMetadata { stream_id: self.stream_id, network_order: false }.encode()
    }

    /// Sends the command that begins the stream, on a flow of its own.
    pub fn request(
        &mut self,
        now: Instant,
        view: &mut SessionMut<'_>,
        command: &Command,
        association: Option<u64>,
    ) {
        let options = FlowOptions { priority: Priority::High, time_critical: false };
        let flow = view.open_flow(&self.metadata(), association, options);
        let _ = view.send(now, flow, command.encode(), None);
        self.request = Some(flow);
    }

    /// Our flow for messages of this kind: audio, video and the rest travel apart, so that none
    /// waits for another's retransmission.
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
        let metadata = self.metadata();
        let (slot, options) = match kind {
            MessageType::AUDIO => {
                (&mut self.audio, FlowOptions { priority: Priority::High, time_critical: true })
            }
            MessageType::VIDEO => {
                (&mut self.video, FlowOptions { priority: Priority::Normal, time_critical: true })
            }
            _ => (&mut self.data, FlowOptions { priority: Priority::High, time_critical: false }),
        };
        *slot.get_or_insert_with(|| view.open_flow(&metadata, association, options))
    }

    /// Our flows of the stream.
    pub fn flows(&self) -> impl Iterator<Item = u64> {
        [self.request, self.audio, self.video, self.data].into_iter().flatten()
    }

    /// Closes our flows, and refuses the flow it was asked for on.
    pub fn close(&self, now: Instant, view: &mut SessionMut<'_>) {
        self.flows().for_each(|flow| view.close_flow(now, flow));
        if let Role::Publisher { control } = self.role {
            view.reject_flow(now, control, 0);
        }
    }
}
