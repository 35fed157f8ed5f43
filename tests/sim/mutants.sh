#!/usr/bin/env bash
# Breaks one promise at a time (src/core/mutation.hpp) and shows that the simulator finds it within 1,000 seeds.
# Usage: tests/sim/mutants.sh [first seed] [number of a mutant ...]
set -u
cd "$(dirname "$0")/../.."
first=${1:-1}
shift $(($# > 0))
targets=dc_sim_mutants
if [ $# -gt 0 ]; then targets=$(printf 'dc_sim_mutant_%s ' "$@"); fi
# shellcheck disable=SC2086  # several targets
cmake --build --preset dev --target $targets >/dev/null || exit 1
survived=0
printf '%-26s %-14s %s\n' mutant 'found after' 'by'
while read -r name number; do
  if [ $# -gt 0 ] && [[ " $* " != *" $number "* ]]; then continue; fi
  # The child that runs seeds dies with a failed CHECK, or the seed says what went wrong.
  output=$(build/dev/tests/sim/dc_sim_mutant_"$number" --first "$first" --seeds 1000 --jobs 1 --failures 1 2>&1)
  seed=$(sed -n 's/^FAILED seed \([0-9]*\):.*/\1/p' <<<"$output" | head -1)
  if [ -z "$seed" ]; then
    printf '%-26s %s\n' "$name" 'NOT FOUND in 1,000 seeds'
    survived=1
    continue
  fi
  how=$(sed -n 's/^FAILED seed [0-9]*: //p; s/.*bug: \(CHECK(.*\) failed at src\/\(.*\);.*/\1 in \2/p' <<<"$output" | head -1)
  printf '%-26s %-14s %s\n' "$name" "$((seed - first + 1)) seeds" "${how:0:100}"
done < <(sed -n 's/^inline constexpr bool \([a-z_]*\) = DC_MUTATION == \([0-9]*\);.*/\1 \2/p' src/core/mutation.hpp)
exit $survived
