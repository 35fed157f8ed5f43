"""Speed beside the peers, measured in one run on one machine: `make bench`.

Prints a table of figures and ratios (ours divided by the peer's; above 1 is better for rates, below 1 for times) and
appends it to bench/ledger.jsonl with the date and the commit when --record is given.

Usage: python bench/run.py [--jobs N] [--workers N] [--record]
"""

from __future__ import annotations

import argparse
import datetime
import json
import multiprocessing
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "examples"))
from demo import Cluster  # noqa: E402  (the same small cluster on this machine)

PAYLOAD_BYTES = 4 << 20
LARGE_JOBS = 200
LARGE_JOBS_BEFORE = 20  # like the small jobs before the timed ones: fresh memory and growing windows are start-up


def echo(x):
    """The no-op job of every contender."""
    return x


class Echo:
    """The same as a worker class."""

    def run(self, x):
        """Return the argument."""
        return x


def rate(count: int, run) -> float:
    """Return jobs per second of run(), which consumes `count` results."""
    start = time.perf_counter()
    seen = run()
    elapsed = time.perf_counter() - start
    if seen != count:
        raise SystemExit(f"bench: {seen} results instead of {count}")
    return count / elapsed


def trips(call, count: int) -> dict[str, float]:
    """Return p50 and p99 of `count` round trips in microseconds."""
    times = []
    for i in range(count):
        start = time.perf_counter()
        call(i)
        times.append((time.perf_counter() - start) * 1e6)
    times.sort()
    return {"p50_us": times[count // 2], "p99_us": times[count * 99 // 100]}


def measure(jobs: int, unordered, mapped, call, large) -> dict[str, float]:
    """Run all workloads of one contender. `large(n)` moves n payloads of 4 MiB there and back."""
    result = {"imap_unordered": rate(jobs, lambda: sum(1 for _ in unordered(range(jobs))))}
    result["map"] = rate(jobs, lambda: len(mapped(range(jobs))))
    result |= trips(call, 2000)
    large(LARGE_JOBS_BEFORE)
    start = time.perf_counter()
    large(LARGE_JOBS)
    result["MiB_per_s"] = LARGE_JOBS * 2 * PAYLOAD_BYTES / 2**20 / (time.perf_counter() - start)
    return result


def ours(cluster: Cluster, jobs: int, **options) -> dict[str, float]:
    """Measure this project from Python; `options` are further ones of the pool."""
    from distributed_computing.api import Pool

    blob = os.urandom(PAYLOAD_BYTES)
    where = (cluster.password, "localhost", cluster.port)
    with Pool(Echo, None, *where, **options) as pool:
        pool.wait_for_workers(1)
        pool.map(range(1000))
        return measure(
            jobs,
            pool.imap_unordered,
            pool.map,
            lambda i: pool.submit(i).result(),
            lambda n: [len(r) for r in pool.imap_unordered(blob for _ in range(n))],
        )


def ours_cpp(cluster: Cluster, jobs: int) -> dict[str, float]:
    """Measure this project from C++."""
    program = ROOT / "build" / "dev" / "bench" / "bench_noop"
    command = [str(program), cluster.password, "localhost", str(cluster.port), str(jobs)]
    answer = subprocess.run(command, env={**os.environ}, check=True, capture_output=True, text=True)
    return json.loads(answer.stdout.splitlines()[-1])


def ours_both(options: argparse.Namespace, encrypted: bool) -> dict[str, dict[str, float]]:
    """Measure both languages: over the Unix socket, or with node and client as on other machines, over TLS."""
    with tempfile.TemporaryDirectory(prefix="dc-bench-") as root:
        cluster = Cluster(Path(root))
        # Who has another home directory does not find the head's Unix socket.
        node, client = ("node", "client") if encrypted else ("head", "head")
        os.environ["DISTRIBUTED_COMPUTING_HOME"] = cluster.environment(client)["DISTRIBUTED_COMPUTING_HOME"]
        try:
            cluster.start("head", "--head", "--workers", "0", "--store", "sqlite", "--durability", "interval")
            cluster.start("node", "--workers", str(options.workers), home=node)
            cluster.wait("the node has joined", lambda s: len(s["nodes"]) == 1)
            suffix = ", TLS" if encrypted else ""
            figures = {
                f"ours, Python{suffix}": ours(cluster, options.jobs),
                f"ours, C++{suffix}": ours_cpp(cluster, options.jobs * 5),
            }
            if not encrypted:
                figures["ours, Python, named"] = ours(cluster, options.jobs, name="bench")
            return figures
        finally:
            cluster.stop()


def multiprocessing_pool(workers: int, jobs: int) -> dict[str, float]:
    """Measure multiprocessing.Pool with chunks of one job, as our pool has them."""
    blob = os.urandom(PAYLOAD_BYTES)
    with multiprocessing.get_context("fork").Pool(workers) as pool:
        pool.map(echo, range(1000))
        return measure(
            jobs,
            lambda items: pool.imap_unordered(echo, items, chunksize=1),
            lambda items: pool.map(echo, items, chunksize=1),
            lambda i: pool.apply(echo, (i,)),
            lambda n: [len(r) for r in pool.imap_unordered(echo, (blob for _ in range(n)))],
        )


def dask_cluster(workers: int, jobs: int) -> dict[str, float]:
    """Measure dask.distributed with one process per worker."""
    from dask.distributed import Client, LocalCluster, as_completed

    blob = os.urandom(PAYLOAD_BYTES)
    with (
        LocalCluster(n_workers=workers, threads_per_worker=1, dashboard_address=None, silence_logs=50) as cluster,
        Client(cluster) as client,
    ):
        client.gather(client.map(echo, range(100), pure=False))

        def unordered(items):
            return as_completed(client.map(echo, list(items), pure=False), with_results=True)

        def large(n):
            for _ in range(n):
                len(client.submit(echo, blob, pure=False).result())

        return measure(
            min(jobs, 5000),  # at its pace more would take minutes
            unordered,
            lambda items: client.gather(client.map(echo, list(items), pure=False)),
            lambda i: client.submit(echo, i, pure=False).result(),
            large,
        )


def show(figures: dict[str, dict[str, float]]) -> None:
    """Print all figures, then the ratios of ours (Python) to each peer."""
    columns = ["imap_unordered", "map", "p50_us", "p99_us", "MiB_per_s"]
    names = {"imap_unordered": "imap jobs/s", "map": "map jobs/s", "p50_us": "p50 us", "p99_us": "p99 us"}
    print(f"{'':26}" + "".join(f"{names.get(c, 'MiB/s (4 MiB)'):>16}" for c in columns))
    for name, values in figures.items():
        print(f"{name:26}" + "".join(f"{values[c]:16,.0f}" if c in values else f"{'-':>16}" for c in columns))
    base = figures["ours, Python"]
    for name in ("Python", "C++"):
        plain, tls = figures[f"ours, {name}"], figures[f"ours, {name}, TLS"]
        ratios = "".join(f"{tls[c] / plain[c]:15.2f}x" if c in plain else f"{'-':>16}" for c in columns)
        print(f"{name + ': TLS / Unix socket':26}" + ratios)
    named = figures["ours, Python, named"]
    print(f"{'Python: named / unnamed':26}" + "".join(f"{named[c] / base[c]:15.2f}x" for c in columns))
    for name in ("multiprocessing.Pool", "dask.distributed"):
        if name in figures:
            ratios = "".join(f"{base[c] / figures[name][c]:15.2f}x" for c in columns)
            print(f"{'ours / ' + name:26}" + ratios)


def main() -> None:
    """Measure every contender in turn, ours first and last contender alone on the machine."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=100_000, help="no-op jobs per throughput run")
    parser.add_argument("--workers", type=int, default=2, help="workers of every contender")
    parser.add_argument("--record", action="store_true", help="append the figures to bench/ledger.jsonl")
    options = parser.parse_args()
    figures = {}
    for encrypted in (False, True):
        figures |= ours_both(options, encrypted)
    figures["multiprocessing.Pool"] = multiprocessing_pool(options.workers, options.jobs)
    try:
        figures["dask.distributed"] = dask_cluster(options.workers, options.jobs)
    except ImportError:
        print("bench: dask.distributed is not installed, left out (pip install 'dask[distributed]')")
    show(figures)
    if options.record:
        commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True)
        entry = {
            "date": datetime.date.today().isoformat(),
            "commit": commit.stdout.strip(),
            "figures": figures,
        }
        with open(ROOT / "bench" / "ledger.jsonl", "a") as ledger:
            ledger.write(json.dumps(entry) + "\n")


if __name__ == "__main__":
    main()
