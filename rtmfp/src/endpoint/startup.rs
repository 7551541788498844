//! Packets apart from the sessions' own, waiting to be sent: those of startup, one chunk each and
//! sealed with the default key, and checks of addresses that a session may move to.

use std::{collections::VecDeque, time::Instant};

use super::{Endpoint, Path};
use crate::{
    session::clock::timestamp,
    wire::{Flags, Mode, PacketHeader},
};

/// More than a batch of hellos can ask for; what is beyond is dropped, for hellos are repeated.
const MAX_QUEUED: usize = 8192;

/// Sealed datagrams with their destinations.
#[derive(Debug, Default)]
pub(super) struct StartupQueue {
    queue: VecDeque<(Path, Vec<u8>)>,
}

impl StartupQueue {
    /// Queues a sealed datagram.
    pub fn push(&mut self, path: Path, datagram: Vec<u8>) {
        if self.queue.len() < MAX_QUEUED {
            self.queue.push_back((path, datagram));
        }
    }

    pub fn pop(&mut self) -> Option<(Path, Vec<u8>)> {
        self.queue.pop_front()
    }
}

impl Endpoint {
    /// Sends the chunk that `write` appends, to `session_id` of the far end (0 for none yet).
    pub(super) fn send_startup(
        &mut self,
        now: Instant,
        path: Path,
        session_id: u32,
        write: impl FnOnce(&mut Vec<u8>),
    ) {
        if self.startup.queue.len() >= MAX_QUEUED {
            return;
        }
        let mut out = Vec::with_capacity(512);
        let begun = self.default_keys.begin(&mut out);
        let header = PacketHeader {
            flags: Flags::new(Mode::Startup),
            timestamp: Some(timestamp(self.epoch, now)),
            timestamp_echo: None,
        };
        header.put(&mut out);
        write(&mut out);
        self.default_keys.seal(&mut out, begun, session_id);
        self.startup.push(path, out);
    }
}
