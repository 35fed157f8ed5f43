"""Any number of pools at once: fair shares, no mixing, slots that are given back."""

import threading
import time

from conftest import wait_until
from distributed_computing.api import Pool
from workers import Calculator, Recorder


def test_two_pools_share_four_slots(cluster, pool_arguments):
    cluster.head()
    cluster.node(workers=4)
    job = {"kwargs": {"seconds": 0.1}}
    with Pool(Recorder, None, *pool_arguments) as first:
        first.wait_for_workers(4, 30)
        one = first.imap_unordered(job for _ in range(100_000))
        next(one)
        with Pool(Recorder, None, *pool_arguments) as second:
            two = second.imap_unordered(job for _ in range(100_000))

            def shared():
                next(one), next(two)
                return first.get_workers_count() == 2 == second.get_workers_count()

            wait_until(shared, "each has two slots")
            pids = [{next(one)[1] for _ in range(20)}, {next(two)[1] for _ in range(20)}]
            assert not pids[0] & pids[1]
            two.close()
        wait_until(lambda: next(one) and first.get_workers_count() == 4, "the first has all slots again")
        one.close()


def test_an_idle_pool_lends_its_slots_and_gets_them_back(cluster, pool_arguments):
    cluster.head()
    cluster.node(workers=2)
    with Pool(Calculator, {"args": [2]}, *pool_arguments) as idle:
        idle.wait_for_workers(2, 30)
        with Pool(Calculator, {"args": [3]}, *pool_arguments) as busy:
            assert busy.map(range(100)) == [3 * i for i in range(100)]
            assert idle.map(range(100)) == [2 * i for i in range(100)]
        assert idle.map(range(10)) == [2 * i for i in range(10)]


def test_weights_are_kept(cluster, pool_arguments):
    cluster.head()
    cluster.node(workers=4)
    job = {"kwargs": {"seconds": 0.05}}
    with (
        Pool(Recorder, None, *pool_arguments, weight=3) as heavy,
        Pool(Recorder, None, *pool_arguments, weight=1) as light,
    ):
        one, two = heavy.imap_unordered([job] * 10_000), light.imap_unordered([job] * 10_000)

        def shared():
            next(one), next(two)
            return (heavy.get_workers_count(), light.get_workers_count()) == (3, 1)

        wait_until(shared, "slots are shared 3 to 1")
        one.close()
        two.close()


def test_many_pools_from_many_threads(cluster, pool_arguments):
    cluster.head()
    cluster.node(workers=2)
    wrong = []

    def use(factor):
        with Pool(Calculator, {"args": [factor]}, *pool_arguments) as pool:
            if pool.map(range(200)) != [factor * i for i in range(200)]:
                wrong.append(factor)

    threads = [threading.Thread(target=use, args=[i]) for i in range(1, 9)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not wrong and not any(t.is_alive() for t in threads)


def test_closing_aborts_running_jobs_within_a_second(cluster, pool_arguments):
    cluster.head()
    cluster.node(workers=1)
    with Pool(Recorder, None, *pool_arguments) as pool:
        pool.submit(seconds=1000.0)
        wait_until(lambda: cluster.worker_pids("busy"), "the job runs")
        started = time.monotonic()
    assert time.monotonic() - started < 2
    wait_until(lambda: not cluster.worker_pids(), "the slot is free", 2)
