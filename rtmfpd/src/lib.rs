//! The rendezvous server: clients connect, are introduced, and find their groups.

mod client;
mod config;
mod identity;
mod live;
mod registry;
mod replies;
mod run;
mod streams;

use std::{
    collections::{HashMap, VecDeque},
    fmt,
    time::{Duration, Instant},
};

use bytes::Bytes;
use netgroup::{
    hex,
    wire::{GroupId, ServerJoin, signature},
};

pub use config::{ConfigError, GroupNumber, Listener, PathPolicy, ServerConfig, Want};
pub use identity::IdentityError;
pub use registry::Registry;
pub use run::{RunningServer, ServerError, start};

use client::{Client, StreamRequest};
use rtmfp::{
    Endpoint, Event, FlowEvent, Path, ProtectionRules, SessionId,
    crypto::PeerId,
    net::App,
    rtmp::{Command, FlowMetadata, Message, MessageType, UserControl},
    wire::{Address, Origin},
};
use streams::{StreamEnd, Streams};

/// A newcomer hears of its neighbours at once, they of it a little later: if it has reached them
/// by then, two sessions do not collide, and if it could not, the other direction is tried.
const NEIGHBOUR_DELAY: Duration = Duration::from_secs(2);

/// "In this group, tell `to` about `about`."
#[derive(Debug, Clone, Copy)]
struct MemberHint {
    group: GroupId,
    to: PeerId,
    about: PeerId,
}

/// Counters for the operator.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ServerStats {
    /// Connections accepted.
    pub connects: u64,
    /// Peers introduced to each other; repeated hellos count again.
    pub introductions: u64,
    /// Hellos for peers that are not here.
    pub unknown_peers: u64,
    /// Groups joined.
    pub joins: u64,
    /// Commands and messages that made no sense.
    pub malformed: u64,
    /// Clients let go because they did not take their answers.
    pub choked: u64,
    /// Messages of live streams sent to players.
    pub relayed: u64,
    /// Those that a player was too slow for.
    pub withheld: u64,
}

/// In a line, for logs.
impl fmt::Display for ServerStats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} connects, {} joins, {} introductions, {} hellos for peers not here, {} malformed, {} \
             choked; {} messages relayed, {} withheld",
            self.connects,
            self.joins,
            self.introductions,
            self.unknown_peers,
            self.malformed,
            self.choked,
            self.relayed,
            self.withheld
        )
    }
}

/// The server as an application of a driver.
#[derive(Debug, Default)]
pub struct Server {
    clients: HashMap<SessionId, Client>,
    registry: Registry,
    hints: VecDeque<(Instant, MemberHint)>,
    protection: ProtectionRules,
    /// If the server carries any.
    streams: Option<Streams>,
    stats: ServerStats,
}

impl Server {
    /// A server whose endpoint has these rules. Who asks for it by fingerprint names the path
    /// only when it connects, so they are looked at again then.
    pub fn new(protection: ProtectionRules) -> Self {
        Self { protection, ..Self::default() }
    }

    /// Lets clients publish live streams to others; without this, the server only introduces.
    pub fn carry_streams(&mut self) {
        self.streams.get_or_insert_default();
    }

    /// Counters so far.
    pub fn stats(&self) -> ServerStats {
        self.stats
    }

    fn on_flow_opened(
        &mut self,
        now: Instant,
        endpoint: &mut Endpoint,
        session: SessionId,
        flow: u64,
        metadata: &[u8],
    ) {
        let Some(client) = self.clients.get_mut(&session) else { return };
        let is_wanted = match metadata {
            signature::SERVER_CHANNEL => client.open_group_channel(flow),
            other => FlowMetadata::decode(other)
                .is_ok_and(|metadata| client.open_rtmp_flow(flow, metadata)),
        };
        if !is_wanted && let Some(mut view) = endpoint.session(session) {
            view.reject_flow(now, flow, 0);
        }
    }

