#!/usr/bin/env bash
# Runs the named stages one after another, prints the time each takes, and stops at the first that fails.
set -euo pipefail
cd "$(dirname "$0")/.."

stage_install() { tools/install-test-servers.sh; }
stage_format() { cargo fmt --all --check; }
stage_lint() { cargo clippy --workspace --all-targets --quiet -- -D warnings; }
# The crash tests kill the program at places that only this feature makes: one build for all tests.
TESTED="--features mainstay/fault-points"
stage_build() { cargo build --workspace --bins $TESTED --quiet; }
stage_tests() { cargo nextest run --workspace $TESTED --no-fail-fast --status-level fail --final-status-level slow; }
stage_doctests() { cargo test --workspace --doc --quiet; }
stage_docs() { RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --quiet; }
stage_quick-tests() { cargo nextest run -p mainstay-breaker -p mainstay-degradation -p mainstay-simulator -p mainstay-runtime -p mainstay-retail --status-level fail; }
stage_seeds() { MAINSTAY_SEEDS=1000000 PROPTEST_CASES=20000 cargo nextest run -p mainstay-breaker -p mainstay-degradation -p mainstay-simulator -p mainstay-retail --release --no-fail-fast --status-level fail; }
stage_crash() { MAINSTAY_CRASH_KILLS="${MAINSTAY_CRASH_KILLS:-1000}" cargo nextest run --workspace $TESTED --no-capture -E 'package(mainstay) & test(/^crash::/)'; }
stage_soak() { MAINSTAY_SOAK_SECONDS="${MAINSTAY_SOAK_SECONDS:-1800}" cargo nextest run --workspace $TESTED --no-capture -E 'package(mainstay) & test(/^soak::/)'; }
stage_scale() { MAINSTAY_SCALE_ENTRIES=400000 cargo nextest run --workspace $TESTED --no-capture -E 'package(mainstay) & test(/^scale::/)'; }
stage_loom() { RUSTFLAGS="--cfg loom" cargo test -p mainstay-breaker --release --test loom --target-dir target/loom; }
# Outside the repository's own lists: what a run finds worth keeping stays in fuzz/corpus, which git doesn't take.
stage_fuzz() {
  local target failed=0
  for target in recording inputs configuration requests; do
    mkdir -p "fuzz/corpus/$target"
    cargo +nightly fuzz run --sanitizer none "$target" "fuzz/corpus/$target" "fuzz/seeds/$target" -- -max_total_time="${MAINSTAY_FUZZ_SECONDS:-300}" -timeout=30 -rss_limit_mb=4096 || failed=1
  done
  return "$failed"
}
stage_bench() { cargo build --release --quiet --bin mainstay && cargo bench --package mainstay-bench; }
stage_miri() { PROPTEST_CASES=2 cargo +nightly miri test --package mainstay-breaker; }

table=()
began=$SECONDS
trap 'printf "\n%-14s %7s\n" stage seconds; printf "%s\n" "${table[@]}"; printf "%-14s %7d\n" total $((SECONDS - began))' EXIT
for stage in "$@"; do
  printf '\n== %s\n' "$stage"
  start=$SECONDS
  if "stage_$stage"; then result=ok; else result=FAILED; fi
  table+=("$(printf '%-14s %7d  %s' "$stage" $((SECONDS - start)) "$result")")
  [ "$result" = ok ] || exit 1
done
