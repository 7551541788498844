//! One RTMFP endpoint: all sessions behind one identity. RFC 7016 §3.

mod budget;
mod config;
mod cookie;
mod critical;
mod fragments;
mod incoming;
mod initiator;
mod opening;
mod responder;
mod session_mut;
mod startup;
mod stats;
mod table;
mod transmit;

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use rand::{Rng, SeedableRng, rngs::StdRng};

pub use config::{Config, Passwords, ProtectionRule, ProtectionRules};
pub use initiator::OpenError;
pub use session_mut::SessionMut;
pub use stats::EndpointStats;
pub use transmit::Transmit;

use crate::{
    crypto::{Finished, Identity, PacketKeys, PeerId, session_id_of},
    event::{CloseReason, Event, OpenFailure, SessionId},
    path::{Ecn, Path},
    session::{Liveness, MobilityChecks},
};
use budget::Budget;
use cookie::CookieJar;
use critical::CriticalMemory;
use fragments::Fragments;
use startup::StartupQueue;
use table::{Slot, Table};

/// An endpoint as a state machine; see the crate's documentation for its contract.
#[derive(Debug)]
pub struct Endpoint {
    config: Config,
    identity: Identity,
    epoch: Instant,
    rng: StdRng,
    default_keys: PacketKeys,
    cookies: CookieJar,
    mobility: MobilityChecks,
    fragments: Fragments,
    answers: Budget,
    keyings: Budget,
    table: Table,
    startup: StartupQueue,
    /// The train being made.
    train: Vec<Finished>,
    /// A packet that did not fit the train it was made for.
    held: Option<(Path, Vec<u8>)>,
    events: VecDeque<Event>,
    critical: CriticalMemory,
    stats: EndpointStats,
}

impl Endpoint {
    /// An endpoint without sessions. `seed` must be secret and never used twice, except in tests.
    pub fn new(config: Config, identity: Identity, now: Instant, seed: [u8; 32]) -> Self {
        let mut rng = StdRng::from_seed(seed);
        Self {
            config,
            identity,
            epoch: now,
            default_keys: PacketKeys::default(),
            cookies: CookieJar::new(now, &mut rng),
            mobility: MobilityChecks::new(now, &mut rng),
            fragments: Fragments::default(),
            answers: Budget::new(now, ANSWERS_A_SECOND, ANSWERS_AT_ONCE, &mut rng),
            keyings: Budget::new(now, KEYINGS_A_SECOND, KEYINGS_AT_ONCE, &mut rng),
            table: Table::new(rng.next_u64()),
            rng,
            startup: StartupQueue::default(),
            train: Vec::new(),
            held: None,
            events: VecDeque::new(),
            critical: CriticalMemory::default(),
            stats: EndpointStats::default(),
        }
    }

    /// Our own fingerprint.
    pub fn peer_id(&self) -> PeerId {
        self.identity.peer_id()
    }

    /// How sessions are kept alive, unless something else is asked for one of them.
    pub fn liveness(&self) -> Liveness {
        self.config.liveness
    }

    /// Counters since birth, and how many sessions there are now.
    pub fn stats(&self) -> EndpointStats {
        EndpointStats { sessions: self.table.len(), ..self.stats }
    }

