//! A NetConnection: calls and streams over one connection to a server, and streams straight
//! between peers (`NetStream.DIRECT_CONNECTIONS`). RFC 7425 §5.3, §5.4.
//!
//! A state machine over an [`Endpoint`]'s events like everything here: hand it every event, then
//! take its own.

mod direct;
mod inbound;
mod stream;

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    net::SocketAddr,
    time::{Duration, Instant},
};

use bytes::Bytes;
use thiserror::Error;

use crate::{
    Connection, ConnectionEvent, Deadline, Endpoint, Event, PeerOpenings, SessionId,
    crypto::PeerId,
    rtmp::{Command, FlowSync, Message, MessageType, UserControl, Value},
    url::ServerUrl,
};
pub use stream::StreamId;
use stream::{Role, Stream};

/// Something happened on a [`NetConnection`].
#[derive(Debug, Clone, PartialEq)]
pub enum NetEvent {
    /// The server accepted us.
    Connected,
    /// There will be no connection; the server's words, or ours.
    Failed(String),
    /// The connection is over.
    Closed,
    /// The answer to a call: `_result` or `_error`.
    Answered {
        /// As [`NetConnection::call`] gave it.
        transaction: u64,
        /// The answer.
        answer: Command,
    },
    /// The server calls us, or tells of a status (`onStatus`) of the connection.
    Called(Command),
    /// A peer asks for a stream of ours: [`NetConnection::accept`] or close it.
    Requested {
        /// Our end of the stream to be.
        stream: StreamId,
        /// Who asks.
        peer: PeerId,
        /// The name it asks for.
        name: String,
    },
    /// Something happened on a stream.
    Stream {
        /// Which.
        stream: StreamId,
        /// What.
        event: StreamEvent,
    },
}

/// Something happened on a stream.
#[derive(Debug, Clone, PartialEq)]
pub enum StreamEvent {
    /// A status such as `NetStream.Play.Start`, with all that was said.
    Status {
        /// `code`
        code: String,
        /// The whole object.
        info: Value,
    },
    /// Audio, video, data, or a command without meaning to us.
    Message(Message),
    /// Messages are missing before the next one: their time was over before they arrived.
    Gap,
    /// The far end is done with it, refused it or cannot be reached.
    Ended,
}

/// Nothing was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum StreamError {
    /// The stream is closed or was never opened.
    #[error("there is no such stream")]
    Unknown,
    /// The server has not made the stream yet, or the peer is not reached yet.
    #[error("the stream is not open yet")]
    NotReady,
    /// Too many peers at once.
    #[error("too many peer connections")]
    TooManyPeers,
    /// There is no connection.
    #[error("not connected")]
    NotConnected,
    /// RTMP's own protocol control (types 1, 2, 3, 5 and 6), which RTMFP has no use for.
    #[error("messages of this type do not travel over RTMFP")]
    NotForRtmfp,
}

/// Peer sessions at a time, as Flash's `maxPeerConnections`.
const DEFAULT_MAX_PEERS: usize = 8;

/// A connection with its streams.
#[derive(Debug)]
pub struct NetConnection {
    connection: Connection,
    max_peers: usize,
    next_transaction: u64,
    next_stream: u64,
    next_direct_id: u64,
    streams: BTreeMap<StreamId, Stream>,
    /// `createStream` calls under way.
    creating: HashMap<u64, StreamId>,
    peers: HashMap<SessionId, PeerId>,
    openings: PeerOpenings,
    /// What each flow of a far end belongs to.
    inbound: HashMap<(SessionId, u64), StreamId>,
    /// The barriers of each tree of flows: the server's, and one for each direct stream.
    sync: HashMap<(SessionId, Option<StreamId>), FlowSync>,
    /// Peers whose last stream ended, and until when they are kept.
    idle_peers: VecDeque<(Instant, SessionId)>,
    events: VecDeque<NetEvent>,
    /// The application is busy: streams' flows wait.
    is_paused: bool,
    /// Barriers that we have made.
    barriers: u32,
}

