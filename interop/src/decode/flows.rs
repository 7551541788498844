//! Flows of a capture: what each is for, and its messages put together.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    net::SocketAddr,
};

use bytes::Bytes;
use rtmfp::wire::chunk::{FragmentControl, NextUserData, UserData, flow_option};
use serde_json::Value as Json;

use super::messages;

/// Sender, receiver, session.
type Direction = (SocketAddr, SocketAddr, u32);

/// Fragments kept of a message that lacks others.
const MAX_FRAGMENTS: usize = 20_000;

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
        let flow = self.flows.entry((direction, number)).or_default();
        if let Some(metadata) = body.options.and_then(|options| options.find(flow_option::METADATA))
        {
            flow.metadata = metadata.to_vec();
        }
        if body.abandoned || !flow.seen.insert(sequence) {
            return None;
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
    /// The message around a fragment, if all of it is here.
    fn complete(&mut self, around: u64) -> Option<Bytes> {
        let (mut first, mut last) = (around, around);
        while self.fragments.get(&first)?.0 != FragmentControl::Begin {
            first = first.checked_sub(1)?;
        }
        while self.fragments.get(&last)?.0 != FragmentControl::End {
            last += 1;
        }
        let pieces = (first..=last).filter_map(|number| self.fragments.remove(&number));
        Some(pieces.flat_map(|(_, bytes)| bytes).collect())
    }
}
