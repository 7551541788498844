//! Groups over a real endpoint: one connection to a server and one session with each peer carry
//! any number of them, as a NetConnection carries many NetGroups. Still without I/O.

mod actions;
mod flows;
mod membership;
mod peers;
mod server_link;

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    net::SocketAddr,
    time::{Duration, Instant},
};

use rand::{RngExt, SeedableRng, rngs::StdRng};
use rtmfp::{
    CloseReason, Endpoint, Event, FlowEvent, Liveness, OpenFailure, PeerOpenings, ServerUrl,
    SessionId,
    crypto::PeerId,
    wire::{Address, Origin},
};

use crate::{
    Action, Group, GroupEvent, GroupSpec, Parting, PeerSession, Way,
    uplink::UplinkWatch,
    wire::{ServerMember, signature},
};
use membership::Membership;
use peers::{PeerLink, stranger_to_drop};
use server_link::{LinkEvent, ServerLink};

/// How often it is read off the sessions how long they take and what waits in them: while
/// something streams, and else.
const MEASURE_STREAMS: Duration = Duration::from_millis(100);
const MEASURE: Duration = Duration::from_secs(2);
/// For the endpoint of a node: neighbours are noticed to be gone soon, so that others take their
/// places.
pub const MEMBER_LIVENESS: Liveness =
    Liveness { keepalive: Duration::from_secs(5), give_up: Duration::from_secs(8) };
/// Groups that one node may be in.
const MAX_GROUPS: usize = 1024;

/// One of a node's groups.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GroupHandle(u32);

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
    /// Something happened in a group.
    Group {
        /// Which.
        group: GroupHandle,
        /// What.
        event: GroupEvent,
    },
}

/// A peer with its server connection, in any number of groups.
#[derive(Debug)]
pub struct Node {
    own: PeerId,
    server: ServerLink,
    /// The server's flows that name members.
    server_channels: BTreeMap<u64, GroupHandle>,
    memberships: BTreeMap<GroupHandle, Membership>,
    next_handle: u32,
    links: BTreeMap<SessionId, PeerLink>,
    openings: PeerOpenings,
    /// Which groups want a session that is not open yet.
    wishes: BTreeMap<PeerId, BTreeSet<GroupHandle>>,
    measure_at: Instant,
    uplink: UplinkWatch,
    events: VecDeque<NodeEvent>,
    rng: StdRng,
}

impl Node {
    /// A node that has not begun to connect, in no group. `servers` are the URL's addresses.
    pub fn new(
        now: Instant,
        own: PeerId,
        url: ServerUrl,
        servers: Vec<SocketAddr>,
        seed: [u8; 32],
    ) -> Self {
        Self {
            own,
            server: ServerLink::new(url, servers),
            server_channels: BTreeMap::new(),
            memberships: BTreeMap::new(),
            next_handle: 0,
            links: BTreeMap::new(),
            openings: PeerOpenings::default(),
            wishes: BTreeMap::new(),
            measure_at: now + MEASURE,
            uplink: UplinkWatch::default(),
            events: VecDeque::new(),
            rng: StdRng::from_seed(seed),
        }
    }

    /// Our interface addresses, for peers on our own network; before [`Node::start`].
    pub fn set_local_addresses(&mut self, local: Vec<SocketAddr>) {
        self.server.set_local_addresses(local);
    }

    /// Begins to connect to the server.
    pub fn start(&mut self, now: Instant, endpoint: &mut Endpoint) {
        self.server.start(now, endpoint);
    }

    /// Joins a group, now or when the server accepts us. Nothing if there are too many, or if we
    /// are in it.
    pub fn join(
        &mut self,
        now: Instant,
        endpoint: &mut Endpoint,
        spec: GroupSpec,
    ) -> Option<GroupHandle> {
        let is_known = self.by_id(&spec.group_id()).is_some();
        if is_known || self.memberships.len() >= MAX_GROUPS {
            return None;
        }
        let host = self.server.servers.first();
        let host = host.map(|server| Address::new(*server, Origin::Relay));
        let seed = std::array::from_fn(|_| self.rng.random());
        let handle = GroupHandle(self.next_handle);
        self.next_handle += 1;
        let mut membership = Membership::new(Group::new(now, self.own, spec, host, seed));
        if self.server.is_connected() {
            membership.join(now, endpoint, &self.server.connection);
        }
        self.memberships.insert(handle, membership);
        Some(handle)
    }

    /// Leaves a group: neighbours and server are told, and sessions that no other group wants are
    /// closed.
    pub fn leave(&mut self, now: Instant, endpoint: &mut Endpoint, group: GroupHandle) {
        let Some(mut membership) = self.memberships.remove(&group) else { return };
        membership.leave(now, endpoint, &self.server.connection);
        self.server_channels.retain(|_, of| *of != group);
        let sessions = self.links.iter().filter(|(_, link)| link.groups().contains(&group));
        for session in sessions.map(|(session, _)| *session).collect::<Vec<_>>() {
            self.leave_session(now, endpoint, session, group);
        }
        let wanted: Vec<PeerId> = self.wishes.keys().copied().collect();
        for peer in wanted {
            self.withdraw_wish(endpoint, peer, group);
        }
    }

