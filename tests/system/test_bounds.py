"""How much named pools may keep, how many there may be, and values of keys that are forgotten."""

from __future__ import annotations

import json

import pytest

from conftest import pools_command, wait_until
from distributed_computing.api import NotStored, Pool
from workers import Lines


class Echo:
    def run(self, x):
        return x


def listed(cluster, name):
    return {pool["name"]: pool for pool in json.loads(pools_command(cluster, "list", "--json").stdout)}[name]


def kill_and_start(cluster, *arguments):
    cluster.processes["head"].kill()
    cluster.processes["head"].wait()
    cluster.head(*arguments)


def test_a_pool_keeps_no_more_than_it_may(cluster, pool_arguments):
    bound = ("--pool-bytes-max", "1M")
    cluster.head(*bound)
    part = b"x" * 300_000
    with Pool(Echo, None, *pool_arguments, name="full") as pool:
        for _ in range(3):
            pool.submit(part)
        with pytest.raises(
            NotStored, match="pool 'full' keeps|pool keeps 879.*KiB.*allows 1.0 MiB.*pools forget 'full' --all"
        ):
            pool.submit(part).result()
        pool.submit(b"small")
    kept = listed(cluster, "full")["kept_bytes"]
    assert 900_000 < kept < 2**20
    kill_and_start(cluster, *bound)
    assert listed(cluster, "full")["kept_bytes"] == kept, "counted from the journal"
    with Pool.attach("full", *pool_arguments) as pool:
        with pytest.raises(NotStored, match="--pool-bytes-max"):
            pool.submit(part).result()
        cluster.node(workers=1)
        assert sorted(pool.imap_unordered()) == [b"small", part, part, part]
        wait_until(lambda: listed(cluster, "full")["kept_bytes"] == 0, "its results are taken")
        assert pool.map([part]) == [part]
    kill_and_start(cluster)
    with Pool.attach("full", *pool_arguments) as pool:
        assert pool.map([part] * 5) == [part] * 5, "another head has no such bound"


def test_there_are_no_more_pools_than_there_may_be(cluster, pool_arguments):
    cluster.head("--pools-max", "1")
    cluster.node(workers=1)
    with Pool(Echo, None, *pool_arguments, name="one") as pool:
        assert pool.map([1]) == [1]
    with pytest.raises(NotStored, match="keeps 1 named pools, and --pools-max allows 1: end one.*pools remove NAME"):
        Pool(Echo, None, *pool_arguments, name="another").map([1])
    with Pool.attach("one", *pool_arguments) as pool:
        assert pool.map([2]) == [2]
    assert pools_command(cluster, "remove", "one").returncode == 0
    with Pool(Echo, None, *pool_arguments, name="another") as pool:
        assert pool.map([1]) == [1]


def test_a_forgotten_key_runs_anew(cluster, pool_arguments, tmp_path):
    cluster.head()
    cluster.node(workers=1)
    lines = tmp_path / "lines"
    with Pool(Lines, {"args": [str(lines)]}, *pool_arguments, name="keys") as pool:
        keyed = [{"args": [x], "key": f"x={x}"} for x in (2, 3, 4)]
        assert pool.map(keyed) == pool.map(keyed) == [4, 9, 16]
        assert lines.read_text().split() == ["2", "3", "4"]
        told = pools_command(cluster, "forget", "keys", "x=3", "x=5")  # whoever has the pool
        assert (told.returncode, told.stdout) == (0, "pool 'keys': 1 of 2 keys had a value, which is forgotten\n")
        kill_and_start(cluster)
        assert listed(cluster, "keys")["keys"] == 2
        assert pool.map(keyed) == [4, 9, 16]
        assert lines.read_text().split() == ["2", "3", "4", "3"]
        told = pools_command(cluster, "forget", "keys", "--all")
        assert (told.returncode, told.stdout) == (0, "pool 'keys': the values of 3 keys are forgotten\n")
        assert pool.map(keyed) == [4, 9, 16]
        assert len(lines.read_text().split()) == 7
    assert "keys             3\n" in pools_command(cluster, "show", "keys").stdout
    for arguments, code, text in (
        (("nothing", "--all"), 4, "no pool named 'nothing'"),
        (("keys",), 2, "name the keys"),
        (("keys", "x=2", "--all"), 2, "--all"),
        (("keys", "k" * 2000), 2, "a key has 1 to 1024 bytes"),
    ):
        answer = pools_command(cluster, "forget", *arguments)
        assert answer.returncode == code and text in answer.stderr, answer


def test_a_value_is_forgotten_when_it_is_old(cluster, pool_arguments, tmp_path, clock_shift):
    clock_shift(0)
    bound = ("--key-ttl", "1h")
    cluster.head(*bound)
    cluster.node(workers=1)
    lines = tmp_path / "lines"
    keyed = [{"args": [2], "key": "x=2"}]

    def keys():
        return listed(cluster, "aging")["keys"]

    with Pool(Lines, {"args": [str(lines)]}, *pool_arguments, name="aging") as pool:
        assert pool.map(keyed) == [4]
        clock_shift(1800)
        assert pool.map(keyed) == [4]
        assert lines.read_text().split() == ["2"]
        clock_shift(3660)
        wait_until(lambda: keys() == 0, "the value is too old")
        assert pool.map(keyed) == [4]
        assert lines.read_text().split() == ["2", "2"]
        kill_and_start(cluster, *bound)
        assert keys() == 1
        cluster.processes["head"].kill()
        cluster.processes["head"].wait()
        clock_shift(2 * 3660)  # its age goes on meanwhile
        cluster.head(*bound)
        assert keys() == 0
        assert pool.map(keyed) == [4]
        assert lines.read_text().split() == ["2", "2", "2"]
