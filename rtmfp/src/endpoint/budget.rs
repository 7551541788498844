//! What one address may ask of us before it has shown that it is there.
//!
//! Startup is answered to anybody, and addresses can be forged: answers to one address, and key
//! agreements for it, are bounded in time. The memory for that is fixed.

use std::{
    hash::{DefaultHasher, Hash, Hasher},
    net::IpAddr,
    time::Instant,
};

use rand::{Rng, rngs::StdRng};

/// Addresses share a place if their hashes meet; who shares one has less.
const PLACES: usize = 4096;

#[derive(Debug, Clone, Copy)]
struct Place {
    left: f32,
    at: Instant,
}

/// So much in a second for each address, and so much at once.
#[derive(Debug)]
pub(super) struct Budget {
    per_second: f32,
    at_once: f32,
    secret: u64,
    places: Box<[Place]>,
}

impl Budget {
    pub fn new(now: Instant, per_second: f32, at_once: f32, rng: &mut StdRng) -> Self {
        let places = vec![Place { left: at_once, at: now }; PLACES].into();
        Self { per_second, at_once, secret: rng.next_u64(), places }
    }

    /// Whether one more is within the address's budget; then it is spent.
    pub fn spend(&mut self, now: Instant, ip: IpAddr) -> bool {
        let place = self.place_of(ip);
        let place = &mut self.places[place];
        let passed = now.saturating_duration_since(place.at).as_secs_f32();
        place.left = (place.left + passed * self.per_second).min(self.at_once);
        place.at = now;
        let is_within = place.left >= 1.0;
        if is_within {
            place.left -= 1.0;
        }
        is_within
    }

    fn place_of(&self, ip: IpAddr) -> usize {
        let mut hasher = DefaultHasher::new();
        self.secret.hash(&mut hasher);
        match ip {
            IpAddr::V4(ip) => ip.hash(&mut hasher),
            // Whoever has one address of a /64 has them all.
            IpAddr::V6(ip) => ip.segments()[..4].hash(&mut hasher),
        }
        hasher.finish() as usize % PLACES
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use rand::SeedableRng;

    use super::*;

    #[test]
    fn an_address_has_its_budget_and_no_more() {
        let now = Instant::now();
        let mut budget = Budget::new(now, 10.0, 3.0, &mut StdRng::seed_from_u64(1));
        let (here, there) = ("192.0.2.1".parse().unwrap(), "192.0.2.2".parse().unwrap());
        let spent = |budget: &mut Budget, now, ip| (0..9).filter(|_| budget.spend(now, ip)).count();
        assert_eq!(spent(&mut budget, now, here), 3);
        assert_eq!(spent(&mut budget, now, there), 3);
        assert_eq!(spent(&mut budget, now + Duration::from_millis(201), here), 2);
        assert_eq!(spent(&mut budget, now + Duration::from_secs(60), here), 3);
    }

    #[test]
    fn a_network_of_one_host_counts_once() {
        let now = Instant::now();
        let mut budget = Budget::new(now, 0.0, 1.0, &mut StdRng::seed_from_u64(1));
        assert!(budget.spend(now, "2001:db8::1".parse().unwrap()));
        assert!(!budget.spend(now, "2001:db8::2".parse().unwrap()));
    }
}