    /// A group that we are in, to publish and subscribe; call [`Node::flush`] afterwards.
    pub fn group(&mut self, group: GroupHandle) -> Option<&mut Group> {
        self.memberships.get_mut(&group).map(|membership| &mut membership.group)
    }

    /// All groups that we are in, the first first.
    pub fn groups(&self) -> impl Iterator<Item = &Group> {
        self.memberships.values().map(|membership| &membership.group)
    }

    /// As [`Node::groups`], to publish; call [`Node::flush`] afterwards.
    pub fn groups_mut(&mut self) -> impl Iterator<Item = &mut Group> {
        self.memberships.values_mut().map(|membership| &mut membership.group)
    }

    /// Sessions with peers.
    pub fn session_count(&self) -> usize {
        self.links.len()
    }

    /// What happened, in order.
    pub fn poll_event(&mut self) -> Option<NodeEvent> {
        self.events.pop_front()
    }

    /// When [`Node::handle_timeout`] is wanted.
    pub fn poll_timeout(&self) -> Instant {
        let groups = self.memberships.values().map(Membership::poll_timeout);
        groups
            .chain(self.server.poll_timeout())
            .chain([self.measure_at])
            .min()
            .unwrap_or(self.measure_at)
    }

    /// Lets time pass.
    pub fn handle_timeout(&mut self, now: Instant, endpoint: &mut Endpoint) {
        for event in self.server.handle_timeout(now, endpoint) {
            self.on_link(now, endpoint, event);
        }
        if self.measure_at <= now {
            self.measure(now, endpoint);
        }
        for membership in self.memberships.values_mut() {
            if membership.poll_timeout() <= now {
                membership.handle_timeout(now, endpoint, &self.server.connection);
            }
        }
        self.flush(now, endpoint);
    }

    /// Tells groups what is known of the ways to their neighbours, and ends sessions that nobody
    /// has anything to do with.
    fn measure(&mut self, now: Instant, endpoint: &mut Endpoint) {
        self.measure_at = now + if self.has_streams() { MEASURE_STREAMS } else { MEASURE };
        let (mut overdue, mut look) = (Vec::new(), self.uplink.begin(now));
        for (session, link) in &mut self.links {
            if link.is_overdue(now) {
                overdue.push(*session);
            }
            let Some(mut view) = endpoint.session(*session) else { continue };
            let (rtt, window) = (view.rtt(), view.congestion_window());
            look.add(&mut link.losses, view.stats(), view.queueing(now));
            for handle in link.groups() {
                let backlog = link.media_flows(*handle).map(|flow| view.waiting_on(flow)).sum();
                if let Some(membership) = self.memberships.get_mut(handle) {
                    let way = Way { rtt, backlog, window: Some(window) };
                    membership.group.set_way(&link.peer, way);
                }
            }
        }
        let uplink = self.uplink.end(now, look);
        let streams = self.groups_mut().map(|group| group.streams().count()).sum();
        self.groups_mut().for_each(|group| group.set_uplink(uplink, streams));
        for session in overdue {
            self.close_session(now, endpoint, session);
        }
    }

    fn close_session(&mut self, now: Instant, endpoint: &mut Endpoint, session: SessionId) {
        self.links.remove(&session);
        if let Some(view) = endpoint.session(session) {
            view.close(now);
        }
    }

    /// Takes in an event of the endpoint.
    pub fn on_event(&mut self, now: Instant, endpoint: &mut Endpoint, event: Event) {
        if let Some(event) = self.server.on_event(now, endpoint, &event) {
            self.on_link(now, endpoint, event);
        }
        match event {
            Event::SessionOpened { session, peer, is_responder } => {
                self.on_session(now, endpoint, session, peer, is_responder);
            }
            Event::OpenFailed { session, reason } => {
                self.on_open_failed(now, endpoint, session, reason);
            }
            Event::SessionClosed { session, reason } => self.on_closed(now, session, reason),
            Event::Flow { session, event } if self.server.connection.is_with(session) => {
                self.on_server_flow(now, endpoint, session, event);
            }
            Event::Flow { session, event } => self.on_peer_flow(now, endpoint, session, event),
            Event::AddressChanged { .. } | Event::Wanted { .. } => {}
        }
        self.flush(now, endpoint);
    }

    fn on_link(&mut self, now: Instant, endpoint: &mut Endpoint, event: LinkEvent) {
        self.events.push_back(match event {
            LinkEvent::Connected => {
                for membership in self.memberships.values_mut() {
                    membership.join(now, endpoint, &self.server.connection);
                }
                NodeEvent::Connected
            }
            LinkEvent::Lost => {
                self.server_channels.clear();
                self.memberships.values_mut().for_each(Membership::on_server_lost);
                NodeEvent::ServerLost
            }
            LinkEvent::Refused(why) => NodeEvent::Refused(why),
            LinkEvent::NoAnswer => NodeEvent::NoAnswer,
            LinkEvent::OtherServer(peer) => NodeEvent::OtherServer(peer),
        });
    }

