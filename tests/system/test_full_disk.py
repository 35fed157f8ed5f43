"""Stores of named pools that take nothing for a while: a disk that is full, a store that somebody else holds. The disks are
small ones of the test's own in memory, which needs root."""

from __future__ import annotations

import concurrent.futures
import itertools
import os
import sqlite3
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from conftest import Cluster, free_port, recorder_items, run_counts, runs, wait_until
from distributed_computing.api import NotStored, Pool
from own_redis import PROGRAM, Redis
from workers import Recorder

HELD_S = 30.0
TAKEN_AGAIN_S = 5.0  # the target for a store that has room again
PADDING = b"x" * 5000  # more than what is left of a file's last page on a full disk


class Disk:
    """A file system of 32 MiB at this path."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.ballast = path / "ballast"
        path.mkdir(exist_ok=True)
        made = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=32m,mode=700", "none", str(path)], capture_output=True, text=True
        )
        if made.returncode != 0:
            pytest.skip(f"no small disk can be made here ({made.stderr.strip()})")

    def fill(self) -> None:
        """Leave no room, also where some was given back since the last time."""
        with open(self.ballast, "ab", buffering=0) as file:
            try:
                while True:
                    file.write(bytes(4096))
            except OSError:
                assert os.statvfs(self.path).f_bavail == 0

    def free(self) -> None:
        self.ballast.unlink()

    def remove(self) -> None:
        subprocess.run(["umount", "--lazy", str(self.path)], check=True)


class Stored:
    """A head with the store on a disk of its own."""

    def __init__(self, kind: str, cluster: Cluster, root: Path) -> None:
        self.cluster = cluster
        self.disk = Disk(root / ("head" if kind == "sqlite" else "redis"))
        self.redis: Redis | None = None
        if kind != "sqlite":
            self.redis = Redis(self.disk.path)
        self.arguments = ["--store", self.redis.url] if self.redis else []

    def trouble(self) -> str | None:
        """Return what the status says of the store; fail when no head answers."""
        status = self.cluster.status()
        assert status is not None, "the head answers"
        return status["head"]["store_trouble"]

    def end(self) -> None:
        self.cluster.stop()
        if self.redis:
            self.redis.kill()
        self.disk.remove()


@pytest.fixture
def stored(cluster: Cluster, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Stored]:
    if request.param != "sqlite" and PROGRAM is None:
        pytest.skip("redis-server is not installed")
    made = Stored(request.param, cluster, tmp_path)
    yield made
    made.end()


def stores(*kinds: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("stored", kinds, indirect=True)


def started(notes: Path) -> int:
    return len(list(notes.glob("run*")))


class Submitter:
    """Submits jobs one by one, and keeps those that were not refused."""

    def __init__(self, pool: Pool, first: int) -> None:
        self.pool = pool
        self.numbers = itertools.count(first)
        self.taken: dict[int, concurrent.futures.Future] = {}
        self.refused: list[int] = []

    def refusal(self, patience_s: float) -> str:
        """Submit one; return why it was refused, or "" when it was not."""
        number = next(self.numbers)
        future = self.pool.submit(number, 0.0, PADDING)
        try:
            why = future.exception(patience_s)
        except concurrent.futures.TimeoutError:
            why = None
        if isinstance(why, NotStored):
            self.refused.append(number)
            return str(why)
        self.taken[number] = future
        return ""


def outcome_of(stored: Stored, submitter: Submitter, notes: Path, seen: list[int]) -> None:
    """All that was taken was delivered once and ran once, and nothing else ran."""
    seen += [future.result(30)[0] for future in submitter.taken.values()]
    last = next(submitter.numbers)
    assert sorted(seen) == [i for i in range(last) if i not in submitter.refused], "what was taken, once each"
    assert all(runs(notes, i) == (i not in submitter.refused) for i in range(last)), "nothing ran twice"


@pytest.mark.slow
@stores("sqlite", "redis")
def test_a_disk_that_is_full_for_thirty_seconds_costs_nothing(
    stored, cluster, pool_arguments, notes, measured, request
):
    head = cluster.head(*stored.arguments)
    cluster.node(workers=2)
    kind = request.node.callspec.params["stored"]
    with Pool(Recorder, {"args": [str(notes)]}, *pool_arguments, name="sweep") as pool:
        # Enough work for the whole time; these are in the store before the disk is full.
        before = [pool.submit(i, 0.1) for i in range(700)]
        wait_until(lambda: started(notes) > 20, "the map runs")
        submitter = Submitter(pool, 700)
        stored.disk.fill()
        full = time.monotonic()
        wait_until(lambda: "full" in submitter.refusal(2.0), "a job is refused")

        slowest, ran = 0.0, [started(notes)]
        while time.monotonic() < full + HELD_S:
            stored.disk.fill()
            asked = time.monotonic()
            why = submitter.refusal(5.0)
            slowest = max(slowest, time.monotonic() - asked)
            assert "a job of pool 'sweep' was not accepted: " in why and "full" in why
            assert "full" in stored.trouble()
            wait_until(lambda n=ran[-1]: started(notes) > n, "accepted jobs go on", 5)
            ran.append(started(notes))
            wait_until(lambda a=asked: time.monotonic() > a + 1.5, "some time has passed")
        measured(f"disk full under a named pool ({kind}): a submit is refused", slowest, 5)

        stored.disk.free()
        freed = time.monotonic()
        wait_until(lambda: stored.trouble() is None, "the store takes entries again")
        assert submitter.refusal(0.0) == ""
        measured(
            f"disk full for 30 s under a named pool ({kind}): it takes jobs again",
            time.monotonic() - freed,
            TAKEN_AGAIN_S,
        )
        outcome_of(stored, submitter, notes, [future.result(30)[0] for future in before])
        pool.close()
    assert head.poll() is None
    assert "takes entries again" in cluster.log("head") and "broken off" not in cluster.log("head")
    assert cluster.log("node").count("joined the head") == 1, "no connection broke"


@stores("sqlite")
def test_a_head_that_dies_on_a_full_disk_comes_back_when_there_is_room(stored, cluster, pool_arguments, notes):
    head = cluster.head()
    cluster.node(workers=2)
    with Pool(Recorder, {"args": [str(notes)]}, *pool_arguments, name="sweep") as pool:
        before = [pool.submit(i, 0.05) for i in range(200)]
        wait_until(lambda: started(notes) > 20, "the map runs")
        submitter = Submitter(pool, 200)
        stored.disk.fill()
        wait_until(lambda: "full" in submitter.refusal(2.0), "a job is refused")
        head.kill()
        head.wait()
        again = cluster.start("head", "--head", "--workers", "0")
        assert again.wait(20) == 1
        told = cluster.log("head").splitlines()[-1]
        assert "start_node: " in told and str(stored.disk.path) in told and ("full" in told or "No space" in told)
        stored.disk.free()
        cluster.head()
        outcome_of(stored, submitter, notes, [future.result(30)[0] for future in before])
        pool.close()


@pytest.mark.slow
@stores("redis")
def test_a_standby_waits_while_the_disk_is_full(stored, cluster, notes):
    """Longer than a lease lasts. Whoever is quicker is the head when there is room again."""
    standby_port = free_port()
    cluster.address = f"127.0.0.1:{cluster.port},127.0.0.1:{standby_port}"
    head = cluster.head(*stored.arguments)
    standby = cluster.start("standby", "--head", "--workers", "0", "--standby", *stored.arguments, port=standby_port)
    wait_until(lambda: "standby: " in cluster.log("standby"), "the standby has seen the head")
    cluster.node(workers=2)
    with Pool(Recorder, {"args": [str(notes)]}, cluster.password, cluster.address, name="sweep") as pool:
        submitter = Submitter(pool, 0)
        stored.disk.fill()
        full = time.monotonic()
        wait_until(lambda: "full" in submitter.refusal(2.0), "a job is refused")
        with Pool(Recorder, {"args": [str(notes)]}, cluster.password, cluster.address) as other:
            results = [r[0] for r in other.imap(recorder_items(140, 0.2))]
        assert results == list(range(140)) and time.monotonic() > full + 12, "a pool without a name goes on meanwhile"
        assert "is full" in cluster.log("standby") and standby.poll() is None
        assert head.poll() is None and "broken off" not in cluster.log("head")
        stored.disk.free()
        wait_until(lambda: submitter.refusal(2.0) == "", "jobs are taken again")
        assert [future.result(30)[0] for future in submitter.taken.values()] == list(submitter.taken)
        pool.close()
    assert sorted(submitter.refused + list(submitter.taken)) == list(range(next(submitter.numbers)))


@pytest.mark.slow
def test_a_job_is_not_stored_after_thirty_seconds_without_the_store(cluster, pool_arguments, notes, measured):
    cluster.head()
    cluster.node(workers=2)
    file = next((cluster.root / "head" / "state").glob("head-*.db"))
    with Pool(Recorder, {"args": [str(notes)]}, *pool_arguments, name="sweep") as pool:
        before = [pool.submit(i, 0.1) for i in range(100)]
        wait_until(lambda: started(notes) > 20, "the map runs")
        other = sqlite3.connect(file, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        asked = time.monotonic()
        waiting = pool.submit(100)
        with pytest.raises(
            NotStored, match=r"a job of pool 'sweep' was not accepted: another program uses the store .*db"
        ):
            waiting.result(45)
        waited = time.monotonic() - asked
        assert waited > 28, "it waited for the store"
        measured("store away from a named pool: a submit ends in NotStored", waited, 40)
        assert run_counts(notes, 100) == [1] * 100, "accepted jobs went on"
        assert not any(future.done() for future in before[50:]), "and no outcome came before it was kept"
        other.execute("ROLLBACK")
        other.close()
        assert [future.result(20)[0] for future in before] == list(range(100))
        assert pool.submit(101).result(20)[0] == 101
        pool.close()
    assert (runs(notes, 100), runs(notes, 101)) == (0, 1)
