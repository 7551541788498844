//! Connections of the HTTP library that can be waited for elsewhere, once their answer has come: a
//! body that lasts for days then needs no thread that waits for it.

use std::{
    fmt,
    io::{self, Read, Write},
    net::TcpStream,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use ureq::{
    Error, Timeout,
    unversioned::transport::{
        Buffers, ConnectionDetails, Connector, Either, LazyBuffers, NextTimeout, Transport,
    },
};

use crate::crew::Readable;

/// What others have of a connection.
#[derive(Debug)]
struct Line {
    readable: Readable,
    /// Reading does not wait.
    is_waited_for_elsewhere: AtomicBool,
}

/// The connection that was asked something last.
#[derive(Debug, Clone, Default)]
pub struct Lines(Arc<Mutex<Option<Arc<Line>>>>);

impl Lines {
    fn note(&self, line: &Arc<Line>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(line.clone());
    }

    /// From now on, reading from it says "it would block" instead of waiting. What to wait for.
    pub fn wait_elsewhere(&self) -> Option<Readable> {
        let line = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()?;
        line.is_waited_for_elsewhere.store(true, Ordering::Relaxed);
        Some(line.readable)
    }
}

/// Connects, if nobody before it did.
#[derive(Debug)]
pub struct SocketConnector(pub Lines);

impl<In: Transport> Connector<In> for SocketConnector {
    type Out = Either<In, Socket>;

    fn connect(
        &self,
        details: &ConnectionDetails,
        chained: Option<In>,
    ) -> Result<Option<Self::Out>, Error> {
        if let Some(chained) = chained {
            return Ok(Some(Either::A(chained)));
        }
        let limit = details.timeout.not_zero().map(|limit| *limit);
        let mut last = Error::ConnectionFailed;
        for address in &details.addrs {
            let connected = match limit {
                Some(limit) => TcpStream::connect_timeout(address, limit),
                None => TcpStream::connect(address),
            };
            match connected {
                Ok(stream) => {
                    let socket = Socket::new(stream, details, self.0.clone())?;
                    return Ok(Some(Either::B(socket)));
                }
                Err(error) => last = Error::Io(error),
            }
        }
        Err(last)
    }
}

/// A connection over TCP.
pub struct Socket {
    stream: TcpStream,
    buffers: LazyBuffers,
    line: Arc<Line>,
    lines: Lines,
}

impl fmt::Debug for Socket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Socket({:?})", self.stream.peer_addr().ok())
    }
}

impl Socket {
    fn new(stream: TcpStream, details: &ConnectionDetails, lines: Lines) -> io::Result<Self> {
        stream.set_nodelay(true)?;
        let config = details.config;
        let buffers = LazyBuffers::new(config.input_buffer_size(), config.output_buffer_size());
        let readable = Readable::of(&stream);
        let line = Arc::new(Line { readable, is_waited_for_elsewhere: AtomicBool::new(false) });
        Ok(Self { stream, buffers, line, lines })
    }

    fn is_waited_for_elsewhere(&self) -> bool {
        self.line.is_waited_for_elsewhere.load(Ordering::Relaxed)
    }
}

/// Sockets say of a time limit that they would block.
fn in_time(error: io::Error, limit: Timeout) -> Error {
    match error.kind() {
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => Error::Timeout(limit),
        _ => Error::Io(error),
    }
}

impl Transport for Socket {
    fn buffers(&mut self) -> &mut dyn Buffers {
        &mut self.buffers
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), Error> {
        self.lines.note(&self.line);
        let timeout = timeout.for_write();
        self.stream.set_nonblocking(false)?;
        self.stream.set_write_timeout(timeout.not_zero().map(|limit| *limit))?;
        let output = &self.buffers.output()[..amount];
        self.stream.write_all(output).map_err(|error| in_time(error, timeout.reason))
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, Error> {
        let (timeout, waits) = (timeout.for_read(), !self.is_waited_for_elsewhere());
        self.stream.set_nonblocking(!waits)?;
        if waits {
            self.stream.set_read_timeout(timeout.not_zero().map(|limit| *limit))?;
        }
        let input = self.buffers.input_append_buf();
        let amount = loop {
            match self.stream.read(input) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if waits => return Err(in_time(error, timeout.reason)),
                Err(error) => return Err(Error::Io(error)),
                Ok(amount) => break amount,
            }
        };
        self.buffers.input_appended(amount);
        Ok(amount > 0)
    }

    /// Nothing may have come that was not asked for.
    fn is_open(&mut self) -> bool {
        let looked = self.stream.set_nonblocking(true).and_then(|()| self.stream.peek(&mut [0]));
        looked.is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock)
    }
}
