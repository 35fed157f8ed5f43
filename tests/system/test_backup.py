"""`distributed-computing pools export` and `import`: named pools go into a file while their head runs, and on elsewhere."""

from __future__ import annotations

import re
import signal
import sqlite3
import subprocess
import time
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import pytest

from conftest import BIN, Cluster, bare_environment, free_port, recorder_items, rss_mib, runs, state_dir, wait_until
from distributed_computing.api import AuthenticationError, Pool
from own_redis import PROGRAM, Redis
from workers import Recorder

MIB = 1 << 20
needs_redis = pytest.mark.skipif(PROGRAM is None, reason="neither redis-server nor valkey-server is installed")


class Echo:
    def run(self, x):
        return x


def command(*arguments: str | Path) -> list[str]:
    return [str(BIN / "distributed-computing"), "pools", *map(str, arguments)]


def backup(cluster: Cluster, home: str, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run `distributed-computing pools` in that home, as on another machine, with the cluster's port."""
    return subprocess.run(
        [*command(*arguments), "-p", str(cluster.port)],
        env=cluster.environment(home),
        capture_output=True,
        text=True,
        timeout=60,
    )


def done(cluster: Cluster, home: str, *arguments: str | Path) -> list[str]:
    """Run it; it must do it. Return its lines, with one space where there are several."""
    answer = backup(cluster, home, *arguments)
    assert answer.returncode == 0, answer.stderr
    return [" ".join(line.split()) for line in answer.stdout.splitlines()]


def refused(cluster: Cluster, home: str, code: int, *arguments: str | Path) -> str:
    """Run it; it must end with this code and say nothing on stdout. Return what is wrong."""
    answer = backup(cluster, home, *arguments)
    assert (answer.returncode, answer.stdout) == (code, ""), answer.stderr
    return " ".join(answer.stderr.split())


def fingerprint(cluster: Cluster, name: str) -> str:
    return wait_until(lambda: re.search(r"--fingerprint (sha256:\S{43})\n", cluster.log(name)), "the banner")[1]


def head_in(cluster: Cluster, home: str, *arguments: str) -> subprocess.Popen[bytes]:
    """Start a head in another home, on the same port."""
    process = cluster.start(home, "--head", "--workers", "0", *arguments)
    wait_until(lambda: (cluster.status() or {}).get("head", {}).get("pid") == process.pid, "it answers")
    return process


def end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    assert process.wait(15) == 0


def to_deliver(cluster: Cluster, name: str) -> int:
    status = cluster.status() or {"pools": []}
    return next((pool["to_deliver"] for pool in status["pools"] if pool["name"] == name), 0)


def leave_jobs(cluster: Cluster, name: str, items: list[object]) -> None:
    """Submit jobs to a named pool, and leave it when they are accepted."""
    with Pool(Echo, None, cluster.password, cluster.address, cluster.port, name=name) as pool:
        for item in items:
            pool.submit(item)
        wait_until(lambda: to_deliver(cluster, name) == len(items), "they are accepted")


def take_all(cluster: Cluster, name: str, **how: str) -> list[object]:
    """Return the results of earlier programs, as often as they come."""
    with Pool.attach(name, cluster.password, cluster.address, cluster.port, **how) as pool:
        return list(pool.imap_unordered())


@pytest.mark.parametrize("runs_on", [True, False])
def test_a_cluster_goes_on_elsewhere_with_its_clients(cluster, pool_arguments, tmp_path, notes, runs_on):
    """The file is made while a map goes on (`runs_on`), or when the head has ended. The client that waits for the results
    believes the new head by its key alone."""
    first = cluster.head()
    pinned = fingerprint(cluster, "head")
    file = tmp_path / "pools.db"
    count = 300
    large = b"x" * 300_000
    leave_jobs(cluster, "left", [*range(50), large])
    with Pool(Recorder, str(notes), *pool_arguments, name="live", fingerprint=pinned) as pool:
        jobs = [pool.submit(*job["args"], **job["kwargs"]) for job in recorder_items(count, 0.03)]

        def delivered() -> int:
            return sum(job.done() for job in jobs)

        wait_until(lambda: to_deliver(cluster, "live") == count, "they are accepted")
        cluster.node(workers=2)
        wait_until(lambda: delivered() > count // 5, "some are delivered")
        if not runs_on:
            end(first)
        lines = done(cluster, "head", "export", file, "--with-key")
        assert delivered() < count, "it was to be exported meanwhile"
        assert [re.sub(r"\d+", "N", line) for line in lines] == ["left N entries N bytes", "live N entries N bytes"]
        assert file.stat().st_mode & 0o777 == 0o600
        assert [path.name for path in tmp_path.glob("pools.db*")] == ["pools.db"]
        if runs_on:
            before = delivered()
            wait_until(lambda: delivered() > before, "the head has not noticed")
            first.kill()
            first.wait()

        assert done(cluster, "moved", "import", file, "--with-key") == lines
        again = done(cluster, "moved", "import", file, "--with-key")
        assert again == [f"{name} is there already, just the same" for name in ("left", "live")]
        assert (cluster.root / "moved" / "state" / "head-key.pem").stat().st_mode & 0o777 == 0o600
        head_in(cluster, "moved")
        assert fingerprint(cluster, "moved") == pinned
        assert [job.result(30)[0] for job in jobs] == list(range(count))
        assert all(runs(notes, x) >= 1 for x in range(count))
    if not runs_on:  # else what came between the export and the end is new to this head
        assert all(runs(notes, x) == 1 for x in range(count))
        wait_until(lambda: to_deliver(cluster, "live") == 0, "nothing is left to be delivered")
    left = take_all(cluster, "left", fingerprint=pinned)
    assert sorted(left, key=str) == sorted([*range(50), large], key=str)


def test_without_the_key_a_client_that_knows_it_does_not_believe_the_head(cluster, tmp_path):
    first = cluster.head()
    pinned = fingerprint(cluster, "head")
    leave_jobs(cluster, "sweep", [1])
    done(cluster, "head", "export", tmp_path / "pools.db")
    end(first)
    assert "has no key" in refused(cluster, "moved", 2, "import", tmp_path / "pools.db", "--with-key")
    done(cluster, "moved", "import", tmp_path / "pools.db")
    cluster.start("moved", "--head", "--workers", "0")
    fingerprint(cluster, "moved")
    with pytest.raises(AuthenticationError):
        Pool.attach("sweep", cluster.password, "127.0.0.1", cluster.port, fingerprint=pinned)


@needs_redis
def test_pools_go_from_redis_to_sqlite_and_back(cluster, tmp_path):
    (tmp_path / "redis").mkdir()
    redis = Redis(tmp_path / "redis", fsync="always")
    shared = b"s" * 200_000  # a content that entries of both have
    try:
        first = cluster.head("--store", redis.url)
        for name in ("one", "two"):
            leave_jobs(cluster, name, [1, shared, b"y" * (12 * MIB)])
        file = tmp_path / "pools.db"
        held = refused(cluster, "head", 5, "export", file, "--store", redis.url)
        assert f"belongs to the head with process id {first.pid}" in held and "stop that one first" in held
        assert not list(tmp_path.glob("pools.db*"))
        end(first)
        lines = done(cluster, "head", "export", file, "--store", redis.url)
        assert [line.split()[0] for line in lines] == ["one", "two"]

        assert done(cluster, "moved", "import", file) == lines
        second = head_in(cluster, "moved")
        cluster.node(workers=2)
        assert sorted(take_all(cluster, "one"), key=len_of) == [1, shared, b"y" * (12 * MIB)]
        end(second)
        done(cluster, "moved", "export", tmp_path / "again.db", "two")
        back = f"{redis.url}?prefix=back"
        assert done(cluster, "head", "import", tmp_path / "again.db", "--as", "three", "--store", back)[0].split()[
            0
        ] == ("three")
        head_in(cluster, "head", "--store", back)
        assert sorted(take_all(cluster, "three"), key=len_of) == [1, shared, b"y" * (12 * MIB)]
        assert [pool["name"] for pool in cluster.status()["pools"]] == ["three"]
    finally:
        cluster.stop()
        redis.kill()


def len_of(value: object) -> int:
    return len(value) if isinstance(value, bytes) else 0


def test_the_file_is_a_store_and_a_store_is_such_a_file(cluster, tmp_path):
    first = cluster.head()
    leave_jobs(cluster, "sweep", [1, 2, 3])
    file = tmp_path / "pools.db"
    done(cluster, "head", "export", file)
    store = cluster.root / "head" / "state" / f"head-{cluster.port}.db"
    done(cluster, "moved", "import", store)  # while its head runs
    end(first)
    second = head_in(cluster, "moved")
    cluster.node(workers=1)
    assert sorted(take_all(cluster, "sweep")) == [1, 2, 3]
    end(second)
    head_in(cluster, "moved", "--store", f"sqlite://{file}")
    assert sorted(take_all(cluster, "sweep")) == [1, 2, 3]


def test_what_cannot_be_done_is_said_and_changes_nothing(cluster, tmp_path):
    head = cluster.head()
    leave_jobs(cluster, "a", [1, b"x" * 300_000])
    leave_jobs(cluster, "b", [2])
    file = tmp_path / "pools.db"
    assert "has no pool named 'nobody'" in refused(cluster, "head", 4, "export", file, "a", "nobody")
    assert not list(tmp_path.glob("pools.db*"))
    assert "there is no store" in refused(cluster, "other", 4, "export", file)
    done(cluster, "head", "export", file, "--with-key")
    assert "is there already" in refused(cluster, "head", 2, "export", file)
    assert f"(pid {head.pid})" in refused(cluster, "head", 5, "import", file)
    end(head)

    assert "cannot be read" in refused(cluster, "head", 4, "import", tmp_path / "nothing.db")
    (tmp_path / "text").write_text("no database\n" * 1000)
    assert "neither a file of `distributed-computing pools export` nor" in refused(
        cluster, "head", 1, "import", tmp_path / "text"
    )
    renamed = refused(cluster, "head", 2, "import", file, "--as", "c")
    assert "--as gives one pool another name, and these are 2" in renamed
    assert done(cluster, "head", "import", file, "a", "--as", "c")[0].startswith("c ")
    assert done(cluster, "head", "import", file, "a") == ["a is there already, just the same"]
    assert "has another pool named 'b'" in refused(cluster, "head", 3, "import", file, "a", "--as", "b")

    (cluster.root / "other" / "state").mkdir(mode=0o700)
    head = cluster.start("other", "--head", "--workers", "0", port=free_port())
    wait_until(lambda: (cluster.root / "other" / "state" / "head-key.pem").exists(), "it has a key")
    fingerprint(cluster, "other")
    end(head)
    assert "another key" in refused(cluster, "other", 3, "import", file, "--with-key")
    for damage, where in (
        ("UPDATE contents SET bytes = zeroblob(length(bytes))", "pool 'a'"),
        ("UPDATE entries SET bytes = x'00' WHERE log = ? AND number = 2", "pool 'b'"),
    ):
        damaged = tmp_path / "damaged.db"
        damaged.write_bytes(file.read_bytes())
        with sqlite3.connect(damaged) as db:
            log = int.from_bytes(sha256(b"b").digest()[:8], "big", signed=True)
            assert db.execute(damage, (log,) if "?" in damage else ()).rowcount > 0
        db.close()
        assert f"{where} is damaged, and nothing was copied" in refused(cluster, "other", 1, "import", damaged)
    with sqlite3.connect(damaged) as db:
        db.execute("UPDATE export SET format = 7")
    db.close()
    assert "written by a later version" in refused(cluster, "other", 1, "import", damaged)
    assert done(cluster, "other", "export", tmp_path / "empty.db") == ["no named pools"]


def test_the_password_is_wanted_where_the_store_may_be_a_redis(cluster, tmp_path):
    socket = state_dir(cluster) / "redis-6379" / "redis.sock"
    socket.parent.mkdir(parents=True, mode=0o700)
    socket.touch()
    export = command("export", tmp_path / "pools.db", "-p", str(cluster.port))
    answer = subprocess.run(export, env=bare_environment(cluster), capture_output=True, text=True, timeout=60)
    assert answer.returncode == 2 and "takes the password of the cluster" in answer.stderr
    assert str(socket) in answer.stderr and not list(tmp_path.glob("pools.db*"))


def interrupted(
    cluster: Cluster, home: str, begun: Callable[[], bool], how: signal.Signals, *arguments: str | Path
) -> None:
    """Run it, and end it by the signal as soon as it has begun."""
    process = subprocess.Popen([*command(*arguments), "-p", str(cluster.port)], env=cluster.environment(home))
    deadline = time.monotonic() + 20
    while not begun() and time.monotonic() < deadline:
        pass  # it is over soon
    process.send_signal(how)
    assert process.wait(20) == -how


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_what_is_interrupted_leaves_nothing_and_takes_little_memory(cluster, tmp_path, how):
    cluster.head()
    leave_jobs(cluster, "large", [bytes([i]) * (16 * MIB) for i in range(8)])
    file = tmp_path / "out" / "pools.db"
    file.parent.mkdir()

    def beside() -> list[str]:
        return [path.name for path in file.parent.iterdir()]

    interrupted(cluster, "head", lambda: beside() != [], how, "export", file)
    assert beside() == []
    process = subprocess.Popen([*command("export", file), "-p", str(cluster.port)], env=cluster.environment("head"))
    most = 0.0
    while process.poll() is None:
        most = max(most, rss_mib(process.pid))
    assert process.returncode == 0 and 0 < most < 100, "MiB of memory"
    assert file.stat().st_size > 128 * MIB and beside() == ["pools.db"]

    store = cluster.root / "moved" / "state" / f"head-{cluster.port}.db"
    interrupted(cluster, "moved", store.exists, how, "import", file)
    assert done(cluster, "moved", "export", tmp_path / "empty.db") == ["no named pools"]
    assert done(cluster, "moved", "import", file)[0].startswith("large ")
