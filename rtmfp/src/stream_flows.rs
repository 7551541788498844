//! The flows on which one end sends a stream's messages.

use crate::{
    FlowOptions, Priority, SessionMut,
    rtmp::{FlowMetadata, MessageType},
};

/// Audio, video and the rest travel apart, so that none waits for another's retransmission. Each
/// flow is opened when there is something for it.
#[derive(Debug)]
pub struct StreamFlows {
    stream_id: u64,
    audio: Option<u64>,
    video: Option<u64>,
    data: Option<u64>,
}

impl StreamFlows {
    /// None is open yet.
    pub fn new(stream_id: u64) -> Self {
        Self { stream_id, audio: None, video: None, data: None }
    }

    /// The stream's number.
    pub fn stream_id(&self) -> u64 {
        self.stream_id
    }

    /// What the flows say of themselves.
    pub fn metadata(&self) -> Vec<u8> {
        FlowMetadata { stream_id: self.stream_id, network_order: false }.encode()
    }

    /// The flow for messages of this kind, in answer to `association`.
    pub fn flow_for(
        &mut self,
        view: &mut SessionMut<'_>,
        kind: MessageType,
        association: Option<u64>,
    ) -> u64 {
        let metadata = self.metadata();
        let (slot, priority, time_critical) = match kind {
            MessageType::AUDIO => (&mut self.audio, Priority::High, true),
            MessageType::VIDEO => (&mut self.video, Priority::Normal, true),
            _ => (&mut self.data, Priority::High, false),
        };
        let options = FlowOptions { priority, time_critical };
        *slot.get_or_insert_with(|| view.open_flow(&metadata, association, options))
    }

    /// Those of sound and pictures that are open.
    pub fn media(&self) -> Vec<u64> {
        self.audio.into_iter().chain(self.video).collect()
    }

    /// Those that are open.
    pub fn all(&self) -> impl Iterator<Item = u64> {
        [self.audio, self.video, self.data].into_iter().flatten()
    }
}
