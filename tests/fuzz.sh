#!/usr/bin/env bash
# Lets libFuzzer search for new paths through the code, each property of tests/properties in turn,
# and keeps the inputs that found some. An input that breaks a property lands in its crashes/ and
# fails `cargo test` from then on. Needs a C++ compiler.
#
#   tests/fuzz.sh [SECONDS for each property: 60] [NAME or part of it]
set -euo pipefail
cd "$(dirname "$0")/.."
seconds=${1:-60} filter=${2:-}
build=$(realpath -m "${CARGO_TARGET_DIR:-target}/fuzz")
kept=tests/tests/properties/__fuzz__
jobs=$(nproc)

# RUSTC_BOOTSTRAP lets a stable compiler instrument for coverage.
instrument() {
  local flags="--cfg fuzzing --cfg fuzzing_libfuzzer -Cpasses=sancov-module" flag
  for flag in inline-8bit-counters level=4 pc-table trace-compares stack-depth; do
    flags+=" -Cllvm-args=-sanitizer-coverage-$flag"
  done
  local host
  host=$(rustc -vV | sed -n 's/^host: //p')
  RUSTC_BOOTSTRAP=1 RUSTFLAGS="$flags" BOLERO_FUZZER=libfuzzer \
    cargo test --quiet -p tests --test properties --profile fuzz --target "$host" \
    --target-dir "$build" --no-run --message-format json |
    sed -n 's/.*"executable":"\([^"]*\/properties-[^"]*\)".*/\1/p'
}

# One property, with libFuzzer's own arguments after its name.
libfuzzer() {
  local name=$1
  shift
  (cd tests && BOLERO_FUZZER=libfuzzer BOLERO_TEST_NAME=$name BOLERO_LIBTEST_HARNESS=1 \
    BOLERO_LIBFUZZER_ARGS="$*" "$program" "$name" --exact --nocapture --quiet --test-threads 1)
}

fuzz() {
  local name=$1 log=$build/${1//::/__}.log
  local room=$PWD/$kept/${name//::/__} found=$build/corpus/${name//::/__}
  mkdir -p "$room/corpus" "$room/crashes" "$found"
  if ! libfuzzer "$name" "$found $room/corpus" "-artifact_prefix=$room/crashes/" -timeout=20 \
    -rss_limit_mb=1024 -max_len=8192 -max_total_time="$seconds" &>"$log"; then
    printf '%-60s FAILED, see %s\n' "$name" "$log"
    return 1
  fi
  libfuzzer "$name" "$room/corpus $found" -merge=1 -use_counters=0 &>>"$log"
  rmdir "$room/crashes" 2>/dev/null || true
  printf '%-60s %9s runs, %4s inputs kept\n' "$name" \
    "$(sed -n 's/^Done \([0-9]*\) runs.*/\1/p' "$log" | head -n 1)" "$(ls "$room/corpus" | wc -l)"
}

program=$(instrument)
export -f fuzz libfuzzer
export seconds build kept program
BOLERO_FUZZER= "$program" --list 2>/dev/null | sed -n 's/: test$//p' | grep -F -- "$filter" |
  xargs -P "$jobs" -I{} bash -c 'fuzz {}'
