//! The first 3073 bytes of either side, RTMP 1.0 §5.2. The digests that Flash Media Server checks
//! are left out: no known encoder wants them.

use bytes::{Buf, BytesMut};

use super::TcpError;

const VERSION: u8 = 3;
const RANDOM: usize = 1536;

/// Where a handshake is.
#[derive(Debug)]
pub(super) enum Handshake {
    /// The far end's version and random bytes are awaited.
    AwaitsFirst { is_server: bool },
    /// Its echo of ours is awaited.
    AwaitsEcho,
    /// Messages may follow.
    Done,
}

/// What we say first; `random` fills it.
fn first(out: &mut Vec<u8>, random: &[u8]) {
    out.push(VERSION);
    out.extend_from_slice(&[0; 8]);
    out.extend(random.iter().copied().cycle().take(RANDOM - 8));
}

impl Handshake {
    /// A server waits for its client.
    pub fn server() -> Self {
        Self::AwaitsFirst { is_server: true }
    }

    /// A client speaks first.
    pub fn client(out: &mut Vec<u8>, random: &[u8; 32]) -> Self {
        first(out, random);
        Self::AwaitsFirst { is_server: false }
    }

    /// Takes what is there of it. True once it is done.
    pub fn advance(
        &mut self,
        input: &mut BytesMut,
        out: &mut Vec<u8>,
        random: &[u8; 32],
    ) -> Result<bool, TcpError> {
        if let Self::AwaitsFirst { is_server } = *self {
            match input.first() {
                Some(&VERSION) => {}
                // RTMP 1.0 §5.2.2: a server answers later versions with its own.
                Some(4..=31) if is_server => {}
                Some(_) => return Err(TcpError::NotRtmp),
                None => return Ok(false),
            }
            if input.len() < 1 + RANDOM {
                return Ok(false);
            }
            if is_server {
                first(out, random);
            }
            out.extend_from_slice(&input[1..=RANDOM]);
            input.advance(1 + RANDOM);
            *self = Self::AwaitsEcho;
        }
        // What the echo says is not looked at: encoders differ in it.
        if let Self::AwaitsEcho = self
            && input.len() >= RANDOM
        {
            input.advance(RANDOM);
            *self = Self::Done;
        }
        Ok(matches!(self, Self::Done))
    }
}
