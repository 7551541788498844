//! The connection to the server, which is tried for ever.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use rtmfp::{
    Connection, ConnectionEvent, Endpoint, Event, ServerUrl, SessionId,
    crypto::{Discriminator, PeerId},
};

/// A server that has not accepted us by then is not there now.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Its silence is spoken of by then, and whoever is there in place of a pinned one asked for its name.
const COMPLAIN: Duration = Duration::from_secs(4);
/// It is tried again after this, for ever; neighbours stay.
const RECONNECT: Duration = Duration::from_secs(5);

/// What became of the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum LinkEvent {
    Connected,
    Refused(String),
    NoAnswer,
    OtherServer(PeerId),
    Lost,
}

/// Where we are with the server.
#[derive(Debug, Clone, Copy)]
enum State {
    Idle,
    /// Given up at `until`; complained of at `complain_at`, unless that was done.
    Connecting {
        until: Instant,
        complain_at: Option<Instant>,
    },
    Connected,
    /// Tried again at `at`.
    Waiting {
        at: Instant,
        complain_at: Option<Instant>,
    },
    /// It refuses us.
    Refused,
}

#[derive(Debug)]
pub(super) struct ServerLink {
    url: ServerUrl,
    pub servers: Vec<SocketAddr>,
    local: Vec<SocketAddr>,
    pub connection: Connection,
    state: State,
    was_connected: bool,
    /// Asks whoever is there for its name, when the server that was pinned does not answer.
    probe: Option<SessionId>,
}

impl ServerLink {
    pub fn new(url: ServerUrl, servers: Vec<SocketAddr>) -> Self {
        let connection = Connection::new(url.clone(), servers.clone(), Vec::new());
        let (state, probe) = (State::Idle, None);
        Self { url, servers, local: Vec::new(), connection, state, was_connected: false, probe }
    }

    pub fn set_local_addresses(&mut self, local: Vec<SocketAddr>) {
        self.connection = Connection::new(self.url.clone(), self.servers.clone(), local.clone());
        self.local = local;
    }

    pub fn is_connected(&self) -> bool {
        matches!(self.state, State::Connected)
    }

    pub fn start(&mut self, now: Instant, endpoint: &mut Endpoint) {
        let complain_at = Some(now + COMPLAIN);
        self.state = State::Connecting { until: now + CONNECT_TIMEOUT, complain_at };
        if !self.connection.open(now, endpoint) {
            self.wait(now);
        }
    }

    /// It is tried again in a while.
    fn wait(&mut self, now: Instant) {
        let complain_at = self.complain_at();
        self.state = State::Waiting { at: now + RECONNECT, complain_at };
    }

    fn complain_at(&self) -> Option<Instant> {
        match self.state {
            State::Connecting { complain_at, .. } | State::Waiting { complain_at, .. } => {
                complain_at
            }
            State::Idle | State::Connected | State::Refused => None,
        }
    }

    pub fn poll_timeout(&self) -> Option<Instant> {
        let own = match self.state {
            State::Connecting { until, .. } => Some(until),
            State::Waiting { at, .. } => Some(at),
            State::Idle | State::Connected | State::Refused => None,
        };
        [own, self.complain_at(), self.connection.poll_timeout()].into_iter().flatten().min()
    }

    pub fn handle_timeout(&mut self, now: Instant, endpoint: &mut Endpoint) -> Vec<LinkEvent> {
        let mut events = Vec::new();
        if let Some(event) = self.connection.handle_timeout(now, endpoint) {
            events.extend(self.on_connection(now, event));
        }
        if self.complain_at().is_some_and(|at| at <= now) {
            events.extend(self.complain(now, endpoint));
        }
        match self.state {
            State::Connecting { until, .. } if until <= now => self.wait(now),
            State::Waiting { at, complain_at } if at <= now => {
                self.connection.cancel(now, endpoint);
                let local = self.local.clone();
                self.connection = Connection::new(self.url.clone(), self.servers.clone(), local);
                self.start(now, endpoint);
                self.set_complaint(complain_at);
            }
            _ => {}
        }
        events
    }

    fn set_complaint(&mut self, new: Option<Instant>) {
        if let State::Connecting { complain_at, .. } | State::Waiting { complain_at, .. } =
            &mut self.state
        {
            *complain_at = new;
        }
    }

    /// Whoever is there instead of a server that was pinned has its say first.
    fn complain(&mut self, now: Instant, endpoint: &mut Endpoint) -> Option<LinkEvent> {
        if self.connection.is_pinned() && self.probe.is_none() {
            let anybody = Discriminator::AncillaryData(self.url.to_string().into_bytes());
            self.probe = endpoint.open(now, anybody, &self.servers).ok();
            self.set_complaint(Some(now + COMPLAIN));
            return None;
        }
        self.set_complaint(None);
        Some(LinkEvent::NoAnswer)
    }

    /// Takes in an event of the endpoint that may be the connection's.
    pub fn on_event(
        &mut self,
        now: Instant,
        endpoint: &mut Endpoint,
        event: &Event,
    ) -> Option<LinkEvent> {
        if let Event::SessionOpened { session, peer, .. } = event
            && self.probe == Some(*session)
        {
            self.probe = None;
            if let Some(view) = endpoint.session(*session) {
                view.close(now);
            }
            return Some(LinkEvent::OtherServer(*peer));
        }
        let event = self.connection.on_event(now, endpoint, event)?;
        self.on_connection(now, event)
    }

    fn on_connection(&mut self, now: Instant, event: ConnectionEvent) -> Option<LinkEvent> {
        match event {
            ConnectionEvent::Connected => {
                self.state = State::Connected;
                self.was_connected = true;
                Some(LinkEvent::Connected)
            }
            ConnectionEvent::Rejected(why) if !self.was_connected => {
                self.state = State::Refused;
                Some(LinkEvent::Refused(why))
            }
            ConnectionEvent::Rejected(_) | ConnectionEvent::Unreachable => {
                self.wait(now);
                None
            }
            ConnectionEvent::Command(_) => None,
            ConnectionEvent::Closed(_) => {
                self.wait(now);
                Some(LinkEvent::Lost)
            }
        }
    }
}
