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

/// User control events, RFC 7425 §5.2 and §5.3.4.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UserControl {
    /// A stream begins.
    StreamBegin(u32),
    /// Keepalive periods in milliseconds that a server commands.
    SetKeepalive {
        /// Between client and server.
        server: u32,
        /// Between peers.
        peer: u32,
    },
    /// Event and its data, not looked into.
    Other(u16),
}

impl UserControl {
    const STREAM_BEGIN: u16 = 0;
    const SET_KEEPALIVE: u16 = 41;

    /// Decodes a payload of a user control message.
    pub fn decode(payload: &[u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(payload);
        Ok(match reader.u16()? {
            Self::STREAM_BEGIN => Self::StreamBegin(reader.u32()?),
            Self::SET_KEEPALIVE => {
                Self::SetKeepalive { server: reader.u32()?, peer: reader.u32()? }
            }
            other => Self::Other(other),
        })
    }

    /// A whole message.
    pub fn encode(&self) -> Bytes {
        let mut payload = Vec::new();
        match self {
            Self::StreamBegin(stream) => {
                payload.extend_from_slice(&Self::STREAM_BEGIN.to_be_bytes());
                payload.extend_from_slice(&stream.to_be_bytes());
            }
            Self::SetKeepalive { server, peer } => {
                payload.extend_from_slice(&Self::SET_KEEPALIVE.to_be_bytes());
                payload.extend_from_slice(&server.to_be_bytes());
                payload.extend_from_slice(&peer.to_be_bytes());
            }
            Self::Other(event) => payload.extend_from_slice(&event.to_be_bytes()),
        }
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
            UserControl::SetKeepalive { server: 15_000, peer: 10_000 },
        ] {
            let message = Message::decode(&event.encode()).unwrap();
            assert_eq!(message.kind, MessageType::USER_CONTROL);
            assert_eq!(UserControl::decode(&message.payload), Ok(event));
        }
    }
}
