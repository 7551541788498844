//! The judge's own readers: captures, key logs, the decoder over whatever opens.

use std::time::Duration;

use bolero::check;
use interop::{
    capture::{Captured, open, read_keys, read_pcap},
    decode::Decoder,
};
use rtmfp::crypto::PacketKeys;

use crate::assert_heap_is_bounded;

#[test]
fn captures() {
    check!().for_each(|input: &[u8]| {
        let datagrams = read_pcap(input);
        assert!(
            datagrams.iter().map(|datagram| datagram.payload.len()).sum::<usize>() <= input.len()
        );
        let keys = read_keys(&String::from_utf8_lossy(input));
        datagrams.iter().for_each(|datagram| drop(open(&keys, None, &datagram.payload)));
    });
}

/// Packets under the default key whose lengths the input says, from one sender.
#[test]
fn decoder() {
    check!().for_each(|input: &[u8]| {
        let mut decoder = Decoder::new(read_keys(""));
        let mut rest = input;
        while let Some((length, bytes)) = rest.split_first() {
            let (plain, after) = bytes.split_at((usize::from(*length) * 4).min(bytes.len()));
            rest = after;
            for decoded in decoder.decode(&captured(plain)) {
                let _ = (decoded.to_string(), serde_json::to_string(&decoded).expect("JSON"));
            }
        }
        assert_heap_is_bounded();
    });
}

fn captured(plain: &[u8]) -> Captured {
    let mut keys = PacketKeys::default();
    let mut payload = Vec::new();
    let begun = keys.begin(&mut payload);
    payload.extend_from_slice(plain);
    keys.seal(&mut payload, begun, 7);
    let (from, to) = (([192, 0, 2, 1], 1).into(), ([192, 0, 2, 2], 2).into());
    Captured { at: Duration::ZERO, from, to, payload }
}
