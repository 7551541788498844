//! Exponentiation modulo one prime, constant time in the exponent.

use std::sync::OnceLock;

use crypto_bigint::{
    Choice, CtAssign, CtEq, Odd, U512, Uint,
    modular::{FixedMontyForm, FixedMontyParams},
};

/// Bits of the exponent that one step of the generator's table takes.
const WINDOW: u32 = 4;
const DIGITS: usize = 1 << WINDOW;

/// A safe prime with generator 2, and how long exponents are.
pub(super) struct Modulus<const LIMBS: usize> {
    params: FixedMontyParams<LIMBS>,
    pub exponent_bits: u32,
    /// 2 to the power of `digit << (WINDOW * place)`, by place and then digit; made on first use.
    /// With it a public key costs a fifth of a general exponentiation.
    powers: OnceLock<Vec<Uint<LIMBS>>>,
}

impl<const LIMBS: usize> Modulus<LIMBS> {
    pub const fn new(prime: Odd<Uint<LIMBS>>, exponent_bits: u32) -> Self {
        let params = FixedMontyParams::new_vartime(prime);
        Self { params, exponent_bits, powers: OnceLock::new() }
    }

    pub fn prime(&self) -> Vec<u8> {
        to_bytes(self.params.modulus().as_ref())
    }

    const BYTES: usize = LIMBS * (usize::BITS as usize / 8);

    /// 2 to the power of `exponent`, big-endian at full length.
    pub fn public_key(&self, exponent: &U512) -> Vec<u8> {
        let powers = self.powers.get_or_init(|| self.make_powers());
        let mut product = FixedMontyForm::one(&self.params);
        for (place, digits) in powers.chunks_exact(DIGITS).enumerate() {
            let digit = exponent.shr_vartime(WINDOW * place as u32).as_words()[0] % DIGITS as u64;
            let mut factor = digits[0];
            for (candidate, power) in digits.iter().enumerate() {
                factor.ct_assign(power, same(candidate as u64, digit));
            }
            product *= FixedMontyForm::from_montgomery(factor, &self.params);
        }
        to_bytes(&product.retrieve())
    }

    fn make_powers(&self) -> Vec<Uint<LIMBS>> {
        let mut base = FixedMontyForm::new(&Uint::from_u8(2), &self.params);
        let mut powers = Vec::new();
        for _ in 0..self.exponent_bits.div_ceil(WINDOW) {
            let mut power = FixedMontyForm::one(&self.params);
            for _ in 0..DIGITS {
                powers.push(*power.as_montgomery());
                power *= base;
            }
            base = power;
        }
        powers
    }

    /// `base` to the power of `exponent`, big-endian at full length.
    pub fn power(&self, base: &Uint<LIMBS>, exponent: &U512) -> Vec<u8> {
        #[cfg(feature = "openssl")]
        if let Ok(power) = super::openssl::power(&to_bytes(base), exponent, &self.prime()) {
            return power;
        }
        let base = FixedMontyForm::new(base, &self.params);
        to_bytes(&base.pow_amm_bounded_exp(&exponent.resize(), self.exponent_bits).retrieve())
    }

    /// Reads a far public key of any length. None if RFC 7425 §4.6.2 forbids it: it must be
    /// 2^24 ≤ key ≤ p − 2^24, with at least 16 one bits and 16 zero bits.
    pub fn read_public(&self, bytes: &[u8]) -> Option<Uint<LIMBS>> {
        let key = from_bytes(bytes)?;
        let margin = Uint::from_u32(1 << 24);
        let top = self.params.modulus().as_ref().wrapping_sub(&margin);
        let ones: u32 = key.as_words().iter().map(|word| word.count_ones()).sum();
        let zeros = key.bits_vartime() - ones;
        (key >= margin && key <= top && ones >= 16 && zeros >= 16).then_some(key)
    }
}

fn same(a: u64, b: u64) -> Choice {
    a.ct_eq(&b)
}

fn to_bytes<const LIMBS: usize>(number: &Uint<LIMBS>) -> Vec<u8> {
    number.as_words().iter().rev().flat_map(|word| word.to_be_bytes()).collect()
}

fn from_bytes<const LIMBS: usize>(bytes: &[u8]) -> Option<Uint<LIMBS>> {
    let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
    let digits = &bytes[zeros..];
    if digits.len() > Modulus::<LIMBS>::BYTES {
        return None;
    }
    let mut words = [0; LIMBS];
    for (word, chunk) in words.iter_mut().zip(digits.rchunks(size_of::<u64>())) {
        *word = chunk.iter().fold(0, |word, byte| word << 8 | u64::from(*byte));
    }
    Some(Uint::from_words(words))
}
