//! What a stream wants sent, and what it tells.

use std::{collections::VecDeque, time::Instant};

use bytes::Bytes;
use rtmfp::crypto::PeerId;

use super::{StreamEvent, misconduct::Misconduct};
use crate::wire::MediaControl;

/// What a stream wants done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Output {
    Control(PeerId, MediaControl),
    /// A fragment that is worthless after the deadline.
    Media(PeerId, Bytes, Instant),
    /// For the subscriber.
    Event(StreamEvent),
    /// A neighbour did what no honest one does.
    Suspect(PeerId, Misconduct),
}

/// In order.
#[derive(Debug, Default)]
pub(super) struct Outbox(VecDeque<Output>);

impl Outbox {
    pub fn control(&mut self, peer: PeerId, message: MediaControl) {
        self.0.push_back(Output::Control(peer, message));
    }

    pub fn media(&mut self, peer: PeerId, message: Bytes, deadline: Instant) {
        self.0.push_back(Output::Media(peer, message, deadline));
    }

    pub fn event(&mut self, event: StreamEvent) {
        self.0.push_back(Output::Event(event));
    }

    pub fn suspect(&mut self, peer: PeerId, of: Misconduct) {
        self.0.push_back(Output::Suspect(peer, of));
    }

    pub fn pop(&mut self) -> Option<Output> {
        self.0.pop_front()
    }
}