    fn on_message(
        &mut self,
        now: Instant,
        endpoint: &mut Endpoint,
        session: SessionId,
        flow: u64,
        data: &Bytes,
    ) {
        let Some(client) = self.clients.get_mut(&session) else { return };
        if client.is_group_channel(flow) {
            return self.on_group_message(now, endpoint, session, flow, data);
        }
        if !client.passes(flow, data) {
            return;
        }
        let (Some(stream_id), Ok(message)) = (client.stream_of(flow), Message::decode(data)) else {
            self.stats.malformed += 1;
            return;
        };
        match message.kind {
            MessageType::USER_CONTROL => {
                self.on_user_control(now, endpoint, session, flow, &message)
            }
            MessageType::COMMAND_AMF0 | MessageType::COMMAND_AMF3 => {
                self.on_command(now, endpoint, session, stream_id, &message);
            }
            MessageType::AUDIO
            | MessageType::VIDEO
            | MessageType::DATA_AMF0
            | MessageType::DATA_AMF3 => {
                self.relay(now, endpoint, StreamEnd { session, stream_id }, message);
            }
            _ => {}
        }
    }

    fn on_command(
        &mut self,
        now: Instant,
        endpoint: &mut Endpoint,
        session: SessionId,
        stream_id: u64,
        message: &Message,
    ) {
        let (Some(client), Some(mut view)) =
            (self.clients.get_mut(&session), endpoint.session(session))
        else {
            return;
        };
        let Ok(command) = Command::decode(message) else {
            self.stats.malformed += 1;
            return;
        };
        let outcome = client.on_command(now, &mut view, stream_id, &command, &self.protection);
        self.stats.connects += u64::from(outcome.has_connected);
        self.stats.malformed += u64::from(outcome.is_malformed);
        if let Some(addresses) = outcome.peer_info {
            self.registry.set_addresses(client.peer, addresses);
        }
        if client.is_choked() {
            self.stats.choked += 1;
            return self.disconnect(now, endpoint, session);
        }
        if let Some(request) = outcome.stream {
            self.on_stream_request(now, endpoint, session, request);
        }
    }

    fn on_user_control(
        &mut self,
        now: Instant,
        endpoint: &mut Endpoint,
        session: SessionId,
        flow: u64,
        message: &Message,
    ) {
        let (Some(client), Some(mut view)) =
            (self.clients.get_mut(&session), endpoint.session(session))
        else {
            return;
        };
        if let Ok(UserControl::FlowSync { id, count }) = UserControl::decode(&message.payload) {
            let released = client.on_barrier(now, &mut view, flow, id, count);
            self.go_on(now, endpoint, session, released);
        }
    }

    /// Flows that waited at a barrier have their way.
    fn go_on(
        &mut self,
        now: Instant,
        endpoint: &mut Endpoint,
        session: SessionId,
        released: Vec<(u64, VecDeque<Bytes>)>,
    ) {
        for (flow, messages) in released {
            if let Some(mut view) = endpoint.session(session) {
                view.suspend_flow(now, flow, false);
            }
            for message in messages {
                self.on_message(now, endpoint, session, flow, &message);
            }
        }
    }

    /// Ends a client's session from our side.
    fn disconnect(&mut self, now: Instant, endpoint: &mut Endpoint, session: SessionId) {
        if let Some(view) = endpoint.session(session) {
            view.close(now);
        }
        self.on_gone(now, endpoint, session);
    }

    fn on_group_message(
        &mut self,
        now: Instant,
        endpoint: &mut Endpoint,
        session: SessionId,
        flow: u64,
        data: &[u8],
    ) {
        let Some(client) = self.clients.get_mut(&session) else { return };
        let Some(ServerJoin(group)) = ServerJoin::decode(data) else {
            self.stats.malformed += 1;
            return;
        };
        let peer = client.peer;
        if !client.join(flow, group) {
            return;
        }
        self.stats.joins += 1;
        let neighbours = self.registry.join(group, peer);
        log::info!(
            "{peer:?} joins group {} ({} neighbours told)",
            hex(&group[..4]),
            neighbours.len()
        );
        for neighbour in neighbours {
            self.tell(now, endpoint, MemberHint { group, to: peer, about: neighbour });
            let hint = MemberHint { group, to: neighbour, about: peer };
            self.hints.push_back((now + NEIGHBOUR_DELAY, hint));
        }
    }

    /// Tells one member of another, if both are still there.
    fn tell(&mut self, now: Instant, endpoint: &mut Endpoint, hint: MemberHint) {
        if !self.registry.is_member(&hint.group, &hint.about) {
            return;
        }
        let Some(session) = endpoint.session_with(&hint.to) else { return };
        if let (Some(client), Some(mut view)) =
            (self.clients.get_mut(&session), endpoint.session(session))
        {
            client.tell_member(now, &mut view, &hint);
        }
    }

