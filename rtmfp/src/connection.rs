//! A client's connection to a server: RTMP's NetConnection over one session. RFC 7425 §5.3.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use bytes::Bytes;

use crate::{
    CloseReason, Endpoint, Event, FlowEvent, FlowOptions, Liveness, SessionId,
    rtmp::{Command, FlowMetadata, Message, MessageType, UserControl, Value},
    url::ServerUrl,
};

/// RFC 7425 §5.3.4: no server may make us ping more often.
const MIN_KEEPALIVE: Duration = Duration::from_secs(5);
const GIVE_UP: Duration = Duration::from_secs(20);
/// How long a server may think about `connect`.
const PATIENCE: Duration = Duration::from_secs(30);

/// What became of a connection.
#[derive(Debug, Clone, PartialEq)]
pub enum ConnectionEvent {
    /// The server accepted us; flows may be opened.
    Connected,
    /// The server refused, in its own words.
    Rejected(String),
    /// Nobody answered, or no session came about.
    Unreachable,
    /// The connection is over.
    Closed(CloseReason),
    /// Something else that the server says: an answer to a call, a call, a status.
    Command(Command),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Idle,
    Opening(SessionId),
    Connecting { session: SessionId, control: u64, server_control: Option<u64>, until: Instant },
    Connected { session: SessionId, control: u64, server_control: u64 },
    Closed,
}

/// A connection as a state machine over an endpoint's events.
#[derive(Debug)]
pub struct Connection {
    url: ServerUrl,
    addresses: Vec<SocketAddr>,
    local: Vec<SocketAddr>,
    arguments: Vec<Value>,
    /// How often peers are to be pinged, once the server has said so.
    peer_keepalive: Option<Duration>,
    state: State,
}

impl Connection {
    /// To the server at `addresses`. `local` are our own interface addresses, to be told to peers
    /// behind the same NAT.
    pub fn new(url: ServerUrl, addresses: Vec<SocketAddr>, local: Vec<SocketAddr>) -> Self {
        Self {
            url,
            addresses,
            local,
            arguments: Vec::new(),
            peer_keepalive: None,
            state: State::Idle,
        }
    }

    /// What `connect` carries after its object, as `NetConnection.connect(url, …)` takes it.
    pub fn set_arguments(&mut self, arguments: Vec<Value>) {
        self.arguments = arguments;
    }

    /// Sends a message on the connection's own flow. False if there is no connection.
    pub fn send(&mut self, now: Instant, endpoint: &mut Endpoint, message: Bytes) -> bool {
        let State::Connected { session, control, .. } = self.state else { return false };
        endpoint
            .session(session)
            .is_some_and(|mut view| view.send(now, control, message, None).is_ok())
    }

    /// Whether only a server with one fingerprint will do.
    pub fn is_pinned(&self) -> bool {
        self.url.pinned().is_some()
    }

    /// Whether the session is the one to the server, open or being opened.
    pub fn is_with(&self, session: SessionId) -> bool {
        self.state.session() == Some(session)
    }

    /// Whether this flow of the server is the connection's own.
    pub fn is_control(&self, flow: u64) -> bool {
        self.state.server_control() == Some(flow)
    }

    /// Where the server is asked to introduce us to others.
    pub fn server_addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// The open session with the server.
    pub fn session(&self) -> Option<SessionId> {
        match self.state {
            State::Connected { session, .. } => Some(session),
            _ => None,
        }
    }

    /// The server's control flow, which all further flows to it answer (RFC 7425 §5.3.2).
    pub fn server_control(&self) -> Option<u64> {
        match self.state {
            State::Connected { server_control, .. } => Some(server_control),
            _ => None,
        }
    }

    /// Begins to connect. False if the endpoint has no room for another session.
    pub fn open(&mut self, now: Instant, endpoint: &mut Endpoint) -> bool {
        match endpoint.open(now, self.url.discriminator(), &self.addresses) {
            Ok(session) => self.state = State::Opening(session),
            Err(_) => return false,
        }
        true
    }

    /// Gives up a connection that is not open yet.
    pub fn cancel(&mut self, now: Instant, endpoint: &mut Endpoint) {
        match std::mem::replace(&mut self.state, State::Closed) {
            State::Opening(session) => {
                endpoint.cancel_open(session);
            }
            State::Connecting { session, .. } => {
                if let Some(view) = endpoint.session(session) {
                    view.close(now);
                }
            }
            State::Idle | State::Connected { .. } | State::Closed => {}
        }
    }

