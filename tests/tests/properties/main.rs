//! What holds for whatever a fuzzer makes up: decoders, endpoints, networks and groups neither
//! panic nor loop nor hoard, and what should come out does.
//!
//! Each property runs in `cargo test` for a second on random input and on the corpus kept in
//! `__fuzz__`; `BOLERO_RANDOM_TEST_TIME_MS` sets another time. `tests/fuzz.sh` searches for new
//! paths through the code.

mod decoders;
mod endpoint;
mod groups;
mod network;
mod programs;
mod script;
mod sources;

use peak_alloc::PeakAlloc;

#[global_allocator]
static HEAP: PeakAlloc = PeakAlloc;

/// Heap bytes of this process beyond which an input of a few kilobytes was given too much.
const MAX_HEAP: usize = 256 << 20;

/// To be called while what the input built still stands.
fn assert_heap_is_bounded() {
    assert!(HEAP.current_usage() < MAX_HEAP, "{} bytes are held", HEAP.current_usage());
}
