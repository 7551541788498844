//! What comes in on flows: which stream it belongs to, and what it says.

use std::time::Instant;

use bytes::Bytes;

use super::{
    NetConnection, NetEvent, StreamEvent, StreamId,
    stream::{Role, Stream},
};
use crate::{
    Endpoint, FlowEvent, ReceiveOrder, SessionId,
    crypto::PeerId,
    rtmp::{Command, FlowMetadata, Message, MessageType, UserControl, Value},
};

/// Streams that one peer may ask us for at a time.
const MAX_STREAMS_A_PEER: usize = 16;

impl NetConnection {
    pub(super) fn on_flow(
        &mut self,
        now: Instant,
        endpoint: &mut Endpoint,
        session: SessionId,
        event: &FlowEvent,
    ) {
        let is_server = self.connection.is_with(session);
        if !is_server && !self.peers.contains_key(&session) {
            return;
        }
        match event {
            FlowEvent::Opened { flow, metadata, association } => {
                let place = self.place_flow(session, *flow, metadata, *association);
                let Some(mut view) = endpoint.session(session) else { return };
                match place {
                    Some(order) => {
                        view.set_receive_order(*flow, order);
                        self.settle_flow(now, endpoint, session, *flow);
                    }
                    None => view.reject_flow(now, *flow, 0),
                }
            }
            FlowEvent::Message { flow, data } => {
                self.on_data(now, endpoint, session, *flow, data.clone());
            }
            FlowEvent::Gap { flow } => {
                if let Some(stream) = self.inbound.get(&(session, *flow)) {
                    let event = StreamEvent::Gap;
                    self.events.push_back(NetEvent::Stream { stream: *stream, event });
                }
            }
            FlowEvent::Finished { flow } => self.on_finished(now, endpoint, session, *flow),
            FlowEvent::Rejected { flow, .. } => self.on_rejected(now, endpoint, session, *flow),
        }
    }

    /// Finds out what a flow is for. None if it is to be rejected.
    fn place_flow(
        &mut self,
        session: SessionId,
        flow: u64,
        metadata: &[u8],
        association: Option<u64>,
    ) -> Option<ReceiveOrder> {
        let metadata = FlowMetadata::decode(metadata).ok()?;
        let order = match metadata.network_order {
            true => ReceiveOrder::Network,
            false => ReceiveOrder::Original,
        };
        if self.connection.is_with(session) {
            if metadata.stream_id != 0 {
                let stream = self.server_stream(metadata.stream_id)?;
                self.inbound.insert((session, flow), stream);
            }
            return Some(order);
        }
        let stream = match association {
            Some(request) => self.stream_of_request(session, request)?,
            None => self.begin_request(session, flow, metadata.stream_id)?,
        };
        self.inbound.insert((session, flow), stream);
        Some(order)
    }

    fn server_stream(&self, stream_id: u64) -> Option<StreamId> {
        let is_it = |stream: &Stream| {
            matches!(stream.role, Role::Server { .. }) && stream.stream_id() == stream_id
        };
        self.streams.iter().find(|(_, stream)| is_it(stream)).map(|(id, _)| *id)
    }

    /// The stream that we asked for on this flow of ours.
    fn stream_of_request(&self, session: SessionId, request: u64) -> Option<StreamId> {
        let is_it = |stream: &Stream| {
            stream.session == Some(session) && stream.flows().any(|flow| flow == request)
        };
        self.streams.iter().find(|(_, stream)| is_it(stream)).map(|(id, _)| *id)
    }

    /// A peer is about to ask for a stream.
    fn begin_request(&mut self, session: SessionId, flow: u64, stream_id: u64) -> Option<StreamId> {
        let of_peer =
            self.streams.values().filter(|stream| stream.session == Some(session)).count();
        if stream_id == 0 || of_peer >= MAX_STREAMS_A_PEER {
            return None;
        }
        let mut stream = Stream::new(stream_id, Role::Publisher { control: flow });
        stream.session = Some(session);
        Some(self.add_stream(stream))
    }

