//! Cuts messages into fragments, and signs streams.

use bytes::Bytes;
use rand::Rng;
use rtmfp::crypto::{PeerId, sha256};

use crate::wire::{Fragment, FragmentStart, MAX_PAYLOAD, StreamKey};

/// Half of a stream key is random, half is made of that and the publisher's peer ID. To others it
/// is 32 random bytes; to us it says which neighbour is the source.
pub(crate) fn new_stream_key(publisher: &PeerId, rng: &mut impl Rng) -> StreamKey {
    let mut key = [0; 32];
    rng.fill_bytes(&mut key[..16]);
    let mark = mark(publisher, &key[..16]);
    key[16..].copy_from_slice(&mark);
    StreamKey(key)
}

/// Whether `peer` made this key; false of publishers that are not this program.
pub fn publisher_of(key: &StreamKey, peer: &PeerId) -> bool {
    key.0[16..] == mark(peer, &key.0[..16])
}

fn mark(publisher: &PeerId, random: &[u8]) -> [u8; 16] {
    let hash = sha256(&[&publisher.0, random]);
    *hash.first_chunk().expect("32 bytes hold 16")
}

/// The fragments of a message: their numbers from `first_id` on, and as they travel.
pub(super) fn cut(
    first_id: u64,
    start: FragmentStart,
    payload: &Bytes,
) -> impl Iterator<Item = Bytes> + '_ {
    let count = payload.len().div_ceil(MAX_PAYLOAD).max(1);
    (0..count).map(move |index| {
        let piece = &payload[index * MAX_PAYLOAD..payload.len().min((index + 1) * MAX_PAYLOAD)];
        Fragment::encode(
            first_id + index as u64,
            (index == 0).then_some(start),
            count - 1 - index,
            piece,
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{SeedableRng, rngs::StdRng};

    #[test]
    fn keys_name_their_publisher_and_differ() {
        let mut rng = StdRng::seed_from_u64(1);
        let (near, far) = (PeerId([1; 32]), PeerId([2; 32]));
        let key = new_stream_key(&near, &mut rng);
        assert!(publisher_of(&key, &near) && !publisher_of(&key, &far));
        assert_ne!(key, new_stream_key(&near, &mut rng));
    }

    #[test]
    fn empty_and_exact_messages_are_cut_right() {
        let start = FragmentStart { kind: 9, timestamp: 0 };
        for (size, count) in
            [(0, 1), (1, 1), (MAX_PAYLOAD, 1), (MAX_PAYLOAD + 1, 2), (3_000_000, 3129)]
        {
            let payload = Bytes::from(vec![0; size]);
            assert_eq!(cut(1, start, &payload).count(), count, "{size}");
        }
    }
}
