//! Message header, flow metadata and user control events. RFC 7425 §5.1, §5.2.

use bytes::Bytes;

use crate::wire::{Malformed, Reader, put_vlu};

/// What a message is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MessageType(pub u8);

#[allow(missing_docs)]
impl MessageType {
    pub const USER_CONTROL: Self = Self(4);
    pub const AUDIO: Self = Self(8);
    pub const VIDEO: Self = Self(9);
    pub const DATA_AMF3: Self = Self(15);
    pub const COMMAND_AMF3: Self = Self(17);
    pub const DATA_AMF0: Self = Self(18);
    pub const COMMAND_AMF0: Self = Self(20);
}

impl MessageType {
    /// RFC 7425 §5.1: RTMP's own protocol control, which RTMFP does itself. Neither sent nor heeded.
    pub fn is_protocol_control(self) -> bool {
        matches!(self.0, 1 | 2 | 3 | 5 | 6)
    }
}

/// An RTMP message: 5 bytes of header, then its payload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// What it is.
    pub kind: MessageType,
    /// Milliseconds.
    pub timestamp: u32,
    /// The rest.
    pub payload: Bytes,
}

impl Message {
    /// Bytes before the payload.
    pub const HEADER_LEN: usize = 5;

    /// Decodes a flow's message; the payload is shared, not copied.
    pub fn decode(data: &Bytes) -> Result<Self, Malformed> {
        let mut reader = Reader::new(data);
        let (kind, timestamp) = (MessageType(reader.u8()?), reader.u32()?);
        Ok(Self { kind, timestamp, payload: data.slice(Self::HEADER_LEN..) })
    }

    /// As it travels.
    pub fn to_bytes(&self) -> Bytes {
        Self::encode(self.kind, self.timestamp, &self.payload)
    }

    /// As it travels, from its parts.
    pub fn encode(kind: MessageType, timestamp: u32, payload: &[u8]) -> Bytes {
        let mut out = Vec::with_capacity(Self::HEADER_LEN + payload.len());
        out.push(kind.0);
        out.extend_from_slice(&timestamp.to_be_bytes());
        out.extend_from_slice(payload);
        out.into()
    }
}

/// `TC`: what a flow of RTMP messages is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FlowMetadata {
    /// 0 is the connection itself.
    pub stream_id: u64,
    /// The sender would have messages delivered as they arrive.
    pub network_order: bool,
}

impl FlowMetadata {
    const SIGNATURE: [u8; 2] = *b"TC";
    const HAS_STREAM: u8 = 0x04;
    const NETWORK_ORDER: u8 = 0x01;

    /// The connection's own flow.
    pub const CONTROL: Self = Self { stream_id: 0, network_order: false };

    /// Decodes metadata that begins with `TC`.
    pub fn decode(metadata: &[u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(metadata);
        let signature = reader.array::<2>()?;
        let flags = reader.u8()?;
        if signature != Self::SIGNATURE || flags & Self::HAS_STREAM == 0 {
            return Err(Malformed);
        }
        Ok(Self { stream_id: reader.vlu()?, network_order: flags & Self::NETWORK_ORDER != 0 })
    }

    /// As it travels.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Self::SIGNATURE.to_vec();
        out.push(Self::HAS_STREAM | if self.network_order { Self::NETWORK_ORDER } else { 0 });
        put_vlu(&mut out, self.stream_id);
        out
    }
}

/// User control events, RFC 7425 §5.2 and §5.3.4, RTMP §7.1.7.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UserControl {
    /// A stream begins.
    StreamBegin(u32),
    /// Playback has reached the end.
    StreamEnd(u32),
    /// There is nothing more to play for now.
    StreamDry(u32),
    /// How much the client buffers of a stream, in milliseconds.
    SetBufferLength {
        /// Which stream.
        stream: u32,
        /// Milliseconds.
        length: u32,
    },
    /// The stream is a recording.
    StreamIsRecorded(u32),
    /// Nothing more of this flow is to be delivered before `count` flows have said `id`.
    FlowSync {
        /// Names the barrier.
        id: u32,
        /// Flows that meet at it.
        count: u32,
    },
    /// Keepalive periods in milliseconds that a server commands.
    SetKeepalive {
        /// Between client and server.
        server: u32,
        /// Between peers.
        peer: u32,
    },
    /// An event unknown to us, not looked into.
    Other(u16),
}

