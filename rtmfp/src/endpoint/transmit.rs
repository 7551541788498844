//! What goes out, as trains of equal-size datagrams.

use std::time::Instant;

use super::{Endpoint, table::Slot};
use crate::{crypto::Finished, path::Path};

/// Datagrams in one train; with the largest usual size they stay below the 64 KiB of one call.
const MAX_TRAIN: usize = 40;

/// One train for one destination.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Transmit {
    /// Where it goes.
    pub path: Path,
    /// Size of each datagram but the last, which may be shorter.
    pub segment_size: usize,
    /// Mark them as ECN-capable.
    pub is_ecn_capable: bool,
}

impl Endpoint {
    /// Fills `buf` (cleared first) with the next train. Call until it returns nothing.
    pub fn poll_transmit(&mut self, now: Instant, buf: &mut Vec<u8>) -> Option<Transmit> {
        buf.clear();
        let transmit = self.next_train(now, buf)?;
        self.stats.datagrams_sent += buf.len().div_ceil(transmit.segment_size) as u64;
        self.stats.bytes_sent += buf.len() as u64;
        Some(transmit)
    }

    fn next_train(&mut self, now: Instant, buf: &mut Vec<u8>) -> Option<Transmit> {
        if let Some((path, datagram)) = self.held.take().or_else(|| self.startup.pop()) {
            buf.extend_from_slice(&datagram);
            let segment_size = datagram.len();
            return Some(Transmit { path, segment_size, is_ecn_capable: false });
        }
        while let Some(id) = self.table.pop_ready() {
            let surroundings = self.critical.around(now, id);
            let Some(Slot::Session(session)) = self.table.get_mut(id) else { continue };
            let path = session.path();
            let is_ecn_capable = session.way.ecn.marks_data();
            self.train.clear();
            for _ in 0..MAX_TRAIN {
                let before = buf.len();
                let Some(packet) = session.write_packet(now, surroundings, buf) else { break };
                let first = self.train.first().map_or(packet.size(), Finished::size);
                if packet.size() > first {
                    let mut held = buf.split_off(before);
                    session.seal(&mut held, &[packet.moved_back(before)]);
                    self.held = Some((path, held));
                    break;
                }
                self.train.push(packet);
                if packet.size() < first {
                    break;
                }
            }
            session.seal(buf, &self.train);
            let segment_size = self.train.first().map_or(0, Finished::size);
            if session.sender.sent_time_critical(now) {
                self.critical.on_sent(now);
            }
            self.table.touch(now, id);
            if segment_size > 0 {
                return Some(Transmit { path, segment_size, is_ecn_capable });
            }
        }
        None
    }
}
