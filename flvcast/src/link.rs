//! A peer that is there as long as the command runs: its server is tried for ever.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        mpsc::{Receiver, RecvTimeoutError, Sender, channel},
    },
    time::{Duration, Instant},
};

use crate::{
    Error,
    flv::Tag,
    peer::{Peer, PeerConfig, PeerEvent, PeerStats},
    say::{say, warn},
    status::Status,
};

/// A server whose name is not known is looked up again this often.
const RESOLVE_AGAIN: Duration = Duration::from_secs(5);

/// What its owner must know; the rest is said and done here.
#[derive(Debug)]
pub enum LinkEvent {
    /// The server accepted us, for the first time.
    Connected,
    /// The stream was found.
    Found,
    /// A broadcast begins.
    Began {
        /// Nothing was missed.
        from_start: bool,
    },
    /// The next tag.
    Tag(Tag),
    /// The broadcast is over.
    Ended,
    /// Somebody else casts on our channel.
    Contested,
}

/// A peer, and the trouble of having one.
#[derive(Debug)]
pub struct Link {
    config: PeerConfig,
    sender: Sender<PeerEvent>,
    events: Receiver<PeerEvent>,
    peer: Option<Peer>,
    start_at: Instant,
    stats: Arc<Mutex<PeerStats>>,
    status: Status,
    is_connected: bool,
    was_connected: bool,
    has_complained: bool,
}

impl Link {
    /// Nothing is done before it is polled.
    pub fn new(config: PeerConfig, status: Status) -> Self {
        let (sender, events) = channel();
        Self {
            config,
            sender,
            events,
            peer: None,
            start_at: Instant::now(),
            stats: Arc::default(),
            status,
            is_connected: false,
            was_connected: false,
            has_complained: false,
        }
    }

    /// Whether the server has us.
    pub fn is_connected(&self) -> bool {
        self.is_connected
    }

    /// Whether it ever had.
    pub fn was_connected(&self) -> bool {
        self.was_connected
    }

    /// Something that reads the latest figures from elsewhere.
    pub fn stats_reader(&self) -> impl Fn() -> PeerStats + Send + Sync + 'static {
        let stats = self.stats.clone();
        move || *stats.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The latest figures.
    pub fn stats(&self) -> PeerStats {
        self.peer.as_ref().map(Peer::stats).unwrap_or_default()
    }

    /// Publishes a tag; it is lost while there is no peer.
    pub fn publish(&self, tag: Tag) {
        if let Some(peer) = &self.peer {
            peer.publish(tag);
        }
    }

    /// Ends our broadcast.
    pub fn finish(&self) {
        if let Some(peer) = &self.peer {
            peer.finish();
        }
    }

    /// Waits for the next event, `patience` at most. An error is what no patience mends.
    pub fn poll(&mut self, patience: Duration) -> Result<Option<LinkEvent>, Error> {
        self.start_if_due()?;
        if let Some(peer) = &self.peer {
            *self.stats.lock().unwrap_or_else(PoisonError::into_inner) = peer.stats();
        }
        match self.events.recv_timeout(patience) {
            Ok(event) => self.take(event),
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
        let started = Peer::start(self.config.clone(), move |event| {
            let _ = events.send(event);
        });
        match started {
            Ok(peer) => self.peer = Some(peer),
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
        let (server, now) = (&self.config.server, Instant::now());
        Ok(Some(match event {
            PeerEvent::Connected => {
                self.status.set_connected(now, true);
                if self.was_connected || self.has_complained {
                    say(format_args!("connected to {server}"));
                }
                self.is_connected = true;
                if std::mem::replace(&mut self.was_connected, true) {
                    return Ok(None);
                }
                LinkEvent::Connected
            }
            PeerEvent::Refused(why) => return Err(Error::Refused(server.to_string(), why)),
            PeerEvent::OtherServer(peer) => {
                return Err(Error::OtherServer(server.to_string(), peer));
            }
            PeerEvent::NoAnswer => {
                self.has_complained = true;
                let hint = "is rtmfpd running there, and UDP let through? Trying on";
                warn(format_args!("no answer from {server}; {hint}"));
                return Ok(None);
            }
            PeerEvent::ServerLost => {
                self.is_connected = false;
                self.status.set_connected(now, false);
                warn(format_args!("{server} is gone; neighbours stay. Trying it again"));
                return Ok(None);
            }
            PeerEvent::Found => LinkEvent::Found,
            PeerEvent::Began { from_start } => LinkEvent::Began { from_start },
            PeerEvent::Tag(tag) => LinkEvent::Tag(tag),
            PeerEvent::Ended => LinkEvent::Ended,
            PeerEvent::Contested => LinkEvent::Contested,
        }))
    }

    /// Says goodbye to all neighbours.
    pub fn stop(self) -> Result<(), Error> {
        self.peer.map_or(Ok(()), Peer::stop)
    }
}
