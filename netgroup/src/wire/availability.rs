//! Message 22: which fragments a member holds.

use rtmfp::wire::{Reader, put_vlu};

/// A map: the last fragment held, and a bit for each before it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Availability {
    /// Held itself.
    pub last: u64,
    /// Byte k, bit i (least significant first) stands for fragment `last − 1 − 8k − i`.
    bitmap: Vec<u8>,
}

/// Fragments a map may speak of; more are not looked at.
const MAX_BYTES: usize = 8192;

impl Availability {
    /// Decodes what follows the type byte.
    pub fn decode(body: &[u8]) -> Option<Self> {
        let mut reader = Reader::new(body);
        let last = reader.vlu().ok()?;
        let bitmap = reader.rest();
        Some(Self { last, bitmap: bitmap[..bitmap.len().min(MAX_BYTES)].to_vec() })
    }

    /// Of what is held from `first` to `last`, the latter being held.
    pub fn of(first: u64, last: u64, is_held: impl Fn(u64) -> bool) -> Self {
        let count = usize::try_from(last.saturating_sub(first)).unwrap_or(0).min(MAX_BYTES * 8);
        let mut bitmap = vec![0; count.div_ceil(8)];
        for index in (0..count).filter(|index| is_held(last - 1 - *index as u64)) {
            bitmap[index / 8] |= 1 << (index % 8);
        }
        Self { last, bitmap }
    }

    /// Whether the map says that a fragment is held.
    pub fn has(&self, fragment: u64) -> bool {
        if fragment == self.last {
            return fragment != 0;
        }
        let Some(index) =
            self.last.checked_sub(fragment).and_then(|distance| distance.checked_sub(1))
        else {
            return false;
        };
        let Ok(index) = usize::try_from(index) else { return false };
        self.bitmap.get(index / 8).is_some_and(|byte| byte >> (index % 8) & 1 == 1)
    }

    /// The earliest fragment that it could say is held.
    pub fn first(&self) -> u64 {
        self.last.saturating_sub(self.bitmap.len() as u64 * 8).max(1)
    }

    /// Appends what follows the type byte.
    pub fn put(&self, out: &mut Vec<u8>) {
        put_vlu(out, self.last);
        out.extend_from_slice(&self.bitmap);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn example() {
        // netgroup.md §5.3: last 300; 299..292 and 291..285 held.
        let bytes = [0x82, 0x2c, 0xff, 0x7f];
        let map = Availability::decode(&bytes).unwrap();
        let held: Vec<_> = (1..400).filter(|fragment| map.has(*fragment)).collect();
        assert_eq!(held, (285..=300).collect::<Vec<_>>());
        let mut out = Vec::new();
        Availability::of(284, 300, |fragment| fragment >= 285).put(&mut out);
        assert_eq!(out, bytes);
        assert!(!map.has(0) && !map.has(u64::MAX));
        assert!(!Availability::default().has(0));
    }
}
