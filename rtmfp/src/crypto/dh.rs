//! Diffie-Hellman in MODP group 2, RFC 7425 §4.2, with the checks of §4.6.2.
//!
//! The group's prime is safe, so a 256-bit exponent loses nothing against its strength.
//! All arithmetic on secrets is constant time.

use crypto_bigint::{
    Odd, U256, U1024,
    modular::{FixedMontyForm, FixedMontyParams},
};
use rand::Rng;
use thiserror::Error;

/// IANA's number of the 1024-bit group (RFC 7296 Appendix B.2).
pub const GROUP_2: u64 = 2;

const BYTES: usize = 128;
const LIMBS: usize = U1024::LIMBS;

const PRIME: Odd<U1024> = Odd::<U1024>::from_be_hex(
    "FFFFFFFFFFFFFFFFC90FDAA22168C234C4C6628B80DC1CD129024E088A67CC74\
     020BBEA63B139B22514A08798E3404DDEF9519B3CD3A431B302B0A6DF25F1437\
     4FE1356D6D51C245E485B576625E7EC6F44C42E9A637ED6B0BFF5CB6F406B7ED\
     EE386BFB5A899FA5AE9F24117C4B1FE649286651ECE65381FFFFFFFFFFFFFFFF",
);
const PARAMS: FixedMontyParams<LIMBS> = FixedMontyParams::new_vartime(PRIME);
const GENERATOR: U1024 = U1024::from_u8(2);

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
    exponent: U256,
    public: [u8; BYTES],
}

impl std::fmt::Debug for KeyPair {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("KeyPair(secret)")
    }
}

impl KeyPair {
    /// Draws a key. A public key with a leading zero byte would travel one byte shorter, which
    /// librtmfp and the Mona servers read at fixed offsets: such a one is drawn again.
    pub fn generate(rng: &mut impl Rng) -> Self {
        loop {
            let mut bytes = [0; 32];
            rng.fill_bytes(&mut bytes);
            let pair = Self::from_exponent(&bytes);
            if pair.public[0] != 0 && is_acceptable(&U1024::from_be_slice(&pair.public)) {
                return pair;
            }
        }
    }

    /// From a stored private exponent, big-endian.
    pub fn from_exponent(exponent: &[u8; 32]) -> Self {
        let exponent = U256::from_be_slice(exponent);
        let public = FixedMontyForm::new(&GENERATOR, &PARAMS)
            .pow_bounded_exp(&exponent, U256::BITS)
            .retrieve();
        Self { exponent, public: to_bytes(&public) }
    }

    /// Big-endian, 128 bytes, the first not zero when generated.
    pub fn public(&self) -> &[u8] {
        &self.public
    }

    /// Combines with the far end's public key, any length, after checking it.
    pub fn agree(&self, far_public: &[u8]) -> Result<SharedSecret, PublicKeyError> {
        let far = read_public(far_public)?;
        let shared = FixedMontyForm::new(&far, &PARAMS)
            .pow_bounded_exp(&self.exponent, U256::BITS)
            .retrieve();
        let bytes = to_bytes(&shared);
        let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
        Ok(SharedSecret(bytes[zeros..].to_vec()))
    }
}

fn to_bytes(number: &U1024) -> [u8; BYTES] {
    let mut bytes = [0; BYTES];
    bytes.copy_from_slice(number.to_be_bytes().as_ref());
    bytes
}

fn read_public(bytes: &[u8]) -> Result<U1024, PublicKeyError> {
    let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
    let digits = &bytes[zeros..];
    let mut padded = [0; BYTES];
    let at = BYTES.checked_sub(digits.len()).ok_or(PublicKeyError)?;
    padded[at..].copy_from_slice(digits);
    let key = U1024::from_be_slice(&padded);
    if is_acceptable(&key) { Ok(key) } else { Err(PublicKeyError) }
}

/// RFC 7425 §4.6.2: 2^24 ≤ key ≤ p − 2^24, with at least 16 one bits and 16 zero bits.
fn is_acceptable(key: &U1024) -> bool {
    let margin = U1024::from_u32(1 << 24);
    let top = PRIME.as_ref().wrapping_sub(&margin);
    let ones: u32 = key.as_words().iter().map(|word| word.count_ones()).sum();
    let zeros = key.bits_vartime() - ones;
    *key >= margin && *key <= top && ones >= 16 && zeros >= 16
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{SeedableRng, rngs::StdRng};

    #[test]
    fn both_sides_agree() {
        let mut rng = StdRng::seed_from_u64(1);
        let (a, b) = (KeyPair::generate(&mut rng), KeyPair::generate(&mut rng));
        let secret = a.agree(b.public()).unwrap();
        assert_eq!(secret.as_bytes(), b.agree(a.public()).unwrap().as_bytes());
        assert_ne!(secret.as_bytes()[0], 0);
    }

    #[test]
    fn a_key_may_carry_leading_zeros() {
        let mut rng = StdRng::seed_from_u64(2);
        let (a, b) = (KeyPair::generate(&mut rng), KeyPair::generate(&mut rng));
        let mut padded = vec![0; 9];
        padded.extend_from_slice(b.public());
        assert_eq!(a.agree(&padded).unwrap().as_bytes(), a.agree(b.public()).unwrap().as_bytes());
    }

    #[test]
    fn weak_keys_are_refused() {
        let pair = KeyPair::from_exponent(&[0x5a; 32]);
        let prime = to_bytes(PRIME.as_ref());
        let mut almost_prime = prime;
        almost_prime[127] = 0xfe;
        let power_of_two = {
            let mut key = [0; BYTES];
            key[3] = 0x40;
            key
        };
        for bad in [
            &[][..],
            &[1],
            &[0xff, 0xff, 0xff],
            &[0; BYTES],
            &prime,
            &almost_prime,
            &power_of_two,
            &[0xab; 129],
        ] {
            assert!(pair.agree(bad).is_err(), "{bad:x?}");
        }
    }
}
