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

    /// The numbers from `first` to `last` that are not here, as runs.
    pub fn missing(&self, first: u64, last: u64) -> impl Iterator<Item = (u64, u64)> + '_ {
        let at = self.runs.partition_point(|run| run.1 < first);
        let mut from = first;
        let known = self.runs[at..].iter().copied().chain([(u64::MAX, u64::MAX)]);
        known
            .map_while(move |run| {
                let gap = (from, last.min(run.0 - 1));
                let has_more = from <= last;
                from = run.1.saturating_add(1);
                has_more.then_some(gap)
            })
            .filter(|gap| gap.0 <= gap.1)
    }

    /// Adds the numbers from `first` to `last`.
    pub fn insert_run(&mut self, first: u64, last: u64) {
        let from = self.runs.partition_point(|run| run.1.saturating_add(1) < first);
        let to = self.runs.partition_point(|run| run.0 <= last.saturating_add(1));
        let touched = &self.runs[from..to.max(from)];
        let joined = (
            touched.first().map_or(first, |run| run.0.min(first)),
            touched.last().map_or(last, |run| run.1.max(last)),
        );
        self.runs.splice(from..to.max(from), [joined]);
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
    fn what_is_missing_is_found_between_runs() {
        let mut set = RangeSet::default();
        set.insert_run(5, 7);
        set.insert_run(12, 12);
        let missing = |set: &RangeSet, first, last| set.missing(first, last).collect::<Vec<_>>();
        assert_eq!(missing(&set, 1, 20), [(1, 4), (8, 11), (13, 20)]);
        assert_eq!(missing(&set, 6, 9), [(8, 9)]);
        assert_eq!(missing(&set, 5, 7), []);
        assert_eq!(missing(&set, 13, 13), [(13, 13)]);
        set.insert_run(8, 10);
        set.insert_run(1, 2);
        assert_eq!(set.runs().collect::<Vec<_>>(), [(1, 2), (5, 10), (12, 12)]);
        set.insert_run(2, 30);
        assert_eq!(set.runs().collect::<Vec<_>>(), [(1, 30)]);
    }

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
