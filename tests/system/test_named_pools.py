"""Pools that outlive their program: left and found again, killed programs, takeover, keys, the end."""

from __future__ import annotations

import contextlib
import json
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from conftest import run_script, wait_until
from distributed_computing.api import JobError, NotStored, Pool, PoolBusy, PoolClosed, PoolNotFound
from workers import Lines

# What scripts of these tests begin with: worker class, and `where` for Pool.
PRELUDE = """
import json, os, sys, time
from distributed_computing.api import Pool
class Worker:
    def run(self, x, pause=0.0):
        time.sleep(pause)
        if x == "bad":
            raise ValueError(x)
        return x
where = (os.environ["DISTRIBUTED_COMPUTING_PASSWORD"], "localhost", int(sys.argv[1]))
"""


class Echo:
    def run(self, x, pause=0.0):
        import time

        time.sleep(pause)
        if x == "bad":
            raise ValueError(x)
        return x


@pytest.fixture
def started(cluster):
    cluster.head()
    cluster.node(workers=2)
    return cluster


def script(cluster, text):
    """Run a script against the cluster; return its output as JSON."""
    done = run_script(cluster, PRELUDE + text, str(cluster.port))
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_a_program_leaves_and_another_one_goes_on(started, pool_arguments):
    left = script(
        started,
        """
with Pool(Worker, None, *where, name="sweep") as pool:
    seen = []
    for value in pool.imap_unordered(range(100)):
        seen.append(value)
        if len(seen) == 10:
            break
print(json.dumps(seen))
""",
    )
    with Pool.attach("sweep", *pool_arguments) as pool:
        rest = list(pool.imap_unordered())
        assert len(left) == 10 and len(set(rest)) == len(rest)
        # The program had read some items ahead of what it consumed, and no more: they are all there.
        assert sorted(left + rest) == list(range(len(left) + len(rest)))
        assert pool.map(range(5)) == list(range(5))
        pool.close()
    with pytest.raises(PoolNotFound, match="'sweep'"):
        Pool.attach("sweep", *pool_arguments)


def test_a_killed_program_loses_nothing(started, pool_arguments):
    text = """
pool = Pool(Worker, None, *where, name="sweep")
futures = pool.imap_unordered({"args": [x, 0.002]} for x in range(600))
for value in futures:
    print(value, flush=True)
"""
    path = started.root / "killed.py"
    path.write_text(PRELUDE + text)
    program = subprocess.Popen(
        [sys.executable, str(path), str(started.port)],
        env=started.environment("head"),
        stdout=subprocess.PIPE,
        text=True,
    )
    lines = [program.stdout.readline() for _ in range(150)]
    program.send_signal(signal.SIGKILL)
    lines += program.stdout.readlines()
    program.wait()
    seen = [int(line) for line in lines if line.endswith("\n")]
    with Pool.attach("sweep", *pool_arguments) as pool:
        rest = list(pool.imap_unordered())
        assert pool.status()["jobs_queued"] == 0
        pool.close()
    counts = Counter(seen + rest)
    # What the program had read from its own iterator is what was submitted: 0, 1, 2, ... without a gap.
    assert sorted(counts) == list(range(len(counts)))
    assert len(counts) > 150
    twice = [value for value, count in counts.items() if count > 1]
    assert max(counts.values()) <= 2 and set(twice) <= set(seen[-100:]), "only what it had just been given comes again"


def test_results_come_in_the_order_of_submission(started, pool_arguments):
    script(
        started,
        """
with Pool(Worker, None, *where, name="sweep") as pool:
    futures = [pool.submit(x, 0.3 if x == 0 else 0.0) for x in range(50)]
print(json.dumps(None))
""",
    )
    with Pool.attach("sweep", *pool_arguments) as pool:
        assert list(pool.imap()) == list(range(50))
        pool.close()


