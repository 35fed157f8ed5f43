"""A named pool that keeps more than its head's memory is to hold, in a Redis 10 ms away, beside a pool that does not wait
for it. The full size is for a run by hand, with DC_LARGE_REDIS_MIB=1024."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from conftest import Largest, wait_until
from distributed_computing.api import Pool
from own_redis import PROGRAM, away
from proxy import Proxy

pytestmark = pytest.mark.skipif(PROGRAM is None, reason="redis-server is not installed")
TOTAL_MIB = int(os.environ.get("DC_LARGE_REDIS_MIB", "96"))
ONE_WAY_S = 0.005


class Blocks:
    def run(self, number: int, size: int) -> bytes:
        return number.to_bytes(4, "little") * (size // 4)


class Echo:
    def run(self, x: int) -> int:
        return x


@pytest.fixture
def line(tmp_path: Path) -> Iterator[Proxy]:
    with away(tmp_path, ONE_WAY_S) as (_, proxy):
        yield proxy


class Beside:
    """A pool without a name, of which one job after the other is asked for as long as this lives."""

    def __init__(self, pool_arguments: tuple[str, str, int]) -> None:
        self.pool = Pool(Echo, None, *pool_arguments)
        self.seconds: list[float] = []
        self.over = False
        self.pool.map([0])
        self.thread = threading.Thread(target=self.run)
        self.thread.start()

    def run(self) -> None:
        while not self.over:
            began = time.monotonic()
            self.pool.submit(1).result(30)
            self.seconds.append(time.monotonic() - began)
            time.sleep(0.005)

    def slowest_of_a_hundred(self) -> float:
        """End it, and return the time that one job of a hundred took at least."""
        self.over = True
        self.thread.join()
        self.pool.close()
        return sorted(self.seconds)[len(self.seconds) * 99 // 100]


@pytest.mark.timeout(90 + TOTAL_MIB)
@pytest.mark.parametrize("size", [8 << 20, 10 << 10])
def test_results_that_nobody_takes_lie_in_the_redis(line, cluster, pool_arguments, measured, size):
    count = (TOTAL_MIB << 20) // size
    store = ["--store", f"redis://127.0.0.1:{line.port}"]
    head = cluster.head(*store)
    cluster.node(workers=2)
    largest = Largest(head)
    beside = Beside(pool_arguments)
    with Pool(Blocks, None, *pool_arguments, name="sweep") as pool:
        futures = [pool.submit(number, size) for number in range(count)]
        pool.detach()
    taken = {number for number, future in enumerate(futures) if not future.cancelled() and not future.exception()}

    def all_there() -> bool:
        largest.look()
        sweep = next(pool for pool in cluster.status()["pools"] if pool["name"] == "sweep")
        return sweep["to_take"] == count - len(taken)

    wait_until(all_there, "all results are in the store", 60 + TOTAL_MIB)
    assert largest.look() < 64, f"the head grew by {largest.look():.0f} MiB"
    what = f"beside {TOTAL_MIB} MiB of {size >> 10} KiB in a Redis 10 ms away, 99 of 100 jobs of another pool"
    measured(f"{what} while they come", beside.slowest_of_a_hundred(), 1)

    head.kill()
    head.wait()
    began = time.monotonic()
    head = cluster.head(*store)
    wait_until(lambda: cluster.status()["head"]["reading"] is None, "the pool is read")
    measured("a head on it is back, after the lease of the killed one", time.monotonic() - began, 20)
    largest = Largest(head)
    beside = Beside(pool_arguments)
    with Pool.attach("sweep", *pool_arguments) as pool:
        for result in pool.imap_unordered():
            number = int.from_bytes(result[:4], "little")
            assert number not in taken and result == result[:4] * (size // 4), number
            taken.add(number)
            largest.look()
    assert taken == set(range(count))
    assert largest.look() < 64, f"the head grew by {largest.look():.0f} MiB"
    measured(f"{what} while they are taken", beside.slowest_of_a_hundred(), 1)
