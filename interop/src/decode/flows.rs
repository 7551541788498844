//! Flows of a capture: what each is for, and its messages put together.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use bytes::Bytes;
use rtmfp::wire::chunk::{FragmentControl, NextUserData, UserData, flow_option};
use serde_json::Value as Json;

use super::{Direction, messages};

/// Fragments kept of a message that lacks others, and numbers by which repetitions are known.
const MAX_FRAGMENTS: usize = 20_000;
const MAX_SEEN: usize = 65_536;
/// Flows of a capture; the messages of others are not put together.
const MAX_FLOWS: usize = 65_536;

#[derive(Debug, Default)]
struct Flow {
    metadata: Vec<u8>,
    /// Numbers of fragments that were seen, for retransmissions.
    seen: BTreeSet<u64>,
    fragments: BTreeMap<u64, (FragmentControl, Vec<u8>)>,
}

/// All flows of a capture.
#[derive(Debug, Default)]
pub(super) struct Flows {
    flows: HashMap<(Direction, u64), Flow>,
    last: Option<(u64, u64)>,
}

impl Flows {
    pub fn begin_packet(&mut self) {
        self.last = None;
    }

    /// Takes in a fragment: the message that it completes, described.
    pub fn take(&mut self, direction: Direction, data: &UserData<'_>) -> Option<Json> {
        self.last = Some((data.flow, data.sequence));
        self.note(direction, data.flow, data.sequence, &data.body)
    }

    /// The same for the fragment after the last one.
    pub fn take_next(&mut self, direction: Direction, body: &NextUserData<'_>) -> Option<Json> {
        let (flow, last) = self.last?;
        let sequence = last.checked_add(1)?;
        self.last = Some((flow, sequence));
        self.note(direction, flow, sequence, body)
    }

    fn note(
        &mut self,
        direction: Direction,
        number: u64,
        sequence: u64,
        body: &NextUserData<'_>,
    ) -> Option<Json> {
        let key = (direction, number);
        if self.flows.len() >= MAX_FLOWS && !self.flows.contains_key(&key) {
            return None;
        }
        let flow = self.flows.entry(key).or_default();
        if let Some(metadata) = body.options.and_then(|options| options.find(flow_option::METADATA))
        {
            flow.metadata = metadata.to_vec();
        }
        if body.abandoned || !flow.seen.insert(sequence) {
            return None;
        }
        if flow.seen.len() > MAX_SEEN {
            flow.seen.pop_first();
        }
        if body.fragment == FragmentControl::Whole {
            let message = Bytes::copy_from_slice(body.data);
            return (!message.is_empty())
                .then(|| messages::describe(&flow.metadata, number, &message));
        }
        if flow.fragments.len() >= MAX_FRAGMENTS {
            flow.fragments.pop_first();
        }
        flow.fragments.insert(sequence, (body.fragment, body.data.to_vec()));
        let message = flow.complete(sequence)?;
        Some(messages::describe(&flow.metadata, number, &message))
    }
}

impl Flow {
    /// The message around a fragment, if all of it is here. Looks both ways in turn, so that a
    /// hole close by ends the search, whatever is on the other side.
    fn complete(&mut self, around: u64) -> Option<Bytes> {
        let (mut first, mut last) = (around, around);
        loop {
            let begins = self.fragments.get(&first)?.0 == FragmentControl::Begin;
            let ends = self.fragments.get(&last)?.0 == FragmentControl::End;
            if begins && ends {
                break;
            }
            first = if begins { first } else { first.checked_sub(1)? };
            last = if ends { last } else { last.checked_add(1)? };
        }
        let pieces = (first..=last).filter_map(|number| self.fragments.remove(&number));
        Some(pieces.flat_map(|(_, bytes)| bytes).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_put_together_whatever_comes_first() {
        use FragmentControl::{Begin, End, Middle};
        let kinds = [Begin, Middle, Middle, End];
        for order in [[0, 1, 2, 3], [3, 2, 1, 0], [1, 3, 0, 2]] {
            let mut flow = Flow::default();
            let mut got = Vec::new();
            for index in order {
                let number = index as u64 + 7;
                flow.fragments.insert(number, (kinds[index], vec![index as u8]));
                got.extend(flow.complete(number));
            }
            assert_eq!(got, [Bytes::from_static(&[0, 1, 2, 3])], "{order:?}");
        }
    }
}