impl NetConnection {
    /// To the server at `addresses`; see [`Connection::new`].
    pub fn new(url: ServerUrl, addresses: Vec<SocketAddr>, local: Vec<SocketAddr>) -> Self {
        Self {
            connection: Connection::new(url, addresses, local),
            max_peers: DEFAULT_MAX_PEERS,
            // The connection's own commands have 0 and 1.
            next_transaction: 2,
            next_stream: 1,
            next_direct_id: direct::FIRST_STREAM_ID,
            streams: BTreeMap::new(),
            creating: HashMap::new(),
            peers: HashMap::new(),
            openings: PeerOpenings::default(),
            inbound: HashMap::new(),
            sync: HashMap::new(),
            idle_peers: VecDeque::new(),
            events: VecDeque::new(),
            is_paused: false,
            barriers: 0,
        }
    }

    /// How many peers may be connected at a time, in both directions; 8.
    pub fn set_max_peers(&mut self, max_peers: usize) {
        self.max_peers = max_peers;
    }

    /// The arguments that `connect` carries after its object.
    pub fn set_connect_arguments(&mut self, arguments: Vec<Value>) {
        self.connection.set_arguments(arguments);
    }

    /// Begins to connect.
    pub fn open(&mut self, now: Instant, endpoint: &mut Endpoint) {
        self.connection.open(now, endpoint);
    }

    /// The open session with the server.
    pub fn session(&self) -> Option<SessionId> {
        self.connection.session()
    }

    /// What happened, oldest first.
    pub fn poll_event(&mut self) -> Option<NetEvent> {
        self.events.pop_front()
    }

    /// Calls a procedure of the server.
    pub fn call(
        &mut self,
        now: Instant,
        endpoint: &mut Endpoint,
        name: &str,
        arguments: Vec<Value>,
    ) -> Result<u64, StreamError> {
        let transaction = self.next_transaction;
        let command = Command::new(name, transaction as f64, arguments);
        if !self.connection.send(now, endpoint, command.encode()) {
            return Err(StreamError::NotConnected);
        }
        self.next_transaction += 1;
        Ok(transaction)
    }

    /// Publishes a stream to the server.
    pub fn publish(
        &mut self,
        now: Instant,
        endpoint: &mut Endpoint,
        name: &str,
    ) -> Result<StreamId, StreamError> {
        let command =
            Command::new("publish", 0.0, vec![Value::string(name), Value::string("live")]);
        self.create_stream(now, endpoint, command)
    }

    /// Plays a stream of the server.
    pub fn play(
        &mut self,
        now: Instant,
        endpoint: &mut Endpoint,
        name: &str,
    ) -> Result<StreamId, StreamError> {
        self.create_stream(now, endpoint, Command::new("play", 0.0, vec![Value::string(name)]))
    }

    fn create_stream(
        &mut self,
        now: Instant,
        endpoint: &mut Endpoint,
        command: Command,
    ) -> Result<StreamId, StreamError> {
        let transaction = self.call(now, endpoint, "createStream", Vec::new())?;
        let stream = self.add_stream(Stream::new(0, Role::Server { command: Some(command) }));
        self.creating.insert(transaction, stream);
        Ok(stream)
    }

    fn add_stream(&mut self, stream: Stream) -> StreamId {
        let id = StreamId(self.next_stream);
        self.next_stream += 1;
        self.streams.insert(id, stream);
        id
    }

    /// Sends audio, video or data on a stream that we publish. What did not arrive within
    /// `lifetime` is given up; without one it is reliable.
    pub fn send(
        &mut self,
        now: Instant,
        endpoint: &mut Endpoint,
        stream: StreamId,
        message: &Message,
        lifetime: Option<Duration>,
    ) -> Result<(), StreamError> {
        let deadline = lifetime.map(|lifetime| now + lifetime);
        self.queue(now, endpoint, stream, message.kind, message, deadline)
    }

    /// Sends a message, reliably, on the stream's flow for messages of another kind: a FlowSync,
    /// for one, must go on each flow that it holds.
    pub fn send_on(
        &mut self,
        now: Instant,
        endpoint: &mut Endpoint,
        stream: StreamId,
        flow_of: MessageType,
        message: &Message,
    ) -> Result<(), StreamError> {
        self.queue(now, endpoint, stream, flow_of, message, None)
    }

