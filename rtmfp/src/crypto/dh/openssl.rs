//! Exponentiation by OpenSSL, whose assembly takes half the time; constant time in the exponent too.

use crypto_bigint::U512;
use openssl::{
    bn::{BigNum, BigNumContext},
    error::ErrorStack,
};

/// `base` to the power of `exponent`, all big-endian, at the prime's length. An error if memory is
/// out.
pub(super) fn power(base: &[u8], exponent: &U512, prime: &[u8]) -> Result<Vec<u8>, ErrorStack> {
    let mut secret = BigNum::from_slice(exponent.to_be_bytes().as_ref())?;
    secret.set_const_time();
    let mut power = BigNum::new_secure()?;
    power.mod_exp(
        &*BigNum::from_slice(base)?,
        &secret,
        &*BigNum::from_slice(prime)?,
        &mut *BigNumContext::new_secure()?,
    )?;
    secret.clear();
    power.to_vec_padded(prime.len() as i32)
}
