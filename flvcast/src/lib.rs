//! Broadcasting FLV through NetGroups: sources, channels, peers, outputs and the page.

mod address;
mod cast;
mod channel;
#[cfg(feature = "demo")]
mod demo;
mod error;
pub mod flv;
mod headers;
mod hub;
mod link;
mod output;
mod pacer;
mod peer;
pub mod programme;
pub mod remux;
mod repeater;
mod say;
mod screen;
pub mod source;
mod status;
mod stop;
pub mod timeline;
mod watch;
mod web;

pub use address::listen_addresses;
pub use cast::{CastConfig, cast};
pub use channel::{DEFAULT_PREFIX, DEFAULT_STREAM, channel_group};
#[cfg(feature = "demo")]
pub use demo::demo;
pub use error::Error;
pub use peer::{Peer, PeerConfig, PeerEvent, PeerStats};
pub use say::print;
pub use source::{Plan, Quality, SourceSpec};
pub use stop::Stop;
pub use watch::{WatchConfig, watch};
pub use web::Limits;
