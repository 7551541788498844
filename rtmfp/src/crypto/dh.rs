//! Diffie-Hellman in the MODP groups of RFC 7425 §4.2, with the checks of §4.6.2.
//!
//! All primes are safe, so short exponents lose nothing against a group's strength; their lengths
//! are those RFC 3526 §8 recommends. All arithmetic on secrets is constant time.

mod modulus;
#[cfg(feature = "openssl")]
mod openssl;
mod primes;

use crypto_bigint::U512;
use rand::Rng;
use thiserror::Error;

use primes::{MODP_1024, MODP_1536, MODP_2048, MODP_4096};

/// Longest private exponent in bytes.
const MAX_EXPONENT: usize = 64;

/// A group, by the size of its prime.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Group {
    /// IANA's number 2, the one that Flash Player knows.
    Modp1024,
    /// Number 5.
    Modp1536,
    /// Number 14.
    Modp2048,
    /// Number 16; not in RFC 7425, but rtmfp-cpp prefers it.
    Modp4096,
}

/// Does the same with the modulus of any group, which is of another type for each.
macro_rules! with_modulus {
    ($group:expr, $modulus:ident => $body:expr) => {
        match $group {
            Group::Modp1024 => {
                let $modulus = &MODP_1024;
                $body
            }
            Group::Modp1536 => {
                let $modulus = &MODP_1536;
                $body
            }
            Group::Modp2048 => {
                let $modulus = &MODP_2048;
                $body
            }
            Group::Modp4096 => {
                let $modulus = &MODP_4096;
                $body
            }
        }
    };
}

impl Group {
    /// In the order in which they are chosen.
    pub const STRONGEST_FIRST: [Self; 4] =
        [Self::Modp4096, Self::Modp2048, Self::Modp1536, Self::Modp1024];

    /// What Adobe's servers and all clones name, in their order.
    pub const ADOBE: [Self; 3] = [Self::Modp1024, Self::Modp1536, Self::Modp2048];

    /// IANA's number of the group.
    pub fn number(self) -> u64 {
        match self {
            Self::Modp1024 => 2,
            Self::Modp1536 => 5,
            Self::Modp2048 => 14,
            Self::Modp4096 => 16,
        }
    }

    /// The group with this number, if we know it.
    pub fn from_number(number: u64) -> Option<Self> {
        Self::STRONGEST_FIRST.into_iter().find(|group| group.number() == number)
    }

    /// The prime, big-endian.
    pub fn prime(self) -> Vec<u8> {
        with_modulus!(self, modulus => modulus.prime())
    }

    /// Checks a public key as RFC 7425 §4.6.2 says; cheap beside what is done with it.
    pub fn check_public(self, key: &[u8]) -> Result<(), PublicKeyError> {
        with_modulus!(self, modulus => modulus.read_public(key).map(|_| ()).ok_or(PublicKeyError))
    }

    fn exponent_bits(self) -> u32 {
        with_modulus!(self, modulus => modulus.exponent_bits)
    }
}

/// The far end's public key must not be used. Blame lies with the far end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("unacceptable Diffie-Hellman public key")]
pub struct PublicKeyError;

/// `DH_SECRET`: big-endian without leading zero bytes, so its length varies.
#[derive(Clone)]
pub struct SharedSecret(Vec<u8>);

impl SharedSecret {
    /// The bytes that key derivation uses.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

/// A private exponent and its public key.
#[derive(Clone)]
pub struct KeyPair {
    group: Group,
    exponent: U512,
    public: Box<[u8]>,
}

impl std::fmt::Debug for KeyPair {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "KeyPair({:?}, secret)", self.group)
    }
}

impl KeyPair {
    /// Draws a key. A public key with a leading zero byte would travel one byte shorter, which
    /// librtmfp and the Mona servers read at fixed offsets: such a one is drawn again.
    pub fn generate(group: Group, rng: &mut impl Rng) -> Self {
        let mut bytes = [0; MAX_EXPONENT];
        let used = &mut bytes[MAX_EXPONENT - group.exponent_bits() as usize / 8..];
        loop {
            rng.fill_bytes(used);
            if let Ok(pair) = Self::from_exponent(group, used)
                && pair.public[0] != 0
            {
                return pair;
            }
        }
    }