impl UserControl {
    const STREAM_BEGIN: u16 = 0;
    const STREAM_END: u16 = 1;
    const STREAM_DRY: u16 = 2;
    const SET_BUFFER_LENGTH: u16 = 3;
    const STREAM_IS_RECORDED: u16 = 4;
    const FLOW_SYNC: u16 = 34;
    const SET_KEEPALIVE: u16 = 41;

    /// Decodes a payload of a user control message.
    pub fn decode(payload: &[u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(payload);
        let event = reader.u16()?;
        let mut word = || reader.u32();
        Ok(match event {
            Self::STREAM_BEGIN => Self::StreamBegin(word()?),
            Self::STREAM_END => Self::StreamEnd(word()?),
            Self::STREAM_DRY => Self::StreamDry(word()?),
            Self::SET_BUFFER_LENGTH => Self::SetBufferLength { stream: word()?, length: word()? },
            Self::STREAM_IS_RECORDED => Self::StreamIsRecorded(word()?),
            Self::FLOW_SYNC => Self::FlowSync { id: word()?, count: word()? },
            Self::SET_KEEPALIVE => Self::SetKeepalive { server: word()?, peer: word()? },
            other => Self::Other(other),
        })
    }

    /// A whole message.
    pub fn encode(&self) -> Bytes {
        let (event, words): (u16, &[u32]) = match self {
            Self::StreamBegin(stream) => (Self::STREAM_BEGIN, &[*stream]),
            Self::StreamEnd(stream) => (Self::STREAM_END, &[*stream]),
            Self::StreamDry(stream) => (Self::STREAM_DRY, &[*stream]),
            Self::SetBufferLength { stream, length } => {
                (Self::SET_BUFFER_LENGTH, &[*stream, *length])
            }
            Self::StreamIsRecorded(stream) => (Self::STREAM_IS_RECORDED, &[*stream]),
            Self::FlowSync { id, count } => (Self::FLOW_SYNC, &[*id, *count]),
            Self::SetKeepalive { server, peer } => (Self::SET_KEEPALIVE, &[*server, *peer]),
            Self::Other(event) => (*event, &[]),
        };
        let mut payload = event.to_be_bytes().to_vec();
        words.iter().for_each(|word| payload.extend_from_slice(&word.to_be_bytes()));
        Message::encode(MessageType::USER_CONTROL, 0, &payload)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flash_control_flow_metadata() {
        assert_eq!(FlowMetadata::CONTROL.encode(), [0x54, 0x43, 4, 0]);
        assert_eq!(FlowMetadata::decode(&[0x54, 0x43, 4, 0]), Ok(FlowMetadata::CONTROL));
        assert!(FlowMetadata::decode(b"GC").is_err());
        assert!(FlowMetadata::decode(&[0x54, 0x43, 0, 0]).is_err());
    }

    #[test]
    fn user_control_round_trips() {
        for event in [
            UserControl::StreamBegin(7),
            UserControl::StreamEnd(7),
            UserControl::StreamDry(7),
            UserControl::StreamIsRecorded(7),
            UserControl::SetBufferLength { stream: 7, length: 3000 },
            UserControl::FlowSync { id: 1, count: 2 },
            UserControl::Other(99),
            UserControl::SetKeepalive { server: 15_000, peer: 10_000 },
        ] {
            let message = Message::decode(&event.encode()).unwrap();
            assert_eq!(message.kind, MessageType::USER_CONTROL);
            assert_eq!(UserControl::decode(&message.payload), Ok(event));
        }
    }
}
