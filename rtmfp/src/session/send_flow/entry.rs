//! One fragment in a flow's queue, and what became of it.

use std::time::{Duration, Instant};

use bytes::Bytes;

use super::super::flow_options::Deadline;
use crate::wire::chunk::FragmentControl;

/// A fragment of a message that is not done with.
#[derive(Debug)]
pub(super) struct Entry {
    pub data: Bytes,
    pub fragment: FragmentControl,
    pub deadline: Deadline,
    pub abandoned: bool,
    /// It counted as lost because others overtook it.
    pub is_overtaken: bool,
    pub delivery: Delivery,
}

/// What became of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Delivery {
    /// Not sent yet, or lost.
    Queued,
    InFlight(Flight),
    Acked,
}

/// Its latest transmission.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Flight {
    pub tsn: u64,
    pub at: Instant,
    pub naks: u8,
    pub size: usize,
    pub sent_abandoned: bool,
}

/// When an acknowledgement came, and how long one takes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Arrival {
    pub now: Instant,
    pub rtt: Duration,
}

impl Entry {
    /// The acknowledgement is of an earlier transmission than the latest, if there was any.
    pub fn was_acked_before_it_could(&self, arrival: Arrival) -> bool {
        match self.delivery {
            Delivery::InFlight(flight) => {
                arrival.now.saturating_duration_since(flight.at) < arrival.rtt / 2
            }
            Delivery::Queued => true,
            Delivery::Acked => false,
        }
    }
}
