//! `rtmp-listen://…`: OBS, ffmpeg, GStreamer and the like publish here. One at a time; who comes
//! second is told so, unless the first has fallen silent.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
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

use super::{is_patience, port::Port, to_tag};
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
/// Pieces that may wait.
const QUEUE: usize = 256;

/// Who publishes.
#[derive(Debug, Clone, Copy)]
struct Publisher {
    connection: u64,
    heard: Instant,
}

/// Where one publishes who knows the key.
pub struct Stage {
    listen: Listen,
    cancel: Cancel,
    publisher: Mutex<Option<Publisher>>,
    /// When a refusal was spoken of, and how many were not since.
    refusals: Mutex<(Option<Instant>, u32)>,
    pieces: SyncSender<Piece>,
}

/// The source: what publishers give.
struct Published {
    pieces: Receiver<Piece>,
    /// Both are there as long as somebody wants what comes.
    _port: Arc<Port>,
    _stage: Arc<Stage>,
}

/// Listens.
pub fn open(listen: &Listen, cancel: &Cancel) -> Result<Opened, SourceError> {
    let failed = |error: std::io::Error| {
        SourceError::Final(format!(
            "cannot listen for RTMP on {}: {error}; choose another port, or stop what uses it",
            listen.authority
        ))
    };
    let port = Port::open(&listen.addresses).map_err(failed)?;
    let address = port.address();
    let (pieces, receiver) = sync_channel(QUEUE);
    let stage = Arc::new(Stage {
        listen: listen.clone(),
        cancel: cancel.clone(),
        publisher: Mutex::default(),
        refusals: Mutex::default(),
        pieces,
    });
    port.add(&stage);
    let host = if address.ip().is_unspecified() {
        format!("THIS-HOST:{}", address.port())
    } else {
        address.to_string()
    };
    let notice = format!("waiting for a publisher at rtmp://{host}/{}, with its key", listen.app);
    let published = Published { pieces: receiver, _port: port, _stage: stage };
    let opened = Opened::new(published, STEADY);
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

impl Stage {
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

/// Attends to one encoder until it goes.
pub fn attend(port: &Port, stream: TcpStream, from: SocketAddr, number: u64) {
    if port.admit(number, &stream).is_ok() {
        Connection::new(port, stream, from, number).run();
        port.forget_stranger(number);
    }
}

/// One encoder.
struct Connection<'a> {
    port: &'a Port,
    /// Where it publishes, or published last.
    stage: Option<Arc<Stage>>,
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
    fn new(port: &'a Port, stream: TcpStream, from: SocketAddr, number: u64) -> Self {
        let session = ServerSession::new(rand::random());
        let now = Instant::now();
        Self {
            port,
            stage: None,
            stream,
            from,
            number,
            session,
            publishes: None,
            idle_since: now,
            heard: now,
        }
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
        if self.leave() {
            self.give(Piece::Notice(format!("the publisher at {} is gone", self.from))).ok();
        }
    }

    fn step(&mut self) -> Result<(), Over> {
        if let Some(bytes) = self.session.poll_transmit() {
            self.stream.write_all(&bytes).map_err(|_| Over)?;
        }
        let is_unwanted = match &self.stage {
            Some(stage) => stage.cancel.is_set(),
            None => self.port.stages().is_empty(),
        };
        if self.session.is_over() || is_unwanted {
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
                if !self.stage.as_ref().is_some_and(|stage| stage.hear(self.number)) {
                    return Err(Over);
                }
                to_tag(message).map_or(Ok(()), |tag| self.give(Piece::Tag(tag)))
            }
            ServerEvent::Unpublished { stream } if self.publishes == Some(stream) => {
                self.publishes = None;
                self.idle_since = Instant::now();
                if self.leave() {
                    self.give(Piece::Notice(format!("{} publishes no more", self.from)))?;
                }
                Ok(())
            }
            ServerEvent::Message { .. } | ServerEvent::Unpublished { .. } => Ok(()),
        }
    }

    fn on_publish(&mut self, stream: u32, app: &str, name: &str) -> Result<(), Over> {
        let stages = self.port.stages();
        let Some(stage) = stages.iter().find(|stage| stage.knows_key(app, name)).cloned() else {
            self.session.refuse(stream, "the application or the stream key is wrong");
            let text =
                format!("a publisher at {} was refused: wrong application or key", self.from);
            // Whose key was meant is not known; somebody should hear of it.
            self.stage = stages.into_iter().next();
            let told = self.give(Piece::Notice(text));
            self.stage = None;
            return told;
        };
        self.stage = Some(stage.clone());
        if !stage.take(self.number) {
            self.session.refuse(stream, "somebody else publishes here already");
            let text = format!("a second publisher at {} was refused", self.from);
            return stage.refusal(text).map_or(Ok(()), |piece| self.give(piece));
        }
        self.publishes = Some(stream);
        self.port.forget_stranger(self.number);
        self.session.accept(stream);
        self.give(Piece::Notice(format!("{} publishes", self.from)))?;
        self.give(Piece::Restart)
    }

    /// Whether it published until now.
    fn leave(&self) -> bool {
        self.stage.as_ref().is_some_and(|stage| stage.leave(self.number))
    }

    fn give(&self, piece: Piece) -> Result<(), Over> {
        let Some(stage) = &self.stage else { return Ok(()) };
        stage.pieces.send(piece).map_err(|_| Over)
    }
}