    /// Takes in an event; those of other sessions mean nothing to it.
    pub fn on_event(
        &mut self,
        now: Instant,
        endpoint: &mut Endpoint,
        event: &Event,
    ) -> Option<ConnectionEvent> {
        match (event, self.state) {
            (Event::SessionOpened { session, .. }, State::Opening(ours)) if *session == ours => {
                self.connect(now, endpoint, ours)
            }
            (Event::SessionOpened { session, .. }, _) => {
                self.keep_peer_alive(now, endpoint, *session);
                None
            }
            (Event::OpenFailed { session, .. }, State::Opening(ours)) if *session == ours => {
                self.state = State::Closed;
                Some(ConnectionEvent::Unreachable)
            }
            (Event::SessionClosed { session, reason }, state)
                if state.session() == Some(*session) =>
            {
                self.state = State::Closed;
                Some(ConnectionEvent::Closed(*reason))
            }
            (Event::Flow { session, event }, state) if state.session() == Some(*session) => {
                self.on_flow(now, endpoint, event)
            }
            _ => None,
        }
    }

    fn connect(
        &mut self,
        now: Instant,
        endpoint: &mut Endpoint,
        session: SessionId,
    ) -> Option<ConnectionEvent> {
        let mut view = endpoint.session(session)?;
        if self.is_pinned() && !view.has_static_keys() {
            let why = "its fingerprint proves nothing without static keys (rtmfpd --static-keys)";
            return Some(self.give_up(now, endpoint, why));
        }
        let control = view.open_flow(&FlowMetadata::CONTROL.encode(), None, FlowOptions::CONTROL);
        let mut command = Command::new("connect", 1.0, self.arguments.clone());
        command.object = self.connect_object();
        let _ = view.send(now, control, command.encode(), None);
        let until = now + PATIENCE;
        self.state = State::Connecting { session, control, server_control: None, until };
        None
    }

    /// When [`Self::handle_timeout`] has something to do.
    pub fn poll_timeout(&self) -> Option<Instant> {
        match self.state {
            State::Connecting { until, .. } => Some(until),
            _ => None,
        }
    }

    /// Lets time pass.
    pub fn handle_timeout(
        &mut self,
        now: Instant,
        endpoint: &mut Endpoint,
    ) -> Option<ConnectionEvent> {
        let is_due = self.poll_timeout().is_some_and(|until| until <= now);
        is_due.then(|| self.give_up(now, endpoint, "the server does not answer"))
    }

    fn connect_object(&self) -> Value {
        Value::object([
            ("app", Value::string(self.url.app())),
            ("flashVer", Value::string("MAC 13,0,0,214")),
            ("tcUrl", Value::string(self.url.to_string())),
            ("fpad", Value::Boolean(false)),
            ("capabilities", Value::Number(235.0)),
            ("audioCodecs", Value::Number(3575.0)),
            ("videoCodecs", Value::Number(252.0)),
            ("videoFunction", Value::Number(1.0)),
            ("objectEncoding", Value::Number(3.0)),
        ])
    }

    fn on_flow(
        &mut self,
        now: Instant,
        endpoint: &mut Endpoint,
        event: &FlowEvent,
    ) -> Option<ConnectionEvent> {
        match (event, &mut self.state) {
            (
                FlowEvent::Opened { flow, metadata, association: Some(association) },
                State::Connecting { control, server_control, .. },
            ) if association == control && FlowMetadata::decode(metadata).is_ok() => {
                server_control.get_or_insert(*flow);
                None
            }
            (FlowEvent::Message { flow, data }, state) if state.server_control() == Some(*flow) => {
                let message = Message::decode(data).ok()?;
                self.on_message(now, endpoint, &message)
            }
            (FlowEvent::Rejected { flow, .. }, State::Connecting { control, .. })
                if flow == control =>
            {
                Some(self.give_up(now, endpoint, "the server refused the connection"))
            }
            // RFC 7425 §5.3.6: the end of these flows is the connection's.
            (
                FlowEvent::Finished { flow },
                State::Connecting { server_control: Some(ends), .. }
                | State::Connected { server_control: ends, .. },
            ) if flow == ends => Some(self.end(now, endpoint)),
            (FlowEvent::Rejected { flow, .. }, State::Connected { control, .. })
                if flow == control =>
            {
                Some(self.end(now, endpoint))
            }
            _ => None,
        }
    }

