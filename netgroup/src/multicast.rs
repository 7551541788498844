//! One stream within a group: fragments come by push and pull, and go on to others.

mod collect;
mod known;
mod player;
mod publisher;
mod pull;
mod push;
mod store;
mod stream;

pub(crate) use publisher::new_stream_key;
pub use publisher::publisher_of;
pub use stream::{Delivery, StreamEvent, StreamStats};
pub(crate) use stream::{Output, Stream};
