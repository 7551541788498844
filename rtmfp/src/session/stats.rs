//! What one session counts.

use crate::crypto::Finished;

/// Counters of one session.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SessionStats {
    /// Datagrams received and verified.
    pub packets_received: u64,
    /// Datagrams sent.
    pub packets_sent: u64,
    /// Their bytes, UDP payload.
    pub bytes_received: u64,
    /// Their bytes, UDP payload.
    pub bytes_sent: u64,
    /// Bytes of messages sent, again too, with their chunks' headers.
    pub data_sent: u64,
    /// Of those, what was lost, as far as acknowledgements tell.
    pub data_lost: u64,
}

impl SessionStats {
    /// A datagram was received and verified.
    pub(super) fn count_received(&mut self, size: usize) {
        self.packets_received += 1;
        self.bytes_received += size as u64;
    }

    pub(super) fn count_sent(&mut self, packet: Finished) {
        self.packets_sent += 1;
        self.bytes_sent += packet.size() as u64;
    }
}
