//! Following a far end whose address changes. RFC 7016 §3.5.4.2.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use rand::{Rng, rngs::StdRng};

use crate::{
    crypto::{equal, hmac_sha256},
    event::SessionId,
    wire::{Address, Origin, Reader},
};

/// Marks a Ping of ours as a mobility check.
const MARK: u8 = b'M';
const MAC_LEN: usize = 16;
const MESSAGE_LEN: usize = 1 + 8 + MAC_LEN;
const INTERVAL: Duration = Duration::from_secs(1);
const LIFETIME_MS: u64 = 120_000;

/// `mark (1) ‖ milliseconds (8) ‖ MAC(both, session, address) (16)`
pub(crate) type CheckMessage = [u8; MESSAGE_LEN];

/// Makes and recognises mobility checks of an endpoint.
#[derive(Debug)]
pub(crate) struct MobilityChecks {
    epoch: Instant,
    secret: [u8; 32],
}

impl MobilityChecks {
    pub fn new(epoch: Instant, rng: &mut StdRng) -> Self {
        let mut secret = [0; 32];
        rng.fill_bytes(&mut secret);
        Self { epoch, secret }
    }

    fn milliseconds(&self, now: Instant) -> u64 {
        now.saturating_duration_since(self.epoch).as_millis() as u64
    }

    /// What to ask at a new address.
    pub fn message(&self, now: Instant, session: SessionId, at: SocketAddr) -> CheckMessage {
        self.stamped(self.milliseconds(now), session, at)
    }

    fn stamped(&self, milliseconds: u64, session: SessionId, at: SocketAddr) -> CheckMessage {
        let mut message = [0; MESSAGE_LEN];
        message[0] = MARK;
        message[1..9].copy_from_slice(&milliseconds.to_be_bytes());
        let mut bound = message[..9].to_vec();
        bound.extend_from_slice(&session.0.to_be_bytes());
        Address::new(at, Origin::Observed).put(&mut bound);
        message[9..].copy_from_slice(&hmac_sha256(&self.secret, &bound)[..MAC_LEN]);
        message
    }

    /// When the check was made that came back from `from`; none if it is not ours, of another
    /// address, or too old.
    fn verify(
        &self,
        now: Instant,
        session: SessionId,
        from: SocketAddr,
        reply: &CheckMessage,
    ) -> Option<u64> {
        let mut reader = Reader::new(&reply[1..]);
        let made = u64::from_be_bytes(reader.array().ok()?);
        let is_fresh = self.milliseconds(now).checked_sub(made)? <= LIFETIME_MS;
        (is_fresh && equal(&self.stamped(made, session, from), reply)).then_some(made)
    }
}

/// One session's checks.
#[derive(Debug, Default)]
pub(crate) struct Mobility {
    /// MOB_TX_TS
    asked: Option<Instant>,
    /// MOB_RX_TS, one more than the RFC's so that zero is the past.
    accepted: u64,
}

impl Mobility {
    /// Whether a packet from an unknown address is worth a check now.
    pub fn may_ask(&mut self, now: Instant) -> bool {
        let may = self.asked.is_none_or(|asked| now.saturating_duration_since(asked) >= INTERVAL);
        if may {
            self.asked = Some(now);
        }
        may
    }

    /// Whether the reply proves that the far end is at `from` now.
    pub fn is_proof(
        &mut self,
        now: Instant,
        checks: &MobilityChecks,
        session: SessionId,
        from: SocketAddr,
        reply: &CheckMessage,
    ) -> bool {
        let made = checks.verify(now, session, from, reply).map(|made| made + 1);
        let is_news = made.is_some_and(|made| made > self.accepted);
        if let Some(made) = made.filter(|_| is_news) {
            self.accepted = made;
        }
        is_news
    }
}

/// A Ping Reply that may be the answer to a check.
pub(crate) fn as_check(reply: &[u8]) -> Option<CheckMessage> {
    CheckMessage::try_from(reply).ok().filter(|message| message[0] == MARK)
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;

    use super::*;

    #[test]
    fn a_reply_counts_once_from_its_address_and_while_fresh() {
        let start = Instant::now();
        let checks = MobilityChecks::new(start, &mut StdRng::seed_from_u64(1));
        let (here, there) = ("192.0.2.1:5".parse().unwrap(), "192.0.2.1:6".parse().unwrap());
        let session = SessionId(7);
        let message = checks.message(start, session, here);
        let check = as_check(&message).expect("a check");
        let mut mobility = Mobility::default();
        assert!(!mobility.is_proof(start, &checks, session, there, &check));
        assert!(!mobility.is_proof(start, &checks, SessionId(8), here, &check));
        let late = start + Duration::from_secs(121);
        assert!(!mobility.is_proof(late, &checks, session, here, &check));
        assert!(mobility.is_proof(start, &checks, session, here, &check));
        assert!(!mobility.is_proof(start, &checks, session, here, &check));
    }

    #[test]
    fn questions_are_a_second_apart() {
        let start = Instant::now();
        let mut mobility = Mobility::default();
        assert!(mobility.may_ask(start) && !mobility.may_ask(start + INTERVAL / 2));
        assert!(mobility.may_ask(start + INTERVAL));
        assert_eq!(as_check(b""), None);
    }
}
