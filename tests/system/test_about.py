"""What a worker knows of itself and of its job, what its pool sets in its environment, and how many threads it has."""

import os
import signal
import socket

import pytest

import distributed_computing
from about_workers import THREADS, Knows
from conftest import run_script, wait_until
from distributed_computing.api import Pool
from fake_gpus import LIBRARY, Cards


@pytest.fixture
def two(cluster):
    cluster.head()
    cluster.node(workers=2)
    return cluster


@pytest.fixture
def unset(monkeypatch):
    """None of the variables is set here, nor for what the test starts."""
    for name in (*THREADS, "GOTO_NUM_THREADS", "NUMEXPR_MAX_THREADS"):
        monkeypatch.delenv(name, raising=False)


def item(*args, key=None):
    return {"args": args} if key is None else {"args": args, "key": key}


# --- Who am I ---------------------------------------------------------------------------------------------------------


def test_a_job_knows_its_worker_and_itself(two, pool_arguments):
    with Pool(Knows, None, *pool_arguments) as pool:
        pool.wait_for_workers(2)
        seen = pool.map(item("about", 0.02) for _ in range(20))
        slots = {slot["worker_pid"]: slot for slot in two.nodes()[0]["slots"]}
        pool_id = two.status()["pools"][0]["id"]
    assert [about.job_number for about, _ in seen] == list(range(1, 21))
    assert len({about.worker_number for about, _ in seen}) == 2
    for about, pid in seen:
        assert (about.host, about.node) == (socket.gethostname(), socket.gethostname())
        assert about.slot == slots[pid]["slot"]
        assert about.worker_number == int(slots[pid]["worker"], 16)
        assert (about.device, about.pool, about.attempt, about.key) == ("cpu", pool_id, 1, None)


def test_numbers_and_keys_in_a_named_pool(two, pool_arguments):
    with Pool(Knows, None, *pool_arguments, name="söme name") as pool:
        first = pool.map([item("about", key="rate=0.1 ü"), item("about")])
    with Pool.attach("söme name", *pool_arguments) as pool:
        about, _ = pool.submit_keyed("k" * 1024, "about").result()
        pool.close()
    assert [(one.pool, one.job_number, one.key) for one, _ in first] == [
        ("söme name", 1, "rate=0.1 ü"),
        ("söme name", 2, None),
    ]
    assert (about.job_number, about.key) == (3, "k" * 1024)


def test_a_node_with_a_name(cluster, pool_arguments):
    cluster.head()
    cluster.node("node", 1, "--name", "second")
    with Pool(Knows, None, *pool_arguments) as pool:
        assert pool.submit().result()[0].node == "second"


def test_without_a_job_there_is_no_number(two, pool_arguments):
    with Pool(Knows, None, *pool_arguments) as pool:
        pool.wait_for_workers(2)
        pool.update_workers("update", wait=True)
        for about in pool.submit("earlier").result():
            assert (about.job_number, about.attempt, about.key) == (None, None, None)
            assert about.host == socket.gethostname()


def test_threads_and_processes_of_a_job_know_it(two, pool_arguments):
    with Pool(Knows, None, *pool_arguments) as pool:
        assert pool.submit("in_a_thread").result()
        forked, here = pool.submit("in_a_child", "fork").result()
        assert forked == here
        assert forked.job_number == 2
        spawned, here = pool.submit("in_a_child", "spawn").result()
        assert (spawned.worker_number, spawned.slot, spawned.pool) == (here.worker_number, here.slot, here.pool)
        assert (spawned.job_number, spawned.attempt, spawned.key) == (None, None, None)
        seen, wanted = pool.submit("in_a_program").result()
        assert seen == wanted
        assert pool.submit("unset").result().job_number == 5, "whatever becomes of the environment"


def test_outside_of_a_worker_it_says_so():
    with pytest.raises(RuntimeError, match=r"this process is none: call it in __init__, run or handle_update"):
        distributed_computing.worker()


