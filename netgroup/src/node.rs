//! A group over a real endpoint: server connection, sessions and flows. Still without I/O.

use std::{
    collections::{BTreeMap, VecDeque},
    net::SocketAddr,
    time::{Duration, Instant},
};

use bytes::Bytes;
use rtmfp::{
    Connection, ConnectionEvent, Endpoint, Event, FlowEvent, FlowOptions, OpenError, ReceiveOrder,
    ServerUrl, SessionId,
    crypto::{Discriminator, PeerId},
    wire::{Address, Origin},
};

use crate::{
    Action, Channel, Group, GroupEvent, GroupSpec, Incoming, PeerSession,
    wire::{ServerJoin, ServerMember, StreamKey, signature},
};

/// A server that has not accepted us by then is not there now.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Its silence is spoken of by then, and whoever is there in place of a pinned one asked for its name.
const COMPLAIN: Duration = Duration::from_secs(4);
/// It is tried again after this, for ever; neighbours stay.
const RECONNECT: Duration = Duration::from_secs(5);
/// A neighbour that takes our fragments more slowly than this much is sent no more for now.
const MAX_UNSENT_MEDIA: usize = 8 << 20;
/// How often round trip times are read off the sessions.
const MEASURE: Duration = Duration::from_secs(2);

/// What a node tells its application.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NodeEvent {
    /// The server accepted us, and we joined.
    Connected,
    /// The server refuses us, in its own words. It is not tried again.
    Refused(String),
    /// No answer yet; the server is tried for ever. Said once.
    NoAnswer,
    /// There is a server, but not the one whose fingerprint was asked for: this is its own.
    OtherServer(PeerId),
    /// The server is gone; it is tried again.
    ServerLost,
    /// Something happened in the group.
    Group(GroupEvent),
}

/// Counters of a node.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct NodeStats {
    /// Fragments not sent because a neighbour was too slow.
    pub fragments_withheld: u64,
}

#[derive(Debug)]
struct Link {
    peer: PeerId,
    /// Our flows by what they are for.
    channels: BTreeMap<Channel, u64>,
}

/// A member of a group with its server connection.
#[derive(Debug)]
pub struct Node {
    url: ServerUrl,
    servers: Vec<SocketAddr>,
    local: Vec<SocketAddr>,
    connection: Connection,
    /// The server's flow that names members.
    server_channel: Option<u64>,
    was_connected: bool,
    /// Asks whoever is there for its name, when the server that was pinned does not answer.
    probe: Option<SessionId>,
    connect_by: Option<Instant>,
    /// Until it was spoken of.
    complain_at: Option<Instant>,
    reconnect_at: Option<Instant>,
    measure_at: Instant,
    group: Group,
    links: BTreeMap<SessionId, Link>,
    opening: BTreeMap<SessionId, PeerId>,
    events: VecDeque<NodeEvent>,
    stats: NodeStats,
}

impl Node {
    /// A node that has not begun to connect. `servers` are the URL's addresses.
    pub fn new(
        now: Instant,
        own: PeerId,
        url: ServerUrl,
        servers: Vec<SocketAddr>,
        spec: GroupSpec,
        seed: [u8; 32],
    ) -> Self {
        let host = servers.first().map(|server| Address::new(*server, Origin::Relay));
        let connection = Connection::new(url.clone(), servers.clone(), Vec::new());
        Self {
            url,
            servers,
            local: Vec::new(),
            connection,
            server_channel: None,
            was_connected: false,
            probe: None,
            connect_by: None,
            complain_at: None,
            reconnect_at: None,
            measure_at: now + MEASURE,
            group: Group::new(now, own, spec, host, seed),
            links: BTreeMap::new(),
            opening: BTreeMap::new(),
            events: VecDeque::new(),
            stats: NodeStats::default(),
        }
    }

    /// Our interface addresses, for peers on our own network; before [`Node::start`].
    pub fn set_local_addresses(&mut self, local: Vec<SocketAddr>) {
        self.connection = Connection::new(self.url.clone(), self.servers.clone(), local.clone());
        self.local = local;
    }

    /// Begins to connect to the server.
    pub fn start(&mut self, now: Instant, endpoint: &mut Endpoint) {
        self.connect_by = Some(now + CONNECT_TIMEOUT);
        self.complain_at = Some(now + COMPLAIN);
        self.connection.open(now, endpoint);
    }

