//! Buffer Probe and Flow Exception Report. RFC 7016 §2.3.15, §2.3.16.

use super::{code, put_chunk};
use crate::wire::reader::{Malformed, Reader, put_vlu};

/// Asks the receiver of a suspended flow for an acknowledgement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BufferProbe {
    /// A flow that the sender of this chunk is sending.
    pub flow: u64,
}

impl BufferProbe {
    /// Decodes a payload.
    pub fn decode(payload: &[u8]) -> Result<Self, Malformed> {
        Ok(Self { flow: Reader::new(payload).vlu()? })
    }

    /// Appends the chunk.
    pub fn put(&self, out: &mut Vec<u8>) {
        put_chunk(out, code::BUFFER_PROBE, |out| put_vlu(out, self.flow));
    }
}

/// The receiver does not want this flow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FlowException {
    /// A flow that the receiver of this chunk is sending.
    pub flow: u64,
    /// 0 unless the application says otherwise.
    pub code: u64,
}

impl FlowException {
    /// Decodes a payload.
    pub fn decode(payload: &[u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(payload);
        Ok(Self { flow: reader.vlu()?, code: reader.vlu()? })
    }

    /// Appends the chunk.
    pub fn put(&self, out: &mut Vec<u8>) {
        put_chunk(out, code::FLOW_EXCEPTION, |out| {
            put_vlu(out, self.flow);
            put_vlu(out, self.code);
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{Chunk, Chunks};

    #[test]
    fn both_round_trip() {
        let mut out = Vec::new();
        BufferProbe { flow: 300 }.put(&mut out);
        FlowException { flow: 3, code: 0 }.put(&mut out);
        assert_eq!(out, [0x18, 0, 2, 0x82, 0x2c, 0x5e, 0, 2, 3, 0]);
        let chunks: Vec<_> = Chunks::new(Reader::new(&out)).collect();
        let exception = FlowException { flow: 3, code: 0 };
        assert_eq!(
            chunks,
            [Chunk::BufferProbe(BufferProbe { flow: 300 }), Chunk::FlowException(exception)]
        );
    }
}
