//! Barriers between flows: what was sent after one is delivered after all flows have reached it.
//! RFC 7425 §5.2.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use bytes::Bytes;

/// Barriers that may be open at once; more let everything through.
const MAX_BARRIERS: usize = 16;

/// The barriers of one tree of associated flows, such as a connection's or a direct stream's. Which
/// flows a barrier is for is not said, nor have all of them begun when the first reaches it: a
/// sender that promises more than come keeps its own flows waiting.
#[derive(Debug, Default)]
pub struct FlowSync {
    barriers: BTreeMap<u32, Barrier>,
    /// Flows that wait at a barrier, with what came behind it.
    held: BTreeMap<u64, Held>,
}

#[derive(Debug)]
struct Barrier {
    arrived: BTreeSet<u64>,
    count: u32,
}

#[derive(Debug)]
struct Held {
    barrier: u32,
    messages: VecDeque<Bytes>,
}

impl FlowSync {
    /// Takes in a message of a flow. False if it is kept for later.
    pub fn passes(&mut self, flow: u64, message: &Bytes) -> bool {
        match self.held.get_mut(&flow) {
            None => true,
            Some(held) => {
                held.messages.push_back(message.clone());
                false
            }
        }
    }

    /// A flow reached a barrier, and waits there unless it is the last. `count` flows meet. The
    /// flows that go on, with what they brought meanwhile: feed each message in again, in order,
    /// for it may be another barrier.
    pub fn arrive(&mut self, flow: u64, id: u32, count: u32) -> Vec<(u64, VecDeque<Bytes>)> {
        if !self.barriers.contains_key(&id) && self.barriers.len() >= MAX_BARRIERS {
            return Vec::new();
        }
        let barrier =
            self.barriers.entry(id).or_insert_with(|| Barrier { arrived: BTreeSet::new(), count });
        barrier.arrived.insert(flow);
        if barrier.arrived.len() >= barrier.count as usize {
            return self.open(id);
        }
        self.held.insert(flow, Held { barrier: id, messages: VecDeque::new() });
        Vec::new()
    }

    /// Whether the flow waits: it need not be received further until it goes on.
    pub fn is_held(&self, flow: u64) -> bool {
        self.held.contains_key(&flow)
    }

    fn open(&mut self, id: u32) -> Vec<(u64, VecDeque<Bytes>)> {
        self.barriers.remove(&id);
        let waiting: Vec<u64> = self
            .held
            .iter()
            .filter(|(_, held)| held.barrier == id)
            .map(|(flow, _)| *flow)
            .collect();
        waiting
            .into_iter()
            .filter_map(|flow| Some((flow, self.held.remove(&flow)?.messages)))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flows_wait_for_each_other() {
        let mut sync = FlowSync::default();
        let text = |text: &'static str| Bytes::from_static(text.as_bytes());
        assert!(sync.passes(1, &text("before")));
        assert!(sync.arrive(1, 7, 2).is_empty());
        assert!(!sync.passes(1, &text("after")) && sync.is_held(1));
        assert!(sync.passes(2, &text("other")));
        let released = sync.arrive(2, 7, 2);
        assert_eq!(released, [(1, VecDeque::from([text("after")]))]);
        assert!(sync.passes(1, &text("free")) && sync.passes(2, &text("free")));
    }

    #[test]
    fn a_barrier_for_one_and_too_many_barriers_hold_nobody() {
        let mut sync = FlowSync::default();
        assert!(sync.arrive(1, 7, 1).is_empty() && !sync.is_held(1));
        for id in 0..100 {
            sync.arrive(u64::from(id), id, 2);
        }
        assert_eq!(sync.held.len(), MAX_BARRIERS);
    }
}
