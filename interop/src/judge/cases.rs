//! All cases, by topic.

mod close;
mod cookies;
mod flows;
mod fragments;
mod introduction;
mod keying;
mod limits;
mod mobility;
mod rtmp;
mod session;
mod startup;

use super::Case;

/// Every case, in the order in which they run: those that may hurt come last.
pub fn all() -> Vec<Case> {
    [
        startup::CASES,
        fragments::CASES,
        cookies::CASES,
        keying::CASES,
        session::CASES,
        flows::CASES,
        rtmp::CASES,
        close::CASES,
        introduction::CASES,
        mobility::CASES,
        limits::CASES,
    ]
    .concat()
}

/// Defines the cases of a topic.
macro_rules! cases {
    ($($id:literal, $section:literal, $title:literal, $run:expr;)*) => {
        pub(super) const CASES: &[crate::judge::Case] = &[$(
            crate::judge::Case { id: $id, section: $section, title: $title, run: $run },
        )*];
    };
}
use cases;

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    #[test]
    fn there_are_a_hundred_and_each_has_its_own_id() {
        let all = super::all();
        let ids: BTreeSet<_> = all.iter().map(|case| case.id).collect();
        assert!(all.len() >= 100, "{}", all.len());
        assert_eq!(ids.len(), all.len());
        for case in all {
            assert!(case.section.contains('§') && case.id.contains('.'), "{}", case.id);
        }
    }
}
