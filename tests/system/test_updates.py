"""Every worker applies every update exactly once, in order, before the jobs that were submitted after it."""

from conftest import wait_until
from distributed_computing.api import Pool
from workers import Recorder


def test_updates_and_jobs_keep_their_order(cluster, pool_arguments):
    cluster.head()
    cluster.node("node-a", workers=2)
    cluster.node("node-b", workers=1)
    with Pool(Recorder, None, *pool_arguments) as pool:
        for number in range(100):
            pool.update_workers(number)
            for _, _, updates in pool.imap_unordered(range(5)):
                assert updates == list(range(number + 1))


def test_an_update_passes_jobs_that_wait(cluster, pool_arguments):
    cluster.head()
    cluster.node(workers=1)
    with Pool(Recorder, None, *pool_arguments) as pool:
        pool.map(range(500))  # short jobs: from here on they are handed over ahead of time
        results = pool.imap([{"kwargs": {"seconds": 0.5}}] + [{"args": [i]} for i in range(300)])
        wait_until(lambda: cluster.worker_pids("busy"), "the first one runs")
        pool.update_workers("news")
        assert next(results)[2] == []
        assert next(results)[2] == ["news"], "applied between the running job and the next"
        results.close()


def test_wait_returns_when_every_present_worker_has_it(cluster, pool_arguments):
    cluster.head()
    cluster.node(workers=3)
    with Pool(Recorder, None, *pool_arguments) as pool:
        pool.wait_for_workers(3, 30)
        busy = pool.submit(1, seconds=0.5)
        pool.update_workers("now", wait=True, timeout=30)
        assert busy.result(1)[0] == 1, "the busy one finished first"


def test_without_history_later_workers_start_clean(cluster, pool_arguments):
    cluster.head()
    cluster.node("node-a", workers=1)
    with Pool(Recorder, None, *pool_arguments, keep_updates_history=False) as pool:
        pool.wait_for_workers(1, 30)
        pool.update_workers("old", wait=True, timeout=30)
        cluster.node("node-b", workers=1)
        pool.wait_for_workers(2, 30)
        pool.update_workers("new", wait=True, timeout=30)
        seen = {tuple(updates) for _, _, updates in pool.map([{"kwargs": {"seconds": 0.1}}] * 10)}
        assert seen == {("old", "new"), ("new",)}
