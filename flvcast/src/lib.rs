//! Broadcasting FLV through NetGroups: sources, channels, peers, outputs and the page.

mod cast;
mod channel;
mod demo;
mod error;
pub mod flv;
mod headers;
mod hub;
mod output;
mod peer;
mod recorder;
mod source;
mod stop;
mod watch;
mod web;

pub use cast::{CastConfig, cast};
pub use channel::{DEFAULT_PREFIX, DEFAULT_STREAM, channel_group};
pub use demo::demo;
pub use error::Error;
pub use peer::{Peer, PeerConfig, PeerEvent, PeerStats};
pub use source::{FileSource, Paced, pace};
pub use stop::Stop;
pub use watch::{WatchConfig, watch};
