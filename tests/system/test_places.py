"""Where nodes and heads are started: beside cleaners, batch systems, in containers."""

import json
import os
import re
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest

from conftest import BIN, alive, runs, wait_until
from conftest import recorder_items as items
from distributed_computing.api import Pool, is_client_running, is_server_running
from test_cli import run
from workers import Calculator, Hostile, Recorder

JOB = {"SLURM_JOB_ID": "12", "SLURM_PROCID": "0"}


def second(cluster, *arguments, home="node", **environment):
    return run(cluster, "start_node", "-p", str(cluster.port), "--workers", "1", *arguments, home=home, **environment)


# --- One node per machine ---------------------------------------------------------------------------------------------


def test_a_cleaner_makes_no_room_for_a_second_node(cluster, monkeypatch):
    cluster.head()
    node = cluster.node("node", 1)
    monkeypatch.setenv("DISTRIBUTED_COMPUTING_HOME", cluster.environment("node")["DISTRIBUTED_COMPUTING_HOME"])
    run_dir = cluster.root / "node" / "run"
    shutil.rmtree(run_dir)  # as logind does at the user's last logout
    answer = second(cluster)
    assert answer.returncode == 0 and f"already running on this machine (pid {node.pid})" in answer.stdout
    assert is_client_running()
    wait_until(lambda: (run_dir / "node.json").exists(), "its file is back")
    shutil.rmtree(cluster.root / "node" / "state")
    assert f"(pid {node.pid})" in second(cluster).stdout and is_client_running()
    shutil.rmtree(run_dir)
    wait_until(lambda: (run_dir / "node.json").exists(), "both are back")
    assert "It has left" in run(cluster, "start_node", "--drain", home="node").stdout
    assert node.wait(5) == 0


def test_the_files_and_the_socket_of_a_head_come_back(cluster, pool_arguments):
    cluster.head()
    cluster.node(workers=1)
    run_dir = cluster.root / "head" / "run"
    with Pool(Calculator, None, *pool_arguments) as pool:
        assert pool.map([1]) == [1]
        shutil.rmtree(run_dir)
        wait_until(lambda: len(list(run_dir.glob(f"head-{cluster.port}.*"))) == 2, "both files are back")
        assert is_server_running() and run_dir.stat().st_mode & 0o777 == 0o700
        assert pool.map([2]) == [2], "who was there has noticed nothing"
    with Pool(Calculator, None, *pool_arguments) as pool:
        assert pool.map([3]) == [3]
    connected = json.dumps(cluster.status())
    assert connected and second(cluster, "--head", home="head").returncode == 4


