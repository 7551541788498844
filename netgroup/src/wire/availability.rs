//! Message 22: which fragments a member holds.

use rtmfp::wire::{Reader, put_vlu};

use super::MAX_FRAGMENT;

/// A map: the last fragment held, and a bit for each before it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Availability {
    /// Held itself.
    pub last: u64,
    /// Byte k, bit i (least significant first) stands for fragment `last − 1 − 8k − i`.
    bitmap: Vec<u8>,
}

/// A map with this many gaps at its end shows nothing.
const MAX_LONELY: u64 = 4096;
/// Fragments a map may speak of; more are not looked at.
const MAX_BYTES: usize = 8192;

impl Availability {
    /// Decodes what follows the type byte.
    pub fn decode(body: &[u8]) -> Option<Self> {
        let mut reader = Reader::new(body);
        let last = reader.vlu().ok().filter(|last| *last <= MAX_FRAGMENT)?;
        let bitmap = reader.rest();
        Some(Self { last, bitmap: bitmap[..bitmap.len().min(MAX_BYTES)].to_vec() })
    }

    /// Of what is held from `first` to `last`, the latter being held. `word` gives the 64 numbers
    /// up to one, which is its highest bit.
    pub fn of(first: u64, last: u64, word: impl Fn(u64) -> u64) -> Self {
        let count = usize::try_from(last.saturating_sub(first)).unwrap_or(0).min(MAX_BYTES * 8);
        let words = (0..count.div_ceil(64)).map(|index| {
            let up_to = last.saturating_sub(1 + 64 * index as u64);
            word(up_to).reverse_bits().to_le_bytes()
        });
        let mut bitmap = words.flatten().collect::<Vec<u8>>();
        bitmap.truncate(count.div_ceil(8));
        if let (Some(byte), 1..) = (bitmap.last_mut(), count % 8) {
            *byte &= (1 << (count % 8)) - 1;
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

    /// The earliest fragment that it says is held.
    pub fn first_held(&self) -> u64 {
        let bytes = self.bitmap.iter().rposition(|byte| *byte != 0);
        bytes.map_or(self.last, |at| {
            let bit = u64::from(self.bitmap[at].ilog2());
            self.last.saturating_sub(1 + at as u64 * 8 + bit)
        })
    }

    /// The highest number of which at least half of the `window` numbers up to it are held, or of
    /// all there are: what came before the last fragment shows how far the holder really is.
    pub fn dense_up_to(&self, window: u64) -> u64 {
        let held = |id: &u64| self.has(*id);
        let first = self.first();
        let mut end = self.last;
        let mut count =
            (end.saturating_sub(window - 1).max(first)..=end).filter(held).count() as u64;
        while end >= first && end > 0 && self.last - end < MAX_LONELY {
            let span = window.min(end + 1 - first);
            if self.has(end) && count * 2 >= span {
                return end;
            }
            count -= u64::from(self.has(end));
            end -= 1;
            if let Some(next) = (end + 1).checked_sub(window).filter(|next| *next >= first) {
                count += u64::from(self.has(next));
            }
        }
        0
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

    /// The map of the numbers from `first` to `last` that are held.
    fn map(first: u64, last: u64, is_held: impl Fn(u64) -> bool) -> Availability {
        Availability::of(first, last, |up_to| {
            let held = (0..64).filter(|back| up_to >= *back && is_held(up_to - back));
            held.fold(0, |word, back| word | 1 << (63 - back))
        })
    }

    #[test]
    fn example() {
        // netgroup.md §5.3: last 300; 299..292 and 291..285 held.
        let bytes = [0x82, 0x2c, 0xff, 0x7f];
        let decoded = Availability::decode(&bytes).unwrap();
        assert_eq!(decoded.first_held(), 285);
        let held: Vec<_> = (1..400).filter(|fragment| decoded.has(*fragment)).collect();
        assert_eq!(held, (285..=300).collect::<Vec<_>>());
        let mut out = Vec::new();
        map(284, 300, |fragment| fragment >= 285).put(&mut out);
        assert_eq!(out, bytes);
        assert!(!decoded.has(0) && !decoded.has(u64::MAX));
        assert!(!Availability::default().has(0));
    }

    #[test]
    fn maps_of_every_length_say_what_is_held() {
        let is_held = |id: u64| id % 3 != 1;
        for first in 1..=200 {
            let made = map(first, 200, |id| id == 200 || is_held(id));
            for id in first..200 {
                assert_eq!(made.has(id), is_held(id), "{id} of {first} to 200");
            }
            assert!((0..first).all(|id| !made.has(id)));
        }
    }

    #[test]
    fn a_lonely_last_fragment_does_not_count() {
        assert_eq!(map(1, 100, |_| true).dense_up_to(32), 100);
        assert_eq!(map(1, 3000, |id| id <= 100 || id == 3000).dense_up_to(32), 100);
        assert_eq!(map(1, 3, |_| true).dense_up_to(32), 3);
        assert_eq!(map(50, 50, |_| true).dense_up_to(32), 50);
        assert_eq!(Availability::default().dense_up_to(32), 0);
    }
}
