//! The window that tells new session sequence numbers from repeated ones. RFC 7425 §4.7.3.3.

/// Numbers up to this far behind the highest are told apart; the RFC wants 32. Trains and
/// reordering networks like more.
const WINDOW: u64 = 1024;
const WORDS: usize = (WINDOW / u64::BITS as u64) as usize;

/// Which of the last numbers were seen.
#[derive(Debug, Clone)]
pub(super) struct ReplayWindow {
    /// One above the highest number seen.
    end: u64,
    /// A bit for each number, by its remainder.
    seen: [u64; WORDS],
}

impl Default for ReplayWindow {
    fn default() -> Self {
        Self { end: 0, seen: [0; WORDS] }
    }
}

impl ReplayWindow {
    /// Takes a number in. False if it was seen, or is too old to tell.
    pub fn accept(&mut self, number: u64) -> bool {
        // The sender must not let its numbers wrap (RFC 7425 §4.7.3.3).
        if number == u64::MAX || self.end > number && self.end - number > WINDOW {
            return false;
        }
        if number >= self.end {
            self.advance(number);
        } else if self.seen[word(number)] & bit(number) != 0 {
            return false;
        }
        self.seen[word(number)] |= bit(number);
        true
    }

    fn advance(&mut self, number: u64) {
        if number - self.end >= WINDOW {
            self.seen = [0; WORDS];
        } else {
            (self.end..=number).for_each(|passed| self.seen[word(passed)] &= !bit(passed));
        }
        self.end = number + 1;
    }
}

fn word(number: u64) -> usize {
    (number / u64::from(u64::BITS)) as usize % WORDS
}

fn bit(number: u64) -> u64 {
    1 << (number % u64::from(u64::BITS))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_number_once_and_none_too_old() {
        let mut window = ReplayWindow::default();
        assert!(window.accept(0) && window.accept(5) && window.accept(3));
        assert!(!window.accept(0) && !window.accept(5) && !window.accept(3));
        assert!(window.accept(5 + WINDOW));
        assert!(!window.accept(5), "now too old");
        assert!(window.accept(6), "the oldest still told apart");
        assert!(!window.accept(6));
        assert!(window.accept(1 << 40) && !window.accept(5 + WINDOW));
        assert!(window.accept((1 << 40) - WINDOW + 1));
        assert!(!window.accept(u64::MAX));
    }

    #[test]
    fn no_number_is_accepted_twice_in_any_order() {
        let mut window = ReplayWindow::default();
        let mut accepted = std::collections::BTreeSet::new();
        for step in 0..20_000u64 {
            let number = (step * 7919) % 4001 + step / 8;
            let is_new = window.accept(number);
            assert!(!is_new || accepted.insert(number), "{number} twice");
        }
        assert!(accepted.len() > 1000);
    }
}
