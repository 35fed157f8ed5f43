#!/usr/bin/env bash
# run.sh BUILD SECONDS: every fuzz target for its share of SECONDS, two at a time, from the corpus in the tree. What is
# found on the way is not kept, except an input that breaks something: it is named, with the command that repeats it.
set -euo pipefail
cd "$(dirname "$0")/../.."
programs=$1/tests/fuzz
targets=(messages frames handshake worker_socket head_machine)
each=$(($2 * 2 / ${#targets[@]}))
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

fuzz() {
  local target=$1 log=$scratch/$1.log
  mkdir -p "$scratch/$target" "$programs/found"
  # -entropic=0: with tens of thousands of features its book-keeping takes nearly all the time.
  if "$programs/fuzz_$target" -entropic=0 -max_len=20000 -timeout=10 -rss_limit_mb=2048 -max_total_time="$each" \
    -artifact_prefix="$programs/found/$target-" "$scratch/$target" "tests/fuzz/corpus/$target" >"$log" 2>&1; then
    printf '%-14s %9s inputs, nothing broke\n' "$target" "$(sed -n 's/^Done \([0-9]*\) runs.*/\1/p' "$log")"
  else
    local input
    input=$(sed -n 's/.*Test unit written to //p' "$log" | tail -1)
    grep -E '^broken:|CHECK|ERROR|runtime error|^ +#[0-9]+ ' "$log" | grep -v fuzzer:: | cut -c1-200 | head -25
    printf '%-14s BROKE: repeat with %s %s\n' "$target" "$programs/fuzz_$target" "$input"
    return 1
  fi
}

status=0
running=0
for target in "${targets[@]}"; do
  if ((running == 2)); then
    wait -n || status=1
    running=1
  fi
  fuzz "$target" &
  running=$((running + 1))
done
while ((running > 0)); do
  wait -n || status=1
  running=$((running - 1))
done
exit $status
