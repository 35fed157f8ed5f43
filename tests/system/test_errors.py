"""Bad input and bad jobs: one clear error for the caller concerned, and the pool still works."""

import contextlib
import os
import socket
import threading
from pathlib import Path

import pytest

from conftest import free_port, run_script, wait_until
from distributed_computing.api import (
    AuthenticationError,
    HeadUnreachable,
    JobError,
    JobTimeout,
    Pool,
    SerializationError,
    WorkerDied,
    WorkerInitError,
    WorkerInterface,
)
from workers import Calculator, FailsOnOddSlots, FailsToConstruct, HangsInUpdate, Hostile, Recorder


@pytest.fixture
def pool(cluster, pool_arguments):
    cluster.head()
    cluster.node(workers=2)
    with Pool(Hostile, None, *pool_arguments) as made:
        yield made
        assert made.submit("fine", 1).result(30) == 1, "the pool still works"


def test_an_exception_is_the_jobs_outcome(pool):
    with pytest.raises(JobError, match="KeyError: 'missing'") as caught:
        pool.map([{"args": ["fine", 0]}, {"args": ["raises"]}])
    assert isinstance(caught.value.__cause__, KeyError)
    assert "in raises" in str(caught.value) and caught.value.type_name == "KeyError"
    assert caught.value.host and caught.value.slot in (0, 1)


def test_an_iterator_goes_on_after_a_failed_item(pool):
    results = pool.imap([{"args": ["fine", 1]}, {"args": ["raises"]}, {"args": ["fine", 3]}])
    assert next(results) == 1
    with pytest.raises(JobError):
        next(results)
    assert list(results) == [3]


def test_exceptions_that_cannot_travel_arrive_as_text(pool):
    for what in ("raises_unpicklable", "raises_unrebuildable"):
        with pytest.raises(JobError) as caught:
            pool.submit(what).result(30)
        assert what in str(caught.value)


def test_a_result_that_cannot_be_pickled(pool):
    with pytest.raises(SerializationError, match="result of run .lock. cannot be pickled"):
        pool.submit("returns_lock").result(30)


def test_sys_exit_is_an_error_of_the_job(pool):
    with pytest.raises(JobError, match=r"sys.exit\(7\)"):
        pool.submit("exits").result(30)


def test_os_exit_kills_the_worker_and_ends_in_worker_died(pool):
    with pytest.raises(WorkerDied, match="exit status 7") as caught:
        pool.submit("exits_at_once").result(60)
    assert caught.value.exit_status == 7 and "tried 3 times" in str(caught.value)


def test_a_poison_job_takes_nobody_along(pool):
    poison = pool.submit("dies")
    others = [pool.submit("fine", i) for i in range(200)]
    assert [f.result(60) for f in others] == list(range(200))
    with pytest.raises(WorkerDied, match="SIGKILL") as caught:
        poison.result(60)
    assert caught.value.signal == 9 and "last words" in caught.value.output


def test_arguments_that_cannot_be_pickled_name_the_item(pool):
    with pytest.raises(TypeError, match="item 1 cannot be pickled.*lock"):
        pool.map([{"args": ["fine", 1]}, {"args": ["fine", threading.Lock()]}])
    with pytest.raises(TypeError, match="the update cannot be pickled"):
        pool.update_workers(threading.Lock())


def test_items_of_a_wrong_form_are_named(pool):
    with pytest.raises(TypeError, match=r"item 2 .*unknown key 'arg'"):
        pool.map([{"args": ["fine", 1]}, {"args": ["fine", 1]}, {"arg": [1]}])
    with pytest.raises(TypeError, match="item 0: 'args' must be a list"):
        pool.map([{"args": "fine"}])
    with pytest.raises(TypeError, match="items must be an iterable"):
        pool.map(5)


def test_100_mib_without_a_newline(pool):
    assert pool.submit("prints", "x" * 1024, 100 * 1024).result(60) == 100 << 20


def test_an_update_that_raises_is_told_and_the_worker_goes_on(cluster, pool_arguments, capfd):
    cluster.head()
    cluster.node(workers=1)
    with Pool(Recorder, None, *pool_arguments) as pool:
        pool.wait_for_workers(1, 30)
        with pytest.raises(JobError, match="handle_update raised for update 1 .*(?s:.*)cannot be applied"):
            pool.update_workers("raise", wait=True, timeout=30)
        pool.update_workers("fine", wait=True, timeout=30)
        assert pool.submit().result(30)[2] == ["fine"]


