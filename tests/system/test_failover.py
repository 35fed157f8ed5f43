"""Heads that share a real Redis: killed, frozen, taken over from; and the Redis itself killed and frozen."""

from __future__ import annotations

import random
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from conftest import Cluster, free_port, recorder_items, run_counts, runs, wait_until
from distributed_computing.api import Pool
from own_redis import PROGRAM, Redis
from workers import Recorder

pytestmark = pytest.mark.skipif(PROGRAM is None, reason="redis-server is not installed")


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[Redis]:
    directory = tmp_path / "redis"
    directory.mkdir()
    server = Redis(directory, fsync="always")
    yield server
    server.process.send_signal(signal.SIGCONT)
    server.kill()


@pytest.fixture
def pair(redis: Redis, cluster: Cluster) -> Cluster:
    """A head, a standby beside the same Redis, and a node that knows both addresses."""
    standby = free_port()
    cluster.address = f"127.0.0.1:{cluster.port},127.0.0.1:{standby}"
    cluster.head("--store", redis.url)
    cluster.start("standby", "--head", "--workers", "0", "--standby", "--store", redis.url, port=standby)
    wait_until(lambda: "standby: " in cluster.log("standby"), "the standby has seen the head")
    cluster.node(workers=2)
    return cluster


class Consumer:
    """Takes results one by one, and keeps the longest pause between two of them."""

    def __init__(self, results: Iterator[tuple[int, int, list]]) -> None:
        self.results = results
        self.seen: list[int] = []
        self.longest = 0.0

    def take(self, count: int) -> None:
        for _ in range(count):
            asked = time.monotonic()
            self.seen.append(next(self.results)[0])
            self.longest = max(self.longest, time.monotonic() - asked)


def names() -> pytest.MarkDecorator:
    return pytest.mark.parametrize("name", [None, "sweep"], ids=["unnamed", "named"])


@names()
def test_the_map_goes_on_when_the_head_is_killed(pair, notes, measured, name):
    with Pool(Recorder, {"args": [str(notes)]}, pair.password, pair.address, name=name) as pool:
        consumer = Consumer(pool.imap_unordered(recorder_items(120, 0.1)))
        consumer.take(20)
        head = pair.processes["head"]
        head.kill()
        head.wait()
        consumer.take(100)
        pool.close()
    measured(f"head killed beside a standby, {name or 'unnamed'} pool: longest pause of the map", consumer.longest, 15)
    assert sorted(consumer.seen) == list(range(120)), "each result once"
    assert run_counts(notes, 120) == [1] * 120, "what ran was adopted, not run again"
    assert "is free, this head takes over" in pair.log("standby")


@names()
def test_the_map_goes_on_when_the_head_is_frozen_and_that_one_steps_down(pair, notes, measured, name):
    head = pair.processes["head"]
    with Pool(Recorder, {"args": [str(notes)]}, pair.password, pair.address.split(","), name=name) as pool:
        consumer = Consumer(pool.imap_unordered(recorder_items(120, 0.1)))
        consumer.take(20)
        head.send_signal(signal.SIGSTOP)
        frozen = time.monotonic()
        consumer.take(100)
        wait_until(lambda: time.monotonic() > frozen + 20, "the head was frozen for 20 s")
        head.send_signal(signal.SIGCONT)
        assert head.wait(10) == 5
        assert pool.submit(1000).result(10)[0] == 1000, "the pool has not noticed"
        pool.close()
    measured(f"head frozen beside a standby, {name or 'unnamed'} pool: longest pause of the map", consumer.longest, 15)
    assert sorted(consumer.seen) == list(range(120)), "each result once"
    assert run_counts(notes, 120) == [1] * 120, "what ran was adopted, not run again"
    assert "another head has taken the store" in pair.log("head") and "this one steps down" in pair.log("head")
    joined = [line for line in pair.log("node").splitlines() if "joined the head at" in line]
    assert [f":{pair.port} " in line for line in joined] == [True, False], "the node went over once"


def test_a_head_that_was_frozen_without_a_standby_goes_on(redis, cluster, pool_arguments, notes):
    head = cluster.head("--store", redis.url)
    cluster.node(workers=2)
    with Pool(Recorder, {"args": [str(notes)]}, *pool_arguments) as pool:
        consumer = Consumer(pool.imap_unordered(recorder_items(60, 0.1)))
        consumer.take(20)
        head.send_signal(signal.SIGSTOP)
        frozen = time.monotonic()
        wait_until(lambda: time.monotonic() > frozen + 12, "its lease has run out")
        head.send_signal(signal.SIGCONT)
        consumer.take(40)
    assert head.poll() is None
    assert sorted(consumer.seen) == list(range(60))
    assert run_counts(notes, 60) == [1] * 60, "what ran was adopted, not run again"


def test_a_standby_ends_in_order_when_it_is_told_to(pair):
    standby = pair.processes["standby"]
    standby.terminate()
    assert standby.wait(5) == 0
    assert pair.status()["head"]["port"] == pair.port


@pytest.mark.parametrize("store", ["sqlite", "redis"])
def test_a_named_pools_head_killed_at_twenty_random_points(redis, cluster, pool_arguments, notes, measured, store):
    where = [] if store == "sqlite" else ["--store", redis.url]
    head = cluster.head(*where)
    cluster.node(workers=2)
    kills = set(random.Random(6).sample(range(5, 950), 20))
    slowest = 0.0
    seen = []
    with Pool(Recorder, {"args": [str(notes)]}, *pool_arguments, name="sweep") as pool:
        for result in pool.imap_unordered(recorder_items(1000, 0.01)):
            seen.append(result[0])
            if len(seen) in kills:
                head.kill()
                head.wait()
                killed = time.monotonic()
                head = cluster.head(*where)
                slowest = max(slowest, time.monotonic() - killed)
        pool.close()
    measured(f"head of a named pool killed ({store}), slowest of 20: it answers", slowest, 5)
    assert sorted(seen) == list(range(1000)), "1,000 results, none twice"
    assert run_counts(notes, 1000) == [1] * 1000, "what ran was adopted, not run again"


def test_a_redis_that_is_killed_and_then_frozen_costs_nothing(redis, cluster, pool_arguments, notes):
    head = cluster.head("--store", redis.url)
    cluster.node(workers=2)
    with Pool(Recorder, {"args": [str(notes)]}, *pool_arguments, name="sweep") as pool:
        running = [pool.submit(i, 2.0) for i in range(2)]
        wait_until(lambda: runs(notes, 0) and runs(notes, 1), "both run")
        redis.kill()
        waiting = pool.submit(2)
        wait_until(
            lambda: "does not answer" in cluster.log("head") or "cannot reach" in cluster.log("head"), "it is told"
        )
        assert not waiting.done()
        redis.start()
        assert [future.result(20)[0] for future in [*running, waiting]] == [0, 1, 2]

        running = [pool.submit(i, 5.0) for i in (3, 4)]
        wait_until(lambda: runs(notes, 3) and runs(notes, 4), "both run")
        redis.process.send_signal(signal.SIGSTOP)
        frozen = time.monotonic()
        waiting = pool.submit(5)
        wait_until(lambda: time.monotonic() > frozen + 20, "the Redis was frozen for 20 s")
        assert not waiting.done()
        redis.process.send_signal(signal.SIGCONT)
        assert [future.result(20)[0] for future in [*running, waiting]] == [3, 4, 5]
        pool.close()
    assert head.poll() is None
    told = cluster.log("head")
    assert "has not confirmed for 10 s that this is the head" in told and "confirms that this is the head" in told
    assert run_counts(notes, 6) == [1] * 6, "running work went on"