def test_errors_and_large_results_keep_their_places(started, pool_arguments):
    large = b"x" * 300_000
    items = [1, large, "bad", 3, large, 5]
    with Pool(Echo, None, *pool_arguments, name="sweep") as pool:
        for x in items:
            pool.submit(x)
    with Pool.attach("sweep", *pool_arguments) as pool:
        wait_until(lambda: pool.status()["jobs_done"] == len(items), "all are done")
        results = pool.imap()
        values = []
        while True:
            try:
                values.append(results.next(timeout=20))
            except JobError as error:
                values.append(type(error.__cause__).__name__)
            except StopIteration:
                break
        assert values == [1, large, "ValueError", 3, large, 5]
        pool.close()


def test_one_program_at_a_time_unless_it_is_taken_over(started, pool_arguments):
    first = Pool(Echo, None, *pool_arguments, name="sweep")
    first.submit(1).result(20)
    with pytest.raises(PoolBusy, match=r"'sweep'.*pid"):
        Pool.attach("sweep", *pool_arguments)
    waiting = first.submit(2, 1.0)
    second = Pool.attach("sweep", *pool_arguments, steal=True)
    with pytest.raises(PoolClosed, match="taken over"):
        waiting.result(20)
    with pytest.raises(PoolClosed, match="taken over"):
        first.map([3])
    first.detach()
    assert list(second.imap_unordered()) == [2]
    second.close()


def test_what_map_returned_is_delivered(started, pool_arguments):
    with Pool(Echo, None, *pool_arguments, name="sweep") as pool:
        assert pool.map(range(100)) == list(range(100))
        with pytest.raises(JobError):
            pool.map([0, "bad", 2])
    with Pool.attach("sweep", *pool_arguments) as pool:
        # A map that failed gave its caller nothing.
        outcomes = pool.imap()
        assert outcomes.next(timeout=20) == 0
        with pytest.raises(JobError):
            outcomes.next(timeout=20)
        assert outcomes.next(timeout=20) == 2
        assert list(outcomes) == []
        pool.close()


def test_a_key_that_is_done_is_not_run_again(started, pool_arguments):
    path = started.root / "runs"
    items = [{"args": [x], "key": f"x={x}"} for x in range(20)]
    for _ in range(2):
        with Pool(Lines, str(path), *pool_arguments, name="sweep") as pool:
            assert pool.map(items) == [x * x for x in range(20)]
            assert pool.submit_keyed("x=3", 3).result(20) == 9
    assert len(path.read_text().splitlines()) == 20
    with Pool(Lines, str(path), *pool_arguments, name="sweep") as pool:
        pool.close()


def test_status_and_name(started, pool_arguments):
    with Pool(Echo, None, *pool_arguments, name="sweep") as pool:
        pool.map(range(10))
        status = wait_until(lambda: (s := pool.status())["jobs_done"] == 10 and s, "the head counts the jobs")
        assert (pool.name, status["name"], status["jobs_queued"]) == ("sweep", "sweep", 0)
        pool.close()


def test_updates_of_earlier_programs_count(started, pool_arguments):
    script(
        started,
        """
class Scaled(Worker):
    factor = 1
    def run(self, x):
        return x * self.factor
    def handle_update(self, factor):
        self.factor *= factor
with Pool(Scaled, None, *where, name="sweep") as pool:
    pool.update_workers(2)
print(json.dumps(None))
""",
    )
    with Pool.attach("sweep", *pool_arguments) as pool:
        pool.update_workers(5, wait=True, timeout=20)
        assert pool.map([1, 2]) == [10, 20]
        pool.close()


def test_a_program_that_just_ends_leaves_its_pool(started, pool_arguments):
    script(
        started,
        """
pool = Pool(Worker, None, *where, name="sweep")
for x in range(5):
    pool.submit(x)
print(json.dumps(None))
""",
    )
    with Pool.attach("sweep", *pool_arguments) as pool:
        assert sorted(pool.imap_unordered()) == list(range(5))
        pool.close()


def test_the_pool_outlives_the_head_too(started, pool_arguments):
    with Pool(Echo, None, *pool_arguments, name="sweep") as pool:
        for x in range(20):
            pool.submit(x, 0.2)
    head = started.processes["head"]
    head.kill()
    head.wait()
    started.head()
    with Pool.attach("sweep", *pool_arguments) as pool:
        assert sorted(pool.imap_unordered()) == list(range(20))
        pool.close()


