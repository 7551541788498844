//! Cookies: proof that an initiator receives at its address, kept by nobody. RFC 7016 §3.5.1.2.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use rand::{Rng, rngs::StdRng};

use super::OPEN_TIMEOUT;
use crate::{
    crypto::{Policy, equal, hmac_sha256},
    wire::{Address, Origin, Reader},
};

/// Old clients take no other length.
pub(crate) const COOKIE_LEN: usize = 64;
/// Time and policy.
const STAMP: usize = 8;
const ISSUER: usize = 24;
const BOUND: usize = 32;

/// What became of a cookie that came back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Issued to this address by this time, rounded up to the second.
    Valid { issued_by: Instant, policy: Policy },
    /// Ours and fresh, but issued to another address.
    WrongAddress { policy: Policy },
    /// Not ours, or too old.
    Refused,
}

/// Issues and checks cookies: `seconds (7) ‖ policy (1) ‖ MAC(both) (24) ‖ MAC(both, address) (32)`.
/// The first MAC tells a moved initiator from a forger. The policy is what the hello's listener
/// and URI want of the session, for the keying names neither.
#[derive(Debug)]
pub(crate) struct CookieJar {
    epoch: Instant,
    secret: [u8; 32],
}

impl CookieJar {
    pub fn new(epoch: Instant, rng: &mut StdRng) -> Self {
        let mut secret = [0; 32];
        rng.fill_bytes(&mut secret);
        Self { epoch, secret }
    }

    pub fn issue(&self, now: Instant, to: SocketAddr, policy: Policy) -> [u8; COOKIE_LEN] {
        let seconds = now.saturating_duration_since(self.epoch).as_secs();
        self.stamped(seconds << 8 | u64::from(policy.to_byte()), to)
    }

    fn stamped(&self, stamp: u64, to: SocketAddr) -> [u8; COOKIE_LEN] {
        let stamp = stamp.to_be_bytes();
        let mut message = stamp.to_vec();
        let issuer = hmac_sha256(&self.secret, &message);
        Address::new(to, Origin::Observed).put(&mut message);
        let bound = hmac_sha256(&self.secret, &message);
        let mut cookie = [0; COOKIE_LEN];
        cookie[..STAMP].copy_from_slice(&stamp);
        cookie[STAMP..STAMP + ISSUER].copy_from_slice(&issuer[..ISSUER]);
        cookie[COOKIE_LEN - BOUND..].copy_from_slice(&bound);
        cookie
    }

    pub fn check(&self, now: Instant, from: SocketAddr, cookie: &[u8]) -> Verdict {
        let Some(stamp) = Reader::new(cookie).array::<STAMP>().ok().map(u64::from_be_bytes) else {
            return Verdict::Refused;
        };
        let seconds = stamp >> 8;
        let current = now.saturating_duration_since(self.epoch).as_secs();
        let is_fresh =
            current.checked_sub(seconds).is_some_and(|age| age <= OPEN_TIMEOUT.as_secs());
        let ours = self.stamped(stamp, from);
        if cookie.len() != COOKIE_LEN
            || !is_fresh
            || !equal(&cookie[..STAMP + ISSUER], &ours[..STAMP + ISSUER])
        {
            return Verdict::Refused;
        }
        let policy = Policy::from_byte(stamp as u8);
        if !equal(cookie, &ours) {
            return Verdict::WrongAddress { policy };
        }
        Verdict::Valid { issued_by: self.epoch + Duration::from_secs(seconds + 1), policy }
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;

    use super::*;
    use crate::crypto::Protection;

    #[test]
    fn cookies_are_bound_to_address_and_time() {
        let start = Instant::now();
        let jar = CookieJar::new(start, &mut StdRng::seed_from_u64(1));
        let other_jar = CookieJar::new(start, &mut StdRng::seed_from_u64(2));
        let (here, there) = ("192.0.2.1:5".parse().unwrap(), "192.0.2.1:6".parse().unwrap());
        let policy = Policy::both(Protection::Require);
        let cookie = jar.issue(start, here, policy);
        let valid = Verdict::Valid { issued_by: start + Duration::from_secs(1), policy };
        assert_eq!(jar.check(start, here, &cookie), valid);
        assert_eq!(jar.check(start, there, &cookie), Verdict::WrongAddress { policy });
        assert_eq!(other_jar.check(start, here, &cookie), Verdict::Refused);
        assert_eq!(jar.check(start + Duration::from_secs(95), here, &cookie), valid);
        assert_eq!(jar.check(start + Duration::from_secs(97), here, &cookie), Verdict::Refused);
        assert_eq!(jar.check(start, here, &cookie[..63]), Verdict::Refused);
        let mut relaxed = cookie;
        relaxed[7] = 0;
        assert_eq!(jar.check(start, here, &relaxed), Verdict::Refused);
    }
}
