"""Who has a real Redis: what a head does when the server fell back, was emptied, or may throw keys away."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from conftest import wait_until
from distributed_computing.api import NotStored, Pool
from own_redis import PROGRAM, Redis
from workers import Recorder

pytestmark = pytest.mark.skipif(PROGRAM is None, reason="redis-server is not installed")
CHANCE_BITS = 20


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[Redis]:
    directory = tmp_path / "redis"
    directory.mkdir()
    server = Redis(directory, fsync="always")
    yield server
    server.kill()


def key(name: str) -> str:
    return "{distributed-computing}:" + name


def test_a_head_ends_when_the_server_gave_its_counter_to_another(redis, cluster):
    head = cluster.head("--store", redis.url)
    term = int(redis.ask("GET", key("term")))
    other = (term >> CHANCE_BITS << CHANCE_BITS) + ((term + 1) % 2**CHANCE_BITS)
    lease = f"{other} 1 elsewhere other-machine 1 0"
    redis.ask("MSET", key("term"), str(other), key("lease"), lease)
    assert head.wait(10) == 5
    assert "on elsewhere" in cluster.log("head") and "steps down" in cluster.log("head")
    assert redis.ask("GET", key("lease")) == lease, "another's lease is left alone"


def test_a_head_that_was_killed_is_followed_at_once_on_its_machine_and_by_the_clock_of_the_next_elsewhere(
    redis, cluster
):
    for elsewhere in (False, True):
        head = cluster.head("--store", redis.url)
        head.kill()
        head.wait()
        if elsewhere:  # as if that one had run there
            words = redis.ask("GET", key("lease")).split()
            redis.ask("SET", key("lease"), " ".join([*words[:3], "other-machine", *words[4:]]))
        assert redis.ask("TTL", key("lease")) == "-1", "the server does not decide when it ends"
        killed = time.monotonic()
        head = cluster.head("--store", redis.url)
        taken = time.monotonic() - killed
        assert (9 < taken < 20) if elsewhere else taken < 6
        head.terminate()
        head.wait(10)


def test_peers_believe_the_head_of_a_store_that_was_emptied(redis, cluster, pool_arguments):
    redis.ask("SET", key("term"), "1760000000123")  # as an earlier version left it
    redis.ask("SET", key("format"), "1")
    redis.ask("SET", key("lease"), "")
    head = cluster.head("--store", redis.url)
    cluster.node(workers=1)
    with Pool(Recorder, {"args": [str(cluster.root)]}, *pool_arguments) as pool:
        assert pool.submit(0).result(20)[0] == 0
        redis.ask("FLUSHALL")
        assert head.wait(10) == 5, "what it held is gone"
        cluster.head("--store", redis.url)
        assert pool.submit(1).result(20)[0] == 1
    assert int(redis.ask("GET", key("term"))) >> CHANCE_BITS > 1760000000124, "it was not believed at first"


def test_a_policy_that_throws_keys_away_is_told_when_it_is_set_while_the_head_runs(redis, cluster, pool_arguments):
    cluster.head("--store", redis.url)
    redis.ask("CONFIG", "SET", "maxmemory", "200mb")
    redis.ask("CONFIG", "SET", "maxmemory-policy", "allkeys-lru")
    wait_until(lambda: "noeviction" in (cluster.status()["head"]["store_trouble"] or ""), "the trouble is told", 10)
    with pytest.raises(NotStored, match="maxmemory-policy allkeys-lru"):
        Pool(Recorder, {"args": [str(cluster.root)]}, *pool_arguments, name="sweep").submit(1)
    redis.ask("CONFIG", "SET", "maxmemory-policy", "noeviction")
    wait_until(lambda: cluster.status()["head"]["store_trouble"] is None, "it is over", 10)
    with Pool(Recorder, {"args": [str(cluster.root)]}, *pool_arguments, name="sweep") as pool:
        pool.close()


def test_a_standby_waits_for_a_server_that_is_at_fault_for_a_moment(redis, cluster):
    for wrong, right, said in (
        (
            ("CONFIG", "SET", "maxmemory-policy", "allkeys-lru"),
            ("CONFIG", "SET", "maxmemory-policy", "noeviction"),
            "throws keys away",
        ),
        (("REPLICAOF", "127.0.0.1", "1"), ("REPLICAOF", "NO", "ONE"), "is a replica"),
    ):
        redis.ask("CONFIG", "SET", "maxmemory", "200mb")
        redis.ask(*wrong)
        standby = cluster.start("standby", "--head", "--workers", "0", "--standby", "--store", redis.url)
        wait_until(lambda said=said: said in cluster.log("standby"), "it says what is wrong", 10)
        redis.ask(*right)
        wait_until(lambda: cluster.status() is not None, "it is the head", 10)
        standby.terminate()
        assert standby.wait(10) == 0
