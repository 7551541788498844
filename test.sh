#!/usr/bin/env bash
# Installs what the tests need, then checks and tests everything. Needs Rust; on Debian and its
# relatives it installs Chromium, ffmpeg and nginx with its RTMP module itself.
set -euo pipefail
cd "$(dirname "$0")"

# Everything is built once: what speeds up the next build only fills the disk.
export CARGO_INCREMENTAL="${CARGO_INCREMENTAL:-0}"

say() { printf '\n== %s\n' "$*"; }

install_missing() {
  local missing=()
  command -v chromium >/dev/null || missing+=(chromium)
  command -v ffmpeg >/dev/null || missing+=(ffmpeg)
  command -v nginx >/dev/null || missing+=(nginx-light)
  [ -e /usr/lib/nginx/modules/ngx_rtmp_module.so ] || missing+=(libnginx-mod-rtmp)
  command -v cc >/dev/null || missing+=(gcc libc6-dev)
  command -v pkg-config >/dev/null || missing+=(pkg-config)
  pkg-config --exists openssl 2>/dev/null || missing+=(libssl-dev)
  [ ${#missing[@]} -eq 0 ] && return
  command -v apt-get >/dev/null || { echo "please install: ${missing[*]}" >&2; exit 1; }
  say "installing ${missing[*]}"
  local root=()
  [ "$(id -u)" -eq 0 ] || root=(sudo)
  "${root[@]}" apt-get update -qq
  DEBIAN_FRONTEND=noninteractive "${root[@]}" apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
}

# As libraries, rtmfp and netgroup must not pull in what only drivers and programs need.
check_core_dependencies() {
  local tree
  for crate in rtmfp netgroup; do
    tree=$(cargo tree -p $crate --edges normal --prefix none)
    if grep -E '^(mio|quinn-udp|socket2|tokio|axum|clap|env_logger|toml|serde) ' <<<"$tree"; then
      echo "$crate pulls in the crates above" >&2
      exit 1
    fi
  done
}

install_missing
say "formatting"
cargo fmt --all --check
say "lints"
cargo clippy --workspace --all-targets --quiet -- -D warnings
cargo clippy -p rtmfp --quiet -- -D warnings
cargo clippy -p rtmfpd --no-default-features --quiet -- -D warnings
cargo clippy -p flvcast --no-default-features --quiet -- -D warnings
say "documentation"
RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --quiet
say "dependencies of the core"
check_core_dependencies
say "building"
# Always the whole workspace: what is chosen decides on features, and others mean building anew.
cargo build --workspace --quiet
cargo test --workspace --no-run --quiet
say "tests of units and of what is documented"
cargo test --workspace --lib --bins --quiet
cargo test --workspace --doc --quiet
say "tests of real programs, and of swarms meanwhile"
# Programs mostly wait for time to pass; simulations give way to them.
swarms=$(mktemp)
nice -n 19 cargo test --workspace --test '[!fp]*' --quiet >"$swarms" 2>&1 &
simulating=$!
trap 'kill "$simulating" 2>/dev/null || true' EXIT
RUST_TEST_THREADS=4 cargo test --workspace --test programs --test flood --quiet
wait "$simulating" || { cat "$swarms"; exit 1; }
trap - EXIT
grep '^test result' "$swarms"
rm -f "$swarms"
say "the other exponentiation"
cargo test -p rtmfp --features openssl --lib --quiet crypto
say "a minute of made-up input"
BOLERO_RANDOM_TEST_TIME_MS=4500 cargo test --workspace --test properties --quiet
