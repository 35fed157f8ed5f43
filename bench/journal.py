"""What a large named pool costs its head: `make bench-journal`, JOBS=1000000.

Submits no-op jobs to a pool in SQLite, with no node; kills the head and starts it again; then delivers all results.
Says how much memory the head takes, how long it needs to read its journal, and how large that is on disk.

Usage: python bench/journal.py [--jobs N]
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from pathlib import Path

from run import Cluster, Echo

JOBS_OF_A_PROGRAM = 1_000_000
HEAD = ("--head", "--workers", "0", "--store", "sqlite", "--durability", "interval")


def memory_mib(pid: int, what: str) -> int:
    """Return a line of /proc/PID/status in MiB: `what` is VmRSS (now) or VmHWM (the most so far)."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith(what)).split()[1]) >> 10


def journal_mib(root: Path) -> float:
    """Return how much the database and its log of writes take together."""
    return sum(file.stat().st_size for pattern in ("*.db", "*.db-wal") for file in root.rglob(pattern)) / 2**20


def start_head(cluster: Cluster) -> tuple[float, float]:
    """Start the head and return after how many seconds it answers, and after how many it has read all pools."""
    start = time.perf_counter()
    cluster.start("head", *HEAD)
    cluster.wait("the head answers", lambda _: True)
    answers = time.perf_counter() - start
    cluster.wait("its pools are read", lambda status: status["head"]["reading"] is None)
    return answers, time.perf_counter() - start


def submit(cluster: Cluster, jobs: int) -> None:
    """Submit no-op jobs, by one program after the other: each keeps a future for every job of its own."""
    from distributed_computing.api import Pool

    for first in range(0, jobs, JOBS_OF_A_PROGRAM):
        with Pool(Echo, None, cluster.password, "localhost", cluster.port, name="journal") as pool:
            for i in range(first, min(first + JOBS_OF_A_PROGRAM, jobs)):
                pool.submit(i)


def measure(cluster: Cluster, jobs: int) -> None:
    """Run the whole story and print what was seen."""
    from distributed_computing.api import Pool

    where = (cluster.password, "localhost", cluster.port)
    start_head(cluster)
    head = cluster.processes["head"]
    start = time.perf_counter()
    submit(cluster, jobs)
    seconds = time.perf_counter() - start
    print(f"{jobs:,} jobs accepted in {seconds:.1f} s; head {memory_mib(head.pid, 'VmRSS')} MiB")
    print(f"journal {journal_mib(cluster.root):.0f} MiB", flush=True)

    head.kill()
    head.wait()
    answers, has_read = start_head(cluster)
    head = cluster.processes["head"]
    print(f"killed; the next head answers after {answers:.2f} s, and has read the pool after {has_read:.2f} s", end="")
    print(f", with {memory_mib(head.pid, 'VmRSS')} MiB, {memory_mib(head.pid, 'VmHWM')} at most", flush=True)

    cluster.start("node", "--workers", "2")
    start = time.perf_counter()
    results, largest = 0, 0.0
    with Pool.attach("journal", *where) as pool:
        for _ in pool.imap_unordered():
            results += 1
            if results % 10_000 == 0:
                largest = max(largest, journal_mib(cluster.root))
    seconds = time.perf_counter() - start
    if results != jobs:
        raise SystemExit(f"bench: {results} results instead of {jobs}")
    print(f"{results:,} results in {seconds:.1f} s; head at most {memory_mib(head.pid, 'VmHWM')} MiB", flush=True)
    # Shortening goes on for a moment. Some empty pages are kept for what comes next.
    deadline = time.monotonic() + 5
    while journal_mib(cluster.root) >= largest and time.monotonic() < deadline:
        time.sleep(0.2)
    print(f"journal {largest:.0f} MiB at most, {journal_mib(cluster.root):.0f} MiB at the end")


def main() -> None:
    """Parse the command line and run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=1_000_000, help="no-op jobs in the pool")
    options = parser.parse_args()
    # Not in memory: /tmp may be.
    with tempfile.TemporaryDirectory(prefix="dc-bench-", dir="/var/tmp") as root:
        cluster = Cluster(Path(root))
        os.environ["DISTRIBUTED_COMPUTING_HOME"] = cluster.environment("head")["DISTRIBUTED_COMPUTING_HOME"]
        try:
            measure(cluster, options.jobs)
        finally:
            cluster.stop()


if __name__ == "__main__":
    main()
