"""Leaving in order: drains, second signals, closed terminals, parents that die. Nothing is lost and nothing is left."""

import os
import signal
import subprocess
import sys
import time

import pytest

from conftest import alive, run_counts, runs, wait_until
from conftest import recorder_items as items
from distributed_computing.api import Pool
from workers import Hostile, Recorder


def test_a_drain_that_takes_too_long_hands_the_jobs_back(cluster, pool_arguments, notes, measured):
    cluster.head()
    leaving = cluster.node("leaving", 1, "--drain-timeout", "1")
    with Pool(Recorder, {"args": [str(notes)]}, *pool_arguments, max_retries=1) as pool:
        results = pool.imap(items(1, 5))
        wait_until(lambda: runs(notes, 0) == 1, "the job runs")
        leaving.terminate()
        asked = time.monotonic()
        assert leaving.wait(20) == 0
        measured("node told to leave, --drain-timeout 1: it is gone", time.monotonic() - asked, 4)
        cluster.node("other", 1)
        assert next(results)[0] == 0, "run again elsewhere, and the job is not to blame"
        assert runs(notes, 0) == 2


@pytest.mark.parametrize("first", ["worker", "node"])
def test_a_sigterm_for_all_processes_of_a_node_charges_no_job(cluster, pool_arguments, notes, first):
    """As systemd does it (KillMode=control-group), and Slurm: in any order."""
    cluster.head()
    leaving = cluster.node("leaving", 1)
    with Pool(Recorder, {"args": [str(notes)]}, *pool_arguments, max_retries=1) as pool:
        results = pool.imap(items(1, 2))
        wait_until(lambda: runs(notes, 0) == 1, "the job runs")
        worker = cluster.worker_pids()[0]
        for pid in (worker, leaving.pid) if first == "worker" else (leaving.pid, worker):
            os.kill(pid, signal.SIGTERM)
        assert leaving.wait(20) == 0
        cluster.node("other", 1)
        assert next(results)[0] == 0, "run again elsewhere, and the job is not to blame"


def test_a_second_signal_ends_a_drain_at_once(cluster, pool_arguments, notes, measured):
    cluster.head()
    leaving = cluster.node("leaving", 1)
    with Pool(Recorder, {"args": [str(notes)]}, *pool_arguments) as pool:
        results = pool.imap(items(1, 100))
        pids = wait_until(lambda: cluster.worker_pids("busy"), "the job runs")
        leaving.terminate()
        wait_until(lambda: "leaving" in cluster.log("leaving"), "the drain has begun")
        assert leaving.poll() is None
        began = time.monotonic()
        wait_until(lambda: time.monotonic() - began > 2.1, "a signal counts again: within 2 s they are one", 5)
        assert leaving.poll() is None
        leaving.terminate()
        asked = time.monotonic()
        leaving.wait(20)
        assert leaving.returncode == 1
        wait_until(lambda: not any(alive(pid) for pid in pids), "its workers are gone")
        measured("second signal to a node: it is gone", time.monotonic() - asked, 2)
        results.close()


@pytest.mark.parametrize("part", ["head", "node"])
def test_a_closed_terminal_ends_a_head_and_a_node(cluster, part):
    head = cluster.head()
    node = cluster.node(workers=1)
    process = {"head": head, "node": node}[part]
    process.send_signal(signal.SIGHUP)
    assert process.wait(10) == 0


def test_a_head_that_is_told_to_end_tells_everybody_and_they_wait_for_the_next(cluster, pool_arguments, notes, capfd):
    head = cluster.head()
    node = cluster.node(workers=2)
    with Pool(Recorder, {"args": [str(notes)]}, *pool_arguments) as pool:
        results = pool.imap(items(40, 0.1))
        seen = [next(results)]
        head.terminate()
        assert head.wait(10) == 0
        wait_until(lambda: "the head is shutting down" in capfd.readouterr().err, "the client says so", 5)
        wait_until(lambda: "the head is shutting down" in cluster.log("node"), "the node says so", 5)
        cluster.head()
        seen += results
    assert [r[0] for r in seen] == list(range(40))
    assert run_counts(notes, 40) == [1] * 40 and node.poll() is None


START = """
import sys, time
from distributed_computing.api import start_head_node
terminate, wait = start_head_node(sys.argv[1], int(sys.argv[2]), workers=1)
print('started', flush=True)
time.sleep(1000)
"""


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT, signal.SIGHUP])
def test_what_a_script_has_started_dies_with_it(cluster, how):
    script = subprocess.Popen(
        [sys.executable, "-c", START, cluster.password, str(cluster.port)],
        env=cluster.environment("head"),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert script.stdout.readline() == "started\n"
    script.send_signal(how)
    script.wait(10)
    script.stdout.close()
    wait_until(lambda: not cluster.leftovers(), "the head and the node are gone", 10)


def test_a_client_that_is_told_to_end_leaves_no_job_behind(cluster, pool_arguments, measured):
    """What a notebook's kernel does when it is restarted: it is interrupted or ended, and its pool with it."""
    cluster.head()
    cluster.node(workers=1)
    script = (
        "import sys; from workers import Hostile; from distributed_computing.api import Pool\n"
        "p = Pool(Hostile, None, sys.argv[1], server_port=int(sys.argv[2]))\n"
        "f = p.submit('sleeps', 1000); print('open', flush=True); sys.stdin.read()"
    )
    client = subprocess.Popen(
        [sys.executable, "-c", script, cluster.password, str(cluster.port)],
        env=cluster.environment("head"),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert client.stdout.readline() == b"open\n"
    pids = wait_until(lambda: cluster.worker_pids("busy"), "the job runs")
    client.stdin.close()
    client.wait(10)
    ended = time.monotonic()
    client.stdout.close()
    wait_until(lambda: not any(alive(pid) for pid in pids), "its worker is gone", 10)
    with Pool(Hostile, None, *pool_arguments) as pool:
        assert pool.submit("fine", 1).result(30) == 1
    measured("client ended without closing its pool: its slot runs another pool's job", time.monotonic() - ended, 3)
