//! `rtmp-listen://…`: OBS, ffmpeg, GStreamer and the like publish here. One at a time; who comes
//! second is told so, unless the first has fallen silent.

use std::{
    collections::VecDeque,
    io::{self, Read, Write},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel},
    },
    time::{Duration, Instant},
};

use rtmfp::{
    crypto::sha256,
    rtmp::tcp::{ServerEvent, ServerSession},
};

use super::{is_patience, to_tag};
use crate::source::{Cancel, Opened, Piece, Source, SourceError, bytes::STEADY};

/// Where RTMP publishers are awaited.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listen {
    /// Addresses of this machine.
    pub addresses: Vec<SocketAddr>,
    /// As written.
    pub authority: String,
    /// The application's name.
    pub app: String,
    /// The stream key that a publisher must know.
    pub key: String,
}

/// Connections at once beside the one that publishes. When one more comes, the oldest goes, so that
/// who only dawdles keeps nobody out.
const MAX_STRANGERS: usize = 16;
/// Who has not begun to publish by then is let go.
const PATIENCE: Duration = Duration::from_secs(15);
/// A publisher of which nothing comes for so long is gone.
const SILENCE: Duration = Duration::from_secs(60);
/// Or after this, if another one wants its place.
const YIELDS_AFTER: Duration = Duration::from_secs(5);
/// How long a read may block.
const READ: Duration = Duration::from_millis(500);
/// A far end that takes no answers.
const WRITE: Duration = Duration::from_secs(5);
/// Refusals are spoken of no more often than this.
const SPEAK: Duration = Duration::from_secs(5);
const ACCEPT: Duration = Duration::from_millis(50);
/// Pieces that may wait.
const QUEUE: usize = 256;

/// Who publishes.
#[derive(Debug, Clone, Copy)]
struct Publisher {
    connection: u64,
    heard: Instant,
}

/// What all connections share.
struct Stage {
    listen: Listen,
    cancel: Cancel,
    publisher: Mutex<Option<Publisher>>,
    /// Those that do not publish, the oldest first.
    strangers: Mutex<VecDeque<(u64, TcpStream)>>,
    /// When a refusal was spoken of, and how many were not since.
    refusals: Mutex<(Option<Instant>, u32)>,
    pieces: SyncSender<Piece>,
}

/// The source: what publishers give.
struct Published {
    pieces: Receiver<Piece>,
}

/// Listens.
pub fn open(listen: &Listen, cancel: &Cancel) -> Result<Opened, SourceError> {
    let failed = |error: std::io::Error| {
        SourceError::Final(format!(
            "cannot listen for RTMP on {}: {error}; choose another port, or stop what uses it",
            listen.authority
        ))
    };
    let listener = TcpListener::bind(&listen.addresses[..]).map_err(failed)?;
    listener.set_nonblocking(true).map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    let (pieces, receiver) = sync_channel(QUEUE);
    let stage = Arc::new(Stage {
        listen: listen.clone(),
        cancel: cancel.clone(),
        publisher: Mutex::default(),
        strangers: Mutex::default(),
        refusals: Mutex::default(),
        pieces,
    });
    std::thread::spawn(move || accept(&listener, &stage));
    let host = if address.ip().is_unspecified() {
        format!("THIS-HOST:{}", address.port())
    } else {
        address.to_string()
    };
    let notice = format!("waiting for a publisher at rtmp://{host}/{}, with its key", listen.app);
    let opened = Opened::new(Published { pieces: receiver }, STEADY);
    Ok(Opened { notice: Some(notice), ..opened })
}

impl Source for Published {
    fn next(&mut self) -> Result<Piece, SourceError> {
        match self.pieces.recv_timeout(READ) {
            Ok(piece) => Ok(piece),
            Err(RecvTimeoutError::Timeout) => Ok(Piece::Nothing),
            Err(RecvTimeoutError::Disconnected) => {
                Err(SourceError::Passing("RTMP is listened for no more".into()))
            }
        }
    }
}

fn accept(listener: &TcpListener, stage: &Arc<Stage>) {
    let mut connection = 0;
    while !stage.cancel.is_set() {
        match listener.accept() {
            Ok((stream, from)) => {
                connection += 1;
                if stage.admit(connection, &stream).is_err() {
                    continue;
                }
                let stage = stage.clone();
                std::thread::spawn(move || {
                    Connection::new(&stage, stream, from, connection).run();
                    stage.forget_stranger(connection);
                });
            }
            Err(_) => drop(stage.cancel.sleep(ACCEPT)),
        }
    }
}

impl Stage {
    fn strangers(&self) -> MutexGuard<'_, VecDeque<(u64, TcpStream)>> {
        self.strangers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a newcomer in, in the place of the oldest if there is no other.
    fn admit(&self, connection: u64, stream: &TcpStream) -> io::Result<()> {
        let stream = stream.try_clone()?;
        let mut strangers = self.strangers();
        strangers.push_back((connection, stream));
        if strangers.len() > MAX_STRANGERS
            && let Some((_, oldest)) = strangers.pop_front()
        {
            let _ = oldest.shutdown(Shutdown::Both);
        }
        Ok(())
    }

    /// It publishes, or is gone.
    fn forget_stranger(&self, connection: u64) {
        self.strangers().retain(|(stranger, _)| *stranger != connection);
    }

    fn publisher(&self) -> MutexGuard<'_, Option<Publisher>> {
        self.publisher.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the stage, if it is free or whoever has it is silent.
    fn take(&self, connection: u64) -> bool {
        let mut publisher = self.publisher();
        let is_free = publisher.is_none_or(|other| other.heard.elapsed() > YIELDS_AFTER);
        if is_free {
            *publisher = Some(Publisher { connection, heard: Instant::now() });
        }
        is_free
    }

