"""`distributed-computing pools`: what it shows of named pools, what it takes out of them, and how it ends them."""

from __future__ import annotations

import json
import pickle
import subprocess

import pytest

from conftest import pools_command, rss_mib, wait_until
from distributed_computing.api import Pool, PoolClosed, PoolNotFound


class Echo:
    def run(self, x):
        if x == "bad":
            raise ValueError("no such thing")
        return x


def listed(cluster):
    return {pool["name"]: pool for pool in json.loads(pools_command(cluster, "list", "--json").stdout)}


@pytest.fixture
def started(cluster):
    cluster.head()
    cluster.node(workers=2)
    return cluster


def test_a_pool_is_listed_shown_read_and_removed(cluster, pool_arguments, tmp_path):
    started = cluster
    started.head()
    assert pools_command(started, "list").stdout == "no named pools\n"
    with Pool(Echo, None, *pool_arguments, name="sweep 1") as pool:
        for item in (1, "bad", b"x" * 300_000):
            pool.submit(item)
    started.node(workers=2)  # only now, for what is done at once has been handed over by then
    wait_until(lambda: listed(started)["sweep 1"]["to_take"] == 3, "all jobs are done")
    with Pool.attach("sweep 1", *pool_arguments):
        looked = pools_command(started, "results", "sweep 1")  # from beside, and it takes nothing
        assert looked.returncode == 0 and len(looked.stdout.splitlines()) == 3
        table = pools_command(started, "list").stdout
        assert "sweep 1" in table and f"(pid {subprocess.os.getpid()})" in table
    wait_until(lambda: not listed(started)["sweep 1"]["client"]["connected"], "it is left")
    shown = pools_command(started, "show", "sweep 1")
    assert shown.returncode == 0
    lines = dict(line.split(maxsplit=1) if " " in line else (line, "") for line in shown.stdout.splitlines())
    assert lines["class"] == "Echo" and lines["state"] == "done"

    for _ in range(2):  # reading takes nothing out
        answer = pools_command(started, "results", "sweep 1", "--output", str(tmp_path / "out"))
        assert answer.returncode == 0, answer.stderr
        kinds = sorted(line.split()[:2] for line in answer.stdout.splitlines())
        assert kinds == [["1", "ok"], ["2", "error"], ["3", "ok"]]
        assert "no such thing" in answer.stdout
    assert pickle.loads((tmp_path / "out" / "1.value").read_bytes()) == 1
    assert (tmp_path / "out" / "3.value").stat().st_size > 300_000
    assert "ValueError" in (tmp_path / "out" / "2.error").read_text()
    modes = {path.name: path.stat().st_mode & 0o777 for path in [tmp_path / "out", *(tmp_path / "out").iterdir()]}
    assert modes == {"out": 0o700, "1.value": 0o600, "2.error": 0o600, "3.value": 0o600}

    assert pools_command(started, "remove", "sweep 1").stdout == "pool 'sweep 1' is gone\n"
    assert listed(started) == {}
    with pytest.raises(PoolNotFound):
        Pool.attach("sweep 1", *pool_arguments)


def test_names_that_nobody_has(started):
    for command in ("show", "results", "remove"):
        answer = pools_command(started, command, "nothing")
        assert answer.returncode == 4, command
        assert "no pool named 'nothing'" in answer.stderr
    assert pools_command(started, "remove").returncode == 2


def test_a_pool_that_is_in_use_is_removed_only_by_force(started, pool_arguments):
    pool = Pool(Echo, None, *pool_arguments, name="held")
    assert pool.map(range(3)) == [0, 1, 2]
    refused = pools_command(started, "remove", "held")
    assert refused.returncode == 3 and "steal" in refused.stderr
    assert pools_command(started, "remove", "held", "--steal").returncode == 0
    with pytest.raises(PoolClosed):
        pool.map(range(3))
    assert listed(started) == {}


def test_many_jobs_take_little_memory_and_leave_a_short_journal(cluster, pool_arguments, tmp_path):
    """What a million takes is measured by hand (docs/guide/durability.md); this sees that it stays in proportion."""
    started = cluster
    started.head()
    count = 100_000
    head = int(json.loads(next((tmp_path / "head" / "run").glob("head-*.json")).read_text())["pid"])
    before = rss_mib(head)
    with Pool(Echo, None, *pool_arguments, name="many") as pool:
        for item in range(count):
            pool.submit(item)
    assert rss_mib(head) - before < 0.0006 * count, "MiB of the head"
    started.node(workers=2)
    with Pool.attach("many", *pool_arguments) as pool:
        assert sorted(pool.imap_unordered()) == list(range(count))
    store = next((tmp_path / "head" / "state").glob("head-*.db"))

    def journal_mib():
        files = [store, store.with_name(store.name + "-wal")]
        return sum(file.stat().st_size for file in files if file.exists()) / 2**20

    wait_until(lambda: listed(started)["many"]["to_deliver"] == 0, "everything is delivered")
    with Pool.attach("many", *pool_arguments) as pool:
        assert pool.map(range(count)) == list(range(count))
    wait_until(lambda: journal_mib() < 0.0004 * count, f"the journal is short, not {journal_mib()} MiB")
