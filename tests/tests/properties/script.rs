//! Input of a fuzzer as a list of decisions.

/// Reads decisions; after the end of the input all of them are 0.
pub struct Script<'a> {
    input: &'a [u8],
}

impl<'a> Script<'a> {
    pub fn new(input: &'a [u8]) -> Self {
        Self { input }
    }

    pub fn is_over(&self) -> bool {
        self.input.is_empty()
    }

    pub fn byte(&mut self) -> u8 {
        match self.input.split_first() {
            Some((first, rest)) => {
                self.input = rest;
                *first
            }
            None => 0,
        }
    }

    /// Below `bound`, which is at most 256.
    pub fn below(&mut self, bound: usize) -> usize {
        usize::from(self.byte()) % bound
    }

    /// Yes, once in 256 / `parts` times.
    pub fn is_rare(&mut self, parts: u8) -> bool {
        self.byte() >= 255 - parts
    }

    pub fn u16(&mut self) -> u16 {
        u16::from_be_bytes([self.byte(), self.byte()])
    }

    /// Small, or near an edge of what a variable length number holds.
    pub fn number(&mut self) -> u64 {
        let byte = u64::from(self.byte());
        match byte {
            0..200 => byte % 40,
            200..220 => u64::from(self.u16()),
            220..230 => (1 << 53) - byte % 4,
            230..240 => u64::MAX - byte % 4,
            _ => u64::from(self.u16()) << (byte % 40),
        }
    }

    /// At most `most` bytes of the input itself.
    pub fn bytes(&mut self, most: usize) -> &'a [u8] {
        let length = usize::from(self.u16()) % (most + 1);
        let (taken, rest) = self.input.split_at(length.min(self.input.len()));
        self.input = rest;
        taken
    }
}