LEAVING = """
with Pool(Worker, None, *where, name="sweep") as pool:
    print("open", flush=True)
    sys.stdin.readline()
    for x in range(3):
        pool.submit(x)
    print("leaving", flush=True)
print("left", flush=True)
"""


@pytest.fixture
def leaving(started):
    """A program that has opened a pool, and submits and leaves when it is told to."""
    path = started.root / "leaving.py"
    path.write_text(PRELUDE + LEAVING)
    program = subprocess.Popen(
        [sys.executable, str(path), str(started.port)],
        env=started.environment("head"),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert program.stdout.readline() == "open\n"
    yield program
    program.kill()
    program.wait()


def test_leaving_waits_only_some_seconds_for_a_head_that_is_gone(started, leaving):
    head = started.processes["head"]
    head.kill()
    head.wait()
    output, errors = leaving.communicate("go\n", timeout=30)
    assert (output, leaving.returncode) == ("leaving\nleft\n", 0)
    assert "it is not known whether pool 'sweep' has the last 3 jobs: the head at" in errors


def test_ctrl_c_ends_the_waiting_for_a_head_that_is_frozen(started, leaving):
    started.processes["head"].send_signal(signal.SIGSTOP)
    leaving.stdin.write("go\n")
    leaving.stdin.flush()
    assert leaving.stdout.readline() == "leaving\n"
    start = time.monotonic()
    # The first one may come before the waiting begins, and then only makes the block end.
    while leaving.poll() is None and time.monotonic() - start < 5:
        leaving.send_signal(signal.SIGINT)
        with contextlib.suppress(subprocess.TimeoutExpired):
            leaving.wait(0.7)
    output, errors = leaving.communicate(timeout=30)
    assert time.monotonic() - start < 5
    assert output == "" and "KeyboardInterrupt" in errors
    assert "it is not known whether pool 'sweep' has the last 3 jobs: the program did not wait" in errors
    started.processes["head"].send_signal(signal.SIGCONT)


def test_leaving_a_frozen_head_waits_until_it_goes_on(started, leaving, pool_arguments):
    head = started.processes["head"]
    head.send_signal(signal.SIGSTOP)
    leaving.stdin.write("go\n")
    leaving.stdin.flush()
    assert leaving.stdout.readline() == "leaving\n"
    with pytest.raises(subprocess.TimeoutExpired):
        leaving.wait(1)
    head.send_signal(signal.SIGCONT)
    output, errors = leaving.communicate(timeout=30)
    assert (output, errors) == ("left\n", "")
    with Pool.attach("sweep", *pool_arguments) as pool:
        assert sorted(pool.imap_unordered()) == [0, 1, 2]
        pool.close()


class WaitsFor:
    """Works until a file is there."""

    def run(self, x, file):
        import pathlib
        import time

        while not pathlib.Path(file).exists():
            time.sleep(0.02)
        return x


def test_jobs_that_the_store_has_lost_end_with_an_error(started, pool_arguments, tmp_path):
    """A store that is set back to a copy of itself is like one whose last entries went with the power."""

    def accepted():
        (pool,) = started.status()["pools"]
        return pool["jobs_queued"] + pool["jobs_running"]

    def copy(source, target):
        for file in target.glob("*.db*"):
            file.unlink()
        for file in source.glob("*.db*"):
            shutil.copy(file, target)

    state = started.root / "head/state"
    saved = tmp_path / "saved"
    saved.mkdir()
    go = str(tmp_path / "go")
    with Pool(WaitsFor, None, *pool_arguments, name="sweep") as pool:
        kept = [pool.submit(x, go) for x in range(3)]
        wait_until(lambda: accepted() == 3, "the jobs are accepted")
        copy(state, saved)
        lost = [pool.submit(x, go) for x in range(3, 6)]
        wait_until(lambda: accepted() == 6, "the further jobs are accepted")
        started.processes["head"].kill()
        started.processes["head"].wait()
        copy(saved, state)
        started.head()
        Path(go).touch()
        assert [future.result(30) for future in kept] == [0, 1, 2]
        for future in lost:
            with pytest.raises(NotStored, match="the journal of pool 'sweep' has lost it"):
                future.result(30)
        assert pool.submit(7, go).result(30) == 7
        pool.close()