    /// The group, to publish and subscribe; call [`Node::flush`] afterwards.
    pub fn group(&mut self) -> &mut Group {
        &mut self.group
    }

    /// Counters so far.
    pub fn stats(&self) -> NodeStats {
        self.stats
    }

    /// What happened, in order.
    pub fn poll_event(&mut self) -> Option<NodeEvent> {
        self.events.pop_front()
    }

    /// When [`Node::handle_timeout`] is wanted.
    pub fn poll_timeout(&self) -> Instant {
        let connection = self.connection.poll_timeout();
        let timers = [self.connect_by, self.complain_at, self.reconnect_at, connection];
        let own = timers.into_iter().chain([Some(self.group.poll_timeout())]);
        own.flatten().min().unwrap_or(self.measure_at).min(self.measure_at)
    }

    /// Lets time pass.
    pub fn handle_timeout(&mut self, now: Instant, endpoint: &mut Endpoint) {
        if self.connect_by.is_some_and(|at| at <= now) {
            self.connect_by = None;
            self.reconnect_at = Some(now + RECONNECT);
        }
        if self.complain_at.is_some_and(|at| at <= now) {
            self.complain_at = None;
            self.complain(now, endpoint);
        }
        if let Some(event) = self.connection.handle_timeout(now, endpoint) {
            self.on_connection(now, endpoint, event);
        }
        if self.reconnect_at.is_some_and(|at| at <= now) {
            self.reconnect_at = None;
            self.connection.cancel(now, endpoint);
            self.connection =
                Connection::new(self.url.clone(), self.servers.clone(), self.local.clone());
            self.connect_by = Some(now + CONNECT_TIMEOUT);
            if !self.connection.open(now, endpoint) {
                self.reconnect_at = Some(now + RECONNECT);
            }
        }
        if self.measure_at <= now {
            self.measure_at = now + MEASURE;
            self.measure(endpoint);
        }
        self.group.handle_timeout(now);
        self.flush(now, endpoint);
    }

    /// Whoever is there instead of a server that was pinned has its say first.
    fn complain(&mut self, now: Instant, endpoint: &mut Endpoint) {
        if self.connection.is_pinned() && self.probe.is_none() {
            let anybody = Discriminator::AncillaryData(self.url.to_string().into_bytes());
            self.probe = endpoint.open(now, anybody, &self.servers).ok();
            self.complain_at = Some(now + COMPLAIN);
        } else {
            self.events.push_back(NodeEvent::NoAnswer);
        }
    }

    fn measure(&mut self, endpoint: &mut Endpoint) {
        for (session, link) in &self.links {
            if let Some(rtt) = endpoint.session(*session).and_then(|mut view| view.rtt()) {
                self.group.set_rtt(&link.peer, rtt);
            }
        }
    }

    /// Takes in an event of the endpoint.
    pub fn on_event(&mut self, now: Instant, endpoint: &mut Endpoint, event: Event) {
        if let Some(event) = self.connection.on_event(now, endpoint, &event) {
            self.on_connection(now, endpoint, event);
        }
        match event {
            Event::SessionOpened { session, peer, .. } if self.probe == Some(session) => {
                self.probe = None;
                if let Some(view) = endpoint.session(session) {
                    view.close(now);
                }
                self.events.push_back(NodeEvent::OtherServer(peer));
            }
            Event::SessionOpened { session, peer, is_responder } => {
                self.on_session(now, endpoint, session, peer, is_responder);
            }
            Event::OpenFailed { session, .. } => {
                if let Some(peer) = self.opening.remove(&session)
                    && endpoint.session_with(&peer).is_none()
                {
                    self.group.handle_connect_failed(now, &peer);
                }
            }
            Event::SessionClosed { session, .. } => {
                if let Some(link) = self.links.remove(&session) {
                    self.group.handle_peer_closed(now, &link.peer);
                }
            }
            Event::Flow { session, event } if self.connection.is_with(session) => {
                self.on_server_flow(now, endpoint, session, event);
            }
            Event::Flow { session, event } => self.on_peer_flow(now, endpoint, session, event),
            Event::AddressChanged { .. } | Event::Wanted { .. } => {}
        }
        self.flush(now, endpoint);
    }