def test_job_timeout_frees_the_slot_even_when_signals_are_blocked(cluster, pool_arguments):
    cluster.head()
    cluster.node(workers=1)
    with Pool(Hostile, None, *pool_arguments, job_timeout=0.5, max_retries=1) as pool:
        for what in ({"args": ["sleeps", 100]}, {"args": ["hangs"]}):
            with pytest.raises(JobTimeout, match="job_timeout"):
                pool.map([what])
        assert pool.submit("fine", 3).result(30) == 3


def test_exceptions_are_retried_when_asked(cluster, pool_arguments, tmp_path):
    cluster.head()
    cluster.node(workers=1)

    class Flaky(WorkerInterface):
        def run(self, path):
            if not os.path.exists(path):
                open(path, "w").close()
                raise OSError("first time")
            return "second time"

    with Pool(Flaky, None, *pool_arguments, retry_exceptions=True) as pool:
        assert pool.submit(str(tmp_path / "flag")).result(30) == "second time"


def test_a_class_that_cannot_be_constructed(cluster, pool_arguments):
    cluster.head()
    cluster.node(workers=2)
    with (
        pytest.raises(WorkerInitError, match="no data set here") as caught,
        Pool(FailsToConstruct, None, *pool_arguments) as pool,
    ):
        pool.map([1, 2])
    assert "in __init__" in str(caught.value)
    with Pool(Calculator, None, *pool_arguments) as pool:
        assert pool.map([1]) == [1], "the next pool works"


def test_a_class_that_fails_on_some_slots(cluster, pool_arguments):
    cluster.head()
    cluster.node(workers=2)
    with Pool(FailsOnOddSlots, None, *pool_arguments) as pool:
        assert pool.map(range(10)) == list(range(10))
        assert pool.get_workers_count() == 1


def test_a_module_that_nodes_cannot_import(cluster, pool_arguments, tmp_path, monkeypatch):
    cluster.head()
    cluster.node(workers=1)
    (tmp_path / "only_here").mkdir()
    module = tmp_path / "only_here" / "nowhere_else.py"
    module.write_text("class Worker:\n    def run(self): pass\n")
    monkeypatch.syspath_prepend(str(tmp_path / "only_here"))
    import nowhere_else

    module.unlink()
    with (
        pytest.raises(WorkerInitError, match="cannot be imported"),
        Pool(nowhere_else.Worker, None, *pool_arguments) as pool,
    ):
        pool.map([1])


def test_another_python_is_refused_with_both_named(cluster, pool_arguments, monkeypatch):
    import sys

    cluster.head()
    cluster.node(workers=1)
    real = sys.version_info
    monkeypatch.setattr(sys, "version_info", (3, 99, 0))
    try:
        pool = Pool(Calculator, None, *pool_arguments)
    finally:
        monkeypatch.setattr(sys, "version_info", real)
    with pytest.raises(WorkerInitError, match=rf"Python 3.{real[1]} .*Python 3.99"):
        pool.map([1])
    pool.close()


@pytest.mark.parametrize(
    ("change", "error", "text"),
    [
        ({"worker_class": Calculator()}, TypeError, "must be a class"),
        ({"worker_class": int}, TypeError, "no method run"),
        ({"password": 5}, TypeError, "password must be a string"),
        ({"password": ""}, ValueError, "password is empty"),
        ({"init_data": {"arg": 1}}, TypeError, "init_data .*unknown key"),
        ({"init_data": {"args": [threading.Lock()]}}, TypeError, "init_data cannot be pickled"),
        ({"server_port": 0}, ValueError, "server_port"),
        ({"job_timeout": -1}, ValueError, "job_timeout"),
        ({"job_timeout": "1"}, TypeError, "job_timeout"),
        ({"weight": 0}, ValueError, "weight"),
        ({"min_gpu_memory_required": "lots"}, ValueError, "min_gpu_memory_required must be .*'12GB'.* not 'lots'"),
        ({"min_gpu_memory_required": "12G"}, ValueError, "min_gpu_memory_required"),
        ({"min_gpu_memory_required": "9" * 400 + "GB"}, ValueError, "min_gpu_memory_required must be between"),
        ({"min_gpu_memory_required": -1}, ValueError, "min_gpu_memory_required"),
        ({"min_gpu_memory_required": 1.5}, TypeError, "whole number of MiB"),
        ({"device": "tpu"}, ValueError, "device must be 'any', 'gpu' or 'cpu', not 'tpu'"),
        ({"device": 1}, TypeError, "device must be"),
        ({"device": "cpu", "min_gpu_memory_required": "1GB"}, ValueError, "leave one of them out"),
        ({"device": "cpu", "gpus_per_worker": 2}, ValueError, "leave one of them out"),
        ({"gpus_per_worker": 0}, ValueError, "gpus_per_worker must be between 1 and 64"),
        ({"gpus_per_worker": 2.0}, TypeError, "gpus_per_worker"),
    ],
)
def test_arguments_are_checked_before_anything_is_sent(change, error, text):
    arguments = {"worker_class": Calculator, "init_data": None, "password": "x", **change}
    with pytest.raises(error, match=text):
        Pool(**arguments)


