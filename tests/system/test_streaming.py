"""An endless generator and a slow consumer run in bounded memory everywhere."""

import itertools
import os

from conftest import rss_mib
from distributed_computing.api import Pool
from workers import Calculator, Hostile

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
