//! Starting a server on a thread of its own, for `rtmfpd` and for programs that embed one.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    thread::JoinHandle,
    time::Instant,
};

use rand::Rng;
use thiserror::Error;

use super::{IdentityError, Server, ServerConfig, identity};
use rtmfp::{
    Config, Endpoint, ReceiveLimits,
    crypto::PeerId,
    net::{Driver, Remote, key_log_from_env},
};

/// The server did not start, or ended badly.
#[derive(Debug, Error)]
pub enum ServerError {
    /// The address cannot be had.
    #[error(
        "cannot listen on {0}: {1}; choose another with --listen ADDR:PORT, or stop what uses it"
    )]
    Listen(SocketAddr, io::Error),
    /// The configuration asks for more than there can be of this.
    #[error("{0}: {1} at most")]
    TooMuch(&'static str, usize),
    /// See there.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// The event loop failed.
    #[error("the network failed: {0}")]
    Network(#[from] io::Error),
}

/// A server that runs until it is stopped or dropped.
#[derive(Debug)]
pub struct RunningServer {
    address: SocketAddr,
    fingerprint: PeerId,
    remote: Remote<std::convert::Infallible>,
    thread: JoinHandle<io::Result<Server>>,
}

impl RunningServer {
    /// Its first address, with the port it really has.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its URL for clients on the same machine or as listened on.
    pub fn url(&self) -> String {
        let ip = match self.address.ip() {
            IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
            IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
            ip => ip,
        };
        format!("rtmfp://{}", SocketAddr::new(ip, self.address.port()))
    }

    /// The fingerprint of its certificate.
    pub fn fingerprint(&self) -> PeerId {
        self.fingerprint
    }

    /// Something that stops it from elsewhere.
    pub fn stopper(&self) -> impl Fn() + Send + 'static {
        let remote = self.remote.clone();
        move || {
            let _ = remote.stop();
        }
    }

    /// Waits until it has stopped.
    pub fn wait(self) -> Result<Server, ServerError> {
        drop(self.remote);
        match self.thread.join() {
            Ok(result) => Ok(result?),
            Err(panic) => std::panic::resume_unwind(panic),
        }
    }
}

/// Sockets have numbers of one byte.
const MAX_LISTENERS: usize = 256;
/// As of names in the DNS; it goes with the certificate in one datagram.
const MAX_HOSTNAME: usize = 255;
/// Of clients that send commands, no media.
const COMMANDS: ReceiveLimits =
    ReceiveLimits { buffer: 128 << 10, message: 256 << 10, session: 1 << 20 };
/// Key frames of a megabyte and more are seen.
const MEDIA: ReceiveLimits = ReceiveLimits { buffer: 1 << 20, message: 4 << 20, session: 8 << 20 };

/// Binds and runs a server.
pub fn start(config: &ServerConfig) -> Result<RunningServer, ServerError> {
    for (what, asked, most) in [
        ("addresses to listen on", config.listen.len(), MAX_LISTENERS),
        ("bytes of a hostname", config.hostname.as_ref().map_or(0, String::len), MAX_HOSTNAME),
    ] {
        if asked > most {
            return Err(ServerError::TooMuch(what, most));
        }
    }
    let identity = identity::load_or_create(config)?;
    let fingerprint = identity.peer_id();
    let (wanted, is_strict) = config.bindings();
    let addresses = usable(&wanted, is_strict)?;
    let mut seed = [0; 32];
    rand::rng().fill_bytes(&mut seed);
    let settings = Config {
        introduces: true,
        limits: if config.live_streams { MEDIA } else { COMMANDS },
        protection: config.protection(),
        key_log: key_log_from_env(),
        ..Config::default()
    };
    let endpoint = Endpoint::new(settings, identity, Instant::now(), seed);
    let mut server = Server::new(config.protection());
    if config.live_streams {
        server.carry_streams();
    }
    let (driver, remote) = Driver::bind(&addresses, endpoint, server)
        .map_err(|error| ServerError::Listen(addresses[0], error))?;
    let address = driver.local_addresses()[0];
    let thread = std::thread::Builder::new().name("rtmfpd".into()).spawn(move || driver.run())?;
    Ok(RunningServer { address, fingerprint, remote, thread })
}

/// Tries each address; of the default ones, a machine may lack IPv6.
fn usable(wanted: &[SocketAddr], is_strict: bool) -> Result<Vec<SocketAddr>, ServerError> {
    let mut addresses = Vec::new();
    for address in wanted {
        match try_bind(*address) {
            Ok(()) => addresses.push(*address),
            Err(error) if is_strict || address.is_ipv4() => {
                return Err(ServerError::Listen(*address, error));
            }
            Err(error) => log::info!("not listening on {address}: {error}"),
        }
    }
    Ok(addresses)
}

fn try_bind(address: SocketAddr) -> io::Result<()> {
    let socket =
        socket2::Socket::new(socket2::Domain::for_address(address), socket2::Type::DGRAM, None)?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.bind(&address.into())
}