    /// The publisher was heard. False if it is not the publisher any more.
    fn hear(&self, connection: u64) -> bool {
        match &mut *self.publisher() {
            Some(publisher) if publisher.connection == connection => {
                publisher.heard = Instant::now();
                true
            }
            _ => false,
        }
    }

    /// What to say of a refusal, unless something was said of one just now.
    fn refusal(&self, text: String) -> Option<Piece> {
        let mut refusals = self.refusals.lock().unwrap_or_else(PoisonError::into_inner);
        let (spoken, silent) = &mut *refusals;
        if spoken.is_some_and(|at| at.elapsed() < SPEAK) {
            *silent += 1;
            return None;
        }
        *spoken = Some(Instant::now());
        let more = match std::mem::take(silent) {
            0 => String::new(),
            count => format!(", and {count} before"),
        };
        Some(Piece::Notice(format!("{text}{more}")))
    }

    fn leave(&self, connection: u64) -> bool {
        self.publisher().take_if(|publisher| publisher.connection == connection).is_some()
    }

    /// Application and key are compared together, for clients cut URLs in different places; and by
    /// their hashes, so that time tells nothing.
    fn knows_key(&self, app: &str, name: &str) -> bool {
        let wanted = format!("{}/{}", self.listen.app, self.listen.key);
        let hash = |app: &str, name: &str| sha256(&[app.as_bytes(), b"/", name.as_bytes()]);
        let without_query = name.split_once('?').map_or(name, |(name, _)| name);
        let wanted = sha256(&[wanted.as_bytes()]);
        hash(app, name) == wanted || hash(app, without_query) == wanted
    }
}

/// One encoder.
struct Connection<'a> {
    stage: &'a Stage,
    stream: TcpStream,
    from: SocketAddr,
    number: u64,
    session: ServerSession,
    /// Its message stream, once it publishes.
    publishes: Option<u32>,
    /// When it came, or ceased to publish.
    idle_since: Instant,
    heard: Instant,
}

/// The connection is over.
struct Over;

impl<'a> Connection<'a> {
    fn new(stage: &'a Stage, stream: TcpStream, from: SocketAddr, number: u64) -> Self {
        let session = ServerSession::new(rand::random());
        let now = Instant::now();
        Self { stage, stream, from, number, session, publishes: None, idle_since: now, heard: now }
    }

    fn run(mut self) {
        let prepared = self
            .stream
            .set_nonblocking(false)
            .and_then(|()| self.stream.set_read_timeout(Some(READ)))
            .and_then(|()| self.stream.set_write_timeout(Some(WRITE)));
        if prepared.is_ok() {
            while self.step().is_ok() {}
        }
        if self.stage.leave(self.number) {
            self.give(Piece::Notice(format!("the publisher at {} is gone", self.from))).ok();
        }
    }

    fn step(&mut self) -> Result<(), Over> {
        if let Some(bytes) = self.session.poll_transmit() {
            self.stream.write_all(&bytes).map_err(|_| Over)?;
        }
        if self.session.is_over() || self.stage.cancel.is_set() {
            return Err(Over);
        }
        let mut chunk = [0; 1 << 16];
        match self.stream.read(&mut chunk) {
            Ok(0) => return Err(Over),
            Ok(count) => {
                self.heard = Instant::now();
                if let Err(error) = self.session.handle_bytes(&chunk[..count]) {
                    log::info!("RTMP from {}: {error}", self.from);
                    return Err(Over);
                }
            }
            Err(error) if is_patience(&error) => {
                if self.heard.elapsed() > SILENCE {
                    return Err(Over);
                }
            }
            Err(_) => return Err(Over),
        }
        if self.publishes.is_none() && self.idle_since.elapsed() > PATIENCE {
            return Err(Over);
        }
        while let Some(event) = self.session.poll_event() {
            self.take(event)?;
        }
        Ok(())
    }

    fn take(&mut self, event: ServerEvent) -> Result<(), Over> {
        match event {
            ServerEvent::Publish { stream, app, name } => self.on_publish(stream, &app, &name),
            ServerEvent::Message { stream, message } if self.publishes == Some(stream) => {
                // Another one has taken its place.
                if !self.stage.hear(self.number) {
                    return Err(Over);
                }
                to_tag(message).map_or(Ok(()), |tag| self.give(Piece::Tag(tag)))
            }
            ServerEvent::Unpublished { stream } if self.publishes == Some(stream) => {
                self.publishes = None;
                self.idle_since = Instant::now();
                if self.stage.leave(self.number) {
                    self.give(Piece::Notice(format!("{} publishes no more", self.from)))?;
                }
                Ok(())
            }
            ServerEvent::Message { .. } | ServerEvent::Unpublished { .. } => Ok(()),
        }
    }

    fn on_publish(&mut self, stream: u32, app: &str, name: &str) -> Result<(), Over> {
        if !self.stage.knows_key(app, name) {
            self.session.refuse(stream, "the application or the stream key is wrong");
            let text =
                format!("a publisher at {} was refused: wrong application or key", self.from);
            return self.give(Piece::Notice(text));
        }
        if !self.stage.take(self.number) {
            self.session.refuse(stream, "somebody else publishes here already");
            let text = format!("a second publisher at {} was refused", self.from);
            return self.stage.refusal(text).map_or(Ok(()), |piece| self.give(piece));
        }
        self.publishes = Some(stream);
        self.stage.forget_stranger(self.number);
        self.session.accept(stream);
        self.give(Piece::Notice(format!("{} publishes", self.from)))?;
        self.give(Piece::Restart)
    }

    fn give(&self, piece: Piece) -> Result<(), Over> {
        self.stage.pieces.send(piece).map_err(|_| Over)
    }
}
