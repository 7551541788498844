//! ECN Report, an experiment of rtmfp-cpp (its README, "Explicit Congestion Notification").

use super::{code, put_chunk};
use crate::wire::reader::{Malformed, Reader};

/// How many packets arrived marked as having experienced congestion.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EcnReport {
    /// Modulo 256, since the session began.
    pub count: u8,
}

impl EcnReport {
    /// Decodes a payload.
    pub fn decode(payload: &[u8]) -> Result<Self, Malformed> {
        Ok(Self { count: Reader::new(payload).u8()? })
    }

    /// Appends the chunk.
    pub fn put(&self, out: &mut Vec<u8>) {
        put_chunk(out, code::ECN_REPORT, |out| out.push(self.count));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{Chunk, Chunks};

    #[test]
    fn round_trips() {
        let mut out = Vec::new();
        EcnReport { count: 7 }.put(&mut out);
        assert_eq!(out, [0xec, 0, 1, 7]);
        let chunk = Chunks::new(Reader::new(&out)).next();
        assert_eq!(chunk, Some(Chunk::EcnReport(EcnReport { count: 7 })));
    }
}
