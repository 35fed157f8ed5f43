"""Links between the machines are cut, silenced, broken and slowed: nothing is lost, nothing comes twice, all heals."""

import os
import random
import time

import pytest

from conftest import recorder_items as items
from conftest import run_counts, wait_until
from distributed_computing.api import Pool
from proxy import Proxy
from test_faults import constructions
from workers import Calculator, Hostile, Recorder

WAYS = {"to the head": (True, False), "to the node": (False, True), "both ways": (True, True)}


@pytest.mark.parametrize("way", WAYS)
def test_a_link_that_falls_silent_moves_the_jobs_and_heals(cluster, pool_arguments, notes, way, measured):
    cluster.head()
    cluster.node("near", 1)
    with Proxy(cluster.port) as proxy, Pool(Recorder, {"args": [str(notes)]}, *pool_arguments) as pool:
        far = cluster.node("far", 1, port=proxy.port)
        pool.wait_for_workers(2, 30)
        far_worker = next(n for n in cluster.nodes() if n["pid"] == far.pid)["slots"][0]["worker_pid"]
        results = pool.imap_unordered(items(24, 0.1))
        seen = []
        while not any(result[1] == far_worker for result in seen):
            seen.append(next(results))
        proxy.freeze(*WAYS[way])
        cut = time.monotonic()
        seen += results
        measured(f"link silent, {way}: the last job has run elsewhere", time.monotonic() - cut, 12)
        proxy.thaw()
        wait_until(lambda: len(cluster.nodes()) == 2, "the node is back", 15)
        measured(f"link silent, {way}: the node serves again", time.monotonic() - cut, 30)
        assert far.poll() is None, "it healed without a restart"
        pool.wait_for_workers(2, 30)
        again = list(pool.imap_unordered(items(24, 0.1)))
        assert {pid for _, pid, _ in again} >= {far_worker}, "its worker lives on"
        assert sorted(r[0] for r in seen) == sorted(r[0] for r in again) == list(range(24))


@pytest.mark.parametrize("part", ["node", "client"])
def test_links_that_break_again_and_again(cluster, notes, part):
    cluster.head()
    chance = random.Random(20)
    breaks = set(chance.sample(range(1, 990), 20))
    with Proxy(cluster.port) as proxy:
        cluster.node("node", 2, port=proxy.port if part == "node" else None)
        port = proxy.port if part == "client" else cluster.port
        with Pool(Recorder, {"args": [str(notes)]}, cluster.password, "localhost", port) as pool:
            seen, broken = [], 0
            for result in pool.imap_unordered(items(1000, 0.005)):
                seen.append(result[0])
                if len(seen) in breaks:
                    broken += proxy.reset()
    assert sorted(seen) == list(range(1000)) and broken > 5
    assert run_counts(notes, 1000) == [1] * 1000, "what ran was adopted, not run again"
    assert constructions(notes) == 2


def test_a_client_that_is_silent_for_a_while_loses_nothing(cluster, notes, capfd):
    cluster.head()
    cluster.node(workers=2)
    with (
        Proxy(cluster.port) as proxy,
        Pool(Recorder, {"args": [str(notes)]}, cluster.password, "localhost", proxy.port) as pool,
    ):
        results = pool.imap(items(100, 0.05))
        seen = [next(results)]
        proxy.freeze()
        wait_until(lambda: "trying again" in capfd.readouterr().err, "the client says that the head is silent", 15)
        proxy.thaw()
        seen += results
    assert [r[0] for r in seen] == list(range(100))
    assert run_counts(notes, 100) == [1] * 100


def test_a_slow_link_is_not_taken_for_a_dead_one(cluster, capfd):
    cluster.head()
    cluster.node(workers=2)
    blob = os.urandom(12 << 20)
    with Proxy(cluster.port) as proxy, Pool(Hostile, None, cluster.password, "localhost", proxy.port) as pool:
        proxy.slow(rate=2 << 20)
        large = pool.submit("fine", blob)
        started = time.monotonic()
        waits = []
        while not large.done():
            asked = time.monotonic()
            assert pool.submit("fine", 1).result(30) == 1
            waits.append(time.monotonic() - asked)
        assert large.result() == blob
        assert time.monotonic() - started > 8, "longer than a silent link may be"
        assert len(waits) >= 5 and max(waits) < 4, waits
    assert "trying again" not in capfd.readouterr().err


def test_a_long_way_is_hidden_by_handing_over_ahead(cluster, pool_arguments):
    cluster.head()
    with Proxy(cluster.port) as proxy:
        proxy.slow(delay=0.1)
        cluster.node("far", 1, port=proxy.port)
        with Pool(Calculator, None, *pool_arguments) as pool:
            started = time.monotonic()
            assert pool.map(range(2000)) == list(range(2000))
            assert time.monotonic() - started < 20, "one at a time would take 400 s"
