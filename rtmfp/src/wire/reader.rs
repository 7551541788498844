//! The cursor all decoders use, and the variable length unsigned integer (VLU).

use thiserror::Error;

/// The bytes ended early, or a value is out of its range. Blame lies with the sender.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("malformed element")]
pub struct Malformed;

/// A cursor over received bytes. Every read either advances or fails with [`Malformed`].
#[derive(Debug, Clone, Copy)]
pub struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    /// Reads from the start of `bytes`.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// Bytes not read yet.
    pub fn remaining(&self) -> usize {
        self.rest.len()
    }

    /// True when everything was read.
    pub fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// Takes all that is left.
    pub fn rest(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.rest)
    }

    /// Takes exactly `count` bytes.
    pub fn bytes(&mut self, count: usize) -> Result<&'a [u8], Malformed> {
        let (head, tail) = self.rest.split_at_checked(count).ok_or(Malformed)?;
        self.rest = tail;
        Ok(head)
    }

    /// Takes an array of known size.
    pub fn array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let (head, tail) = self.rest.split_first_chunk::<N>().ok_or(Malformed)?;
        self.rest = tail;
        Ok(*head)
    }

    /// One byte.
    pub fn u8(&mut self) -> Result<u8, Malformed> {
        Ok(self.array::<1>()?[0])
    }

    /// A big-endian 16-bit integer.
    pub fn u16(&mut self) -> Result<u16, Malformed> {
        Ok(u16::from_be_bytes(self.array()?))
    }

    /// A big-endian 32-bit integer.
    pub fn u32(&mut self) -> Result<u32, Malformed> {
        Ok(u32::from_be_bytes(self.array()?))
    }

    /// A big-endian IEEE 754 double.
    pub fn f64(&mut self) -> Result<f64, Malformed> {
        Ok(f64::from_be_bytes(self.array()?))
    }

    /// RFC 7016 §2.1.2: base 128, most significant group first, high bit means "more".
    /// Values over 64 bits are malformed; encodings longer than needed are legal.
    pub fn vlu(&mut self) -> Result<u64, Malformed> {
        let mut value = 0u64;
        loop {
            let byte = self.u8()?;
            if value >> 57 != 0 {
                return Err(Malformed);
            }
            value = value << 7 | u64::from(byte & 0x7f);
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
    }

    /// A VLU that counts bytes of this same buffer.
    pub fn vlu_len(&mut self) -> Result<usize, Malformed> {
        usize::try_from(self.vlu()?).map_err(|_| Malformed)
    }

    /// A VLU length followed by that many bytes.
    pub fn bytes_vlu(&mut self) -> Result<&'a [u8], Malformed> {
        let count = self.vlu_len()?;
        self.bytes(count)
    }
}

/// How many bytes [`put_vlu`] writes for `value`: 1 to 10.
pub fn vlu_len(value: u64) -> usize {
    (64 - (value | 1).leading_zeros() as usize).div_ceil(7)
}

/// Appends `value` as the shortest VLU.
pub fn put_vlu(out: &mut Vec<u8>, value: u64) {
    for group in (0..vlu_len(value)).rev() {
        let more = if group == 0 { 0 } else { 0x80 };
        out.push((value >> (7 * group)) as u8 & 0x7f | more);
    }
}

/// Appends a VLU length and the bytes.
pub fn put_bytes_vlu(out: &mut Vec<u8>, bytes: &[u8]) {
    put_vlu(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vlu_round_trips_at_every_length() {
        for shift in 0..64 {
            for value in [1u64 << shift, (1u64 << shift) - 1, u64::MAX >> shift] {
                let mut out = Vec::new();
                put_vlu(&mut out, value);
                assert_eq!(out.len(), vlu_len(value));
                let mut reader = Reader::new(&out);
                assert_eq!(reader.vlu(), Ok(value));
                assert!(reader.is_empty());
            }
        }
    }

    #[test]
    fn vlu_accepts_padding_and_refuses_65_bits() {
        assert_eq!(Reader::new(&[0x80, 0x80, 0x05]).vlu(), Ok(5));
        assert_eq!(
            Reader::new(&[0x82, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f]).vlu(),
            Err(Malformed)
        );
        assert_eq!(Reader::new(&[0x80]).vlu(), Err(Malformed));
    }

    #[test]
    fn lengths_never_reach_past_the_end() {
        assert_eq!(Reader::new(&[0x05, 1, 2]).bytes_vlu(), Err(Malformed));
        let huge = [0x81, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f];
        assert_eq!(Reader::new(&huge).bytes_vlu(), Err(Malformed));
    }
}
