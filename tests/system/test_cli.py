"""The commands: help, banner, exit codes, second starts, drains, status."""

import json
import os
import re
import subprocess
import sys

import pytest

from conftest import BIN, alive, wait_until
from distributed_computing.api import HeadUnreachable, Pool
from workers import Calculator, Hostile


def run(cluster, command, *arguments, home="head", timeout=30, **environment):
    return subprocess.run(
        [str(BIN / command), *arguments],
        env={**cluster.environment(home), **environment},
        capture_output=True,
        text=True,
        timeout=timeout,
        stdin=subprocess.DEVNULL,
    )


def test_help_teaches_and_versions_are_told(cluster):
    for command, words in (
        ("start_node", ["--head", "--drain", "Exit codes", "Examples"]),
        ("distributed-computing", ["status"]),
    ):
        answer = run(cluster, command, "--help")
        assert answer.returncode == 0
        assert all(word in answer.stdout for word in words)
        assert re.match(rf"{command} \d", run(cluster, command, "--version").stdout)
    assert run(cluster, "start_node", "--nonsense").returncode == 2
    assert run(cluster, "start_node", "--workers", "x").returncode == 2


def test_a_node_needs_a_password(cluster):
    cluster.password = ""
    answer = run(cluster, "start_node", "-p", str(cluster.port))
    assert answer.returncode == 2 and "DISTRIBUTED_COMPUTING_PASSWORD" in answer.stderr


def test_a_wrong_password_stops_a_node_with_its_own_exit_code(cluster):
    cluster.head()
    answer = run(cluster, "start_node", "-p", str(cluster.port), "-r", "wrong", home="node")
    assert answer.returncode == 3 and "password" in answer.stderr
    answer = run(cluster, "distributed-computing", "status", "-p", str(cluster.port), "-r", "wrong")
    assert answer.returncode == 3 and "password" in answer.stderr


def test_addresses_that_cannot_be_read_are_named_and_those_that_do_not_answer(cluster):
    for command in (["start_node", "-r", "x"], ["distributed-computing", "status", "-r", "x"]):
        answer = run(cluster, *command, "-a", "head1,head2:x")
        assert answer.returncode == 2 and "'x' is no port of an address (head2:x)" in answer.stderr
    with pytest.raises(ValueError, match="'70000' is no port of an address"):
        Pool(Calculator, None, "x", ["head1", "head2:70000"])
    one, two = f"127.0.0.1:{cluster.port}", f"[::1]:{cluster.port}"
    answer = run(cluster, "distributed-computing", "status", "-r", "x", "-a", f"{one},{two}")
    assert answer.returncode == 1
    assert f"cannot reach the head at {one} (" in answer.stderr and f"cannot reach the head at {two} (" in answer.stderr
    with pytest.raises(HeadUnreachable) as told:
        Pool(Calculator, None, "x", [one, two], connect_timeout=0.5)
    assert one in str(told.value) and two in str(told.value)


def test_a_second_node_says_so_and_exits_peacefully(cluster):
    cluster.head()
    node = cluster.node("node")
    answer = run(cluster, "start_node", "-p", str(cluster.port), home="node")
    assert answer.returncode == 0 and f"already running on this machine (pid {node.pid})" in answer.stdout


def test_a_second_head_and_a_port_in_use_are_refused(cluster):
    cluster.head()
    answer = run(cluster, "start_node", "--head", "-p", str(cluster.port), "--workers", "0")
    assert answer.returncode == 4 and "already runs on port" in answer.stderr
    answer = run(cluster, "start_node", "--head", "-p", str(cluster.port), "--workers", "1", home="elsewhere")
    assert answer.returncode == 4 and str(cluster.port) in answer.stderr and "in use" in answer.stderr


def test_a_password_file_must_be_private(cluster, tmp_path):
    file = tmp_path / "secret"
    file.write_text(cluster.password + "\n")
    cluster.head()
    file.chmod(0o644)
    arguments = ["status", "-p", str(cluster.port), "--password-file", str(file)]
    answer = run(cluster, "distributed-computing", *arguments, DISTRIBUTED_COMPUTING_PASSWORD="")
    assert answer.returncode == 2 and "chmod 600" in answer.stderr
    file.chmod(0o600)
    answer = run(cluster, "distributed-computing", *arguments, DISTRIBUTED_COMPUTING_PASSWORD="")
    assert answer.returncode == 0 and "no nodes" in answer.stdout


