#!/usr/bin/env bash
# Runs bench_scheduler at all sizes of its table. Usage: bench/scheduler.sh [anything: adds the lines to scheduler.jsonl]
set -euo pipefail
cd "$(dirname "$0")/.."
commit=$(git rev-parse --short HEAD)
ledger=/dev/null
if [ $# -gt 0 ]; then ledger=bench/scheduler.jsonl; fi
# nodes, slots of each, jobs, pools
for size in '10 8 10000 1' '100 8 10000 1' '1250 8 10000 1' '1250 8 1000000 1' '1250 8 10000000 1' \
  '1250 8 10000 2' '1250 8 1000000 2' '1250 8 1000000 16' '1250 8 1000000 100'; do
  printf -- '--- nodes, slots, jobs, pools: %s\n' "$size" >&2
  # shellcheck disable=SC2086  # four arguments
  build/dev/bench/bench_scheduler $size | sed "s/^{/{\"commit\":\"$commit\",/" | tee -a "$ledger"
done