    /// A view of an open session, for commands.
    pub fn session(&mut self, id: SessionId) -> Option<SessionMut<'_>> {
        SessionMut::new(&mut self.table, &mut self.events, id)
    }

    /// All open sessions that the application has heard of.
    pub fn open_sessions(&mut self) -> Vec<SessionId> {
        let mut open = self.table.ids();
        open.retain(|id| {
            matches!(
                self.table.get_mut(*id),
                Some(Slot::Session(session)) if session.is_announced && session.is_open()
            )
        });
        open
    }

    /// The open session with this peer.
    pub fn session_with(&self, peer: &PeerId) -> Option<SessionId> {
        self.table.by_peer(peer)
    }

    /// Takes in a datagram; it is decrypted in place. Work is bounded by its size.
    pub fn handle_datagram(&mut self, now: Instant, from: Path, mark: Ecn, datagram: &mut [u8]) {
        self.stats.datagrams_received += 1;
        let Some(session) = session_id_of(datagram) else {
            self.stats.dropped_malformed += 1;
            return;
        };
        if session == 0 {
            self.handle_startup(now, from, datagram);
            return;
        }
        let id = SessionId(session);
        match self.table.get_mut(id) {
            None => self.stats.dropped_unknown_session += 1,
            Some(Slot::Opening(_)) => self.handle_while_opening(now, id, from, datagram),
            Some(Slot::Session(_)) => self.handle_in_session(now, id, from, mark, datagram),
        }
    }

    /// Forgets a session; the application hears of it if it knew it and has not heard yet.
    fn end_session(&mut self, id: SessionId, reason: Option<CloseReason>) {
        let is_known = matches!(
            self.table.get_mut(id),
            Some(Slot::Session(session)) if session.is_announced
        );
        self.table.remove(id);
        if let Some(reason) = reason.filter(|_| is_known) {
            self.events.push_back(Event::SessionClosed { session: id, reason });
        }
    }

    /// The far end holds its certificate's keys: the session is the one known by that name, and
    /// the application hears of it. Others with the same peer are over.
    fn announce(&mut self, now: Instant, id: SessionId) {
        let Some(Slot::Session(session)) = self.table.get_mut(id) else { return };
        if std::mem::replace(&mut session.is_announced, true) {
            return;
        }
        let (peer, is_responder) = (session.far.certificate.peer_id(), session.is_responder());
        if let Some(older) = self.table.prove(id, peer) {
            self.end_session(older, Some(CloseReason::Replaced));
        }
        self.stats.sessions_opened += 1;
        self.events.push_back(Event::SessionOpened { session: id, peer, is_responder });
        for opening in self.table.openings_to(&peer) {
            self.fail_open(opening, OpenFailure::Superseded(id));
        }
        self.table.touch(now, id);
    }

    /// Lets time pass: call when [`Self::poll_timeout`] is due.
    pub fn handle_timeout(&mut self, now: Instant) {
        for id in self.table.take_due(now) {
            match self.table.get_mut(id) {
                None => {}
                Some(Slot::Opening(_)) => self.handle_opening_timeout(now, id),
                Some(Slot::Session(session)) => {
                    let was_open = session.is_open();
                    let path = session.path();
                    if let Some(probe) = session.due_size_probe(now) {
                        self.startup.push(path, probe);
                    }
                    if let Some(reason) = session.handle_timeout(now) {
                        self.end_session(id, was_open.then_some(reason));
                    }
                }
            }
            self.table.touch(now, id);
        }
    }

    /// What happened, oldest first.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// When to call [`Self::handle_timeout`]; may be early, never late.
    pub fn poll_timeout(&mut self) -> Option<Instant> {
        self.table.next_due()
    }

    /// Begins an orderly close of everything; poll on until [`EndpointStats::sessions`] is 0 or
    /// patience ends.
    pub fn close_all(&mut self, now: Instant) {
        for id in self.table.ids() {
            match self.table.get_mut(id) {
                Some(Slot::Session(session)) => session.close(now),
                Some(Slot::Opening(_)) => self.table.remove(id),
                None => {}
            }
            self.table.touch(now, id);
        }
    }
}

/// Answers to startup packets, which may go to whom a forger names. A school behind one address
/// gets along with that; a victim of reflection is sent 200 kB/s at most.
const ANSWERS_A_SECOND: f32 = 1000.0;
const ANSWERS_AT_ONCE: f32 = 4000.0;
/// Key agreements, each a third of a millisecond of work in group 2 and six in group 16.
const KEYINGS_A_SECOND: f32 = 100.0;
const KEYINGS_AT_ONCE: f32 = 400.0;

/// RFC 7016 §3.5.1.1.1: how long an opening session may take, and a cookie is good.
pub(crate) const OPEN_TIMEOUT: Duration = Duration::from_secs(95);
