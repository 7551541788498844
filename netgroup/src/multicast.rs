//! One stream within a group: fragments come by push and pull, and go on to others.

mod bits;
mod collect;
mod edge;
mod misconduct;
mod neighbour;
mod outbox;
mod player;
mod publisher;
mod pulls;
mod pushers;
mod relay_budget;
mod sparse;
mod store;
mod stream;
mod takers;

use bytes::Bytes;

pub use misconduct::Misconduct;
pub(crate) use outbox::Output;
pub(crate) use publisher::new_stream_key;
pub use publisher::publisher_of;
pub(crate) use stream::Stream;

/// A message of the stream, whole and in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    /// RTMP message type.
    pub kind: u8,
    /// Milliseconds.
    pub timestamp: u32,
    /// RTMP message payload.
    pub payload: Bytes,
}

/// What a stream tells its subscriber.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StreamEvent {
    /// What comes next begins the playing. `from_start`: nothing was published before it.
    Began {
        /// True of the publication's first message.
        from_start: bool,
    },
    /// The next message.
    Message(Delivery),
    /// The publisher ended it, and everything was delivered.
    Ended,
}

/// Counters of one stream; bytes are of fragments with their headers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct StreamStats {
    /// Neighbours that have or want it.
    pub neighbours: usize,
    /// Neighbours that we push to.
    pub pushed_to: usize,
    /// Received from its publisher.
    pub bytes_from_source: u64,
    /// Received from relays.
    pub bytes_from_peers: u64,
    /// Of both, what we had pulled.
    pub fragments_pulled: u64,
    /// Received more than once.
    pub duplicates: u64,
    /// Given up after the window.
    pub fragments_lost: u64,
    /// Sent to neighbours.
    pub bytes_sent: u64,
    /// Published here.
    pub bytes_published: u64,
    /// Fragments that neighbours asked for and that our uplink had no room for.
    pub pulls_refused: u64,
    /// Fragments that came without having been asked for, which are not taken.
    pub unasked: u64,
    /// Last fragment known.
    pub newest: u64,
}