    fn on_server_flow(
        &mut self,
        now: Instant,
        endpoint: &mut Endpoint,
        session: SessionId,
        event: FlowEvent,
    ) {
        match event {
            FlowEvent::Opened { flow, metadata, association }
                if metadata == signature::SERVER_CHANNEL =>
            {
                let answers = |membership: &Membership| membership.is_answered_by(association);
                let found = self.memberships.iter().find(|(_, membership)| answers(membership));
                if let Some((handle, _)) = found {
                    self.server_channels.insert(flow, *handle);
                }
            }
            FlowEvent::Opened { flow, .. } if !self.server.connection.is_control(flow) => {
                if let Some(mut view) = endpoint.session(session) {
                    view.reject_flow(now, flow, 0);
                }
            }
            FlowEvent::Message { flow, data } => {
                if let Some(handle) = self.server_channels.get(&flow)
                    && let Some(ServerMember(peer)) = ServerMember::decode(&data)
                    && let Some(membership) = self.memberships.get_mut(handle)
                {
                    membership.group.hint(now, peer);
                }
            }
            FlowEvent::Finished { flow } => {
                self.server_channels.remove(&flow);
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
        let was_wanted = self.openings.on_opened(&peer);
        // Ours are the sessions that peers opened, and those that a group asked for; never the
        // server's, whoever names it as a member.
        if !(is_responder || was_wanted) || self.server.connection.is_with(session) {
            return;
        }
        if let Some(oldest) = stranger_to_drop(&self.links) {
            self.close_session(now, endpoint, oldest);
        }
        self.links.insert(session, PeerLink::new(now, peer));
        for group in self.wishes.remove(&peer).unwrap_or_default() {
            self.enter(now, endpoint, session, group, true);
        }
    }

    /// A group has to do with a session now: because it wanted it, or because the peer did.
    fn enter(
        &mut self,
        now: Instant,
        endpoint: &mut Endpoint,
        session: SessionId,
        group: GroupHandle,
        is_initiator: bool,
    ) {
        let (Some(link), Some(mut view)) =
            (self.links.get_mut(&session), endpoint.session(session))
        else {
            return;
        };
        let Some(membership) = self.memberships.get_mut(&group) else { return };
        if !link.enter(group) {
            return;
        }
        let (near_nonce, far_nonce) = view.nonces();
        let remote = view.path().remote;
        let rtt = view.rtt();
        let session = PeerSession { is_initiator, near_nonce, far_nonce, remote };
        membership.group.handle_peer_opened(now, link.peer, session);
        membership.group.set_way(&link.peer, Way { rtt, ..Way::default() });
    }

    fn on_open_failed(
        &mut self,
        now: Instant,
        endpoint: &mut Endpoint,
        session: SessionId,
        reason: OpenFailure,
    ) {
        let Some(peer) = self.openings.on_failed(endpoint, session, reason) else { return };
        for group in self.wishes.remove(&peer).unwrap_or_default() {
            if let Some(membership) = self.memberships.get_mut(&group) {
                membership.group.handle_connect_failed(now, &peer);
            }
        }
    }

    fn on_closed(&mut self, now: Instant, session: SessionId, reason: CloseReason) {
        let Some(link) = self.links.remove(&session) else { return };
        let parting = match reason {
            CloseReason::Far | CloseReason::Near => Parting::Left,
            CloseReason::TimedOut | CloseReason::Replaced => Parting::Lost,
        };
        for group in link.groups() {
            if let Some(membership) = self.memberships.get_mut(group) {
                membership.group.handle_peer_closed(now, &link.peer, parting);
            }
        }
    }

    fn by_id(&self, id: &[u8; 32]) -> Option<GroupHandle> {
        let is_it = |membership: &Membership| membership.group.spec().group_id() == *id;
        self.memberships.iter().find(|(_, membership)| is_it(membership)).map(|(handle, _)| *handle)
    }

    /// Does what the groups want, and collects what they say.
    pub fn flush(&mut self, now: Instant, endpoint: &mut Endpoint) {
        while let Some((group, action)) = self.next_action() {
            self.act(now, endpoint, group, action);
        }
        if self.measure_at > now + MEASURE_STREAMS && self.has_streams() {
            self.measure_at = now + MEASURE_STREAMS;
        }
        for (group, membership) in &mut self.memberships {
            let events = std::iter::from_fn(|| membership.group.poll_event());
            self.events.extend(events.map(|event| NodeEvent::Group { group: *group, event }));
        }
    }

    fn has_streams(&self) -> bool {
        self.memberships.values().any(|membership| membership.group.has_streams())
    }

    fn next_action(&mut self) -> Option<(GroupHandle, Action)> {
        self.memberships.iter_mut().find_map(|(group, membership)| {
            membership.group.poll_action().map(|action| (*group, action))
        })
    }
}
