"""Payloads of a gibibyte arrive intact and delay nobody else."""

import hashlib
import threading
import time

import numpy as np
import pytest

from distributed_computing.api import Pool, WorkerInterface
from workers import Calculator

GIB = 1 << 30


class Mirror(WorkerInterface):
    """Returns its argument with a digest of it."""

    def run(self, array):
        return array, hashlib.blake2b(array).hexdigest()


@pytest.mark.slow
def test_a_gibibyte_there_and_back_while_small_jobs_go_on(cluster, pool_arguments):
    cluster.head()
    cluster.node(workers=2)
    array = np.random.default_rng(1).integers(0, 255, GIB, dtype=np.uint8)
    digest = hashlib.blake2b(array).hexdigest()
    times = []
    done = threading.Event()

    def small_jobs():
        with Pool(Calculator, None, *pool_arguments, min_workers=1) as pool:
            pool.submit(0).result(60)
            ready.set()
            while not done.is_set():
                started = time.perf_counter()
                assert pool.submit(1).result(60) == 1
                times.append(time.perf_counter() - started)
                done.wait(0.002)

    ready = threading.Event()
    thread = threading.Thread(target=small_jobs)
    with Pool(Mirror, None, *pool_arguments, min_workers=1) as pool:
        thread.start()
        ready.wait(60)
        pool.wait_for_workers(1, 60)
        try:
            result, seen = pool.submit(array).result(80)
        finally:
            done.set()
            thread.join()
    assert seen == digest
    assert np.array_equal(result, array)
    times.sort()
    assert len(times) > 100
    p99 = times[len(times) * 99 // 100]
    print(f"{len(times)} small jobs meanwhile, p99 {p99 * 1e3:.1f} ms")
    assert p99 < 0.1


def test_large_init_data_and_updates(cluster, pool_arguments):
    cluster.head()
    cluster.node(workers=2)

    class Holder(WorkerInterface):
        def __init__(self, data):
            self.total = int(data.sum())

        def run(self, _):
            return self.total

        def handle_update(self, data):
            self.total += int(data.sum())

    ones = np.ones(20 << 20, dtype=np.uint8)
    with Pool(Holder, {"args": [ones]}, *pool_arguments) as pool:
        assert pool.map(range(4)) == [len(ones)] * 4
        pool.update_workers(ones)  # large, and overtaken by nothing that depends on it
        assert pool.map(range(4)) == [2 * len(ones)] * 4