    fn on_flow_finished(
        &mut self,
        now: Instant,
        endpoint: &mut Endpoint,
        session: SessionId,
        flow: u64,
    ) {
        let Some(client) = self.clients.get_mut(&session) else { return };
        // RFC 7425 §5.3.6: the end of this flow is the connection's.
        if client.is_control(flow) {
            return self.disconnect(now, endpoint, session);
        }
        let peer = client.peer;
        if let Some(group) = client.group_left_with(flow) {
            self.registry.leave(&group, &peer);
        }
        if let Some(mut view) = endpoint.session(session) {
            client.on_flow_finished(now, &mut view, flow);
        }
    }

    /// A client takes no more of one of our flows: its stream is over, or the connection.
    fn on_flow_rejected(
        &mut self,
        now: Instant,
        endpoint: &mut Endpoint,
        session: SessionId,
        flow: u64,
    ) {
        let client = self.clients.get(&session);
        match client.and_then(|client| client.stream_of_answer(flow)) {
            Some(0) => self.disconnect(now, endpoint, session),
            Some(stream_id) => {
                self.on_stream_request(now, endpoint, session, StreamRequest::Close(stream_id));
            }
            None => {}
        }
    }

    /// Introductions go to the new address by themselves; the client may want to know it.
    fn on_address_changed(
        &mut self,
        now: Instant,
        endpoint: &mut Endpoint,
        session: SessionId,
        path: Path,
    ) {
        if let (Some(client), Some(mut view)) =
            (self.clients.get_mut(&session), endpoint.session(session))
        {
            log::info!("{} is at {} now", client.peer, path.remote);
            client.tell_address(now, &mut view, path.remote);
        }
    }

    /// A client's session is over: it publishes, plays and belongs to nothing any more.
    fn on_gone(&mut self, now: Instant, endpoint: &mut Endpoint, session: SessionId) {
        self.detach_all(now, endpoint, session);
        let Some(client) = self.clients.remove(&session) else { return };
        log::info!("{} is gone", client.peer);
        self.registry.leave_all(&client.peer);
    }

    /// RFC 7016 §3.5.1.6: the asker learns where the peer is, the peer that it is looked for.
    fn introduce(
        &mut self,
        now: Instant,
        endpoint: &mut Endpoint,
        from: Path,
        peer: PeerId,
        tag: &[u8],
    ) {
        let target =
            endpoint.session_with(&peer).filter(|session| self.clients.contains_key(session));
        let Some(mut view) = target.and_then(|session| endpoint.session(session)) else {
            self.stats.unknown_peers += 1;
            return;
        };
        self.stats.introductions += 1;
        let mut addresses = vec![Address::new(view.path().remote, Origin::Observed)];
        view.forward_hello(now, Address::new(from.remote, Origin::Observed), tag);
        addresses.extend(
            self.registry.addresses(&peer).iter().filter(|address| address.socket != from.remote),
        );
        endpoint.redirect(now, from, tag, &addresses);
    }
}

impl App for Server {
    type Command = std::convert::Infallible;

    fn on_event(&mut self, now: Instant, endpoint: &mut Endpoint, event: Event) {
        match event {
            Event::SessionOpened { session, peer, .. } => {
                self.clients.insert(session, Client::new(peer));
            }
            Event::SessionClosed { session, .. } => self.on_gone(now, endpoint, session),
            Event::AddressChanged { session, path } => {
                self.on_address_changed(now, endpoint, session, path);
            }
            Event::OpenFailed { .. } => {}
            Event::Wanted { from, peer, tag } => self.introduce(now, endpoint, from, peer, &tag),
            Event::Flow { session, event } => match event {
                FlowEvent::Opened { flow, metadata, .. } => {
                    self.on_flow_opened(now, endpoint, session, flow, &metadata);
                }
                FlowEvent::Message { flow, data } => {
                    self.on_message(now, endpoint, session, flow, &data)
                }
                FlowEvent::Finished { flow } => self.on_flow_finished(now, endpoint, session, flow),
                FlowEvent::Rejected { flow, .. } => {
                    self.on_flow_rejected(now, endpoint, session, flow);
                }
                FlowEvent::Gap { .. } => {}
            },
        }
    }

    fn on_command(&mut self, _now: Instant, _endpoint: &mut Endpoint, command: Self::Command) {
        match command {}
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.hints.front().map(|(at, _)| *at)
    }

    fn on_timeout(&mut self, now: Instant, endpoint: &mut Endpoint) {
        while let Some((_, hint)) = self.hints.pop_front_if(|(at, _)| *at <= now) {
            self.tell(now, endpoint, hint);
        }
    }
}
