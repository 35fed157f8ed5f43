"""Whoever waits is told for what; pools of jobs that wait for each other end; a pool waits for its first workers."""

import signal
import subprocess
import sys
import time

import pytest

from conftest import free_port, wait_until
from distributed_computing.api import HeadUnreachable, JobError, Pool, PoolDeadlock, WorkerInitError
from waiting_workers import Broken, Opener, Sleeper
from workers import Calculator, Recorder


class Told:
    """What stands on stderr so far."""

    def __init__(self, capfd):
        self.capfd = capfd
        self.text = ""

    def lines(self, *words):
        """Return the lines with all of these words."""
        self.text += self.capfd.readouterr().err
        return [line for line in self.text.splitlines() if all(word in line for word in words)]


@pytest.fixture
def told(capfd):
    return Told(capfd)


# --- Pools in jobs ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["map", "future", "completed", "loop", "workers"])
def test_the_youngest_of_pools_that_wait_for_each_other_ends_in_its_job(cluster, pool_arguments, how):
    cluster.head()
    cluster.node(workers=2)
    with Pool(Opener, {"args": [pool_arguments]}, *pool_arguments, min_workers=2) as pool:
        futures = [pool.submit(how), pool.submit(how)]
        errors = [future.exception(20) for future in futures]
        assert errors.count(None) == 1, "the other one goes on with the slot"
        assert futures[errors.index(None)].result() == 3
        (error,) = [error for error in errors if error is not None]
        assert isinstance(error, JobError) and type(error.__cause__) is PoolDeadlock
        assert "all 2 slots that could run it are held by jobs that wait for pools of their own" in str(error)
        assert "start_node" in str(error)
        assert pool.submit(how).result(20) == 3


def test_the_constructor_of_a_pool_in_a_job_may_be_what_waits(cluster, pool_arguments):
    cluster.head()
    cluster.node(workers=1)
    with Pool(Opener, {"args": [pool_arguments]}, *pool_arguments) as pool, pytest.raises(JobError) as caught:
        pool.map([{"args": ["nothing", {"min_workers": 1}]}])
    assert type(caught.value.__cause__) is PoolDeadlock
    assert "the one slot that could run it is held by jobs" in str(caught.value)


def test_a_plain_job_beside_it_is_waited_for(cluster, pool_arguments, tmp_path):
    cluster.head()
    cluster.node(workers=2)
    go = tmp_path / "go"
    with (
        Pool(Sleeper, None, *pool_arguments) as sleepers,
        Pool(Opener, {"args": [pool_arguments]}, *pool_arguments) as openers,
    ):
        asleep = sleepers.submit(str(go))
        wait_until(lambda: cluster.worker_pids("busy"), "it sleeps")
        opened = openers.submit("map")
        with pytest.raises(TimeoutError):
            opened.result(4)
        go.touch()
        assert (asleep.result(20), opened.result(20)) == (str(go), 3)


def test_who_waits_with_a_limit_is_left_alone(cluster, pool_arguments):
    cluster.head()
    cluster.node(workers=1)
    with Pool(Opener, {"args": [pool_arguments]}, *pool_arguments) as pool:
        assert pool.map(["limited"]) == [3]


# --- The first workers --------------------------------------------------------------------------------------------


def test_a_pool_is_there_when_its_first_workers_are(cluster, pool_arguments):
    cluster.head()
    cluster.node(workers=2)
    with Pool(Calculator, None, *pool_arguments, min_workers=2) as pool:
        assert pool.get_workers_count() == 2
    with Pool(Calculator, None, *pool_arguments, min_workers=2, name="kept") as pool:
        assert pool.get_workers_count() == 2
    with Pool.attach("kept", *pool_arguments) as pool:
        pool.close()


def test_too_many_first_workers_are_told_at_once_and_waited_for_with_a_limit(cluster, pool_arguments, told):
    cluster.head()
    cluster.node(workers=2)
    with pytest.raises(TimeoutError, match="only 2 of the 3 workers of min_workers were ready after 5 s"):
        Pool(Calculator, None, *pool_arguments, min_workers=3, workers_timeout=5)
    (line,) = told.lines("waiting for 3 workers")
    assert "1 node with 2 slots; start_node on another machine adds more" in line
    wait_until(lambda: not cluster.worker_pids(), "the pool is closed")


def test_ctrl_c_ends_the_waiting_for_the_first_workers(cluster, pool_arguments):
    cluster.head()
    cluster.node(workers=1)
    script = (
        "import sys\nfrom distributed_computing.api import Pool\nfrom workers import Calculator\n"
        "Pool(Calculator, None, sys.argv[1], sys.argv[2], int(sys.argv[3]), min_workers=2)\nprint('there')\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", script, *map(str, pool_arguments)],
        env=cluster.environment("head"),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    wait_until(lambda: cluster.worker_pids("idle"), "the first worker is there")
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=10)
    assert (out, process.returncode) == ("", -signal.SIGINT) and "KeyboardInterrupt" in err
    wait_until(lambda: not cluster.worker_pids(), "the pool is closed")


def test_first_workers_that_cannot_be_constructed_are_an_error(cluster, pool_arguments):
    cluster.head()
    cluster.node(workers=1)
    with pytest.raises(WorkerInitError, match="no data set"):
        Pool(Broken, None, *pool_arguments, min_workers=1)
    with pytest.raises(ValueError, match="workers_timeout must be above 0 seconds"):
        Pool(Broken, None, *pool_arguments, workers_timeout=0)


# --- What is told -------------------------------------------------------------------------------------------------


def test_while_no_head_answers_a_line_says_so(cluster, told):
    started = time.monotonic()
    with pytest.raises(HeadUnreachable):
        Pool(Calculator, None, "x", "127.0.0.1", free_port(), connect_timeout=2)
    assert time.monotonic() - started < 10
    (line,) = wait_until(lambda: told.lines("Trying on, for 2 s in all"), "it is told")
    assert "cannot reach the head at 127.0.0.1:" in line and "(connection refused)" in line


def test_workers_that_do_not_come_are_told_once(cluster, pool_arguments, told):
    cluster.head()
    cluster.node(workers=1)
    with Pool(Calculator, None, *pool_arguments) as pool:
        with pytest.raises(TimeoutError, match="only 1 of 2 workers are there after 3 s"):
            pool.wait_for_workers(2, timeout=3)
        assert len(wait_until(lambda: told.lines("waiting for 2 workers"), "it is told")) == 1


# --- Updates without history --------------------------------------------------------------------------------------


def test_without_history_the_first_worker_ever_gets_what_was_sent_before(cluster, pool_arguments):
    cluster.head()
    with Pool(Recorder, None, *pool_arguments, keep_updates_history=False) as pool:
        for update in ("one", "two"):
            pool.update_workers(update)
        early = pool.submit(1)
        cluster.node("node-a", workers=1)
        assert early.result(30)[2] == ["one", "two"]
        pool.update_workers("three", wait=True, timeout=30)
        cluster.node("node-b", workers=1)
        pool.wait_for_workers(2, 30)
        pool.update_workers("four", wait=True, timeout=30)
        seen = {tuple(updates) for _, _, updates in pool.map([{"kwargs": {"seconds": 0.1}}] * 10)}
        assert seen == {("one", "two", "three", "four"), ("four",)}
