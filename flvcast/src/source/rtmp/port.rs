//! Ports on which RTMP is listened for: several channels of one process may share one.

use std::{
    collections::VecDeque,
    io,
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::Duration,
};

use super::listen::{Connection, Stage};
use crate::crew::{self, Readable, Task, Turn};

/// How often it is looked whether anybody listens still.
const LOOK: Duration = Duration::from_secs(5);
/// After an error, of too many open files perhaps.
const PAUSE: Duration = Duration::from_millis(200);
/// A port that was ours a moment ago is free soon.
const TRIES: u32 = 20;
const BETWEEN_TRIES: Duration = Duration::from_millis(50);

/// All ports of this process.
static PORTS: Mutex<Vec<(Vec<SocketAddr>, Weak<Port>)>> = Mutex::new(Vec::new());

/// Connections at once beside those that publish. When one more comes, the oldest goes, so that
/// who only dawdles keeps nobody out.
const MAX_STRANGERS: usize = 16;

/// A port, and the stages behind it.
pub struct Port {
    listener: TcpListener,
    address: SocketAddr,
    /// Those that do not publish, the oldest first.
    strangers: Mutex<VecDeque<(u64, TcpStream)>>,
    stages: Mutex<Vec<Weak<Stage>>>,
}

impl Port {
    /// The port at these addresses, ours already or bound now.
    pub fn open(addresses: &[SocketAddr]) -> io::Result<Arc<Self>> {
        let mut ports = PORTS.lock().unwrap_or_else(PoisonError::into_inner);
        ports.retain(|(_, port)| port.strong_count() > 0);
        let known = ports.iter().find(|(known, _)| known == addresses);
        if let Some(port) = known.and_then(|(_, port)| port.upgrade()) {
            return Ok(port);
        }
        let listener = bind(addresses)?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let (strangers, stages) = Default::default();
        let port = Arc::new(Self { listener, address, strangers, stages });
        ports.push((addresses.to_vec(), Arc::downgrade(&port)));
        let listening = Arc::downgrade(&port);
        crew::spawn(|_| (Box::new(Doorkeeper { port: listening, number: 0 }), ()))?;
        Ok(port)
    }

    fn strangers(&self) -> MutexGuard<'_, VecDeque<(u64, TcpStream)>> {
        self.strangers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a newcomer in, in the place of the oldest if there is no other.
    pub fn admit(&self, connection: u64, stream: &TcpStream) -> io::Result<()> {
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
    pub fn forget_stranger(&self, connection: u64) {
        self.strangers().retain(|(stranger, _)| *stranger != connection);
    }

    /// Where it is.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Publishers of its application and key go to this stage.
    pub fn add(&self, stage: &Arc<Stage>) {
        let mut stages = self.stages.lock().unwrap_or_else(PoisonError::into_inner);
        stages.retain(|stage| stage.strong_count() > 0);
        stages.push(Arc::downgrade(stage));
    }

    /// All stages that are still there.
    pub fn stages(&self) -> Vec<Arc<Stage>> {
        let stages = self.stages.lock().unwrap_or_else(PoisonError::into_inner);
        stages.iter().filter_map(Weak::upgrade).collect()
    }
}

fn bind(addresses: &[SocketAddr]) -> io::Result<TcpListener> {
    for _ in 0..TRIES {
        match TcpListener::bind(addresses) {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
                std::thread::sleep(BETWEEN_TRIES);
            }
            other => return other,
        }
    }
    TcpListener::bind(addresses)
}

/// Lets encoders in, until nobody wants the port any more.
struct Doorkeeper {
    port: Weak<Port>,
    number: u64,
}

impl Task for Doorkeeper {
    fn step(&mut self) -> Turn {
        let Some(port) = self.port.upgrade() else { return Turn::Over };
        match port.listener.accept() {
            Ok((stream, from)) => {
                self.number += 1;
                let connection = Connection::new(port, stream, from, self.number);
                let begun =
                    connection.and_then(|connection| crew::spawn(|_| (Box::new(connection), ())));
                if let Err(error) = begun {
                    log::info!("RTMP from {from}: {error}");
                }
                Turn::Again
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                Turn::Read(Readable::of(&port.listener), LOOK)
            }
            Err(_) => Turn::Rest(PAUSE),
        }
    }
}
