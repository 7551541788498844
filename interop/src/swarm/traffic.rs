//! What a member receives, in bytes: fragments, and all else that groups say.

use std::collections::BTreeSet;

use netgroup::wire::signature;
use rtmfp::{Event, FlowEvent, SessionId};

use super::figures::Tally;

/// Bytes of a chunk besides its message, as simulated messages have them.
const CHUNK: u64 = 9;
/// What the startup of a session costs each side, likewise.
pub(super) const HANDSHAKE: u64 = 700;

#[derive(Debug, Default)]
pub(crate) struct Traffic {
    /// Flows of others that carry fragments.
    media: BTreeSet<(SessionId, u64)>,
}

impl Traffic {
    /// Counts what an event of the endpoint is.
    pub fn count(&mut self, event: &Event, tally: &mut Tally) {
        match event {
            Event::Flow { session, event: FlowEvent::Opened { flow, metadata, .. } }
                if metadata == signature::MEDIA =>
            {
                self.media.insert((*session, *flow));
            }
            Event::Flow { session, event: FlowEvent::Message { flow, data } } => {
                let bytes = data.len() as u64 + CHUNK;
                if self.media.contains(&(*session, *flow)) {
                    tally.media_bytes += bytes;
                    tally.fragments += 1;
                } else {
                    tally.control_bytes += bytes;
                }
            }
            Event::SessionOpened { .. } => tally.control_bytes += HANDSHAKE,
            Event::Flow { session, event: FlowEvent::Finished { flow } } => {
                self.media.remove(&(*session, *flow));
            }
            Event::SessionClosed { session, .. } => {
                self.media.retain(|(of, _)| of != session);
            }
            _ => {}
        }
    }
}
