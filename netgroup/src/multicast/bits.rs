//! A set of fragment numbers within a moving span, a bit each.

use std::collections::VecDeque;

const WORD: u64 = 64;

/// Numbers from `base`, a multiple of 64, on.
#[derive(Debug, Default)]
pub(super) struct Bits {
    base: u64,
    words: VecDeque<u64>,
}

impl Bits {
    pub fn has(&self, id: u64) -> bool {
        self.word(id / WORD) >> (id % WORD) & 1 == 1
    }

    /// Adds a number; the span grows to hold it.
    pub fn set(&mut self, id: u64) {
        let first = id / WORD;
        if self.words.is_empty() {
            self.base = first * WORD;
        }
        while first * WORD < self.base {
            self.words.push_front(0);
            self.base -= WORD;
        }
        let index = (first - self.base / WORD) as usize;
        if self.words.len() <= index {
            self.words.resize(index + 1, 0);
        }
        self.words[index] |= 1 << (id % WORD);
    }

    /// Forgets all numbers before `id`, and empty words before the first that is left.
    pub fn drop_before(&mut self, id: u64) {
        while self.base + WORD <= id && self.words.pop_front().is_some() {
            self.base += WORD;
        }
        if let Some(word) = self.words.front_mut().filter(|_| id > self.base) {
            *word &= u64::MAX << (id - self.base);
        }
        while self.words.pop_front_if(|word| *word == 0).is_some() {
            self.base += WORD;
        }
    }

    /// The first number that is there.
    pub fn first(&self) -> Option<u64> {
        self.words.front().map(|word| self.base + u64::from(word.trailing_zeros()))
    }

    /// The word that holds numbers from `64 * index` on.
    fn word(&self, index: u64) -> u64 {
        let at = index.checked_sub(self.base / WORD).and_then(|at| usize::try_from(at).ok());
        at.and_then(|at| self.words.get(at)).copied().unwrap_or(0)
    }

    /// The 64 numbers up to `last`, which is the highest bit; those below 0 are not there.
    pub fn up_to(&self, last: u64) -> u64 {
        let (index, shift) = (last / WORD, last % WORD);
        let high = self.word(index) << (WORD - 1 - shift);
        if shift == WORD - 1 || index == 0 {
            return high;
        }
        high | self.word(index - 1) >> (shift + 1)
    }

    /// How many of the `count` numbers up to `last` are there; `count` is 64 at most.
    pub fn count_up_to(&self, last: u64, count: u32) -> u32 {
        (self.up_to(last) >> (WORD as u32 - count.clamp(1, 64))).count_ones()
    }

    /// The last number up to `limit`.
    pub fn last_up_to(&self, limit: u64) -> Option<u64> {
        let end = self.base + self.words.len() as u64 * WORD;
        let mut at = limit.min(end.checked_sub(1)?);
        loop {
            let word = self.up_to(at);
            if word != 0 {
                return Some(at - u64::from(word.leading_zeros()));
            }
            at = at.checked_sub(WORD).filter(|at| *at >= self.base)?;
        }
    }

    /// The numbers from `from` to `to` that are not there, in order.
    pub fn missing(&self, from: u64, to: u64) -> impl Iterator<Item = u64> + '_ {
        let words = from / WORD..=to / WORD;
        words.flat_map(move |index| {
            let mut word = !self.word(index);
            let start = index * WORD;
            if start < from {
                word &= u64::MAX << (from - start);
            }
            std::iter::from_fn(move || {
                let bit = u64::from(word.trailing_zeros());
                word &= word.wrapping_sub(1);
                (bit < WORD).then_some(start + bit)
            })
            .take_while(move |id| *id <= to)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_found_over_the_ends_of_words() {
        let mut bits = Bits::default();
        let there = [100, 63, 64, 127, 128, 130, 300];
        there.iter().for_each(|id| bits.set(*id));
        for id in 0..400 {
            assert_eq!(bits.has(id), there.contains(&id), "{id}");
            let expected = (0..64).filter(|back| id >= *back && there.contains(&(id - back)));
            let word = expected.fold(0u64, |word, back| word | 1 << (63 - back));
            assert_eq!(bits.up_to(id), word, "{id}");
            let last = there.iter().filter(|other| **other <= id).max().copied();
            assert_eq!(bits.last_up_to(id), last, "{id}");
        }
        assert_eq!(bits.first(), Some(63));
        let missing: Vec<_> = bits.missing(62, 131).collect();
        let expected: Vec<_> = (62..=131).filter(|id| !there.contains(id)).collect();
        assert_eq!(missing, expected);
        assert_eq!(bits.missing(300, 300).count(), 0);
        assert_eq!(bits.count_up_to(130, 3), 2);
        bits.drop_before(128);
        assert!(!bits.has(127) && bits.has(128) && bits.has(300));
        bits.drop_before(131);
        assert_eq!(bits.first(), Some(300));
        bits.drop_before(301);
        assert_eq!(bits.first(), None);
        assert_eq!(Bits::default().last_up_to(9), None);
    }
}