def test_each_process_of_a_batch_job_has_its_node(cluster):
    cluster.head()
    of_other_step = {"SLURM_STEP_ID": "3"}  # whose processes are numbered from 0 again
    for place, own in (("0", {}), ("1", {"SLURM_PROCID": "1"}), ("3-0", of_other_step)):
        cluster.processes[place] = subprocess.Popen(
            [str(BIN / "start_node"), "-p", str(cluster.port), "--workers", "1"],
            env={**cluster.environment("node"), **JOB, **own},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
    wait_until(lambda: len(cluster.nodes()) == 3, "all have joined")
    refused = second(cluster, **JOB)
    assert refused.returncode == 6 and "job-12-0 is already running on this machine" in refused.stderr
    assert "--name" in refused.stderr and "--if-none" in refused.stderr
    assert second(cluster, "--if-none", **JOB).returncode == 0
    assert second(cluster, "--name", "job-12-1").returncode == 6
    told = run(cluster, "start_node", "--drain", home="node")
    assert told.returncode == 0 and "there are job-12-0, job-12-1, job-12-3-0: say which with --name" in told.stdout
    assert "It has left" in run(cluster, "start_node", "--drain", home="node", **JOB).stdout
    assert cluster.processes["0"].wait(5) == 0 and cluster.processes["1"].poll() is None
    unclear = run(cluster, "start_node", "--drain", home="node", **JOB)
    assert "there are job-12-1, job-12-3-0: say which" in unclear.stdout
    assert "It has left" in run(cluster, "start_node", "--drain", "--name", "job-12-1", home="node", **JOB).stdout
    assert "It has left" in run(cluster, "start_node", "--drain", home="node", **JOB).stdout, "the only one of the job"
    assert cluster.processes["3-0"].wait(5) == 0


def test_a_name_that_is_none_is_refused(cluster):
    answer = second(cluster, "--name", "../x")
    assert answer.returncode == 2 and "letters, digits" in answer.stderr


# --- Ends -------------------------------------------------------------------------------------------------------------


def test_signals_that_come_together_are_one(cluster, pool_arguments, notes):
    """slurmd sends SIGTERM and srun passes its own on, systemd may add SIGHUP: the drain goes on."""
    head = cluster.head()
    leaving = cluster.node("leaving", 1)
    with Pool(Recorder, {"args": [str(notes)]}, *pool_arguments, max_retries=1) as pool:
        results = pool.imap(items(1, 2.5))
        wait_until(lambda: runs(notes, 0) == 1, "the job runs")
        for signum in (signal.SIGTERM, signal.SIGTERM, signal.SIGHUP):
            leaving.send_signal(signum)
        assert next(results)[0] == 0 and runs(notes, 0) == 1
        assert leaving.wait(10) == 0
    for _ in range(2):
        head.terminate()
    assert head.wait(10) == 0


def test_ctrl_c_within_a_drain_leaves_at_once_and_in_order(cluster, pool_arguments, notes):
    cluster.head()
    leaving = cluster.node("leaving", 1)
    with Pool(Recorder, {"args": [str(notes)]}, *pool_arguments, max_retries=1) as pool:
        results = pool.imap(items(1, 5))
        wait_until(lambda: runs(notes, 0) == 1, "the job runs")
        leaving.terminate()
        wait_until(lambda: "running jobs have" in cluster.log("leaving"), "the drain has begun")
        leaving.send_signal(signal.SIGINT)
        assert leaving.wait(4) == 0
        results.close()


def test_a_node_leaves_with_its_head_when_it_was_told_so(cluster):
    head = cluster.head()
    leaving = cluster.node("leaving", 1, "--head-timeout", "1")
    staying = cluster.node("staying", 1)
    head.kill()  # that is no end in order: somebody will start it again
    head.wait()
    wait_until(lambda: "lost the head" in cluster.log("leaving"), "the node has noticed")
    head = cluster.head()
    wait_until(lambda: len(cluster.nodes()) == 2, "both are back")
    head.terminate()
    assert leaving.wait(10) == 0 and "--head-timeout" in cluster.log("leaving")
    cluster.head()
    wait_until(lambda: [n["pid"] for n in cluster.nodes()] == [staying.pid], "the other one has waited")


def test_a_disk_that_hangs_leaves_a_node_its_loop(cluster):
    cluster.head()
    state = cluster.root / "node" / "state"
    cluster.environment("node")
    state.mkdir(mode=0o700)
    fifo = state / "known_heads"
    os.mkfifo(fifo)
    node = cluster.start("node", "-a", "127.0.0.1", "--workers", "1")

    def held_open() -> int | None:
        try:
            return os.open(fifo, os.O_WRONLY | os.O_NONBLOCK)  # once somebody reads; who gets nothing to read
        except OSError:
            return None

    writing = wait_until(held_open, "the node reads it")
    node.terminate()
    assert node.wait(5) == 0
    os.close(writing)


# --- Ports, containers ------------------------------------------------------------------------------------------------


def test_any_free_port_is_shown(cluster):
    ports = []
    for name in ("one", "other"):
        cluster.processes[name] = subprocess.Popen(
            [str(BIN / "start_node"), "--head", "-p", "0", "--workers", "1"],
            env=cluster.environment(name),
            stdout=(cluster.root / f"{name}.log").open("wb"),
            stderr=subprocess.STDOUT,
        )
        shown = wait_until(lambda name=name: re.search(r"start_node -p (\d+) ", cluster.log(name)), "the port is shown")
        ports.append(int(shown[1]))
        (file,) = (cluster.root / name / "run").glob("head-*.json")
        assert json.loads(file.read_text())["port"] == ports[-1]
        cluster.port = ports[-1]
        wait_until(lambda: len(cluster.nodes()) == 1, "its node has joined")
    assert ports[0] != ports[1] and 0 not in ports
    answer = run(cluster, "start_node", "-p", "0", home="third")
    assert answer.returncode == 2 and "--head" in answer.stderr


def children(pid: int) -> dict[int, str]:
    """Return the state of each child process."""
    found = {}
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            state, parent = (entry / "stat").read_text().rsplit(")", 1)[1].split()[:2]
        except (FileNotFoundError, ProcessLookupError):
            continue
        if int(parent) == pid:
            found[int(entry.name)] = state
    return found


@pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("unshare"), reason="needs a process namespace")
def test_the_first_process_of_a_container_buries_orphans_and_passes_signals_on(cluster, pool_arguments):
    command = ["unshare", "--pid", "--fork", "--mount-proc", "--kill-child"]
    container = subprocess.Popen(
        [*command, str(BIN / "start_node"), "--head", "-p", str(cluster.port), "--workers", "1"],
        env=cluster.environment("head"),
        stdout=(cluster.root / "head.log").open("wb"),
        stderr=subprocess.STDOUT,
    )
    cluster.processes["head"] = container
    wait_until(lambda: len(cluster.nodes()) == 1, "the node has joined")
    (init,) = children(container.pid)
    assert cluster.password.encode() not in Path(f"/proc/{init}/environ").read_bytes()
    with Pool(Hostile, None, *pool_arguments) as pool:
        assert pool.submit("leaves_orphans", 20).result(30) == 20
        wait_until(lambda: len(children(init)) == 1, "nobody but the head is left")
    os.kill(init, signal.SIGTERM)
    started = time.monotonic()
    assert container.wait(15) == 0 and time.monotonic() - started < 10
    assert not alive(init)
