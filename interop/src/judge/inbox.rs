//! Messages of a session, put together from its packets.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    time::{Duration, Instant},
};

use rtmfp::wire::{
    Chunk,
    chunk::{FragmentControl, flow_option},
};

use super::{
    Failure, Session, failed,
    probe::{Packet, came_instead, name_of},
};

/// The oldest of more than these are forgotten.
const MAX_UNREAD: usize = 256;

/// A message of the far end, whole.
#[derive(Debug, Clone)]
pub struct Received {
    /// The far end's number for its flow.
    pub flow: u64,
    /// What the flow is for.
    pub metadata: Vec<u8>,
    /// The message.
    pub bytes: Vec<u8>,
}

/// Puts messages of all flows together; fragments come in order, if more than once, for the judge
/// is as close to the program under test as can be.
#[derive(Debug, Default)]
pub struct Inbox {
    metadata: BTreeMap<u64, Vec<u8>>,
    partial: BTreeMap<u64, Vec<u8>>,
    seen: BTreeSet<(u64, u64)>,
    last: Option<(u64, u64)>,
    unread: VecDeque<Received>,
}

impl Inbox {
    /// Takes in a packet.
    pub fn take(&mut self, packet: &Packet) {
        let mut place = None;
        for chunk in packet.chunks() {
            let (at, body) = match chunk {
                Chunk::UserData(data) => ((data.flow, data.sequence), data.body),
                Chunk::NextUserData(body) => match place {
                    Some((flow, sequence)) => ((flow, sequence + 1), body),
                    None => continue,
                },
                _ => continue,
            };
            place = Some(at);
            self.last = place;
            let metadata = body.options.and_then(|list| list.find(flow_option::METADATA));
            if let Some(metadata) = metadata {
                self.metadata.insert(at.0, metadata.to_vec());
            }
            if !body.abandoned && self.seen.insert(at) {
                self.add(at.0, body.fragment, body.data);
            }
        }
    }

    fn add(&mut self, flow: u64, fragment: FragmentControl, data: &[u8]) {
        let partial = self.partial.entry(flow).or_default();
        if matches!(fragment, FragmentControl::Whole | FragmentControl::Begin) {
            partial.clear();
        }
        partial.extend_from_slice(data);
        if matches!(fragment, FragmentControl::Whole | FragmentControl::End) {
            let bytes = std::mem::take(partial);
            let metadata = self.metadata.get(&flow).cloned().unwrap_or_default();
            self.unread.push_back(Received { flow, metadata, bytes });
            if self.unread.len() > MAX_UNREAD {
                self.unread.pop_front();
            }
        }
    }

    /// The flow on which the last fragment came.
    pub fn last_flow(&self) -> Option<u64> {
        self.last.map(|(flow, _)| flow)
    }

    /// The highest number that came on a flow.
    pub fn last_sequence(&self, flow: u64) -> u64 {
        let of_flow = self.seen.range((flow, 0)..=(flow, u64::MAX));
        of_flow.last().map_or(0, |(_, sequence)| *sequence)
    }

    /// Takes out the first message that `wanted` wants.
    fn find<T>(&mut self, wanted: &mut impl FnMut(&Received) -> Option<T>) -> Option<T> {
        let (at, found) =
            self.unread.iter().enumerate().find_map(|(at, it)| Some((at, wanted(it)?)))?;
        self.unread.remove(at);
        Some(found)
    }
}

impl Session {
    /// Waits for a message that `wanted` wants, if it has not come yet; what comes is acknowledged.
    pub fn expect_message<T>(
        &mut self,
        what: &str,
        wanted: impl FnMut(&Received) -> Option<T>,
    ) -> Result<T, Failure> {
        self.expect_message_within(self.probe.patience(), what, wanted)
    }

    /// The same with a time of its own.
    pub fn expect_message_within<T>(
        &mut self,
        time: Duration,
        what: &str,
        mut wanted: impl FnMut(&Received) -> Option<T>,
    ) -> Result<T, Failure> {
        let deadline = Instant::now() + time;
        let mut came = Vec::new();
        loop {
            if let Some(found) = self.inbox.find(&mut wanted) {
                return Ok(found);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            let Some(packet) = self.receive(left) else { break };
            self.acknowledge(&packet);
            came.extend(packet.chunks().map(|chunk| name_of(&chunk)));
        }
        Err(failed(what, came_instead(&came)))
    }
}
