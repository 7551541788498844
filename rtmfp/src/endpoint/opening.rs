//! A session that we are opening, until it is open or failed. RFC 7016 §3.5.1.1.1.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use super::{OPEN_TIMEOUT, Path};
use crate::{
    crypto::{Certificate, Discriminator, keying::InitiatorComponent},
    wire::Address,
};

pub(super) type Tag = [u8; 16];

/// RFC 7016 §3.5.1.1.1.
const MAX_CANDIDATES: usize = 24;
/// The first repetition comes after this; each later interval is longer by the second.
const FIRST_INTERVAL: Duration = Duration::from_millis(1000);
const INTERVAL_STEP: Duration = Duration::from_millis(1500);
/// Datagrams that arrived before the keys that decrypt them.
const MAX_EARLY: usize = 18;

/// When something was sent and is to be sent again.
#[derive(Debug, Clone, Copy)]
pub(super) struct Backoff {
    next: Instant,
    interval: Duration,
}

impl Backoff {
    pub fn new(now: Instant) -> Self {
        Self { next: now, interval: FIRST_INTERVAL }
    }

    /// True once for each time it is due.
    fn take(&mut self, now: Instant) -> bool {
        if self.next > now {
            return false;
        }
        self.next = now + self.interval;
        self.interval += INTERVAL_STEP;
        true
    }
}

#[derive(Debug)]
struct Candidate {
    remote: SocketAddr,
    backoff: Backoff,
}

/// S_KEYING_SENT: a responder was found.
#[derive(Debug)]
pub(super) struct Keying {
    pub path: Path,
    pub far: Certificate,
    pub cookie: Vec<u8>,
    pub component: InitiatorComponent,
    pub cookie_changed: bool,
    pub backoff: Backoff,
    pub early: Vec<Vec<u8>>,
}

impl Keying {
    /// Keeps a datagram that cannot be decrypted yet.
    pub fn keep_early(&mut self, datagram: &[u8]) {
        if self.early.len() < MAX_EARLY {
            self.early.push(datagram.to_vec());
        }
    }
}

#[derive(Debug)]
enum Stage {
    /// S_IHELLO_SENT
    Hello,
    /// S_KEYING_SENT
    Keying(Box<Keying>),
}

/// What an opening session wants sent.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Due {
    Hello(Path),
    Keying,
}

/// An opening session.
#[derive(Debug)]
pub(super) struct Opening {
    pub tag: Tag,
    pub wanted: Discriminator,
    candidates: Vec<Candidate>,
    stage: Stage,
    deadline: Instant,
}

impl Opening {
    pub fn new(now: Instant, wanted: Discriminator, tag: Tag) -> Self {
        Self {
            tag,
            wanted,
            candidates: Vec::new(),
            stage: Stage::Hello,
            deadline: now + OPEN_TIMEOUT,
        }
    }

    /// Adds an address to try, while there is room. False if it is of no use or known.
    pub fn add_candidate(&mut self, now: Instant, address: Address) -> bool {
        let is_known = self.has_candidate(&address.socket);
        let is_useful =
            address.is_connectable() && !is_known && self.candidates.len() < MAX_CANDIDATES;
        if is_useful {
            self.candidates.push(Candidate { remote: address.socket, backoff: Backoff::new(now) });
        }
        is_useful
    }

    pub fn has_candidate(&self, remote: &SocketAddr) -> bool {
        self.candidates.iter().any(|candidate| candidate.remote == *remote)
    }

    pub fn is_hello_stage(&self) -> bool {
        matches!(self.stage, Stage::Hello)
    }

    pub fn keying(&self) -> Option<&Keying> {
        match &self.stage {
            Stage::Keying(keying) => Some(keying),
            Stage::Hello => None,
        }
    }

    pub fn keying_mut(&mut self) -> Option<&mut Keying> {
        match &mut self.stage {
            Stage::Keying(keying) => Some(keying),
            Stage::Hello => None,
        }
    }

    pub fn begin_keying(&mut self, keying: Keying) {
        self.stage = Stage::Keying(Box::new(keying));
    }

    pub fn is_overdue(&self, now: Instant) -> bool {
        self.deadline <= now
    }

    pub fn next_timeout(&self) -> Instant {
        let next = match &self.stage {
            Stage::Hello => self.candidates.iter().map(|candidate| candidate.backoff.next).min(),
            Stage::Keying(keying) => Some(keying.backoff.next),
        };
        next.unwrap_or(self.deadline).min(self.deadline)
    }

    /// What is to be sent now.
    pub fn take_due(&mut self, now: Instant) -> Vec<Due> {
        match &mut self.stage {
            Stage::Hello => self
                .candidates
                .iter_mut()
                .filter_map(|candidate| {
                    candidate.backoff.take(now).then(|| Due::Hello(Path::to(candidate.remote)))
                })
                .collect(),
            Stage::Keying(keying) => {
                keying.backoff.take(now).then_some(Due::Keying).into_iter().collect()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::Origin;

    fn opening(now: Instant) -> Opening {
        Opening::new(now, Discriminator::AncillaryData(b"rtmfp:".to_vec()), [7; 16])
    }

    fn address(port: u16) -> Address {
        Address::new(SocketAddr::from(([192, 0, 2, 1], port)), Origin::Observed)
    }

    #[test]
    fn each_candidate_is_asked_at_its_own_pace() {
        let begin = Instant::now();
        let mut opening = opening(begin);
        assert!(opening.add_candidate(begin, address(1)));
        let mut asked = Vec::new();
        for tenth in 0..200 {
            let now = begin + Duration::from_millis(100) * tenth;
            if tenth == 5 {
                opening.add_candidate(now, address(2));
            }
            for due in opening.take_due(now) {
                let Due::Hello(path) = due else { panic!("{due:?}") };
                asked.push((path.remote.port(), tenth));
            }
        }
        let times = |port| asked.iter().filter(move |(of, _)| *of == port).map(|(_, at)| *at);
        assert_eq!(times(1).collect::<Vec<_>>(), [0, 10, 35, 75, 130]);
        assert_eq!(times(2).collect::<Vec<_>>(), [5, 15, 40, 80, 135]);
    }

    #[test]
    fn there_are_24_candidates_and_none_twice() {
        let now = Instant::now();
        let mut opening = opening(now);
        assert!(opening.add_candidate(now, address(1)) && !opening.add_candidate(now, address(1)));
        let added = (2..100).filter(|port| opening.add_candidate(now, address(*port))).count();
        assert_eq!(added, 23);
    }
}
