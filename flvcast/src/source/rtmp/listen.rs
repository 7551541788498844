//! `rtmp-listen://…`: OBS, ffmpeg, GStreamer and the like publish here. One at a time; who comes
//! second is told so, unless the first has fallen silent.

use std::{
    collections::VecDeque,
    io::{self, Read, Write},
    net::{SocketAddr, TcpStream},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        mpsc::{Receiver, SyncSender, TryRecvError, TrySendError, sync_channel},
    },
    time::{Duration, Instant},
};

use rtmfp::{
    crypto::sha256,
    rtmp::tcp::{ServerEvent, ServerSession},
};

use super::{is_patience, port::Port, to_tag};
use crate::{
    crew::{Readable, Task, Turn},
    source::{Cancel, Opened, Piece, Source, SourceError, bytes::STEADY},
};

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
/// Everybody is looked at this often, whatever happens.
const LOOK: Duration = Duration::from_millis(500);
/// A broadcast that has no room for a publisher's tags is tried again after this.
const NO_ROOM: Duration = Duration::from_millis(20);
/// Answers that a far end does not take.
const MAX_UNSENT: usize = 1 << 20;
/// Read in one step.
const READ: usize = 1 << 16;
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
    fn blocks(&self) -> bool {
        false
    }

    fn next(&mut self) -> Result<Piece, SourceError> {
        match self.pieces.try_recv() {
            Ok(piece) => Ok(piece),
            // Its publisher nudges it.
            Err(TryRecvError::Empty) => Ok(Piece::Rest(LOOK)),
            Err(TryRecvError::Disconnected) => {
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

    /// What need not be told if there is no room for it.
    fn tell_when_it_can(&self, piece: Piece) {
        let _ = self.pieces.try_send(piece);
        self.cancel.nudge();
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

/// One encoder, attended to until it goes.
pub struct Connection {
    port: Arc<Port>,
    /// Where it publishes, or published last.
    stage: Option<Arc<Stage>>,
    stream: TcpStream,
    from: SocketAddr,
    number: u64,
    session: ServerSession,
    /// Answers that it did not take yet.
    unsent: Vec<u8>,
    /// What there was no room for yet.
    waiting: VecDeque<Piece>,
    /// Its message stream, once it publishes.
    publishes: Option<u32>,
    /// When it came, or ceased to publish.
    idle_since: Instant,
    heard: Instant,
}

/// The connection is over.
struct Over;

impl Task for Connection {
    fn step(&mut self) -> Turn {
        self.go_on().unwrap_or(Turn::Over)
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.port.forget_stranger(self.number);
        if self.leave()
            && let Some(stage) = &self.stage
        {
            stage
                .tell_when_it_can(Piece::Notice(format!("the publisher at {} is gone", self.from)));
        }
    }
}

impl Connection {
    /// Somebody who has just come.
    pub fn new(
        port: Arc<Port>,
        stream: TcpStream,
        from: SocketAddr,
        number: u64,
    ) -> io::Result<Self> {
        stream.set_nonblocking(true)?;
        port.admit(number, &stream)?;
        let session = ServerSession::new(rand::random());
        let now = Instant::now();
        Ok(Self {
            port,
            stage: None,
            stream,
            from,
            number,
            session,
            unsent: Vec::new(),
            waiting: VecDeque::new(),
            publishes: None,
            idle_since: now,
            heard: now,
        })
    }

    fn go_on(&mut self) -> Result<Turn, Over> {
        if !self.hand_on()? {
            return Ok(Turn::Rest(NO_ROOM));
        }
        self.send()?;
        let is_unwanted = match &self.stage {
            Some(stage) => stage.cancel.is_set(),
            None => self.port.stages().is_empty(),
        };
        if self.session.is_over() || is_unwanted {
            return Err(Over);
        }
        let turn = self.read()?;
        if self.publishes.is_none() && self.idle_since.elapsed() > PATIENCE {
            return Err(Over);
        }
        while let Some(event) = self.session.poll_event() {
            self.take(event)?;
        }
        self.send()?;
        Ok(turn)
    }

    /// Gives what waits to the broadcast. False if there is no room for all of it.
    fn hand_on(&mut self) -> Result<bool, Over> {
        let Some(stage) = self.stage.as_ref().filter(|_| !self.waiting.is_empty()) else {
            return Ok(true);
        };
        while let Some(piece) = self.waiting.pop_front() {
            match stage.pieces.try_send(piece) {
                Ok(()) => {}
                Err(TrySendError::Full(piece)) => {
                    self.waiting.push_front(piece);
                    stage.cancel.nudge();
                    return Ok(false);
                }
                Err(TrySendError::Disconnected(_)) => return Err(Over),
            }
        }
        stage.cancel.nudge();
        Ok(true)
    }

    /// Sends what the far end takes.
    fn send(&mut self) -> Result<(), Over> {
        if let Some(bytes) = self.session.poll_transmit() {
            self.unsent.extend_from_slice(&bytes);
        }
        while !self.unsent.is_empty() {
            match self.stream.write(&self.unsent) {
                Ok(count @ 1..) => drop(self.unsent.drain(..count)),
                Err(error) if is_patience(&error) && self.unsent.len() <= MAX_UNSENT => break,
                Ok(_) | Err(_) => return Err(Over),
            }
        }
        Ok(())
    }

    fn read(&mut self) -> Result<Turn, Over> {
        let mut chunk = [0; READ];
        match self.stream.read(&mut chunk) {
            Ok(0) => Err(Over),
            Ok(count) => {
                self.heard = Instant::now();
                if let Err(error) = self.session.handle_bytes(&chunk[..count]) {
                    log::info!("RTMP from {}: {error}", self.from);
                    return Err(Over);
                }
                Ok(Turn::Again)
            }
            Err(error) if is_patience(&error) && self.heard.elapsed() <= SILENCE => {
                Ok(Turn::Read(Readable::of(&self.stream), LOOK))
            }
            Err(_) => Err(Over),
        }
    }

    fn take(&mut self, event: ServerEvent) -> Result<(), Over> {
        match event {
            ServerEvent::Publish { stream, app, name } => self.on_publish(stream, &app, &name),
            ServerEvent::Message { stream, message } if self.publishes == Some(stream) => {
                // Another one has taken its place.
                if !self.stage.as_ref().is_some_and(|stage| stage.hear(self.number)) {
                    return Err(Over);
                }
                self.waiting.extend(to_tag(message).map(Piece::Tag));
                Ok(())
            }
            ServerEvent::Unpublished { stream } if self.publishes == Some(stream) => {
                self.publishes = None;
                self.idle_since = Instant::now();
                if self.leave() {
                    let text = format!("{} publishes no more", self.from);
                    self.waiting.push_back(Piece::Notice(text));
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
            let text = format!(
                "a publisher at {} was refused: no channel has its application and key",
                self.from
            );
            // Whose key was meant is not known; somebody should hear of it.
            if let Some(stage) = stages.first() {
                stage.refusal(text).into_iter().for_each(|piece| stage.tell_when_it_can(piece));
            }
            return Ok(());
        };
        // Where it published before, it does no more.
        self.leave();
        self.stage = Some(stage.clone());
        if !stage.take(self.number) {
            self.session.refuse(stream, "somebody else publishes here already");
            let text = format!("a second publisher at {} was refused", self.from);
            self.waiting.extend(stage.refusal(text));
            return Ok(());
        }
        self.publishes = Some(stream);
        self.port.forget_stranger(self.number);
        self.session.accept(stream);
        self.waiting.push_back(Piece::Notice(format!("{} publishes", self.from)));
        self.waiting.push_back(Piece::Restart);
        Ok(())
    }

    /// Whether it published until now.
    fn leave(&self) -> bool {
        self.stage.as_ref().is_some_and(|stage| stage.leave(self.number))
    }
}
