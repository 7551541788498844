//! Things by number, of which most in a moving span are there and some are not. Numbers far apart
//! cost next to nothing.

use std::collections::VecDeque;

const BLOCK: usize = 32;

type Block<T> = Box<[Option<T>; BLOCK]>;

/// A sequence with gaps.
#[derive(Debug)]
pub(super) struct Sparse<T> {
    /// The number of the first block; a thing's is its own divided by the length of a block.
    first: u64,
    blocks: VecDeque<Option<Block<T>>>,
    /// How many things there are, and blocks for them.
    count: usize,
    made: usize,
}

impl<T> Default for Sparse<T> {
    fn default() -> Self {
        Self { first: 0, blocks: VecDeque::new(), count: 0, made: 0 }
    }
}

/// A number's block, and its place there.
fn place(id: u64) -> (u64, usize) {
    (id / BLOCK as u64, (id % BLOCK as u64) as usize)
}

impl<T> Sparse<T> {
    fn block(&self, number: u64) -> Option<&Block<T>> {
        let index = usize::try_from(number.checked_sub(self.first)?).ok()?;
        self.blocks.get(index)?.as_ref()
    }

    pub fn get(&self, id: u64) -> Option<&T> {
        let (number, at) = place(id);
        self.block(number)?[at].as_ref()
    }

    /// Puts something in a place, which the span grows to hold.
    pub fn insert(&mut self, id: u64, thing: T) {
        let (number, at) = place(id);
        if self.count == 0 {
            self.blocks.clear();
            (self.first, self.made) = (number, 0);
        }
        while number < self.first {
            self.blocks.push_front(None);
            self.first -= 1;
        }
        let index = (number - self.first) as usize;
        if self.blocks.len() <= index {
            self.blocks.resize_with(index + 1, || None);
        }
        let block = self.blocks[index].get_or_insert_with(|| {
            self.made += 1;
            Box::new([const { None }; BLOCK])
        });
        if block[at].replace(thing).is_none() {
            self.count += 1;
        }
    }

    /// What the places take of memory.
    pub fn bytes(&self) -> usize {
        self.made * size_of::<[Option<T>; BLOCK]>()
    }

    /// Takes out the first thing there is, whose number is known.
    pub fn remove_first(&mut self, id: u64) -> Option<T> {
        let (number, at) = place(id);
        while self.first < number
            && let Some(block) = self.blocks.pop_front()
        {
            self.first += 1;
            self.made -= usize::from(block.is_some());
        }
        let thing = self.blocks.front_mut()?.as_mut()?[at].take()?;
        self.count -= 1;
        Some(thing)
    }

    /// What is there of these numbers, in order.
    pub fn range(&self, first: u64, last: u64) -> impl Iterator<Item = &T> {
        let end = self.first + self.blocks.len() as u64;
        let (from, to) = (place(first).0.max(self.first), (place(last).0 + 1).min(end));
        let of_block = move |number: u64| {
            let start = number * BLOCK as u64;
            let skip = first.saturating_sub(start).min(BLOCK as u64) as usize;
            let take = (last - start).saturating_add(1).min(BLOCK as u64) as usize;
            let block = self.block(number).into_iter();
            block.flat_map(move |block| block[skip..take.max(skip)].iter().flatten())
        };
        (from..to).flat_map(of_block)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn things_far_apart_are_found_and_taken_out_in_order() {
        let mut sparse = Sparse::default();
        let numbers = [200, 31, 32, 33, 5000, 64, 199, 95];
        numbers.iter().for_each(|id| sparse.insert(*id, *id));
        let mut sorted = numbers;
        sorted.sort_unstable();
        for id in 0..6000 {
            assert_eq!(sparse.get(id), numbers.contains(&id).then_some(&id), "{id}");
        }
        for (first, last) in
            [(0, u64::MAX), (31, 33), (33, 198), (201, 4999), (64, 64), (9000, 9001)]
        {
            let expected = sorted.iter().filter(|id| (first..=last).contains(*id));
            assert!(sparse.range(first, last).eq(expected), "{first} to {last}");
        }
        for id in sorted {
            assert_eq!(sparse.remove_first(id), Some(id));
            assert_eq!(sparse.get(id), None);
        }
        assert!(sparse.blocks.len() <= 1 && Sparse::<u8>::default().range(0, 9).next().is_none());
    }
}
