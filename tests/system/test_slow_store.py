"""A healthy Redis behind a line of 20 ms never silences its head, whatever is written to it, and a takeover takes no longer
than reading does. The full size is for a run by hand, with DC_SLOW_STORE_JOBS=10000."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from conftest import Cluster, free_port, wait_until
from distributed_computing.api import Pool
from own_redis import PROGRAM, Redis, away
from proxy import Proxy

pytestmark = pytest.mark.skipif(PROGRAM is None, reason="redis-server is not installed")
JOBS = int(os.environ.get("DC_SLOW_STORE_JOBS", "1000"))
LARGE = 70 << 10
ONE_WAY_S = 0.01


class Echo:
    def run(self, x):
        return x


@pytest.fixture
def server_and_line(tmp_path: Path) -> Iterator[tuple[Redis, Proxy]]:
    with away(tmp_path, ONE_WAY_S) as both:
        yield both


@pytest.fixture
def server(server_and_line: tuple[Redis, Proxy]) -> Redis:
    return server_and_line[0]


@pytest.fixture
def line(server_and_line: tuple[Redis, Proxy]) -> Proxy:
    return server_and_line[1]


def large(number: int) -> bytes:
    return number.to_bytes(8, "big") + os.urandom(LARGE)


def listed(cluster: Cluster) -> dict:
    status = cluster.status()
    return {pool["name"]: pool for pool in status["pools"]} if status else {}


def entries(server: Redis) -> int:
    """Return how many entries the only journal has."""
    _, count = server.ask("HGETALL", "{distributed-computing}:entries")
    return int(count)


def head_and_standby(cluster: Cluster, line: Proxy) -> tuple[subprocess.Popen[bytes], str]:
    """Start a head on the slow store, and a standby that has seen it; return the head and the addresses of both."""
    store = ["--store", f"redis://127.0.0.1:{line.port}"]
    standby = free_port()
    head = cluster.head(*store)
    cluster.start("standby", "--head", "--workers", "0", "--standby", *store, port=standby)
    wait_until(lambda: "standby: " in cluster.log("standby"), "the standby has seen the head")
    return head, f"127.0.0.1:{cluster.port},127.0.0.1:{standby}"


@pytest.mark.timeout(90 + JOBS // 20)
def test_writing_erasing_and_taking_over(server, line, cluster, pool_arguments, measured):
    head, both = head_and_standby(cluster, line)
    with Pool(Echo, None, *pool_arguments, name="sweep") as pool:
        began = time.monotonic()
        for number in range(JOBS):
            pool.submit(large(number))
    measured(f"{JOBS} payloads of 70 KiB to a store 20 ms away", time.monotonic() - began, JOBS / 20)
    cluster.address = both
    cluster.node(workers=2)
    wait_until(lambda: listed(cluster)["sweep"]["to_take"] == JOBS, "all results are stored", 60 + JOBS / 20)
    before = entries(server)
    with Pool.attach("sweep", cluster.password, both) as pool:
        assert pool.map(range(4_000)) == list(range(4_000))
    assert listed(cluster)["sweep"]["to_deliver"] == JOBS
    # What is over is erased, but for the last of it, and the large ones are still there.
    wait_until(lambda: entries(server) < before + 100, "the entries of what is over are erased", 30 + JOBS / 20)
    assert "has not confirmed" not in cluster.log("head"), "a healthy Redis does not silence its head"

    head.kill()
    head.wait()
    killed = time.monotonic()
    wait_until(lambda: "sweep" in listed(cluster), "the standby serves the pool", 30 + JOBS / 20)
    measured(f"takeover of {JOBS} payloads of 70 KiB", time.monotonic() - killed, 15 + JOBS / 50)
    assert listed(cluster)["sweep"]["to_deliver"] == JOBS
    with Pool.attach("sweep", cluster.password, both) as pool:
        found = {int.from_bytes(value[:8], "big") for value in pool.imap_unordered()}
        assert found == set(range(JOBS))
        pool.close()
    log = cluster.log("standby")
    assert log.count("this head takes over") == 1 and "has not confirmed" not in log


HUGE_MIB = int(os.environ.get("DC_SLOW_STORE_MIB", "100"))


@pytest.mark.timeout(90 + HUGE_MIB // 2)
def test_one_huge_payload(server, line, cluster, pool_arguments, measured):
    """The full size, by hand: DC_SLOW_STORE_MIB=1024."""
    head, both = head_and_standby(cluster, line)
    payload = os.urandom(1 << 20) * HUGE_MIB
    with Pool(Echo, None, *pool_arguments, name="sweep") as pool:
        began = time.monotonic()
        pool.submit(payload)
    measured(f"{HUGE_MIB} MiB to a store 20 ms away", time.monotonic() - began, 30 + HUGE_MIB / 4)
    assert "has not confirmed" not in cluster.log("head"), "a healthy Redis does not silence its head"
    head.kill()
    head.wait()
    killed = time.monotonic()
    cluster.address = both
    wait_until(lambda: "sweep" in listed(cluster), "the standby serves the pool", 30 + HUGE_MIB / 4)
    measured(f"takeover of {HUGE_MIB} MiB", time.monotonic() - killed, 15 + HUGE_MIB / 4)
    cluster.node(workers=1)
    with Pool.attach("sweep", cluster.password, both) as pool:
        assert next(iter(pool.imap_unordered())) == payload
        pool.close()
    log = cluster.log("standby")
    assert log.count("this head takes over") == 1 and "has not confirmed" not in log
