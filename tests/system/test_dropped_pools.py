"""A pool that nobody refers to any more ends; who still reads of it refers to it. Threads share what they read."""

import gc
import threading
from itertools import chain

import pytest

from conftest import alive, wait_until
from distributed_computing.api import JobError, Pool
from workers import Calculator, Recorder


def futures_threads():
    return [thread for thread in threading.enumerate() if thread.name == "distributed-computing-futures"]


@pytest.mark.parametrize("how", ["map", "submit", "imap", "error"])
def test_its_workers_end(cluster, pool_arguments, how):
    cluster.head()
    cluster.node(workers=1)
    pool = Pool(Recorder, None, *pool_arguments)
    if how == "map":
        pid = pool.map([0])[0][1]
    elif how == "submit":
        pid = pool.submit().result(30)[1]
    elif how == "error":
        pid = pool.map([0])[0][1]
        with pytest.raises(JobError) as kept:  # with its traceback, as a notebook does
            pool.map([{"args": [1, 2, 3, 4]}])
        with pytest.raises(JobError) as also_kept:
            pool.update_workers("raise", wait=True, timeout=30)
    else:
        results = pool.imap(range(100))
        pid = next(results)[1]
        del results
    # A cell that is run again: the next pool takes the place of the first.
    pool = Pool(Calculator, None, *pool_arguments)

    def gone():
        gc.collect()
        return not alive(pid)

    wait_until(gone, "the worker of the pool that nobody has has ended")
    assert pool.submit(5).result(30) == 5
    assert how != "error" or ("run()" in str(kept.value) and "cannot be applied" in str(also_kept.value))
    del pool
    wait_until(lambda: gc.collect() is not None and not futures_threads(), "the threads of futures have ended")
    wait_until(lambda: not cluster.worker_pids(), "all workers have ended")


def test_what_is_still_read_keeps_it(cluster, pool_arguments):
    cluster.head()
    cluster.node(workers=1)
    future = Pool(Recorder, None, *pool_arguments).submit(seconds=0.5)
    gc.collect()
    assert future.result(30)[1]
    results = Pool(Calculator, None, *pool_arguments).imap(range(100))
    gc.collect()
    assert list(results) == list(range(100))


def test_a_pool_and_its_unfinished_futures_go_together(cluster, pool_arguments):
    cluster.head()
    cluster.node(workers=1)
    pool = Pool(Recorder, None, *pool_arguments)
    pid = pool.submit().result(30)[1]
    futures = [pool.submit(seconds=100) for _ in range(3)]
    del pool, futures
    wait_until(lambda: gc.collect() is not None and not alive(pid), "the worker has ended")


@pytest.mark.parametrize("method", ["imap", "imap_unordered"])
def test_threads_share_an_iterator(cluster, pool_arguments, method):
    cluster.head()
    cluster.node(workers=2)
    with Pool(Calculator, None, *pool_arguments) as pool:
        results = getattr(pool, method)(i for i in range(5000))
        got = [[] for _ in range(4)]
        threads = [threading.Thread(target=mine.extend, args=(results,), daemon=True) for mine in got]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
            assert not thread.is_alive()
        assert sorted(chain(*got)) == list(range(5000))
