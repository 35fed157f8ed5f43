"""An endless generator and a slow consumer run in bounded memory everywhere."""

import itertools
import os
import time

import pytest

from conftest import rss_mib, wait_until
from distributed_computing.api import Pool
from distributed_computing.iterators import WINDOW_JOBS
from workers import Calculator, Hostile, Recorder

MEMORY_MIB = 200


def test_an_endless_generator_runs_in_bounded_memory(cluster, pool_arguments):
    head = cluster.head()
    node = cluster.node(workers=2)
    produced = itertools.count()
    base = rss_mib(os.getpid())
    with Pool(Calculator, None, *pool_arguments) as pool:
        results = pool.imap_unordered({"args": [i]} for i in produced)
        highest = {"client": 0.0, "head": 0.0, "node": 0.0}
        consumed = 0
        for _ in itertools.islice(results, 100_000):
            consumed += 1
            if consumed % 5000 == 0:  # a consumer that stops to think
                ahead = next(produced) - consumed
                assert ahead < 10_000, "read only a window ahead"
                highest["client"] = max(highest["client"], rss_mib(os.getpid()) - base)
                highest["head"] = max(highest["head"], rss_mib(head.pid))
                highest["node"] = max(highest["node"], rss_mib(node.pid))
        results.close()
    assert max(highest.values()) < MEMORY_MIB, highest


def test_large_items_are_bounded_by_bytes(cluster, pool_arguments):
    head = cluster.head()
    cluster.node(workers=2)
    produced = itertools.count()
    blob = os.urandom(1 << 20)
    with Pool(Hostile, None, *pool_arguments) as pool:
        results = pool.imap_unordered({"args": ["fine", blob]} for _ in produced)
        for _ in itertools.islice(results, 300):
            pass
        assert next(produced) < 300 + 80, "64 MiB ahead at most"
        assert rss_mib(head.pid) < 500
        results.close()


def test_an_ordered_imap_reads_a_window_ahead_of_a_slow_first_job(cluster, pool_arguments):
    cluster.head()
    cluster.node(workers=2)
    produced = itertools.count()
    with Pool(Hostile, None, *pool_arguments) as pool:
        results = pool.imap({"args": ["sleeps", 2.0 if i == 0 else 0]} for i in produced)
        assert next(results) == 2.0
        assert 100 < next(produced) <= WINDOW_JOBS + 1
        assert list(itertools.islice(results, 100)) == [0] * 100
        results.close()


def test_results_that_wait_for_their_consumer_are_bounded_by_bytes(cluster, pool_arguments):
    cluster.head()
    cluster.node(workers=2)
    produced = itertools.count()
    base = rss_mib(os.getpid())
    with Pool(Hostile, None, *pool_arguments) as pool:
        results = pool.imap_unordered({"args": ["makes", 4 << 20]} for _ in produced)
        for count, _ in enumerate(itertools.islice(results, 40)):
            assert next(produced) - 2 * count < 100
        # The consumer stops: what is under way arrives, nothing more is read.
        time.sleep(1)
        assert rss_mib(os.getpid()) - base < 400
        results.close()


def test_a_slow_generator_holds_nothing_back(cluster, pool_arguments, tmp_path):
    cluster.head()
    cluster.node(workers=2)

    def items():
        for number in range(4):
            if number > 0:
                wait_until(lambda: list(tmp_path.glob(f"run{number - 1}-*")), "the job before this one has started")  # noqa: B023
            yield number

    with Pool(Recorder, tmp_path, *pool_arguments) as pool:
        assert {result[0] for result in pool.imap_unordered(items())} == {0, 1, 2, 3}


def test_a_bad_item_raises_at_its_place_and_the_others_run(cluster, pool_arguments):
    cluster.head()
    cluster.node(workers=1)
    with Pool(Calculator, None, *pool_arguments) as pool:
        results = pool.imap([1, {"argz": [2]}, 3])
        assert next(results) == 1
        with pytest.raises(TypeError, match="item 1"):
            next(results)
        assert list(results) == [3]
