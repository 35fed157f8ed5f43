"""How a worker ends: in order when it is idle, by signals, by a crash, and with all that it has started."""

import os
import signal

import pytest

from conftest import alive, wait_until
from distributed_computing.api import JobError, Pool, WorkerDied
from ending_workers import Crashing, Ending, ExitsOnTerm, Forking, Signalled, Starting

# --- In order -----------------------------------------------------------------------------------------------------------


def steps(folder, pid):
    """Return what the worker did, once it is gone."""
    wait_until(lambda: not alive(pid), "the worker is gone", 10)
    return (folder / f"steps-{pid}").read_text().split()


@pytest.mark.parametrize("how", ["close", "leave", "lend", "drain"])
def test_an_idle_worker_ends_in_order(cluster, pool_arguments, tmp_path, how):
    cluster.head()
    node = cluster.node(workers=1)
    pool = Pool(Ending, {"args": [str(tmp_path)]}, *pool_arguments)
    (pid,) = pool.map([0])
    if how == "close":
        pool.close()
    elif how in ("leave", "drain"):
        node.send_signal(signal.SIGINT if how == "leave" else signal.SIGTERM)
        assert node.wait(10) == 0
    else:
        with Pool(Starting, None, *pool_arguments) as other:
            assert other.map(["pid"])[0] != pid
    assert steps(tmp_path, pid) == ["job", "handler", "close", "atexit"]
    assert (tmp_path / f"log-{pid}").read_text() == "job\n"
    pool.close()


def test_what_the_end_raises_is_printed_and_no_step_is_left_out(cluster, pool_arguments, tmp_path):
    cluster.head()
    cluster.node(workers=1)
    with Pool(Ending, {"args": [str(tmp_path), True]}, *pool_arguments) as pool:
        (pid,) = pool.map([0])
    assert steps(tmp_path, pid) == ["job", "handler", "close", "atexit"]
    wait_until(lambda: "RuntimeError: as asked" in cluster.log("node"), "the error is shown", 5)


def test_a_busy_worker_is_told_by_sigterm_and_may_end_in_order(cluster, pool_arguments, tmp_path):
    cluster.head()
    cluster.node(workers=1)
    with Pool(Ending, {"args": [str(tmp_path)]}, *pool_arguments) as pool:
        pool.submit(60)
        (file,) = wait_until(lambda: list(tmp_path.glob("steps-*")), "the job runs")
    assert steps(tmp_path, int(file.name.split("-")[1])) == ["job", "handler", "close", "atexit"]


# --- Signals ------------------------------------------------------------------------------------------------------------


def test_sigint_is_an_error_of_what_runs_and_of_nothing_else(cluster, pool_arguments):
    cluster.head()
    cluster.node(workers=1)
    with Pool(Signalled, None, *pool_arguments) as pool:
        before = pool.map(["state"])[0]
        assert before[2], "Python's own handler"
        with pytest.raises(JobError, match="KeyboardInterrupt"):
            pool.map(["interrupted"])
        with pytest.raises(JobError, match="KeyboardInterrupt"):
            pool.update_workers(True, wait=True, timeout=20)
        assert pool.map(["child_gets_it"]) == [-signal.SIGINT]
        os.kill(before[0], signal.SIGINT)
        wait_until(lambda: "KeyboardInterrupt" in cluster.log("node"), "it is printed, though nothing runs", 5)
        pool.update_workers(False, wait=True, timeout=20)
        assert pool.map(["state"])[0] == (before[0], 2, True), "the same worker lives on"


def test_a_handler_runs_while_the_worker_is_idle_and_may_end_it(cluster, pool_arguments, tmp_path):
    cluster.head()
    cluster.node(workers=1)
    mark = tmp_path / "mark"
    with Pool(ExitsOnTerm, {"args": [str(mark)]}, *pool_arguments) as pool:
        (pid,) = pool.map([{}])
        os.kill(pid, signal.SIGTERM)
        wait_until(lambda: not alive(pid), "it has ended", 5)
        assert mark.read_text() == "closed"
        assert pool.map([{}])[0] != pid, "another one takes its place"


# --- Copies -------------------------------------------------------------------------------------------------------------


def test_a_child_that_comes_out_of_run_flushes_and_ends(cluster, pool_arguments, tmp_path):
    cluster.head()
    cluster.node(workers=1)
    with Pool(Forking, {"args": [str(tmp_path)]}, *pool_arguments, max_retries=1) as pool:
        for how, code in {"return": 0, "exit": 4, "raise": 1, "return a lock": 0}.items():
            assert pool.map([how] * 3) == [code] * 3
            assert (tmp_path / how).read_text() == "child\n" * 3, "what it had opened is written"
        pool.update_workers("raise", wait=True, timeout=20)
        assert (tmp_path / "raise").read_text() == "child\n" * 4
    with Pool(Forking, {"args": [str(tmp_path), "constructor"]}, *pool_arguments, max_retries=1) as pool:
        assert pool.map(["exit"]) == [4]
    log = cluster.log("node")
    assert "printed by the child" in log and "ValueError: in the child" in log


# --- Crashes ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("how", "signalled"), [("segfault", "SIGSEGV"), ("abort", "SIGABRT")])
def test_a_crash_shows_where_it_was(cluster, pool_arguments, how, signalled):
    cluster.head()
    cluster.node(workers=1)
    with Pool(Crashing, None, *pool_arguments, max_retries=1) as pool:
        with pytest.raises(WorkerDied, match=signalled) as caught:
            pool.map([how])
    assert f"in {how}" in caught.value.output and "ending_workers.py" in caught.value.output
    assert "worker_main" not in caught.value.output
    assert ("printed before\n" in caught.value.output) == (how == "segfault")


def test_the_exit_of_a_library_is_an_exit_and_other_handlers_win(cluster, pool_arguments):
    cluster.head()
    cluster.node(workers=1)
    with Pool(Crashing, None, *pool_arguments, max_retries=1) as pool:
        with pytest.raises(WorkerDied, match="ended with exit status 42 while it ran the job"):
            pool.map(["native_exit"])
        with pytest.raises(WorkerDied, match="SIGSEGV") as caught:
            pool.map(["own_faulthandler"])
        assert "Fatal" not in str(caught.value)
        with pytest.raises(WorkerDied, match="SIGKILL") as caught:
            pool.map(["crash_in_child"])
        assert "in crash_in_child" in caught.value.output, "it is output of the child"


# --- What a worker has started --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["close", "death", "node killed"])
def test_helpers_in_sessions_of_their_own_end_with_their_worker_and_not_before(cluster, pool_arguments, how):
    cluster.head()
    node = cluster.node(workers=2)
    pool = Pool(Starting, None, *pool_arguments, max_retries=1)
    helpers = pool.map(["daemon"] * 2)
    assert pool.map(["waits_for_any_child"] * 4) == [1] * 4
    helpers += pool.map(["child"] * 2)
    assert all(alive(pid) for pid in helpers), "a living worker's daemon stays"
    if how == "close":
        pool.close()
    elif how == "death":
        while any(alive(pid) for pid in helpers):  # of either worker
            with pytest.raises(WorkerDied):
                pool.map(["dies"])
    else:
        node.kill()
        node.wait()
    wait_until(lambda: not any(alive(pid) for pid in helpers), "they are gone", 2)
    pool.close()
