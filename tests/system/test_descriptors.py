"""Machines on which descriptors are few (``ulimit -n``): large updates, kept arrays and parked results are no trouble."""

import os
import resource

import numpy as np
import pytest

from conftest import wait_until
from descriptor_workers import Keeper
from distributed_computing.api import Pool

FEW = 256
LARGE = 70_000  # bytes: above what travels inside of a message


def few_descriptors(pid):
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (FEW, FEW))


@pytest.fixture
def started(cluster):
    """Return the cluster with a head whose limit is low, soft and hard."""
    cluster.start("head", "--head", "--workers", "0", in_group=few_descriptors)
    wait_until(lambda: cluster.status() is not None, "the head answers")
    return cluster


def descriptors(pid):
    return len(os.listdir(f"/proc/{pid}/fd"))


def test_a_long_history_reaches_late_and_restarted_workers(started, pool_arguments):
    node = started.node("node", 2, in_group=few_descriptors)
    count = 3 * FEW
    with Pool(Keeper, None, *pool_arguments) as pool:
        for number in range(count):
            pool.update_workers({"args": [number, bytes(LARGE)]})
        pool.update_workers({"args": [count, bytes(LARGE)]}, wait=True, timeout=60)
        assert descriptors(node.pid) < FEW * 3 // 4
        wanted = list(range(count + 1))
        assert pool.submit("updates").result(30) == wanted

        pids = started.worker_pids()
        with pytest.raises(Exception, match="the job was tried"):
            pool.submit("dies").result(60)
        assert pool.submit("updates").result(60) == wanted, "a restarted worker has them all"
        late = started.node("late", 1, in_group=few_descriptors)
        node.terminate()
        assert node.wait(60) == 0
        pool.wait_for_workers(1, 60)
        assert pool.submit("updates").result(60) == wanted, "a late one too"
        late_pid = started.worker_pids()[0]
        assert late_pid not in pids and descriptors(late_pid) < 30
        assert late.poll() is None and "disconnected" not in started.log("head")


def test_parked_results_and_kept_arrays(started, pool_arguments):
    node = started.node("node", 1, in_group=few_descriptors)
    with Pool(Keeper, None, *pool_arguments) as pool:
        pid = pool.submit("pid").result(30)
        for number in range(2 * FEW):
            assert pool.submit("keeps", np.zeros(LARGE, np.uint8)).result(30) == number + 1
        assert descriptors(pid) < 30, "the bytes are mapped, and no descriptor stays"
        # Results that nobody can take yet: the head is away, and comes back.
        results = [pool.submit("makes", LARGE) for _ in range(2 * FEW)]
        results[0].result(30)
        started.processes["head"].kill()
        started.processes["head"].wait()
        wait_until(lambda: pool_is_done(pid), "the worker has nothing more to do", 30)
        assert descriptors(node.pid) < FEW * 3 // 4
        started.start("head", "--head", "--workers", "0", in_group=few_descriptors)
        assert [len(result.result(60)) for result in results] == [LARGE] * len(results)
        assert pool.submit("pid").result(30) == pid, "it is the same worker"


def pool_is_done(pid):
    """Tell whether the worker waits in poll: it has run what it was given."""
    try:
        with open(f"/proc/{pid}/syscall") as file:
            return file.read().split()[0] in ("7", "271")
    except OSError:
        return False


def test_user_code_that_takes_all_descriptors_loses_no_worker(started, pool_arguments):
    started.node("node", 1, in_group=few_descriptors)
    with Pool(Keeper, None, *pool_arguments) as pool:
        pid = pool.submit("pid").result(30)
        with pytest.raises(OSError, match="Too many open files"):
            try:
                pool.submit("opens_all").result(30)
            except Exception as error:
                raise error.__cause__ from None
        for number in range(5):
            assert pool.submit("keeps", np.zeros(LARGE, np.uint8)).result(30) == number + 1
            assert len(pool.submit("makes", 300_000).result(30)) == 300_000
        pool.update_workers({"args": [1, bytes(LARGE)]}, wait=True, timeout=30)
        assert pool.submit("updates").result(30) == [1]
        assert pool.submit("pid").result(30) == pid, "the same worker, with its state"
