"""Workers, nodes and the head are killed in the middle of a map: every job still gives exactly one result."""

import os
import re
import signal
import time

import pytest

from conftest import alive, wait_until
from distributed_computing.api import Pool
from workers import Hostile, Recorder


def runs(directory, item):
    """Return how often a job was started, as its workers wrote it down."""
    return len(list(directory.glob(f"run{item}-*")))


def constructions(directory):
    return len(list(directory.glob("constructed-*")))


@pytest.fixture
def notes(tmp_path):
    directory = tmp_path / "notes"
    directory.mkdir()
    return directory


def items(count, seconds):
    return [{"args": [i], "kwargs": {"seconds": seconds}} for i in range(count)]


def test_a_killed_worker_is_noticed_at_once_and_its_job_runs_again(cluster, pool_arguments, notes):
    cluster.head()
    cluster.node(workers=2)
    with Pool(Recorder, {"args": [str(notes)]}, *pool_arguments) as pool:
        results = pool.imap(items(40, 0.05))
        next(results)
        victim = wait_until(lambda: cluster.worker_pids("busy"), "a worker is busy")[0]
        os.kill(victim, signal.SIGKILL)
        rest = list(results)
    assert [r[0] for r in rest] == list(range(1, 40))
    assert constructions(notes) == 3
    assert sum(runs(notes, i) for i in range(40)) in (40, 41)


def test_a_killed_node_takes_its_workers_along_and_its_jobs_run_elsewhere(cluster, pool_arguments, notes):
    cluster.head()
    kept = cluster.node("node-a", workers=2)
    victim = cluster.node("node-b", workers=2)
    with Pool(Recorder, {"args": [str(notes)]}, *pool_arguments) as pool:
        pool.wait_for_workers(4, 30)
        results = pool.imap(items(60, 0.1))
        next(results)
        doomed = [s["worker_pid"] for n in cluster.nodes() if n["pid"] == victim.pid for s in n["slots"]]
        victim.kill()
        victim.wait()
        wait_until(lambda: not any(alive(pid) for pid in doomed), "its workers are gone", 1.0)
        assert [r[0] for r in results] == list(range(1, 60))
    assert kept.poll() is None


def test_a_node_that_joins_gets_every_earlier_update_first(cluster, pool_arguments):
    cluster.head()
    cluster.node("node-a", workers=1)
    with Pool(Recorder, None, *pool_arguments) as pool:
        pool.wait_for_workers(1, 30)
        for number in range(20):
            pool.update_workers(number)
        first = cluster.worker_pids()[0]
        results = pool.imap_unordered(items(400, 0.05))
        next(results)
        cluster.node("node-b", workers=1)
        joined = 0.0
        for _, pid, updates in results:
            assert updates == list(range(20))
            if pid != first:
                joined = time.monotonic()
                break
        assert joined, "the new node took jobs"
        results.close()


def test_a_restarted_head_adopts_what_runs(cluster, pool_arguments, notes):
    head = cluster.head()
    cluster.node(workers=2)
    with Pool(Recorder, {"args": [str(notes)]}, *pool_arguments) as pool:
        pool.update_workers("early")
        results = pool.imap(items(60, 0.1))
        seen = [next(results)]
        for _ in range(3):
            head.kill()
            head.wait()
            head = cluster.head()
            seen.append(next(results))
            seen.append(next(results))
        seen += results
        pool.update_workers("late", wait=True, timeout=30)
        assert pool.submit().result(30)[2] == ["early", "late"]
    assert [r[0] for r in seen] == list(range(60))
    assert all(r[2] == ["early"] for r in seen)
    assert constructions(notes) == 2, "workers live on"
    assert all(runs(notes, i) == 1 for i in range(60)), "no finished or running job ran again"


def test_a_head_that_freezes_declares_nobody_lost(cluster, pool_arguments, notes):
    head = cluster.head()
    cluster.node(workers=2)
    with Pool(Recorder, {"args": [str(notes)]}, *pool_arguments) as pool:
        results = pool.imap(items(40, 0.2))
        next(results)
        head.send_signal(signal.SIGSTOP)
        end = time.monotonic() + 8
        wait_until(lambda: time.monotonic() > end, "the head was frozen for 8 s")
        head.send_signal(signal.SIGCONT)
        assert [r[0] for r in results] == list(range(1, 40))
    assert all(runs(notes, i) == 1 for i in range(40))


def test_a_killed_clients_slots_are_free_again(cluster, pool_arguments):
    cluster.head()
    cluster.node(workers=1)
    import subprocess
    import sys

    script = (
        "import sys; from workers import Hostile; from distributed_computing.api import Pool\n"
        f"p = Pool(Hostile, None, {cluster.password!r}, server_port={cluster.port})\n"
        "print('open', flush=True); p.map([{'args': ['sleeps', 1000]}])"
    )
    client = subprocess.Popen([sys.executable, "-c", script], env=cluster.environment("head"), stdout=subprocess.PIPE)
    assert client.stdout.readline() == b"open\n"
    wait_until(lambda: cluster.worker_pids("busy"), "the job runs")
    client.kill()
    client.wait()
    client.stdout.close()
    with Pool(Hostile, None, *pool_arguments) as pool:
        assert pool.submit("fine", 1).result(35) == 1


def test_a_node_that_is_told_to_leave_finishes_its_jobs(cluster, pool_arguments, notes):
    cluster.head()
    cluster.node("node-a", workers=1)
    leaving = cluster.node("node-b", workers=1)
    with Pool(Recorder, {"args": [str(notes)]}, *pool_arguments) as pool:
        pool.wait_for_workers(2, 30)
        results = pool.imap(items(10, 0.3))
        wait_until(lambda: len(cluster.worker_pids("busy")) == 2, "both are busy")
        leaving.terminate()
        assert leaving.wait(30) == 0
        assert [r[0] for r in results] == list(range(10))
    assert all(runs(notes, i) == 1 for i in range(10)), "nothing was aborted"


def test_a_job_that_kills_its_worker_once_succeeds_the_second_time(cluster, pool_arguments, tmp_path, capfd):
    cluster.head()
    cluster.node(workers=1)
    with Pool(Hostile, None, *pool_arguments) as pool:
        assert pool.submit("dies_once", str(tmp_path / "flag")).result(30) == "second time"
    assert re.search(r"killed by signal 9 .*runs again", capfd.readouterr().err)
