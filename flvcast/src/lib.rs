//! Broadcasting FLV through NetGroups: sources, channels, peers, outputs and the page.

mod address;
mod broadcast;
mod cast;
mod channel;
mod console;
mod crew;
#[cfg(feature = "demo")]
mod demo;
mod desk;
mod error;
pub mod flv;
mod fmp4;
mod headers;
mod hub;
mod journal;
mod link;
mod mixer;
mod output;
mod pacer;
mod peer;
pub mod programme;
mod push;
mod record;
pub mod remux;
mod repeater;
mod say;
mod screen;
mod serve;
pub mod source;
mod station;
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
pub use hub::Memory;
pub use push::PushTarget;
pub use record::RecordConfig;
pub use say::print;
pub use serve::{lower_qualities, serve};
pub use source::{Plan, Quality, SourceSpec};
pub use station::{ChannelConfig, Role, StandInConfig};
pub use stop::Stop;
pub use watch::{WatchConfig, watch};
pub use web::{Limits, Token, WebConfig};