def test_a_worker_of_two_gpus_names_both_and_has_two_shares(cluster, pool_arguments, tmp_path, monkeypatch, unset):
    Cards(tmp_path / "nvml").add(4)
    monkeypatch.setenv("FAKE_NVML_FILE", str(tmp_path / "nvml"))
    monkeypatch.setenv("DISTRIBUTED_COMPUTING_NVML", str(LIBRARY))
    monkeypatch.setenv("DISTRIBUTED_COMPUTING_SYSFS", str(tmp_path / "sys"))
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    cluster.head()
    cluster.node("node", 4)
    share = len(os.sched_getaffinity(0)) / 4
    with Pool(Knows, None, *pool_arguments, gpus_per_worker=2) as pool:
        said = "DISTRIBUTED_COMPUTING_DEVICE"  # of one worker: there are two
        seen = pool.submit("variables", "CUDA_VISIBLE_DEVICES", "OMP_NUM_THREADS", said).result()
        assert pool.submit().result()[0].device.count("Fake A100") == 2
    devices = [f"Fake A100 ({uuid})" for uuid in seen["CUDA_VISIBLE_DEVICES"].split(",")]
    assert (seen[said], len(devices)) == (", ".join(devices), 2)
    assert seen["OMP_NUM_THREADS"] == str(max(1, int(2 * share + 1e-6)))


# --- Attempts ---------------------------------------------------------------------------------------------------------


def test_attempts_count_from_one(two, pool_arguments, tmp_path):
    with Pool(Knows, None, *pool_arguments, retry_exceptions=True) as pool:
        assert pool.submit("dies_until", 3).result() == 3
        assert pool.submit("raises_until", 3).result() == 3
        assert pool.submit("about").result()[0].attempt == 1
        flag = tmp_path / "flag"
        lost = pool.submit("waits_until", str(flag))
        wait_until((tmp_path / "flag.1").exists, "the first attempt runs")
        two.processes["node"].kill()
        two.processes["node"].wait()
        two.node("another", 1)
        wait_until((tmp_path / "flag.2").exists, "the second attempt runs")
        flag.touch()
        assert lost.result() == 2


# --- env --------------------------------------------------------------------------------------------------------------


def test_a_pool_sets_variables_in_its_workers(cluster, pool_arguments):
    cluster.head()
    cluster.node("node", 1, environment={"FROM_NODE": "node", "BOTH": "node", "PYTHONHASHSEED": "1"})
    names = ("FROM_NODE", "BOTH", "ONLY", "EMPTY", "CUDA_VISIBLE_DEVICES", "PYTHONHASHSEED")
    env = {"BOTH": "pool", "ONLY": "ü = x\n", "EMPTY": "", "PYTHONHASHSEED": "0"}
    with Pool(Knows, None, *pool_arguments, env=env) as pool:
        assert pool.submit("variables", *names).result() == {"FROM_NODE": "node", **env}
    with Pool(Knows, None, *pool_arguments) as pool:
        assert pool.submit("variables", *names).result() == {
            "FROM_NODE": "node",
            "BOTH": "node",
            "PYTHONHASHSEED": "1",
        }, "another pool's is not touched"


def test_a_named_pool_keeps_them(cluster, pool_arguments):
    head = cluster.head()
    with Pool(Knows, None, *pool_arguments, name="kept", env={"KEPT": "yes"}, threads_per_worker=3):
        pass
    head.send_signal(signal.SIGKILL)
    head.wait()
    cluster.head()
    cluster.node(workers=1)
    with Pool(Knows, None, *pool_arguments, name="kept", env={"KEPT": "no"}) as pool:
        assert pool.submit("variables", "KEPT", "OMP_NUM_THREADS").result() == {"KEPT": "yes", "OMP_NUM_THREADS": "3"}
        pool.close()


