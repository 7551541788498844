//! A peer that is there as long as the command runs: its server is tried for ever.

use std::{
    collections::BTreeMap,
    sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel},
    time::{Duration, Instant},
};

use rtmfp::{ServerUrl, crypto::PeerId};

use crate::{
    Error,
    flv::Tag,
    peer::{Member, MemberEvent, MemberId, Peer, PeerEvent, SharedStats},
    say::{say, warn},
    status::Connection,
};

/// A server whose name is not known is looked up again this often.
const RESOLVE_AGAIN: Duration = Duration::from_secs(5);

/// What its owner must know; the rest is said and done here.
#[derive(Debug)]
pub enum LinkEvent {
    /// The server accepted us, for the first time.
    Connected,
    /// Something happened on a channel.
    Member(MemberId, MemberEvent),
    /// Somebody called [`Waker::wake`].
    Woken,
}

/// What reaches the owner's thread.
#[derive(Debug)]
enum Inlet {
    Peer(PeerEvent),
    Woken,
}

/// Ends a wait from elsewhere.
#[derive(Debug, Clone)]
pub struct Waker(Sender<Inlet>);

impl Waker {
    /// The owner looks after everything once more.
    pub fn wake(&self) {
        let _ = self.0.send(Inlet::Woken);
    }
}

/// A peer, and the trouble of having one.
#[derive(Debug)]
pub struct Link {
    server: ServerUrl,
    sender: Sender<Inlet>,
    inlet: Receiver<Inlet>,
    peer: Option<Peer>,
    start_at: Instant,
    members: BTreeMap<MemberId, (Member, SharedStats)>,
    next_member: u32,
    connection: Connection,
    was_connected: bool,
    has_complained: bool,
}

impl Link {
    /// Nothing is done before it is polled.
    pub fn new(server: ServerUrl) -> Self {
        let (sender, inlet) = channel();
        let now = Instant::now();
        Self {
            server,
            sender,
            inlet,
            peer: None,
            start_at: now,
            members: BTreeMap::new(),
            next_member: 0,
            connection: Connection::new(now),
            was_connected: false,
            has_complained: false,
        }
    }

    /// The server.
    pub fn server(&self) -> &ServerUrl {
        &self.server
    }

    /// Whether the server has us, for whoever shows it.
    pub fn connection(&self) -> &Connection {
        &self.connection
    }

    /// Our fingerprint, once there is a peer.
    pub fn peer_id(&self) -> Option<PeerId> {
        self.peer.as_ref().map(Peer::id)
    }

    /// Whether it ever had.
    pub fn was_connected(&self) -> bool {
        self.was_connected
    }

    /// For other threads.
    pub fn waker(&self) -> Waker {
        Waker(self.sender.clone())
    }

    /// Joins a group, in which nobody else of this process may be.
    pub fn join(&mut self, member: Member) -> Result<(MemberId, SharedStats), Error> {
        let group = member.group.group_id();
        if self.members.values().any(|(other, _)| other.group.group_id() == group) {
            return Err(Error::SameGroup(member.group.to_string()));
        }
        let (id, stats) = (MemberId(self.next_member), SharedStats::default());
        self.next_member += 1;
        if let Some(peer) = &self.peer {
            peer.join(id, member.clone(), stats.clone());
        }
        self.members.insert(id, (member, stats.clone()));
        Ok((id, stats))
    }

    /// The group that a member is in.
    pub fn group_of(&self, id: MemberId) -> Option<[u8; 32]> {
        self.members.get(&id).map(|(member, _)| member.group.group_id())
    }

    /// Publishes a tag; it is lost while there is no peer.
    pub fn publish(&self, id: MemberId, tag: Tag) {
        if let Some(peer) = &self.peer {
            peer.publish(id, tag);
        }
    }

    /// Ends our broadcast.
    pub fn finish(&self, id: MemberId) {
        if let Some(peer) = &self.peer {
            peer.finish(id);
        }
    }

    /// Leaves a group.
    pub fn leave(&mut self, id: MemberId) {
        self.members.remove(&id);
        if let Some(peer) = &self.peer {
            peer.leave(id);
        }
    }

    /// Waits for the next event, `patience` at most. An error is what no patience mends.
    pub fn poll(&mut self, patience: Duration) -> Result<Option<LinkEvent>, Error> {
        self.start_if_due()?;
        match self.inlet.recv_timeout(patience) {
            Ok(Inlet::Peer(event)) => self.take(event),
            Ok(Inlet::Woken) => Ok(Some(LinkEvent::Woken)),
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {
                match self.peer.take_if(|peer| !peer.is_running()) {
                    Some(peer) => Err(peer.stop().err().unwrap_or(Error::NetworkThread)),
                    None => Ok(None),
                }
            }
        }
    }

    fn start_if_due(&mut self) -> Result<(), Error> {
        if self.peer.is_some() || Instant::now() < self.start_at {
            return Ok(());
        }
        let events = self.sender.clone();
        let started = Peer::start(self.server.clone(), move |event| {
            let _ = events.send(Inlet::Peer(event));
        });
        match started {
            Ok(peer) => {
                for (id, (member, stats)) in &self.members {
                    peer.join(*id, member.clone(), stats.clone());
                }
                self.peer = Some(peer);
            }
            Err(error @ Error::Resolve(..)) => {
                self.start_at = Instant::now() + RESOLVE_AGAIN;
                if !std::mem::replace(&mut self.has_complained, true) {
                    warn(format_args!("{error}. Trying again until it is known"));
                }
            }
            Err(error) => return Err(error),
        }
        Ok(())
    }

    fn take(&mut self, event: PeerEvent) -> Result<Option<LinkEvent>, Error> {
        let (server, now) = (&self.server, Instant::now());
        match event {
            PeerEvent::Member(id, event) => return Ok(Some(LinkEvent::Member(id, event))),
            PeerEvent::Connected => {
                self.connection.set(now, true);
                if self.was_connected || self.has_complained {
                    say(format_args!("connected to {server}"));
                }
                if !std::mem::replace(&mut self.was_connected, true) {
                    return Ok(Some(LinkEvent::Connected));
                }
            }
            PeerEvent::Refused(why) => return Err(Error::Refused(server.to_string(), why)),
            PeerEvent::OtherServer(peer) => {
                return Err(Error::OtherServer(server.to_string(), peer));
            }
            PeerEvent::NoAnswer => {
                self.has_complained = true;
                let hint = "is rtmfpd running there, and UDP let through? Trying on";
                warn(format_args!("no answer from {server}; {hint}"));
            }
            PeerEvent::ServerLost => {
                self.connection.set(now, false);
                warn(format_args!("{server} is gone; neighbours stay. Trying it again"));
            }
        }
        Ok(None)
    }

    /// Says goodbye to all neighbours.
    pub fn stop(self) -> Result<(), Error> {
        self.peer.map_or(Ok(()), Peer::stop)
    }
}
