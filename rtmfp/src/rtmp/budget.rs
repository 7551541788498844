//! What one AMF value may cost. References make a small message large, so what they repeat is paid
//! for again.

use crate::wire::Malformed;

/// Values nested deeper are malformed.
const MAX_DEPTH: usize = 32;
/// Values of all kinds, elements of vectors among them.
const MAX_VALUES: usize = 100_000;
/// Bytes of strings, XML and byte arrays.
const MAX_TEXT: usize = 4 << 20;

/// What is left to spend.
#[derive(Debug)]
pub(super) struct Budget {
    values: usize,
    text: usize,
    depth: usize,
}

impl Default for Budget {
    fn default() -> Self {
        Self { values: MAX_VALUES, text: MAX_TEXT, depth: MAX_DEPTH }
    }
}

impl Budget {
    pub fn values(&mut self, count: usize) -> Result<(), Malformed> {
        self.values = self.values.checked_sub(count).ok_or(Malformed)?;
        Ok(())
    }

    pub fn text(&mut self, bytes: usize) -> Result<(), Malformed> {
        self.text = self.text.checked_sub(bytes).ok_or(Malformed)?;
        Ok(())
    }

    /// One level down; [`Self::leave`] is the way back.
    pub fn enter(&mut self) -> Result<(), Malformed> {
        self.depth = self.depth.checked_sub(1).ok_or(Malformed)?;
        Ok(())
    }

    pub fn leave(&mut self) {
        self.depth += 1;
    }
}

/// Where something stands that later references may repeat, by reading it there again.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place<R> {
    pub reader: R,
    /// It is being read: a reference to it from inside has no value yet.
    pub is_open: bool,
}
