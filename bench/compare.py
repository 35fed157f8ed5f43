"""Two builds of this project side by side, in interleaved pairs: `make bench-compare BASE=<tree>`.

Machines that others use too are noisy: one run says little, and two runs one after the other may meet two machines. So
both builds take turns, who goes first changes with every pair, and what counts is the median of the pairs' ratios with
its interval of confidence (by the sign test: it assumes nothing about the noise). A row is slower only if the whole
interval says so.

Usage: python bench/compare.py BASE [--pairs N] [--jobs N] [--workers N]   (BASE: another checkout, built by `make build`)
"""

from __future__ import annotations

import argparse
import json
import math
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TIMES = {"p50_us", "p99_us"}  # smaller is better; all others are rates


def measure(tree: Path, jobs: int, workers: int) -> dict[str, dict[str, float]]:
    """Return the figures of one tree, measured by a process of its own with that tree's programs and modules.

    Raises CalledProcessError if a run fails.
    """
    child = f"""
import argparse, json, sys
sys.path.insert(0, {str(tree / "bench")!r})
import run
options = argparse.Namespace(jobs={jobs}, workers={workers})
print(json.dumps({{**run.ours_both(options, False), **run.ours_both(options, True)}}))
"""
    python = str(tree / ".venv" / "bin" / "python")
    answer = subprocess.run([python, "-c", child], check=True, stdout=subprocess.PIPE, text=True, env={**os.environ})
    return json.loads(answer.stdout.splitlines()[-1])


def interval(values: list[float]) -> tuple[float, float, float]:
    """Return the median of `values` and the ends of its interval of at least 95 % confidence.

    The ends are order statistics: the k-th smallest and largest, with k as large as the binomial distribution allows.
    With fewer than six values no such interval exists: then the ends are the smallest and the largest value.
    """
    ordered = sorted(values)
    n = len(ordered)
    k = 0
    while 2 * sum(math.comb(n, i) for i in range(k + 1)) / 2**n <= 0.05:
        k += 1
    k = max(k, 1)
    middle = (ordered[(n - 1) // 2] + ordered[n // 2]) / 2
    return middle, ordered[k - 1], ordered[n - k]


def main() -> int:
    """Measure, print a table of ratios (this tree divided by BASE, above 1 is better) and return 1 if a row is slower."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("base", type=Path, help="the other checkout")
    parser.add_argument("--pairs", type=int, default=11, help="runs of each build (default 11)")
    parser.add_argument("--jobs", type=int, default=50_000, help="no-op jobs per throughput run (default 50,000)")
    parser.add_argument("--workers", type=int, default=2, help="workers (default 2)")
    options = parser.parse_args()
    base = options.base.resolve()
    if not (base / ".venv" / "bin" / "start_node").exists():
        parser.error(f"{base} is no built checkout: run `make build` there first")
    ratios: dict[tuple[str, str], list[float]] = {}
    for pair in range(options.pairs):
        order = [base, ROOT] if pair % 2 == 0 else [ROOT, base]
        figures = {tree: measure(tree, options.jobs, options.workers) for tree in order}
        for row, values in figures[ROOT].items():
            for column, value in values.items():
                ratio = value / figures[base][row][column]
                ratios.setdefault((row, column), []).append(1 / ratio if column in TIMES else ratio)
        print(f"pair {pair + 1} of {options.pairs} done", file=sys.stderr)
    slower = 0
    print(f"{'this / ' + base.name:40}{'median':>8}{'interval':>16}")
    for (row, column), values in ratios.items():
        middle, low, high = interval(values)
        verdict = "slower" if high < 1 else "faster" if low > 1 else ""
        slower += high < 1
        print(f"{row + ', ' + column:40}{middle:8.2f}{low:8.2f}{high:8.2f}  {verdict}")
    return 1 if slower else 0


if __name__ == "__main__":
    sys.exit(main())