@pytest.mark.parametrize(
    ("env", "error", "text"),
    [
        ({"CUDA_VISIBLE_DEVICES": "1"}, ValueError, "env cannot set CUDA_VISIBLE_DEVICES: a worker's node shows it"),
        ({"HIP_VISIBLE_DEVICES": "1"}, ValueError, "env cannot set HIP_VISIBLE_DEVICES"),
        ({"DISTRIBUTED_COMPUTING_SLOT": "1"}, ValueError, "env cannot set DISTRIBUTED_COMPUTING_SLOT"),
        ({"A": 1}, TypeError, "env: the value of A must be a string, not int: write 'A': '1'"),
        ({"A": None}, TypeError, "env: the value of A must be a string, not NoneType"),
        ({1: "A"}, TypeError, r"env: the name of a variable must be a string, not 1 \(int\)"),
        ({"A=B": "C"}, ValueError, "env: 'A=B' cannot be the name of a variable"),
        ({"": "C"}, ValueError, "env: '' cannot be the name of a variable"),
        ({"A": "x\0y"}, ValueError, "env: the value of A has a NUL character"),
        ({"A\0": "x"}, ValueError, "has a NUL character"),
        ({"A": "x" * 70_000}, ValueError, "at most 65536 are allowed"),
        ({"A": "\ud800"}, ValueError, "env: A cannot be encoded"),
        (["A=1"], TypeError, r"env must be a mapping of names to values, \{'NAME': 'value'\}, not list"),
    ],
)
def test_what_cannot_be_set_is_told_before_anything_is_sent(env, error, text):
    with pytest.raises(error, match=text):
        Pool(Knows, None, "password", "localhost", 1, connect_timeout=0.1, env=env)


@pytest.mark.parametrize(("threads", "error"), [(0, ValueError), (-1, ValueError), (1.5, TypeError), (True, TypeError)])
def test_threads_are_a_number(threads, error):
    with pytest.raises(error, match="threads_per_worker must be"):
        Pool(Knows, None, "password", "localhost", 1, connect_timeout=0.1, threads_per_worker=threads)


# --- Threads ----------------------------------------------------------------------------------------------------------


def threads(pool):
    return pool.submit("variables", *THREADS).result()


def test_workers_share_the_cores_and_the_start_says_so(cluster, pool_arguments, unset):
    cores = len(os.sched_getaffinity(0))
    cluster.head()
    cluster.node(workers=2)
    share = str(max(1, cores // 2))
    with Pool(Knows, None, *pool_arguments) as pool:
        assert threads(pool) == dict.fromkeys(THREADS, share)
    with Pool(Knows, None, *pool_arguments, threads_per_worker=7) as pool:
        assert threads(pool) == dict.fromkeys(THREADS, "7")
    with Pool(Knows, None, *pool_arguments, env={"MKL_NUM_THREADS": "5"}) as pool:
        assert threads(pool) == dict.fromkeys(THREADS, share) | {"MKL_NUM_THREADS": "5"}
    with Pool(Knows, None, *pool_arguments, env={"OMP_NUM_THREADS": "5"}) as pool:
        assert threads(pool) == {"OMP_NUM_THREADS": "5"}, "the others follow it by themselves"
    assert f"each worker has {share} of {cores} core" in cluster.log("node")


def test_what_the_user_has_set_there_stays(cluster, pool_arguments, unset):
    cluster.head()
    cluster.node("node", 2, environment={"OMP_NUM_THREADS": "3"})
    with Pool(Knows, None, *pool_arguments) as pool:
        assert threads(pool) == {"OMP_NUM_THREADS": "3"}
    with Pool(Knows, None, *pool_arguments, threads_per_worker=2) as pool:
        assert threads(pool) == dict.fromkeys(THREADS, "2")
    assert "where OMP_NUM_THREADS of this environment says something else, that holds" in cluster.log("node")


def test_a_single_worker_has_all_cores(cluster, pool_arguments, unset):
    cluster.head()
    cluster.node(workers=1)
    with Pool(Knows, None, *pool_arguments) as pool:
        assert threads(pool) == {}
    assert "each worker has" not in cluster.log("node")


# --- Seeds, as the guide shows them -----------------------------------------------------------------------------------

SEEDED = """
import sys
import distributed_computing, numpy
from distributed_computing.api import Pool, WorkerInterface

class Sampler(WorkerInterface):
    def __init__(self, seed):
        self.seed = seed

    def run(self, x):
        rng = numpy.random.default_rng([self.seed, distributed_computing.worker().job_number])
        return int(rng.integers(1 << 60))

if __name__ == "__main__":
    with Pool(Sampler, 7, sys.argv[1], "localhost", int(sys.argv[2])) as pool:
        print(pool.map(range(40)))
"""


def test_a_seed_from_the_jobs_number_is_the_same_wherever_it_runs(two):
    pytest.importorskip("numpy")
    first, second = (run_script(two, SEEDED, two.password, str(two.port)) for _ in range(2))
    assert first.stdout == second.stdout, first.stderr + second.stderr
    numbers = eval(first.stdout)
    assert len(set(numbers)) == 40
