//! RTMP, in both roles: encoders publish here, servers are pulled from.

pub mod listen;
mod port;
pub mod pull;

use rtmfp::rtmp::Message;

use crate::flv::{Tag, TagKind};

/// RTMP 1.0 §5.
pub const DEFAULT_PORT: u16 = 1935;

/// A message as an FLV tag.
fn to_tag(message: Message) -> Option<Tag> {
    let Message { kind, timestamp, payload } = message;
    Some(Tag { kind: TagKind::from_code(kind.0)?, timestamp, payload })
}

/// Nothing came in time, which is no error.
fn is_patience(error: &std::io::Error) -> bool {
    matches!(
        error.kind(),
        std::io::ErrorKind::WouldBlock
            | std::io::ErrorKind::TimedOut
            | std::io::ErrorKind::Interrupted
    )
}
