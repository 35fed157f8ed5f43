"""Workers, nodes and the head are killed in the middle of a map: every job still gives exactly one result."""

import os
import random
import re
import signal
import time
from pathlib import Path

import pytest

from conftest import alive, run_counts, wait_until
from conftest import recorder_items as items
from distributed_computing.api import Pool
from workers import Hostile, Recorder


def constructions(directory):
    return len(list(directory.glob("constructed-*")))


def test_a_killed_worker_is_noticed_at_once_and_its_job_runs_again(cluster, pool_arguments, notes, measured):
    cluster.head()
    node = cluster.node(workers=2)
    with Pool(Recorder, {"args": [str(notes)]}, *pool_arguments) as pool:
        results = pool.imap(items(40, 0.3))
        next(results)
        victim = wait_until(lambda: cluster.worker_pids("busy"), "a worker is busy")[0]
        before = sum(run_counts(notes, 40))
        os.kill(victim, signal.SIGKILL)
        killed = time.monotonic()
        wait_until(lambda: not Path(f"/proc/{victim}").exists(), "the node has reaped it", 5)
        measured("worker killed: noticed", time.monotonic() - killed, 0.2)
        wait_until(lambda: sum(run_counts(notes, 40)) > before, "its slot runs a job", 5)
        wait_until(lambda: constructions(notes) == 3, "its successor is constructed", 5)
        measured("worker killed: its slot works again, constructor included", time.monotonic() - killed, 1.5)
        rest = list(results)
    assert node.poll() is None
    assert [r[0] for r in rest] == list(range(1, 40))
    assert constructions(notes) == 3
    assert sum(run_counts(notes, 40)) in (40, 41)


def test_a_killed_node_takes_its_workers_along_and_its_jobs_run_elsewhere(cluster, pool_arguments, notes, measured):
    cluster.head()
    kept = cluster.node("node-a", workers=2)
    victim = cluster.node("node-b", workers=2)
    with Pool(Recorder, {"args": [str(notes)]}, *pool_arguments) as pool:
        pool.wait_for_workers(4, 30)
        results = pool.imap(items(60, 0.1))
        next(results)
        doomed = [s["worker_pid"] for n in cluster.nodes() if n["pid"] == victim.pid for s in n["slots"]]
        victim.kill()
        killed = time.monotonic()
        victim.wait()
        wait_until(lambda: not any(alive(pid) for pid in doomed), "its workers are gone")
        measured("node killed: its workers are gone", time.monotonic() - killed, 1.0)
        wait_until(lambda: len(cluster.nodes()) == 1, "the head has given it up")
        measured("node killed: its jobs are in the queue again", time.monotonic() - killed, 2.0)
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
    assert run_counts(notes, 60) == [1] * 60, "no finished or running job ran again"


def test_a_head_killed_at_twenty_random_points_of_a_map(cluster, pool_arguments, notes, measured):
    head = cluster.head()
    cluster.node(workers=2)
    kills = set(random.Random(4).sample(range(5, 950), 20))
    slowest = 0.0
    seen = []
    with Pool(Recorder, {"args": [str(notes)]}, *pool_arguments) as pool:
        for result in pool.imap_unordered(items(1000, 0.01)):
            seen.append(result[0])
            if len(seen) in kills:
                head.kill()
                head.wait()
                killed = time.monotonic()
                head = cluster.head()
                slowest = max(slowest, time.monotonic() - killed)
    measured("head killed and restarted, slowest of 20: it answers", slowest, 5)
    assert sorted(seen) == list(range(1000)), "1,000 results, none twice"
    assert run_counts(notes, 1000) == [1] * 1000, "what ran was adopted, not run again"
    assert constructions(notes) == 2, "workers live on"


def test_a_restarted_head_serves_soon_with_ten_thousand_jobs_in_the_queue(cluster, pool_arguments, notes, measured):
    head = cluster.head()
    cluster.node(workers=2)
    with Pool(Recorder, {"args": [str(notes)]}, *pool_arguments) as pool:
        futures = [pool.submit(i, 0.01) for i in range(10_000)]
        futures[20].result(30)
        head.kill()
        head.wait()
        killed = time.monotonic()
        done = sum(future.done() for future in futures)
        cluster.head()
        wait_until(lambda: sum(future.done() for future in futures) > done + 100, "results come again")
        measured("head killed with 10,000 jobs queued: 100 more results are there", time.monotonic() - killed, 5)
        assert sum(pool_["jobs_queued"] for pool_ in cluster.status()["pools"]) > 5_000
        assert max(run_counts(notes, 1000)) <= 1


@pytest.mark.parametrize("shift", [3600, -7200])
def test_a_clock_that_is_set_harms_nothing(cluster, pool_arguments, notes, clock_shift, shift):
    clock_shift(0)
    head = cluster.head()
    node = cluster.node(workers=2)
    with Pool(Recorder, {"args": [str(notes)]}, *pool_arguments, job_timeout=20) as pool:
        results = pool.imap(items(40, 0.1))
        next(results)
        clock_shift(shift)
        assert [r[0] for r in results] == list(range(1, 40))
    assert head.poll() is None and node.poll() is None
    assert run_counts(notes, 40) == [1] * 40 and constructions(notes) == 2


def test_a_head_that_freezes_declares_nobody_lost(cluster, pool_arguments, notes):
    head = cluster.head()
    cluster.node(workers=2)
    with Pool(Recorder, {"args": [str(notes)]}, *pool_arguments) as pool:
        results = pool.imap(items(40, 0.2))
        next(results)
        head.send_signal(signal.SIGSTOP)
        end = time.monotonic() + 30
        wait_until(lambda: time.monotonic() > end, "the head was frozen for 30 s", 40)
        head.send_signal(signal.SIGCONT)
        assert [r[0] for r in results] == list(range(1, 40))
    assert run_counts(notes, 40) == [1] * 40


def test_a_killed_clients_slots_are_free_again(cluster, pool_arguments, measured):
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
    killed = time.monotonic()
    client.wait()
    client.stdout.close()
    with Pool(Hostile, None, *pool_arguments) as pool:
        assert pool.submit("fine", 1).result(35) == 1
    measured("client killed: its slot runs another pool's job", time.monotonic() - killed, 30)


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
    assert run_counts(notes, 10) == [1] * 10, "nothing was aborted"


def test_a_job_that_kills_its_worker_once_succeeds_the_second_time(cluster, pool_arguments, tmp_path, capfd):
    cluster.head()
    cluster.node(workers=1)
    with Pool(Hostile, None, *pool_arguments) as pool:
        assert pool.submit("dies_once", str(tmp_path / "flag")).result(30) == "second time"
    assert re.search(r"killed by signal 9 .*runs again", capfd.readouterr().err)
