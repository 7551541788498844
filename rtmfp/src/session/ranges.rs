//! A set of sequence numbers kept as runs; bounded.

/// Increasing runs that neither overlap nor touch.
#[derive(Debug, Default)]
pub(crate) struct RangeSet {
    runs: Vec<(u64, u64)>,
}

impl RangeSet {
    pub fn runs(&self) -> impl Iterator<Item = (u64, u64)> + '_ {
        self.runs.iter().copied()
    }

    pub fn len(&self) -> usize {
        self.runs.len()
    }

    pub fn is_empty(&self) -> bool {
        self.runs.is_empty()
    }

    pub fn contains(&self, number: u64) -> bool {
        let at = self.runs.partition_point(|run| run.1 < number);
        self.runs.get(at).is_some_and(|run| run.0 <= number)
    }

    /// Whether a number after `cumulative` and up to `last` is not here.
    pub fn lacks_after(&self, cumulative: u64, last: u64) -> bool {
        let mut reached = cumulative;
        for (first, end) in self.runs() {
            if first > reached + 1 || reached >= last {
                break;
            }
            reached = reached.max(end);
        }
        reached < last
    }

    /// Adds one number. False if it was there.
    pub fn insert(&mut self, number: u64) -> bool {
        let at = self.runs.partition_point(|run| run.1 < number);
        if self.runs.get(at).is_some_and(|run| run.0 <= number) {
            return false;
        }
        let joins_left = at > 0 && self.runs[at - 1].1 + 1 == number;
        let joins_right = self.runs.get(at).is_some_and(|run| run.0 == number + 1);
        match (joins_left, joins_right) {
            (true, true) => {
                self.runs[at - 1].1 = self.runs[at].1;
                self.runs.remove(at);
            }
            (true, false) => self.runs[at - 1].1 = number,
            (false, true) => self.runs[at].0 = number,
            (false, false) => self.runs.insert(at, (number, number)),
        }
        true
    }

    /// Everything from 1 on is known to `cumulative`: drops what that covers and returns how
    /// far the known numbers reach without a gap.
    pub fn advance(&mut self, cumulative: u64) -> u64 {
        let mut reached = cumulative;
        let covered = self.runs.iter().take_while(|run| {
            let joins = run.0 <= reached.saturating_add(1);
            if joins {
                reached = reached.max(run.1);
            }
            joins
        });
        let count = covered.count();
        self.runs.drain(..count);
        reached
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_join_and_advance() {
        let mut set = RangeSet::default();
        for number in [5, 3, 9, 4, 8] {
            assert!(set.insert(number));
        }
        assert!(!set.insert(4) && set.contains(9) && !set.contains(6));
        assert_eq!(set.runs().collect::<Vec<_>>(), [(3, 5), (8, 9)]);
        assert!(set.lacks_after(1, 2) && !set.lacks_after(2, 5) && set.lacks_after(2, 6));
        assert!(!set.lacks_after(6, 6) && !set.lacks_after(7, 9) && set.lacks_after(7, 10));
        assert_eq!(set.advance(1), 1);
        assert_eq!(set.advance(2), 5);
        assert_eq!(set.advance(6), 6);
        assert_eq!(set.advance(7), 9);
        assert!(set.is_empty());
    }
}
