"""map, imap, imap_unordered, submit: right results, in order, honest iterators."""

import itertools
import time
from concurrent.futures import Future

import numpy as np
import pytest
from tqdm import tqdm

from distributed_computing.api import Pool, PoolClosed, WorkerInterface
from workers import Calculator, Recorder


@pytest.fixture
def pool(cluster, pool_arguments):
    cluster.head()
    cluster.node(workers=2)
    with Pool(Calculator, {"args": [10]}, *pool_arguments) as made:
        yield made


def test_map_is_ordered_and_takes_every_form_of_item(pool):
    items = [
        1,
        {"args": [2]},
        {"args": (3,), "kwargs": {"plus": 5}},
        {"kwargs": {"x": 4}},
        {"args": np.array([5])},
    ]
    assert pool.map(items) == [10, 20, 35, 40, 50]
    assert pool.map([]) == []
    assert pool.map(range(5000)) == [10 * i for i in range(5000)]
    assert pool.map(i for i in range(10)) == [10 * i for i in range(10)]


def test_imap_and_imap_unordered_are_lazy_iterators(pool):
    assert list(pool.imap(range(1000))) == [10 * i for i in range(1000)]
    assert sorted(pool.imap_unordered(range(1000))) == [10 * i for i in range(1000)]
    endless = pool.imap(itertools.count())
    assert list(itertools.islice(endless, 5)) == [0, 10, 20, 30, 40]
    endless.close()
    assert sum(tqdm(pool.imap_unordered(range(100)), total=100, disable=None)) == 10 * 4950


def test_several_iterators_at_once_do_not_mix(pool):
    one, two = pool.imap(range(0, 500)), pool.imap(range(1000, 1500))
    assert list(zip(one, two, strict=True)) == [(10 * i, 10 * (i + 1000)) for i in range(500)]


def test_submit_gives_futures(pool):
    futures = [pool.submit(i, plus=1) for i in range(50)]
    assert all(isinstance(f, Future) for f in futures)
    assert [f.result(30) for f in futures] == [10 * i + 1 for i in range(50)]


def test_an_iterator_waits_with_a_limit(cluster, pool_arguments):
    cluster.head()
    cluster.node(workers=1)
    with Pool(Recorder, None, *pool_arguments) as pool:
        results = pool.imap([{"kwargs": {"seconds": 1.0}}])
        with pytest.raises(TimeoutError):
            results.next(timeout=0.05)
        assert results.next(timeout=20)[0] is None
        with pytest.raises(StopIteration):
            next(results)


def test_a_closed_pool_says_so(pool):
    results = pool.imap(range(10))
    next(results)
    pool.close()
    pool.close()
    for call in (
        lambda: pool.map([1]),
        lambda: pool.submit(1),
        pool.get_workers_count,
        lambda: pool.update_workers(1),
    ):
        with pytest.raises(PoolClosed):
            call()
    assert "closed" in repr(pool)


def test_local_classes_and_lambdas_travel_by_value(cluster, pool_arguments):
    cluster.head()
    cluster.node(workers=1)
    secret = 42

    class Local(WorkerInterface):
        def run(self, function, x):
            return function(x) + secret

    with Pool(Local, None, *pool_arguments) as pool:
        assert pool.map([{"args": [lambda x: 2 * x, i]} for i in range(3)]) == [42, 44, 46]


def test_arrays_arrive_writable_and_equal(cluster, pool_arguments):
    cluster.head()
    cluster.node(workers=1)

    class Doubles(WorkerInterface):
        def __init__(self, data):
            self.data = data

        def run(self, array):
            array *= 2
            self.data += 1
            return array, self.data.sum()

    for size in (10, 10_000, 1_000_000):
        data = np.zeros(size)
        array = np.arange(size, dtype=float)
        with Pool(Doubles, {"args": [data]}, *pool_arguments) as pool:
            result, total = pool.submit(array).result(60)
            assert np.array_equal(result, 2 * array) and total == size
            result += 1
            assert array[-1] == size - 1


def test_a_map_on_an_empty_cluster_waits_and_says_what_for(cluster, pool_arguments, capfd):
    cluster.head()
    with Pool(Calculator, None, *pool_arguments) as pool:
        future = pool.submit(3)
        started = time.monotonic()
        while "waiting for workers" not in capfd.readouterr().err:
            assert time.monotonic() - started < 20
            time.sleep(0.05)
        assert not future.done()
        cluster.node(workers=1)
        assert future.result(30) == 3
