//! The simple checksum, RFC 7425 §4.7.3.1: the Internet checksum of RFC 1071.

/// Over big-endian words; an odd last byte counts as the low byte of a word.
pub fn internet_checksum(bytes: &[u8]) -> u16 {
    let (words, tail) = bytes.as_chunks::<4>();
    // 32-bit words sum to the same ones' complement result as 16-bit ones, in half the steps.
    let mut sum: u64 = words.iter().map(|word| u64::from(u32::from_be_bytes(*word))).sum();
    let (pairs, odd) = tail.as_chunks::<2>();
    sum += pairs.iter().map(|pair| u64::from(u16::from_be_bytes(*pair))).sum::<u64>();
    sum += odd.first().map_or(0, |byte| u64::from(*byte));
    while sum >> 16 != 0 {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

#[cfg(test)]
mod tests {
    use super::internet_checksum;

    #[test]
    fn rfc_1071_example() {
        assert_eq!(internet_checksum(&[0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7]), !0xddf2);
    }

    #[test]
    fn odd_tail_is_a_low_byte() {
        assert_eq!(internet_checksum(&[0x12, 0x34, 0x56]), !(0x1234 + 0x56));
    }
}
