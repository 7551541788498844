//! RTMP over TCP, for those who do not speak RTMFP: encoders that publish, and servers that are
//! pulled from. Without I/O, like the rest: bytes go in, bytes and events come out.
//!
//! Payloads pass as they are, so that Enhanced RTMP needs nothing here. Adobe's RTMP 1.0 is the
//! source; what real programs do otherwise is said where it matters.

mod chunk_reader;
mod chunk_writer;
mod client;
mod handshake;
mod server;
mod transport;

use thiserror::Error;

pub use chunk_reader::ChunkReader;
pub use chunk_writer::put_chunks;
pub use client::{ClientEvent, ClientSession};
pub use server::{ServerEvent, ServerSession};

use super::Message;

/// A message on a message stream; 0 is the connection itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamMessage {
    /// RTMP 1.0 §4: the message stream.
    pub stream: u32,
    /// The message.
    pub message: Message,
}

/// The far end does not speak RTMP as anybody does: the connection is of no more use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum TcpError {
    /// Its first byte is not RTMP's version.
    #[error("this is not RTMP")]
    NotRtmp,
    /// RTMP 1.0 §5.3.1: a chunk that goes on with what never began.
    #[error("a chunk without a beginning")]
    Orphan,
    /// More chunk streams, or unfinished messages, than any program has.
    #[error("too much at once")]
    TooMuch,
    /// RTMP 1.0 §5.4: a control message that makes no sense.
    #[error("a control message that makes no sense")]
    BadControl,
}

/// Protocol control, RTMP 1.0 §5.4, and messages that hold others.
mod kind {
    pub const SET_CHUNK_SIZE: u8 = 1;
    pub const ABORT: u8 = 2;
    pub const ACKNOWLEDGEMENT: u8 = 3;
    pub const USER_CONTROL: u8 = 4;
    pub const WINDOW_SIZE: u8 = 5;
    pub const PEER_BANDWIDTH: u8 = 6;
    pub const AGGREGATE: u8 = 22;
}

#[cfg(test)]
mod tests;
