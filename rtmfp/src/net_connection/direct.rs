//! Streams straight between peers. RFC 7425 §5.4.

use std::time::{Duration, Instant};

use super::{
    NetConnection, StreamError, StreamEvent, StreamId,
    stream::{Role, Stream},
};
use crate::{
    Endpoint, SessionId,
    crypto::PeerId,
    endpoint::OpenError,
    event::OpenFailure,
    rtmp::{Command, MessageType, UserControl, Value},
};

/// Flash numbers direct streams from here; any number but zero is legal.
pub(super) const FIRST_STREAM_ID: u64 = 2_000_000;
/// Time for the last messages of a stream to arrive.
const IDLE_PEER: Duration = Duration::from_secs(10);

impl NetConnection {
    /// Plays a stream that a peer publishes, by its peer ID.
    pub fn play_from(
        &mut self,
        now: Instant,
        endpoint: &mut Endpoint,
        peer: PeerId,
        name: &str,
    ) -> Result<StreamId, StreamError> {
        let session = match endpoint.session_with(&peer) {
            Some(session) => Some(session),
            None => {
                self.reach(now, endpoint, peer)?;
                None
            }
        };
        let command = Command::new("play", 0.0, vec![Value::string(name)]);
        let number = self.next_direct_id;
        self.next_direct_id += 1;
        let mut stream = Stream::new(number, Role::Subscriber { peer, command: None });
        stream.session = session;
        match session.and_then(|session| endpoint.session(session)) {
            Some(mut view) => stream.request(now, &mut view, &command, None),
            None => stream.role = Role::Subscriber { peer, command: Some(command) },
        }
        Ok(self.add_stream(stream))
    }

    /// Begins to open a session with a peer, through the server.
    fn reach(
        &mut self,
        now: Instant,
        endpoint: &mut Endpoint,
        peer: PeerId,
    ) -> Result<(), StreamError> {
        if self.peers.len() + self.openings.count() >= self.max_peers {
            return Err(StreamError::TooManyPeers);
        }
        let server = self
            .connection
            .session()
            .and_then(|session| Some(endpoint.session(session)?.path().remote));
        let server = server.ok_or(StreamError::NotConnected)?;
        self.openings.open(now, endpoint, peer, &[server]).map_err(|error| match error {
            OpenError::TooMany => StreamError::TooManyPeers,
            OpenError::Ourselves | OpenError::Exists(_) => StreamError::Unknown,
        })
    }

    /// Lets a peer have the stream it asked for: it hears that the stream begins.
    pub fn accept(
        &mut self,
        now: Instant,
        endpoint: &mut Endpoint,
        id: StreamId,
    ) -> Result<(), StreamError> {
        let stream = self.streams.get_mut(&id).ok_or(StreamError::Unknown)?;
        let session = stream.session.ok_or(StreamError::NotReady)?;
        let mut view = endpoint.session(session).ok_or(StreamError::Unknown)?;
        let flow = stream.flow_for(&mut view, MessageType::DATA_AMF0, None);
        let begin = UserControl::StreamBegin(stream.stream_id() as u32).encode();
        for message in [
            begin,
            Self::status("NetStream.Play.Reset", "Playing and resetting"),
            Self::status("NetStream.Play.Start", "Started playing"),
        ] {
            view.send(now, flow, message, None).map_err(|_| StreamError::Unknown)?;
        }
        Ok(())
    }

    /// A session opened that may be with a peer.
    pub(super) fn on_peer(
        &mut self,
        now: Instant,
        endpoint: &mut Endpoint,
        session: SessionId,
        peer: PeerId,
        is_responder: bool,
    ) {
        let was_asked_for = self.openings.on_opened(&peer);
        if self.connection.is_with(session) {
            return;
        }
        if is_responder && !was_asked_for && self.peers.len() >= self.max_peers {
            if let Some(view) = endpoint.session(session) {
                view.close(now);
            }
            return;
        }
        self.peers.insert(session, peer);
        self.send_waiting(now, endpoint, session, peer);
    }

    /// Sends what waited for this peer.
    fn send_waiting(
        &mut self,
        now: Instant,
        endpoint: &mut Endpoint,
        session: SessionId,
        peer: PeerId,
    ) {
        for stream in self.streams.values_mut() {
            let Some(mut view) = endpoint.session(session) else { return };
            let command = match &mut stream.role {
                Role::Subscriber { peer: wanted, command } if *wanted == peer => command.take(),
                _ => None,
            };
            if let Some(command) = command {
                stream.session = Some(session);
                stream.request(now, &mut view, &command, None);
            }
        }
    }

    /// A peer could not be reached: unless another session with it came about, its streams end.
    pub(super) fn on_open_failed(
        &mut self,
        endpoint: &mut Endpoint,
        session: SessionId,
        reason: OpenFailure,
    ) {
        let Some(peer) = self.openings.on_failed(endpoint, session, reason) else { return };
        let waits = |stream: &Stream| {
            matches!(stream.role, Role::Subscriber { peer: wanted, .. } if wanted == peer)
                && stream.session.is_none()
        };
        let hopeless: Vec<StreamId> =
            self.streams.iter().filter(|(_, stream)| waits(stream)).map(|(id, _)| *id).collect();
        hopeless.into_iter().for_each(|id| self.end_stream(id));
    }

    fn is_idle(&self, session: SessionId) -> bool {
        self.peers.contains_key(&session)
            && !self.streams.values().any(|stream| stream.session == Some(session))
    }

    /// Peer sessions that no stream uses end after a while, as on Cirrus; Cumulus kept them, and
    /// its users wondered about the traffic.
    pub(super) fn watch_idle_peer(&mut self, now: Instant, session: SessionId) {
        if self.is_idle(session) {
            self.idle_peers.push_back((now + IDLE_PEER, session));
        }
    }

    /// When [`Self::handle_timeout`] has something to do.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let idle = self.idle_peers.front().map(|(at, _)| *at);
        idle.into_iter().chain(self.connection.poll_timeout()).min()
    }

    /// Lets time pass.
    pub fn handle_timeout(&mut self, now: Instant, endpoint: &mut Endpoint) {
        if let Some(event) = self.connection.handle_timeout(now, endpoint) {
            self.on_connection(now, endpoint, event);
        }
        while let Some((_, session)) = self.idle_peers.pop_front_if(|(at, _)| *at <= now) {
            if self.is_idle(session)
                && let Some(view) = endpoint.session(session)
            {
                view.close(now);
                self.on_session_closed(session);
            }
        }
    }

    pub(super) fn push_status(&mut self, id: StreamId, command: &Command) {
        // librtmfp leaves the null before it out.
        let mut values = command.arguments.iter().chain([&command.object]);
        let info = values.find(|value| value.member("code").is_some()).cloned();
        let info = info.unwrap_or(Value::Null);
        let code = info.member("code").and_then(Value::as_str).unwrap_or_default().to_owned();
        self.push_stream_event(id, StreamEvent::Status { code, info });
    }
}