    fn queue(
        &mut self,
        now: Instant,
        endpoint: &mut Endpoint,
        stream: StreamId,
        flow_of: MessageType,
        message: &Message,
        deadline: Deadline,
    ) -> Result<(), StreamError> {
        if message.kind.is_protocol_control() {
            return Err(StreamError::NotForRtmfp);
        }
        let stream = self.streams.get_mut(&stream).ok_or(StreamError::Unknown)?;
        let session = stream.session.ok_or(StreamError::NotReady)?;
        let mut view = endpoint.session(session).ok_or(StreamError::Unknown)?;
        let flow = stream.flow_for(&mut view, flow_of, self.connection.server_control());
        view.send(now, flow, message.to_bytes(), deadline).map_err(|_| StreamError::Unknown)
    }

    /// Bytes of a stream queued or in flight: less than this leaves at once.
    pub fn buffered(&self, endpoint: &mut Endpoint, stream: StreamId) -> usize {
        let Some(stream) = self.streams.get(&stream) else { return 0 };
        let Some(mut view) = stream.session.and_then(|session| endpoint.session(session)) else {
            return 0;
        };
        stream.flows().map(|flow| view.buffered_on(flow)).sum()
    }

    /// Ends a stream, or refuses one that a peer asks for.
    pub fn close_stream(&mut self, now: Instant, endpoint: &mut Endpoint, id: StreamId) {
        let Some(stream) = self.streams.remove(&id) else { return };
        self.creating.retain(|_, creating| *creating != id);
        let inbound = self.forget_inbound(id);
        let Some(session) = stream.session else { return };
        if matches!(stream.role, Role::Server { .. }) {
            self.hold_back_the_end(now, endpoint, session, &stream);
            let number = Value::Number(stream.stream_id() as f64);
            let command = Command::new("deleteStream", 0.0, vec![number]);
            self.connection.send(now, endpoint, command.encode());
        }
        if let Some(mut view) = endpoint.session(session) {
            stream.close(now, &mut view);
            if matches!(stream.role, Role::Publisher { .. }) {
                // RFC 7425 §5.3.5.3: one flow of a stream rejected, all rejected.
                inbound.into_iter().for_each(|flow| view.reject_flow(now, flow, 0));
            }
        }
        self.watch_idle_peer(now, session);
    }

    /// What follows on the connection's flow is not heeded before all that was sent of the stream
    /// has arrived (RFC 7425 §5.2).
    fn hold_back_the_end(
        &mut self,
        now: Instant,
        endpoint: &mut Endpoint,
        session: SessionId,
        stream: &Stream,
    ) {
        let Some(mut view) = endpoint.session(session) else { return };
        let flows: Vec<u64> =
            stream.media_flows().filter(|flow| view.buffered_on(*flow) > 0).collect();
        if flows.is_empty() {
            return;
        }
        self.barriers = self.barriers.wrapping_add(1);
        let barrier =
            UserControl::FlowSync { id: self.barriers, count: flows.len() as u32 + 1 }.encode();
        for flow in flows {
            let _ = view.send(now, flow, barrier.clone(), None);
        }
        self.connection.send(now, endpoint, barrier);
    }

    /// The far end's flows of a stream, which mean nothing from now on.
    fn forget_inbound(&mut self, id: StreamId) -> Vec<u64> {
        let flows = self.inbound.extract_if(|_, of| *of == id).map(|((_, flow), _)| flow);
        let flows = flows.collect();
        self.sync.retain(|(_, tree), _| *tree != Some(id));
        flows
    }

    /// Stops streams that come in, or lets them go on. What their senders send meanwhile fills our
    /// buffers, and then waits with them.
    pub fn pause(&mut self, now: Instant, endpoint: &mut Endpoint, is_paused: bool) {
        self.is_paused = is_paused;
        let flows: Vec<_> = self.inbound.keys().copied().collect();
        for (session, flow) in flows {
            self.settle_flow(now, endpoint, session, flow);
        }
    }

    /// Takes in an event of the endpoint.
    pub fn on_event(&mut self, now: Instant, endpoint: &mut Endpoint, event: &Event) {
        if let Some(event) = self.connection.on_event(now, endpoint, event) {
            self.on_connection(now, endpoint, event);
        }
        match event {
            Event::SessionOpened { session, peer, is_responder } => {
                self.on_peer(now, endpoint, *session, *peer, *is_responder);
            }
            Event::OpenFailed { session, reason } => {
                self.on_open_failed(endpoint, *session, *reason);
            }
            Event::SessionClosed { session, .. } => self.on_session_closed(*session),
            Event::Flow { session, event } => self.on_flow(now, endpoint, *session, event),
            Event::AddressChanged { .. } | Event::Wanted { .. } => {}
        }
    }

