//! All cases, by topic.

mod client;
mod close;
mod cookies;
mod flows;
mod fragments;
mod introduction;
mod keying;
mod limits;
mod member;
mod mobility;
mod requests;
mod rtmp;
mod session;
mod startup;

use super::Case;

/// Cases for a server, in the order in which they run: those that may hurt come last.
pub fn for_servers() -> Vec<Case> {
    [
        startup::CASES,
        fragments::CASES,
        cookies::CASES,
        keying::CASES,
        session::CASES,
        flows::CASES,
        requests::CASES,
        rtmp::CASES,
        close::CASES,
        introduction::CASES,
        mobility::CASES,
        limits::CASES,
    ]
    .concat()
}

/// Cases for a client that connects to the judge.
pub fn for_clients() -> Vec<Case> {
    [client::CASES, session::CASES, flows::CASES, close::CASES, mobility::CASES].concat()
}

/// Cases for a member of a group that meets the judge there.
pub fn for_members() -> Vec<Case> {
    member::CASES.to_vec()
}

/// Defines the cases of a topic: `should` and `custom` before those that are no MUST.
macro_rules! cases {
    ($($($level:ident)? $id:literal, $section:literal, $title:literal, $run:expr;)*) => {
        pub(super) const CASES: &[crate::judge::Case] = &[$(
            crate::judge::Case {
                level: crate::judge::cases::level!($($level)?),
                id: $id,
                section: $section,
                title: $title,
                run: $run,
            },
        )*];
    };
}
macro_rules! level {
    () => {
        crate::judge::Level::Must
    };
    (should) => {
        crate::judge::Level::Should
    };
    (custom) => {
        crate::judge::Level::Custom
    };
}
use {cases, level};

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    #[test]
    fn there_are_a_hundred_and_each_has_its_own_id() {
        assert!(super::for_servers().len() >= 100);
        for cases in [super::for_servers(), super::for_clients(), super::for_members()] {
            let ids: BTreeSet<_> = cases.iter().map(|case| case.id).collect();
            assert_eq!(ids.len(), cases.len());
            for case in cases {
                assert!(case.section.contains('§') && case.id.contains('.'), "{}", case.id);
            }
        }
    }
}