    /// A message, unless its flow waits at a barrier.
    fn on_data(
        &mut self,
        now: Instant,
        endpoint: &mut Endpoint,
        session: SessionId,
        flow: u64,
        data: Bytes,
    ) {
        let tree = self.tree_of(session, flow);
        if !self.sync.entry(tree).or_default().passes(flow, &data) {
            return;
        }
        let Ok(message) = Message::decode(&data) else { return };
        if message.kind.is_protocol_control() {
            return;
        }
        if message.kind == MessageType::USER_CONTROL
            && let Ok(UserControl::FlowSync { id, count }) = UserControl::decode(&message.payload)
        {
            let released = self.sync.entry(tree).or_default().arrive(flow, id, count);
            self.settle_flow(now, endpoint, session, flow);
            self.release(now, endpoint, session, released);
            return;
        }
        if let Some(stream) = self.inbound.get(&(session, flow)).copied() {
            self.on_stream_message(now, endpoint, session, stream, message);
        }
    }

    /// A stream's flow is received unless it waits at a barrier or the application is busy.
    pub(super) fn settle_flow(
        &mut self,
        now: Instant,
        endpoint: &mut Endpoint,
        session: SessionId,
        flow: u64,
    ) {
        let tree = self.tree_of(session, flow);
        let is_held = self.sync.get(&tree).is_some_and(|sync| sync.is_held(flow));
        let is_paused = self.is_paused && self.inbound.contains_key(&(session, flow));
        if let Some(mut view) = endpoint.session(session) {
            view.suspend_flow(now, flow, is_held || is_paused);
        }
    }

    /// The tree of associated flows that a flow belongs to, whose barriers it meets: with the
    /// server there is one, with peers one for each stream.
    fn tree_of(&self, session: SessionId, flow: u64) -> (SessionId, Option<StreamId>) {
        let stream = self.inbound.get(&(session, flow)).copied();
        (session, stream.filter(|_| !self.connection.is_with(session)))
    }

    /// Flows that go on after a barrier.
    fn release(
        &mut self,
        now: Instant,
        endpoint: &mut Endpoint,
        session: SessionId,
        released: Vec<(u64, std::collections::VecDeque<Bytes>)>,
    ) {
        for (flow, messages) in released {
            self.settle_flow(now, endpoint, session, flow);
            for message in messages {
                self.on_data(now, endpoint, session, flow, message);
            }
        }
    }

    fn on_stream_message(
        &mut self,
        now: Instant,
        endpoint: &mut Endpoint,
        session: SessionId,
        id: StreamId,
        message: Message,
    ) {
        if !matches!(message.kind, MessageType::COMMAND_AMF0 | MessageType::COMMAND_AMF3) {
            return self.push_stream_event(id, StreamEvent::Message(message));
        }
        let Ok(command) = Command::decode(&message) else { return };
        let is_publisher = self
            .streams
            .get(&id)
            .is_some_and(|stream| matches!(stream.role, Role::Publisher { .. }));
        match command.name.as_str() {
            "onStatus" => self.push_status(id, &command),
            "play" if is_publisher => {
                let name = command.arguments.first().and_then(Value::as_str).unwrap_or_default();
                let peer = self.peers.get(&session).copied().unwrap_or(PeerId([0; 32]));
                let name = name.to_owned();
                self.events.push_back(NetEvent::Requested { stream: id, peer, name });
            }
            "closeStream" if is_publisher => self.end_stream_at(now, endpoint, session, id),
            _ => self.push_stream_event(id, StreamEvent::Message(message)),
        }
    }

    fn on_finished(
        &mut self,
        now: Instant,
        endpoint: &mut Endpoint,
        session: SessionId,
        flow: u64,
    ) {
        let Some(id) = self.inbound.remove(&(session, flow)) else { return };
        let is_request = self.streams.get(&id).is_some_and(
            |stream| matches!(stream.role, Role::Publisher { control } if control == flow),
        );
        // RFC 7425 §5.4.2: media flows may come and go; the request's own end is the end.
        if is_request {
            self.end_stream_at(now, endpoint, session, id);
        }
    }

    /// A flow of ours is not wanted: the stream is over if it was the one that asked for it.
    fn on_rejected(
        &mut self,
        now: Instant,
        endpoint: &mut Endpoint,
        session: SessionId,
        flow: u64,
    ) {
        let Some(id) = self.stream_of_request(session, flow) else { return };
        if self.streams.get(&id).is_some_and(|stream| stream.request == Some(flow)) {
            self.end_stream_at(now, endpoint, session, id);
        }
    }
}