    fn on_connection(&mut self, now: Instant, endpoint: &mut Endpoint, event: ConnectionEvent) {
        match event {
            ConnectionEvent::Connected => self.events.push_back(NetEvent::Connected),
            ConnectionEvent::Rejected(why) => self.events.push_back(NetEvent::Failed(why)),
            ConnectionEvent::Unreachable => {
                let why = if self.connection.is_pinned() {
                    "nobody with that fingerprint answered"
                } else {
                    "nobody answered"
                };
                self.events.push_back(NetEvent::Failed(why.into()));
            }
            ConnectionEvent::Closed(_) => {
                self.streams.retain(|_, stream| !matches!(stream.role, Role::Server { .. }));
                self.creating.clear();
                self.events.push_back(NetEvent::Closed);
            }
            ConnectionEvent::Command(command) => self.on_command(now, endpoint, command),
        }
    }

    /// A command on the connection's own flow.
    fn on_command(&mut self, now: Instant, endpoint: &mut Endpoint, command: Command) {
        let transaction = command.transaction as u64;
        let is_answer = matches!(command.name.as_str(), "_result" | "_error");
        let created = if is_answer { self.creating.remove(&transaction) } else { None };
        match created {
            Some(stream) => self.on_stream_created(now, endpoint, stream, &command),
            // MonaServer 2 says so to setPeerInfo, which asks for no answer, and uses it all the same.
            None if is_answer && transaction == 0 => {}
            None if is_answer => {
                self.events.push_back(NetEvent::Answered { transaction, answer: command });
            }
            None => self.events.push_back(NetEvent::Called(command)),
        }
    }

    fn on_stream_created(
        &mut self,
        now: Instant,
        endpoint: &mut Endpoint,
        id: StreamId,
        answer: &Command,
    ) {
        let number = answer.arguments.first().and_then(Value::as_number);
        let (Some(session), Some(control)) =
            (self.connection.session(), self.connection.server_control())
        else {
            return;
        };
        let (Some(number), true) = (number, answer.name == "_result") else {
            return self.end_stream(id);
        };
        let Some(stream) = self.streams.get_mut(&id) else { return };
        let Role::Server { command } = &mut stream.role else { return };
        let command = command.take();
        stream.on_created(session, number as u64);
        if let (Some(command), Some(mut view)) = (command, endpoint.session(session)) {
            stream.request(now, &mut view, &command, Some(control));
        }
    }

    fn on_session_closed(&mut self, session: SessionId) {
        self.peers.remove(&session);
        self.sync.retain(|(of, _), _| *of != session);
        self.inbound.retain(|(of, _), _| *of != session);
        let ended: Vec<StreamId> = self
            .streams
            .iter()
            .filter(|(_, stream)| stream.session == Some(session))
            .map(|(id, _)| *id)
            .collect();
        ended.into_iter().for_each(|id| self.end_stream(id));
    }

    /// The far end ended it, while its session goes on.
    fn end_stream_at(
        &mut self,
        now: Instant,
        endpoint: &mut Endpoint,
        session: SessionId,
        id: StreamId,
    ) {
        if let (Some(stream), Some(mut view)) = (self.streams.get(&id), endpoint.session(session)) {
            stream.close(now, &mut view);
        }
        self.end_stream(id);
        self.watch_idle_peer(now, session);
    }

    /// The far end ended it.
    fn end_stream(&mut self, id: StreamId) {
        if self.streams.remove(&id).is_some() {
            self.forget_inbound(id);
            self.push_stream_event(id, StreamEvent::Ended);
        }
    }

    fn push_stream_event(&mut self, stream: StreamId, event: StreamEvent) {
        self.events.push_back(NetEvent::Stream { stream, event });
    }

    /// Answers a status on a stream that we publish to a peer.
    fn status(code: &str, description: &str) -> Bytes {
        let info = Value::object([
            ("level", Value::string("status")),
            ("code", Value::string(code)),
            ("description", Value::string(description)),
        ]);
        Command::new("onStatus", 0.0, vec![info]).encode()
    }
}