def test_a_wrong_password_is_refused(cluster):
    cluster.head()
    with pytest.raises(AuthenticationError, match="password"):
        Pool(Calculator, None, "wrong", "localhost", cluster.port)


def test_nobody_listens_and_something_else_answers(cluster):
    with pytest.raises(HeadUnreachable, match=r"cannot reach the head .*refused"):
        Pool(Calculator, None, "x", "127.0.0.1", free_port(), connect_timeout=0.5)
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()

        def answer():
            connection, _ = listener.accept()
            connection.sendall(b"220 mail.example.org ESMTP\r\n")
            connection.close()

        thread = threading.Thread(target=answer)
        thread.start()
        with pytest.raises(HeadUnreachable):
            Pool(Calculator, None, "x", "127.0.0.1", listener.getsockname()[1], connect_timeout=0.5)
        thread.join()


def test_a_main_script_with_its_own_types(cluster):
    cluster.head()
    cluster.node(workers=1)
    script = f"""
from dataclasses import dataclass
from distributed_computing.api import *
@dataclass
class Point:
    x: int
class Mine(Exception):
    pass
class Worker(WorkerInterface):
    def run(self, point):
        if point.x < 0:
            raise Mine('negative')
        return Point(point.x + 1)
with Pool(Worker, None, {cluster.password!r}, server_port={cluster.port}) as pool:
    assert pool.map([Point(1), Point(2)]) == [Point(2), Point(3)]
    try:
        pool.map([Point(-1)])
    except Mine as error:
        print(isinstance(error, JobError), type(error.__cause__).__name__, error.__cause__)
"""
    done = run_script(cluster, script)
    assert done.stdout == "True Mine negative\n", done.stderr


def test_an_update_that_hangs_has_its_worker_replaced(cluster, pool_arguments, tmp_path, capfd):
    cluster.head()
    cluster.node(workers=1)
    with Pool(HangsInUpdate, None, *pool_arguments, update_timeout=0.5) as pool:
        pool.wait_for_workers(1, 30)
        with pytest.raises(WorkerDied, match="while it applied update 1: handle_update ran longer than update_timeout"):
            pool.update_workers(str(tmp_path / "flag"), wait=True, timeout=30)
        assert pool.submit().result(30) == "fine"
    assert "handle_update ran longer than update_timeout (0.5 s)" in capfd.readouterr().err


@pytest.fixture
def memory_limit(tmp_path):
    """Return memory_limit(pid, mebibytes): puts a process into a control group of its own. Skips where that cannot be."""
    roots = [Path("/sys/fs/cgroup/memory"), Path("/sys/fs/cgroup")]
    root = next((r for r in roots if (r / "cgroup.procs").exists() and os.access(r / "cgroup.procs", os.W_OK)), None)
    if root is None:
        pytest.skip("no control group for memory can be made here")
    group = root / f"distributed-computing-test-{os.getpid()}-{tmp_path.name}"

    def limit(pid, mebibytes):
        group.mkdir()
        file = next((f for f in (group / "memory.max", group / "memory.limit_in_bytes") if f.exists()), None)
        if file is None:
            pytest.skip("control groups here do not limit memory")
        file.write_text(str(mebibytes << 20))
        (group / "cgroup.procs").write_text(str(pid))

    yield limit
    for pid in (group / "cgroup.procs").read_text().split() if group.exists() else []:
        with contextlib.suppress(ProcessLookupError):
            (root / "cgroup.procs").write_text(pid)
    if group.exists():
        wait_until(lambda: not (group / "cgroup.procs").read_text(), "the group is empty")
        group.rmdir()


def test_a_job_without_enough_memory_says_so_and_is_tried_three_times(cluster, pool_arguments, memory_limit, capfd):
    cluster.head()
    node = cluster.start("node", "--workers", "1", in_group=lambda pid: memory_limit(pid, 256))
    wait_until(lambda: len(cluster.nodes()) == 1, "the node has joined")
    with Pool(Hostile, None, *pool_arguments, max_retries=1) as pool:
        with pytest.raises(WorkerDied, match=r"SIGKILL.*ran out of memory.*tried 3 times"):
            pool.submit("fills_memory", 1000).result(60)
        assert pool.submit("fills_memory", 10).result(30) == 10 << 20
    assert node.poll() is None