    fn on_connection(&mut self, now: Instant, endpoint: &mut Endpoint, event: ConnectionEvent) {
        match event {
            ConnectionEvent::Connected => {
                (self.connect_by, self.complain_at, self.reconnect_at) = (None, None, None);
                self.was_connected = true;
                self.join_group(now, endpoint);
                self.events.push_back(NodeEvent::Connected);
            }
            ConnectionEvent::Rejected(why) if !self.was_connected => {
                (self.connect_by, self.complain_at, self.reconnect_at) = (None, None, None);
                self.events.push_back(NodeEvent::Refused(why));
            }
            ConnectionEvent::Rejected(_) | ConnectionEvent::Unreachable => {
                self.reconnect_at = Some(now + RECONNECT);
            }
            ConnectionEvent::Command(_) => {}
            ConnectionEvent::Closed(_) => {
                self.server_channel = None;
                self.reconnect_at = Some(now + RECONNECT);
                self.events.push_back(NodeEvent::ServerLost);
            }
        }
    }

    fn join_group(&mut self, now: Instant, endpoint: &mut Endpoint) {
        let (Some(session), association) =
            (self.connection.session(), self.connection.server_control())
        else {
            return;
        };
        let Some(mut view) = endpoint.session(session) else { return };
        let join = ServerJoin(self.group.spec().group_id()).encode();
        let flow = view.open_flow(signature::SERVER_CHANNEL, association, FlowOptions::CONTROL);
        let _ = view.send(now, flow, join.into(), None);
    }

    fn on_server_flow(
        &mut self,
        now: Instant,
        endpoint: &mut Endpoint,
        session: SessionId,
        event: FlowEvent,
    ) {
        match event {
            FlowEvent::Opened { flow, metadata, .. } if metadata == signature::SERVER_CHANNEL => {
                self.server_channel = Some(flow);
            }
            FlowEvent::Opened { flow, .. } if !self.connection.is_control(flow) => {
                if let Some(mut view) = endpoint.session(session) {
                    view.reject_flow(now, flow, 0);
                }
            }
            FlowEvent::Message { flow, data } if Some(flow) == self.server_channel => {
                if let Some(ServerMember(peer)) = ServerMember::decode(&data) {
                    self.group.hint(now, peer);
                }
            }
            _ => {}
        }
    }

    fn on_session(
        &mut self,
        now: Instant,
        endpoint: &mut Endpoint,
        session: SessionId,
        peer: PeerId,
        is_responder: bool,
    ) {
        let was_wanted = self.opening.remove(&session).is_some();
        // Ours are the sessions that peers opened, and those that the group asked for.
        if !is_responder && !was_wanted {
            return;
        }
        let Some(mut view) = endpoint.session(session) else { return };
        let (near_nonce, far_nonce) = view.nonces();
        let remote = view.path().remote;
        self.links.insert(session, Link { peer, channels: BTreeMap::new() });
        let session = PeerSession { is_initiator: !is_responder, near_nonce, far_nonce, remote };
        self.group.handle_peer_opened(now, peer, session);
    }

    fn on_peer_flow(
        &mut self,
        now: Instant,
        endpoint: &mut Endpoint,
        session: SessionId,
        event: FlowEvent,
    ) {
        let Some(link) = self.links.get_mut(&session) else { return };
        let peer = link.peer;
        match event {
            FlowEvent::Opened { flow, metadata, association } => {
                let kind = link.classify(&metadata, association);
                let Some(mut view) = endpoint.session(session) else { return };
                match kind {
                    Some(kind) => {
                        if matches!(kind, Incoming::Media(_)) {
                            view.set_receive_order(flow, ReceiveOrder::Network);
                        }
                        self.group.handle_flow_opened(peer, flow, kind);
                    }
                    None => view.reject_flow(now, flow, 0),
                }
            }
            FlowEvent::Message { flow, data } => self.group.handle_message(now, peer, flow, data),
            FlowEvent::Finished { flow } => self.group.handle_flow_finished(now, peer, flow),
            // Fragments have numbers of their own.
            FlowEvent::Gap { .. } => {}
            FlowEvent::Rejected { flow, .. } => {
                if let Some(channel) = link.channel_of(flow) {
                    link.channels.remove(&channel);
                    self.group.handle_flow_rejected(now, peer, channel);
                }
            }
        }
    }

