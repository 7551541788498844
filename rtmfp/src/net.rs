//! The mio driver: one thread, one [`Endpoint`], edge-triggered sockets, datagrams in batches.
//!
//! An [`App`] reacts to events; other threads reach it through a [`Remote`].

mod client;
mod key_log;
mod local;
mod remote;
mod socket;

use std::{
    io,
    net::SocketAddr,
    sync::mpsc::TryRecvError,
    time::{Duration, Instant},
};

use mio::{Events, Poll, Token};

pub use client::{Client, ConnectError};
pub use key_log::key_log_from_env;
pub use local::{bind_any, reachable_addresses};
use remote::{Inbox, channel};
pub use remote::{Remote, Stopped};
use socket::Socket;

use crate::{Endpoint, Event, Transmit};

/// Token of the waker; sockets have theirs by index.
const WAKER: Token = Token(usize::MAX);
/// How long a stopping driver waits for the far ends to acknowledge.
const FAREWELL: Duration = Duration::from_millis(500);
/// Batches received from one socket before the others, commands and timers have their turn.
const MAX_BATCHES: usize = 32;
/// Trains sent before datagrams are received again, so that neither starves.
const MAX_TRAINS: usize = 256;

/// What runs on top of an endpoint. All of it happens on the driver's thread.
pub trait App {
    /// Sent from other threads.
    type Command;

    /// Something happened on the endpoint.
    fn on_event(&mut self, now: Instant, endpoint: &mut Endpoint, event: Event);

    /// Another thread asks for something.
    fn on_command(&mut self, now: Instant, endpoint: &mut Endpoint, command: Self::Command);

    /// When [`App::on_timeout`] is wanted.
    fn poll_timeout(&self) -> Option<Instant> {
        None
    }

    /// That time came.
    fn on_timeout(&mut self, _now: Instant, _endpoint: &mut Endpoint) {}

    /// The driver is about to stop: last words may be queued.
    fn on_stop(&mut self, _now: Instant, _endpoint: &mut Endpoint) {}
}

/// Sockets, endpoint and application in one loop.
#[derive(Debug)]
pub struct Driver<A: App> {
    poll: Poll,
    sockets: Vec<Socket>,
    endpoint: Endpoint,
    app: A,
    inbox: Inbox<A::Command>,
    buf: Vec<u8>,
    /// A train that its socket could not take yet.
    blocked: Option<Transmit>,
}

impl<A: App> Driver<A> {
    /// Binds all of `addresses`; port 0 picks a free one.
    pub fn bind(
        addresses: &[SocketAddr],
        endpoint: Endpoint,
        app: A,
    ) -> io::Result<(Self, Remote<A::Command>)> {
        let poll = Poll::new()?;
        let mut sockets = Vec::with_capacity(addresses.len());
        for (index, address) in addresses.iter().enumerate() {
            sockets.push(Socket::bind(*address, poll.registry(), Token(index))?);
        }
        let (remote, inbox) = channel(&poll, WAKER)?;
        let driver = Self { poll, sockets, endpoint, app, inbox, buf: Vec::new(), blocked: None };
        Ok((driver, remote))
    }

    /// Where the sockets really are, in the order asked for.
    pub fn local_addresses(&self) -> Vec<SocketAddr> {
        self.sockets.iter().map(Socket::local_address).collect()
    }

    /// The endpoint, before the loop runs.
    pub fn endpoint(&mut self) -> &mut Endpoint {
        &mut self.endpoint
    }

    /// The application and its endpoint, before the loop runs.
    pub fn parts(&mut self) -> (&mut A, &mut Endpoint) {
        (&mut self.app, &mut self.endpoint)
    }

    /// Runs until a [`Remote`] says stop or all are gone, then says goodbye. Hands back the
    /// application.
    pub fn run(mut self) -> io::Result<A> {
        let mut events = Events::with_capacity(64);
        loop {
            let keeps_running = self.take_commands();
            self.settle()?;
            if !keeps_running {
                return self.say_goodbye(&mut events);
            }
            self.wait(&mut events, None)?;
        }
    }

    /// Waits for datagrams, commands or time, and takes in what came.
    fn wait(&mut self, events: &mut Events, limit: Option<Instant>) -> io::Result<()> {
        let deadlines = [self.endpoint.poll_timeout(), self.app.poll_timeout(), limit];
        // mio rounds up to milliseconds: late by less than that, never early.
        let next = deadlines.into_iter().flatten().min();
        let mut timeout = next.map(|at| at.saturating_duration_since(Instant::now()));
        if self.sockets.iter().any(Socket::is_readable) {
            timeout = Some(Duration::ZERO);
        }
        match self.poll.poll(events, timeout) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Ok(()),
            other => other?,
        }
        for event in events.iter() {
            if let Some(socket) = self.sockets.get_mut(event.token().0) {
                if event.is_readable() {
                    socket.set_readable();
                }
                if event.is_writable() {
                    socket.set_writable(self.poll.registry())?;
                }
            }
        }
        self.receive()
    }

    /// Reads every readable socket, until it would block or others have waited long enough;
    /// settles between batches.
    fn receive(&mut self) -> io::Result<()> {
        for index in 0..self.sockets.len() {
            for _ in 0..MAX_BATCHES {
                let now = Instant::now();
                let endpoint = &mut self.endpoint;
                let more = self.sockets[index].receive(index as u8, |from, mark, datagram| {
                    endpoint.handle_datagram(now, from, mark, datagram);
                })?;
                if !more {
                    break;
                }
                self.settle()?;
            }
        }
        Ok(())
    }

    /// False when the driver is to stop.
    fn take_commands(&mut self) -> bool {
        loop {
            match self.inbox.try_recv() {
                Ok(Some(command)) => {
                    self.app.on_command(Instant::now(), &mut self.endpoint, command)
                }
                Ok(None) | Err(TryRecvError::Disconnected) => return false,
                Err(TryRecvError::Empty) => return true,
            }
        }
    }

    /// Timers, events and transmissions, until there is nothing left to do now.
    fn settle(&mut self) -> io::Result<()> {
        let now = Instant::now();
        if self.endpoint.poll_timeout().is_some_and(|at| at <= now) {
            self.endpoint.handle_timeout(now);
        }
        if self.app.poll_timeout().is_some_and(|at| at <= now) {
            self.app.on_timeout(now, &mut self.endpoint);
        }
        while let Some(event) = self.endpoint.poll_event() {
            self.app.on_event(now, &mut self.endpoint, event);
        }
        self.send(now)
    }

    fn send(&mut self, now: Instant) -> io::Result<()> {
        for _ in 0..MAX_TRAINS {
            let next =
                self.blocked.take().or_else(|| self.endpoint.poll_transmit(now, &mut self.buf));
            let Some(transmit) = next else { return Ok(()) };
            let Some(socket) = Socket::choose(&mut self.sockets, transmit.path) else { continue };
            if !socket.send(self.poll.registry(), &transmit, &self.buf)? {
                self.blocked = Some(transmit);
                return Ok(());
            }
        }
        // Come back for the rest after looking at what arrived.
        self.inbox.wake()
    }

    fn say_goodbye(mut self, events: &mut Events) -> io::Result<A> {
        let now = Instant::now();
        self.app.on_stop(now, &mut self.endpoint);
        self.settle()?;
        self.endpoint.close_all(now);
        let until = now + FAREWELL;
        while self.endpoint.stats().sessions > 0 && Instant::now() < until {
            self.settle()?;
            self.wait(events, Some(until))?;
        }
        Ok(self.app)
    }
}