def test_status_tells_everything_twice(cluster, pool_arguments):
    head = cluster.head()
    node = cluster.node(workers=2)
    with Pool(Calculator, None, *pool_arguments) as pool:
        pool.wait_for_workers(2, 30)
        pool.map(range(10))
        status = cluster.status()
        assert status["head"]["pid"] == head.pid and status["head"]["port"] == cluster.port
        assert [n["pid"] for n in status["nodes"]] == [node.pid]
        slots = status["nodes"][0]["slots"]
        assert sum(s["jobs_done"] for s in slots) == 10 and all(alive(s["worker_pid"]) for s in slots)
        (shown,) = status["pools"]
        assert (shown["label"], shown["jobs_done"], shown["client"]["pid"]) == ("Calculator", 10, os.getpid())
        table = run(cluster, "distributed-computing", "status", "-p", str(cluster.port)).stdout
        assert all(str(pid) in table for pid in [head.pid, node.pid, *cluster.worker_pids()])
        assert json.dumps(status)


def test_status_of_nobody(cluster):
    answer = run(cluster, "distributed-computing", "status", "-p", str(cluster.port))
    assert answer.returncode == 1 and "cannot reach the head" in answer.stderr


def test_drain_lets_the_node_finish(cluster, pool_arguments):
    cluster.head()
    node = cluster.node("node", workers=1)
    assert "No node is running" in run(cluster, "start_node", "--drain", home="other").stdout
    with Pool(Hostile, None, *pool_arguments) as pool:
        future = pool.submit("sleeps", 0.5)
        wait_until(lambda: cluster.worker_pids("busy"), "the job runs")
        answer = run(cluster, "start_node", "--drain", home="node")
        assert answer.returncode == 0 and "It has left" in answer.stdout
        assert future.result(10) == 0.5
    assert node.wait(10) == 0


def test_the_password_is_not_seen(cluster, pool_arguments):
    cluster.password = "unmistakable-secret"
    cluster.start("head", "--head", "-r", cluster.password, "--workers", "1")
    wait_until(lambda: len(cluster.nodes()) == 1, "the node has joined")
    with Pool(Hostile, None, cluster.password, "localhost", cluster.port) as pool:
        environment, _ = pool.submit("environment").result(30)
        assert not any(cluster.password in value for value in environment.values())
    listing = subprocess.run(["ps", "axww", "-o", "args"], capture_output=True, text=True).stdout
    assert cluster.password not in listing
    log = cluster.log("head")
    assert log.count(cluster.password) == 1, "in the banner alone"


def test_workers_inherit_no_descriptors(cluster, pool_arguments):
    cluster.head()
    cluster.node(workers=2)
    with Pool(Hostile, None, *pool_arguments) as pool:
        pool.wait_for_workers(2, 30)
        _, descriptors = pool.submit("environment").result(30)
    own = "the pipes twice, socket, page, the pair that signals wake it by, and what lists them"
    assert {int(d) for d in descriptors} <= set(range(11)), own


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs a file system that can be full")
def test_a_full_disk_is_named(cluster, tmp_path):
    small = tmp_path / "full"
    small.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(small)], capture_output=True)
    if mounted.returncode != 0:
        pytest.skip("mounting a small file system needs root")
    try:
        (small / "filler").write_bytes(b"x" * (64 << 10))
        answer = run(
            cluster,
            "start_node",
            "--head",
            "--workers",
            "0",
            "-p",
            str(cluster.port),
            DISTRIBUTED_COMPUTING_HOME=str(small),
        )
        assert answer.returncode == 1
        assert "No space left" in answer.stderr and "DISTRIBUTED_COMPUTING_HOME" in answer.stderr
    finally:
        subprocess.run(["umount", str(small)], check=True)
    cluster.head()


def test_python_reports_a_missing_interpreter(cluster, pool_arguments):
    from distributed_computing.api import WorkerInitError

    cluster.head()
    cluster.node("node", 1, "--python", "/nonexistent/python")
    with (
        Pool(Calculator, None, *pool_arguments) as pool,
        pytest.raises(WorkerInitError, match="/nonexistent/python"),
    ):
        pool.map([1])
    assert sys.version_info >= (3, 11)