    fn on_message(
        &mut self,
        now: Instant,
        endpoint: &mut Endpoint,
        message: &Message,
    ) -> Option<ConnectionEvent> {
        if message.kind == MessageType::USER_CONTROL {
            self.on_user_control(now, endpoint, UserControl::decode(&message.payload).ok()?);
            return None;
        }
        let command = Command::decode(message).ok()?;
        match (command.name.as_str(), self.state) {
            (
                "_result",
                State::Connecting {
                    session, control, server_control: Some(server_control), ..
                },
            ) if command.transaction == 1.0 => {
                self.state = State::Connected { session, control, server_control };
                self.send_peer_info(now, endpoint);
                Some(ConnectionEvent::Connected)
            }
            ("_error" | "close", State::Connecting { .. }) => {
                let why = command.status_code().unwrap_or("no reason given").to_owned();
                Some(self.give_up(now, endpoint, &why))
            }
            (_, State::Connected { .. }) => Some(ConnectionEvent::Command(command)),
            _ => None,
        }
    }

    fn on_user_control(&mut self, now: Instant, endpoint: &mut Endpoint, event: UserControl) {
        let (UserControl::SetKeepalive { server, peer }, Some(session)) =
            (event, self.state.session())
        else {
            return;
        };
        let period =
            |milliseconds: u32| Duration::from_millis(milliseconds.into()).max(MIN_KEEPALIVE);
        self.peer_keepalive = Some(period(peer));
        for open in endpoint.open_sessions() {
            self.keep_peer_alive(now, endpoint, open);
        }
        keep_alive(now, endpoint, session, period(server));
    }

    /// A session with a peer opened: it is kept alive as the server commands (RFC 7425 §5.3.4).
    fn keep_peer_alive(&self, now: Instant, endpoint: &mut Endpoint, session: SessionId) {
        if let Some(keepalive) = self.peer_keepalive {
            keep_alive(now, endpoint, session, keepalive);
        }
    }

    /// RFC 7425 §5.3.3: our addresses, so that peers on our own network find us.
    fn send_peer_info(&self, now: Instant, endpoint: &mut Endpoint) {
        let State::Connected { session, control, .. } = self.state else { return };
        let addresses =
            self.local.iter().map(|address| Value::string(address.to_string())).collect();
        if let Some(mut view) = endpoint.session(session) {
            let _ =
                view.send(now, control, Command::new("setPeerInfo", 0.0, addresses).encode(), None);
        }
    }

    /// The server is done with us.
    fn end(&mut self, now: Instant, endpoint: &mut Endpoint) -> ConnectionEvent {
        self.close_session(now, endpoint);
        ConnectionEvent::Closed(CloseReason::Far)
    }

    fn close_session(&mut self, now: Instant, endpoint: &mut Endpoint) {
        if let Some(view) = self.state.session().and_then(|session| endpoint.session(session)) {
            view.close(now);
        }
        self.state = State::Closed;
    }

    fn give_up(&mut self, now: Instant, endpoint: &mut Endpoint, why: &str) -> ConnectionEvent {
        self.close_session(now, endpoint);
        ConnectionEvent::Rejected(why.to_owned())
    }
}

/// As often as was commanded; whoever asked for more in its configuration keeps that.
fn keep_alive(now: Instant, endpoint: &mut Endpoint, session: SessionId, commanded: Duration) {
    let own = endpoint.liveness();
    let keepalive = commanded.min(own.keepalive);
    let liveness = Liveness { keepalive, give_up: own.give_up.min(GIVE_UP) };
    if let Some(mut view) = endpoint.session(session) {
        view.set_liveness(now, liveness);
    }
}

impl State {
    fn session(self) -> Option<SessionId> {
        match self {
            Self::Opening(session)
            | Self::Connecting { session, .. }
            | Self::Connected { session, .. } => Some(session),
            Self::Idle | Self::Closed => None,
        }
    }

    fn server_control(self) -> Option<u64> {
        match self {
            Self::Connecting { server_control, .. } => server_control,
            Self::Connected { server_control, .. } => Some(server_control),
            _ => None,
        }
    }
}