    /// Does what the group wants, and collects what it says.
    pub fn flush(&mut self, now: Instant, endpoint: &mut Endpoint) {
        while let Some(action) = self.group.poll_action() {
            self.act(now, endpoint, action);
        }
        while let Some(event) = self.group.poll_event() {
            self.events.push_back(NodeEvent::Group(event));
        }
    }

    fn act(&mut self, now: Instant, endpoint: &mut Endpoint, action: Action) {
        match action {
            Action::Connect { peer, addresses } => self.connect(now, endpoint, peer, &addresses),
            Action::Disconnect { peer } => {
                let opening = self.opening.iter().find(|(_, wanted)| **wanted == peer);
                if let Some(session) = opening.map(|(session, _)| *session) {
                    endpoint.cancel_open(session);
                }
                if let Some(session) = endpoint.session_with(&peer) {
                    self.links.remove(&session);
                    if let Some(view) = endpoint.session(session) {
                        view.close(now);
                    }
                }
            }
            Action::Send { peer, channel, association, message, deadline } => {
                self.send(now, endpoint, peer, channel, association, message, deadline);
            }
            Action::Reject { peer, flow } => {
                if let Some(mut view) =
                    endpoint.session_with(&peer).and_then(|session| endpoint.session(session))
                {
                    view.reject_flow(now, flow, 0);
                }
            }
        }
    }

    fn connect(
        &mut self,
        now: Instant,
        endpoint: &mut Endpoint,
        peer: PeerId,
        addresses: &[SocketAddr],
    ) {
        let candidates: Vec<SocketAddr> = self.servers.iter().chain(addresses).copied().collect();
        match endpoint.open(now, Discriminator::Fingerprint(peer), &candidates) {
            Ok(session) => {
                self.opening.insert(session, peer);
            }
            // It opened one to us meanwhile, and we shall hear of it.
            Err(OpenError::Exists(_)) => {}
            Err(OpenError::TooMany | OpenError::Ourselves) => {
                self.group.handle_connect_failed(now, &peer)
            }
        }
    }

    #[expect(clippy::too_many_arguments, reason = "an action's fields")]
    fn send(
        &mut self,
        now: Instant,
        endpoint: &mut Endpoint,
        peer: PeerId,
        channel: Channel,
        association: Option<u64>,
        message: Bytes,
        deadline: Option<Instant>,
    ) {
        let Some(session) = endpoint.session_with(&peer) else { return };
        let (Some(link), Some(mut view)) =
            (self.links.get_mut(&session), endpoint.session(session))
        else {
            return;
        };
        let flow = *link.channels.entry(channel).or_insert_with(|| {
            let (metadata, options) = match channel {
                Channel::Control => (signature::CONTROL, FlowOptions::CONTROL),
                Channel::MediaControl(_) => (signature::MEDIA_CONTROL, FlowOptions::CONTROL),
                Channel::Media(_) => (signature::MEDIA, FlowOptions::default()),
            };
            view.open_flow(metadata, association, options)
        });
        if deadline.is_some() && view.buffered_on(flow) > MAX_UNSENT_MEDIA {
            self.stats.fragments_withheld += 1;
            return;
        }
        let _ = view.send(now, flow, message, deadline);
    }
}

impl Link {
    fn channel_of(&self, flow: u64) -> Option<Channel> {
        self.channels.iter().find(|(_, id)| **id == flow).map(|(channel, _)| *channel)
    }

    /// What a flow of the peer is for; nothing if we do not know it.
    fn classify(&self, metadata: &[u8], association: Option<u64>) -> Option<Incoming> {
        match metadata {
            signature::CONTROL => Some(Incoming::Control),
            signature::MEDIA_CONTROL => Some(Incoming::MediaControl),
            signature::MEDIA => self.stream_answered(association?).map(Incoming::Media),
            _ => None,
        }
    }

    fn stream_answered(&self, flow: u64) -> Option<StreamKey> {
        match self.channel_of(flow)? {
            Channel::MediaControl(key) => Some(key),
            _ => None,
        }
    }
}
