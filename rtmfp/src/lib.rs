//! RTMFP, the Secure Real-Time Media Flow Protocol: RFC 7016 with the profile of RFC 7425.
//!
//! The core does no I/O. An [`Endpoint`] takes time, randomness and datagrams, and hands out
//! datagrams, events and deadlines:
//!
//! - in: [`Endpoint::handle_datagram`], [`Endpoint::handle_timeout`], and commands such as
//!   [`Endpoint::open`] and those of [`SessionMut`];
//! - out: [`Endpoint::poll_transmit`], [`Endpoint::poll_event`], [`Endpoint::poll_timeout`].
//!
//! **Contract:** after anything that goes in, call every poll until it returns nothing. Time must
//! not run backwards.
//!
//! The feature `net` adds a mio driver that does all that over UDP.

mod connection;
pub mod crypto;
mod endpoint;
mod event;
#[cfg(feature = "net")]
pub mod net;
mod net_connection;
mod path;
mod peer_openings;
pub mod rtmp;
mod session;
mod stream_flows;
mod url;
pub mod wire;

pub use connection::{Connection, ConnectionEvent};
pub use endpoint::{
    Config, Endpoint, EndpointStats, OpenError, Passwords, ProtectionRule, ProtectionRules,
    SessionMut, Transmit,
};
pub use event::{CloseReason, Event, FlowEvent, OpenFailure, SessionId};
pub use net_connection::{NetConnection, NetEvent, StreamError, StreamEvent, StreamId};
pub use path::{Ecn, Path};
pub use peer_openings::PeerOpenings;
pub use session::{
    CongestionSignals, Deadline, FlowOptions, Liveness, Priority, ReceiveLimits, ReceiveOrder,
    SessionStats,
};
pub use stream_flows::StreamFlows;
pub use url::{DEFAULT_PORT, ServerUrl, UrlError};
