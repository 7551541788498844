//! Bits of parameter sets, which have no bytes that look like start codes.

/// Reads bits, most significant first.
pub struct Bits {
    bytes: Vec<u8>,
    at: usize,
}

impl Bits {
    /// Of a NAL unit: what keeps start codes out is taken out. ITU-T H.264 §7.4.1.
    pub fn of_nal(nal: &[u8]) -> Self {
        let mut bytes = Vec::with_capacity(nal.len());
        let mut zeros = 0;
        for byte in nal {
            if zeros >= 2 && *byte == 3 {
                zeros = 0;
                continue;
            }
            zeros = if *byte == 0 { zeros + 1 } else { 0 };
            bytes.push(*byte);
        }
        Self { bytes, at: 0 }
    }

    /// The bytes from here on, if it stands between two.
    pub fn bytes(&self) -> &[u8] {
        self.bytes.get(self.at / 8..).unwrap_or_default()
    }

    /// Passes over some.
    pub fn skip(&mut self, count: usize) {
        self.at = self.at.saturating_add(count);
    }

    /// The next ones, up to 32.
    pub fn read(&mut self, count: usize) -> Option<u32> {
        let mut value = 0;
        for _ in 0..count {
            let byte = self.bytes.get(self.at / 8)?;
            value = value << 1 | u32::from(byte >> (7 - self.at % 8) & 1);
            self.at += 1;
        }
        Some(value)
    }

    /// An Exp-Golomb number, ITU-T H.264 §9.1.
    pub fn golomb(&mut self) -> Option<u32> {
        let mut zeros = 0;
        while self.read(1)? == 0 {
            zeros += 1;
            if zeros > 31 {
                return None;
            }
        }
        Some((1 << zeros) - 1 + self.read(zeros)?)
    }
}
