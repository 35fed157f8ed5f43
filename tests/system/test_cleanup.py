"""Ctrl-C and other ends leave nothing behind."""

import os
import signal
import subprocess
import sys
import time

from conftest import alive, wait_until
from distributed_computing.api import Pool
from workers import Calculator, Hostile

SCRIPT = """
import sys, time
from distributed_computing.api import Pool
from workers import Hostile
with Pool(Hostile, None, sys.argv[1], server_port=int(sys.argv[2])) as pool:
    pool.wait_for_workers(1)
    print('mapping', flush=True)
    pool.map([{'args': ['sleeps', 1000]}] * 10)
"""


def test_ctrl_c_in_map_returns_to_the_prompt_within_a_second(cluster):
    cluster.head()
    cluster.node(workers=2)
    client = subprocess.Popen(
        [sys.executable, "-c", SCRIPT, cluster.password, str(cluster.port)],
        env=cluster.environment("head"),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert client.stdout.readline() == "mapping\n"
    pids = wait_until(lambda: cluster.worker_pids("busy"), "jobs run")
    started = time.monotonic()
    client.send_signal(signal.SIGINT)
    _, errors = client.communicate(timeout=10)
    assert time.monotonic() - started < 1.5
    assert "KeyboardInterrupt" in errors and client.returncode != 0
    wait_until(lambda: not any(alive(pid) for pid in pids), "the workers are gone", 2)


def test_ctrl_c_at_a_head_with_its_node_ends_both(cluster):
    process = cluster.start("head", "--head", "--workers", "2")
    wait_until(lambda: len(cluster.nodes()) == 1, "the node has joined")
    process.send_signal(signal.SIGINT)
    assert process.wait(10) == 0
    wait_until(lambda: not cluster.leftovers(), "nothing is left", 5)


def test_workers_die_with_a_killed_node_and_so_do_their_children(cluster, pool_arguments, tmp_path):
    cluster.head()
    node = cluster.node(workers=1)
    child = tmp_path / "child"
    with Pool(Hostile, None, *pool_arguments) as pool:
        pool.submit("starts_a_child", child)
        pids = wait_until(lambda: cluster.worker_pids("busy"), "the job runs")
        pids.append(int(wait_until(lambda: child.exists() and child.read_text(), "its child runs")))
        assert all(alive(pid) for pid in pids)
        node.kill()
        node.wait()
        wait_until(lambda: not any(alive(pid) for pid in pids), "they are gone", 1)


def test_a_forked_child_does_not_disturb_the_pool(cluster, pool_arguments):
    cluster.head()
    cluster.node(workers=1)
    with Pool(Calculator, None, *pool_arguments) as pool:
        assert pool.map([1]) == [1]
        child = os.fork()
        if child == 0:
            try:
                pool.map([1])
            except BaseException:
                os._exit(5)
            os._exit(0)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 5
        assert pool.map([2]) == [2]
