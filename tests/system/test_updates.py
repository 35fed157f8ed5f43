"""Every worker applies every update exactly once, in order, before the jobs that were submitted after it."""

import os
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from conftest import alive, wait_until
from distributed_computing.api import JobError, Pool, WorkerDied, WorkerInterface
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


class FailsWhenTold(WorkerInterface):
    """Its updates fail as soon as a file is there: a later one tells of it."""

    def run(self):
        return os.getpid()

    def handle_update(self, directory, how):
        (Path(directory) / "begun").touch()
        while not (Path(directory) / "go").exists():
            time.sleep(0.01)
        if how == "dies":
            os.kill(os.getpid(), signal.SIGKILL)
        (Path(directory) / "over").touch()
        raise ValueError("cannot be applied")


@pytest.mark.parametrize(
    ("how", "error", "text"),
    [("raises", JobError, "(?s)for update 1 .*cannot be applied"), ("dies", WorkerDied, "while it applied update 1")],
)
def test_one_that_fails_while_the_head_is_away_is_told(cluster, pool_arguments, tmp_path, how, error, text):
    cluster.head()
    cluster.node(workers=1)
    with Pool(FailsWhenTold, None, *pool_arguments) as pool, ThreadPoolExecutor(1) as threads:
        pid = pool.submit().result(30)
        update = {"args": [str(tmp_path), how]}
        told = threads.submit(pool.update_workers, update, wait=True, timeout=60)
        wait_until((tmp_path / "begun").exists, "the worker is in the update")
        cluster.processes["head"].kill()
        cluster.processes["head"].wait()
        (tmp_path / "go").touch()
        wait_until(lambda: (tmp_path / "over").exists() or not alive(pid), "the update has failed")
        cluster.head()
        with pytest.raises(error, match=text):
            told.result(60)