    /// From a stored private exponent, big-endian. An error if it is too long for the group, or
    /// so short that its public key would be refused.
    pub fn from_exponent(group: Group, exponent: &[u8]) -> Result<Self, PublicKeyError> {
        let length = group.exponent_bits() as usize / 8;
        let mut padded = [0; MAX_EXPONENT];
        let at = length.checked_sub(exponent.len()).ok_or(PublicKeyError)?;
        padded[MAX_EXPONENT - length + at..].copy_from_slice(exponent);
        let exponent = U512::from_be_slice(&padded);
        let public = with_modulus!(group, modulus => {
            let public = modulus.public_key(&exponent);
            modulus.read_public(&public).ok_or(PublicKeyError)?;
            public
        });
        Ok(Self { group, exponent, public: public.into() })
    }

    /// Its group.
    pub fn group(&self) -> Group {
        self.group
    }

    /// Big-endian, as long as the prime, the first byte not zero when generated.
    pub fn public(&self) -> &[u8] {
        &self.public
    }

    /// The private exponent, big-endian, for keeping it.
    pub fn exponent(&self) -> Vec<u8> {
        let bytes = self.exponent.to_be_bytes();
        bytes.as_ref()[MAX_EXPONENT - self.group.exponent_bits() as usize / 8..].to_vec()
    }

    /// Combines with the far end's public key, any length, after checking it.
    pub fn agree(&self, far_public: &[u8]) -> Result<SharedSecret, PublicKeyError> {
        let shared = with_modulus!(self.group, modulus => {
            let far = modulus.read_public(far_public).ok_or(PublicKeyError)?;
            modulus.power(&far, &self.exponent)
        });
        let zeros = shared.iter().take_while(|byte| **byte == 0).count();
        Ok(SharedSecret(shared[zeros..].to_vec()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{SeedableRng, rngs::StdRng};

    fn two(group: Group, seed: u64) -> (KeyPair, KeyPair) {
        let mut rng = StdRng::seed_from_u64(seed);
        (KeyPair::generate(group, &mut rng), KeyPair::generate(group, &mut rng))
    }

    #[test]
    fn both_sides_agree_in_every_group() {
        for group in Group::STRONGEST_FIRST {
            let (a, b) = two(group, 1);
            let secret = a.agree(b.public()).unwrap();
            assert_eq!(secret.as_bytes(), b.agree(a.public()).unwrap().as_bytes(), "{group:?}");
            assert_ne!(secret.as_bytes()[0], 0);
        }
    }

    #[test]
    fn the_generators_table_gives_what_exponentiation_gives() {
        let (pair, _) = two(Group::Modp1024, 3);
        let two = crypto_bigint::U1024::from_u8(2);
        assert_eq!(MODP_1024.power(&two, &pair.exponent), *pair.public);
    }

    #[test]
    fn a_kept_exponent_gives_the_same_key() {
        let (pair, _) = two(Group::Modp2048, 4);
        let again = KeyPair::from_exponent(pair.group(), &pair.exponent()).unwrap();
        assert_eq!(again.public(), pair.public());
        assert!(KeyPair::from_exponent(Group::Modp1024, &[1; 29]).is_err());
        assert!(KeyPair::from_exponent(Group::Modp1024, &[1]).is_err());
    }

    #[test]
    fn a_key_may_carry_leading_zeros() {
        let (a, b) = two(Group::Modp1024, 2);
        let mut padded = vec![0; 9];
        padded.extend_from_slice(b.public());
        assert_eq!(a.agree(&padded).unwrap().as_bytes(), a.agree(b.public()).unwrap().as_bytes());
    }

    #[test]
    fn weak_keys_are_refused() {
        let (pair, _) = two(Group::Modp1024, 5);
        let prime = MODP_1024.prime();
        let mut almost_prime = prime.clone();
        almost_prime[127] = 0xfe;
        let mut power_of_two = [0; 128];
        power_of_two[3] = 0x40;
        for bad in [
            &[][..],
            &[1],
            &[0xff, 0xff, 0xff],
            &[0; 128],
            &prime,
            &almost_prime,
            &power_of_two,
            &[0xab; 129],
        ] {
            assert!(pair.agree(bad).is_err(), "{bad:x?}");
        }
    }
}
