//! A [`NetConnection`] for programs that just want one: its loop runs on a thread of its own.

use std::{
    fmt, io,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
        mpsc::{Receiver, RecvTimeoutError, Sender, channel},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use rand::Rng;
use thiserror::Error;

use super::{App, Remote, Stopped, bind_any, key_log_from_env, reachable_addresses};
use crate::{
    Config, Endpoint, Event, NetConnection, NetEvent, StreamError, StreamEvent, StreamId,
    crypto::{Identity, PeerId},
    rtmp::{Message, Value},
    url::{ServerUrl, UrlError},
};

/// No connection came about.
#[derive(Debug, Error)]
pub enum ConnectError {
    /// The URL makes no sense.
    #[error(transparent)]
    Url(#[from] UrlError),
    /// The server's name cannot be resolved.
    #[error("cannot find {0}: {1}; check the name and the network")]
    Resolve(String, io::Error),
    /// No socket or no thread.
    #[error("the network failed: {0}")]
    Network(#[from] io::Error),
    /// The server refused, or did not answer.
    #[error("no connection to {0}: {1}")]
    Failed(String, String),
}

/// Bytes of events that wait for the application before its streams are stopped, and at which they
/// go on.
const MUCH: usize = 8 << 20;
const LITTLE: usize = 4 << 20;

/// What the client's thread is asked to do.
type Job = Box<dyn FnOnce(Instant, &mut Endpoint, &mut NetConnection) + Send>;

/// A connection whose loop runs on another thread. Dropping it closes everything.
pub struct Client {
    id: PeerId,
    remote: Remote<Job>,
    events: Receiver<NetEvent>,
    /// Bytes of events that wait.
    waiting: Arc<AtomicUsize>,
    thread: Option<JoinHandle<()>>,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Client({:?})", self.id)
    }
}

impl Client {
    /// Connects as a new peer and waits until the server has accepted or refused.
    pub fn connect(url: &str) -> Result<Self, ConnectError> {
        Self::connect_with(url, Config::default(), Vec::new())
    }

    /// The same with settings, and with arguments for the server's application.
    pub fn connect_with(
        url: &str,
        config: Config,
        arguments: Vec<Value>,
    ) -> Result<Self, ConnectError> {
        let client = Self::start(url.parse()?, config, arguments)?;
        loop {
            match client.next_event() {
                Some(NetEvent::Connected) => return Ok(client),
                Some(NetEvent::Failed(why)) => {
                    return Err(ConnectError::Failed(url.to_owned(), why));
                }
                Some(NetEvent::Closed) | None => {
                    let why = "the connection was closed".into();
                    return Err(ConnectError::Failed(url.to_owned(), why));
                }
                Some(_) => {}
            }
        }
    }

    fn start(
        url: ServerUrl,
        mut config: Config,
        arguments: Vec<Value>,
    ) -> Result<Self, ConnectError> {
        let servers =
            url.resolve().map_err(|error| ConnectError::Resolve(url.host().to_owned(), error))?;
        let mut rng = rand::rng();
        let identity = Identity::peer(&mut rng);
        let id = identity.peer_id();
        let mut seed = [0; 32];
        rng.fill_bytes(&mut seed);
        config.key_log = config.key_log.or_else(key_log_from_env);
        let endpoint = Endpoint::new(config, identity, Instant::now(), seed);
        let (events, received) = channel();
        let placeholder = NetConnection::new(url.clone(), servers.clone(), Vec::new());
        let waiting = Arc::new(AtomicUsize::new(0));
        let app = ClientApp {
            connection: placeholder,
            events,
            waiting: waiting.clone(),
            is_paused: false,
        };
        let (mut driver, remote) = bind_any(endpoint, app)?;
        let local = reachable_addresses(&servers, &driver.local_addresses());
        let (app, endpoint) = driver.parts();
        app.connection = NetConnection::new(url, servers, local);
        app.connection.set_connect_arguments(arguments);
        app.connection.open(Instant::now(), endpoint);
        let thread = std::thread::Builder::new().name("rtmfp".into()).spawn(move || {
            if let Err(error) = driver.run() {
                log::error!("the network failed: {error}");
            }
        })?;
        Ok(Self { id, remote, events: received, waiting, thread: Some(thread) })
    }

    /// Our own peer ID, for peers that are to play from us.
    pub fn peer_id(&self) -> PeerId {
        self.id
    }

    /// The next event. None when the connection's thread has ended.
    pub fn next_event(&self) -> Option<NetEvent> {
        self.events.recv().ok().inspect(|event| self.took(event))
    }

    /// An event was taken: if that leaves few, streams go on.
    fn took(&self, event: &NetEvent) {
        let size = size_of_event(event);
        let before = self.waiting.fetch_sub(size, Ordering::AcqRel);
        if before >= LITTLE && before - size < LITTLE {
            // The thread looks again after every job.
            let _ = self.remote.send(Box::new(|_, _, _| ()));
        }
    }

    /// The next event, or none in this time.
    pub fn next_event_within(&self, time: Duration) -> Result<Option<NetEvent>, Stopped> {
        match self.events.recv_timeout(time) {
            Ok(event) => {
                self.took(&event);
                Ok(Some(event))
            }
            Err(RecvTimeoutError::Timeout) => Ok(None),
            Err(RecvTimeoutError::Disconnected) => Err(Stopped),
        }
    }

    /// Does anything with the connection on its thread and waits for the outcome.
    pub fn with<T: Send + 'static>(
        &self,
        job: impl FnOnce(Instant, &mut Endpoint, &mut NetConnection) -> T + Send + 'static,
    ) -> Result<T, Stopped> {
        let (done, outcome) = channel();
        self.remote.send(Box::new(move |now, endpoint, connection| {
            let _ = done.send(job(now, endpoint, connection));
        }))?;
        outcome.recv().map_err(|_| Stopped)
    }

    fn do_with<T: Send + 'static>(
        &self,
        job: impl FnOnce(Instant, &mut Endpoint, &mut NetConnection) -> Result<T, StreamError>
        + Send
        + 'static,
    ) -> Result<T, StreamError> {
        self.with(job).unwrap_or(Err(StreamError::NotConnected))
    }

    /// Calls a procedure of the server; the answer comes as [`NetEvent::Answered`].
    pub fn call(&self, name: &str, arguments: Vec<Value>) -> Result<u64, StreamError> {
        let name = name.to_owned();
        self.do_with(move |now, endpoint, net| net.call(now, endpoint, &name, arguments))
    }

    /// Publishes a stream to the server.
    pub fn publish(&self, name: &str) -> Result<StreamId, StreamError> {
        let name = name.to_owned();
        self.do_with(move |now, endpoint, net| net.publish(now, endpoint, &name))
    }

    /// Plays a stream of the server.
    pub fn play(&self, name: &str) -> Result<StreamId, StreamError> {
        let name = name.to_owned();
        self.do_with(move |now, endpoint, net| net.play(now, endpoint, &name))
    }

    /// Plays a stream straight from a peer.
    pub fn play_from(&self, peer: PeerId, name: &str) -> Result<StreamId, StreamError> {
        let name = name.to_owned();
        self.do_with(move |now, endpoint, net| net.play_from(now, endpoint, peer, &name))
    }

    /// Lets a peer have what it asked for ([`NetEvent::Requested`]).
    pub fn accept(&self, stream: StreamId) -> Result<(), StreamError> {
        self.do_with(move |now, endpoint, net| net.accept(now, endpoint, stream))
    }

    /// Sends on a stream that we publish; see [`NetConnection::send`].
    pub fn send(
        &self,
        stream: StreamId,
        message: Message,
        lifetime: Option<Duration>,
    ) -> Result<(), StreamError> {
        self.do_with(move |now, endpoint, net| net.send(now, endpoint, stream, &message, lifetime))
    }

    /// Ends a stream, or refuses one that a peer asks for.
    pub fn close_stream(&self, stream: StreamId) {
        let _ = self.with(move |now, endpoint, net| net.close_stream(now, endpoint, stream));
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        let _ = self.remote.stop();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

struct ClientApp {
    connection: NetConnection,
    events: Sender<NetEvent>,
    waiting: Arc<AtomicUsize>,
    is_paused: bool,
}

impl ClientApp {
    fn pass_on(&mut self, now: Instant, endpoint: &mut Endpoint) {
        while let Some(event) = self.connection.poll_event() {
            self.waiting.fetch_add(size_of_event(&event), Ordering::AcqRel);
            let _ = self.events.send(event);
        }
        let waiting = self.waiting.load(Ordering::Acquire);
        let is_paused = if self.is_paused { waiting >= LITTLE } else { waiting > MUCH };
        if is_paused != self.is_paused {
            self.is_paused = is_paused;
            self.connection.pause(now, endpoint, is_paused);
        }
    }
}

/// What an event takes while it waits, roughly.
fn size_of_event(event: &NetEvent) -> usize {
    const OTHERS: usize = 256;
    match event {
        NetEvent::Stream { event: StreamEvent::Message(message), .. } => {
            OTHERS + message.payload.len()
        }
        _ => OTHERS,
    }
}

impl App for ClientApp {
    type Command = Job;

    fn on_event(&mut self, now: Instant, endpoint: &mut Endpoint, event: Event) {
        self.connection.on_event(now, endpoint, &event);
        self.pass_on(now, endpoint);
    }

    fn on_command(&mut self, now: Instant, endpoint: &mut Endpoint, job: Job) {
        job(now, endpoint, &mut self.connection);
        self.pass_on(now, endpoint);
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.connection.poll_timeout()
    }

    fn on_timeout(&mut self, now: Instant, endpoint: &mut Endpoint) {
        self.connection.handle_timeout(now, endpoint);
        self.pass_on(now, endpoint);
    }
}
