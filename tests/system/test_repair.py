"""A named pool whose journal is broken is refused by name until it is repaired; the others are served meanwhile."""

from __future__ import annotations

import sqlite3
from hashlib import sha256
from pathlib import Path

import pytest

from conftest import Cluster, pools_command, wait_until
from distributed_computing.api import NotStored, Pool
from own_redis import PROGRAM, Redis


class Echo:
    def run(self, x):
        return x


def break_sqlite(path: Path, log: int, entry: int) -> None:
    """Damage an entry; the first of a log is 1."""
    with sqlite3.connect(path) as db:
        changed = db.execute("UPDATE entries SET bytes = x'00' WHERE log = ? AND number = ?", (log, entry)).rowcount
    db.close()
    assert changed == 1


def break_redis(redis: Redis, log: int, entry: int) -> None:
    """Make an entry unreadable."""
    assert redis.ask("HSET", f"{{distributed-computing}}:log:{log % 2**64}:entries", str(entry), "rubbish") == "0"


def logs_of(cluster: Cluster) -> dict[str, int]:
    """Return where the journals of named pools stand, signed as SQLite keeps it."""
    names = [pool["name"] for pool in cluster.status()["pools"]]
    return {name: int.from_bytes(sha256(name.encode()).digest()[:8], "big", signed=True) for name in names}


@pytest.mark.parametrize(
    "kind", ["sqlite", pytest.param("redis", marks=pytest.mark.skipif(PROGRAM is None, reason="none"))]
)
def test_a_broken_pool_is_refused_and_repaired_while_the_other_is_served(cluster, pool_arguments, tmp_path, kind):
    redis = None
    if kind == "redis":
        (tmp_path / "redis").mkdir()
        redis = Redis(tmp_path / "redis", fsync="always")
    store = ["--store", redis.url if redis else f"sqlite://{tmp_path}/store.db"]
    try:
        head = cluster.head(*store)
        for name in ("good", "bad", "hopeless"):
            with Pool(Echo, None, *pool_arguments, name=name) as pool:
                for number in range(5):  # an entry each, since each is waited for
                    pool.submit(number)
                    wait_until(lambda name=name, n=number: _queued(cluster, name) == n + 1, "it is accepted")
        logs = logs_of(cluster)
        head.terminate()
        head.wait(10)
        for name, entry in (("bad", 4), ("hopeless", 1)):  # PoolBorn, then the jobs
            if redis:
                break_redis(redis, logs[name], entry)
            else:
                break_sqlite(tmp_path / "store.db", logs[name], entry)

        cluster.head(*store)
        cluster.node(workers=1)
        with Pool.attach("good", *pool_arguments) as pool:
            assert sorted(pool.imap_unordered()) == [0, 1, 2, 3, 4]
        with pytest.raises(NotStored, match="pools repair 'bad'"):
            Pool.attach("bad", *pool_arguments)
        with pytest.raises(NotStored, match="cannot be opened: .*(damaged|missing)"):
            Pool(Echo, None, *pool_arguments, name="bad")
        assert (
            "bad" in pools_command(cluster, "list").stdout and "failed" in pools_command(cluster, "show", "bad").stdout
        )
        missing = pools_command(cluster, "repair", "good")
        assert missing.returncode == 4 and "no broken pool" in missing.stderr

        repaired = pools_command(cluster, "repair", "bad")
        assert repaired.returncode == 0, repaired.stderr
        assert "pool 'bad' is repaired: 3 jobs that were accepted are lost" in repaired.stdout
        with Pool.attach("bad", *pool_arguments) as pool:
            assert sorted(pool.imap_unordered()) == [0, 1]
            assert pool.submit("new").result(20) == "new"
        number = f"{logs['hopeless'] % 2**64:016x}"  # all that is known of it
        assert number in pools_command(cluster, "list").stdout
        for name in ("hopeless", number):
            shown = pools_command(cluster, "show", name)
            assert number in shown.stdout and f"pools repair '{number}'" in shown.stdout.replace("\n", " ")
        gone = pools_command(cluster, "repair", number)
        assert f"nothing of pool '{number}' could be kept, and it is gone: 5 jobs" in gone.stdout
        wait_until(lambda: f"pool '{number}' was repaired" in cluster.log("head"), "it is in the log")
        with Pool(Echo, None, *pool_arguments, name="hopeless") as pool:
            assert pool.submit("anew").result(20) == "anew"
    finally:
        cluster.stop()
        if redis:
            redis.kill()


def damage_a_page(path: Path, log: int, other: int) -> None:
    """Overwrite one page, so that this log cannot be read by SQLite and the other can."""

    def readable(number: int) -> bool:
        db = sqlite3.connect(path)
        try:
            db.execute("SELECT bytes FROM entries WHERE log = ?", (number,)).fetchall()
        except sqlite3.DatabaseError:
            return False
        finally:
            db.close()
        return True

    sound = path.read_bytes()
    for page in range(4096, len(sound), 4096):
        path.write_bytes(sound[:page] + b"z" * 4096 + sound[page + 4096 :])
        if readable(other) and not readable(log):
            return
    raise AssertionError("no page is this log's alone")


def test_a_damaged_page_of_the_file_refuses_the_pools_on_it_and_is_repaired(cluster, pool_arguments, tmp_path):
    path = tmp_path / "store.db"
    head = cluster.head("--store", f"sqlite://{path}")
    for name, count in (("good", 3), ("bad", 30)):
        with Pool(Echo, None, *pool_arguments, name=name) as pool:
            for number in range(count):  # an entry each, so that the pool has pages of its own
                pool.submit_keyed(f"{number}-" + "x" * 1000, f"{name}-{number}")
                wait_until(lambda name=name, n=number: _queued(cluster, name) == n + 1, "it is accepted")
    logs = logs_of(cluster)
    head.terminate()
    head.wait(10)
    damage_a_page(path, logs["bad"], logs["good"])

    cluster.head("--store", f"sqlite://{path}")
    cluster.node(workers=1)
    with Pool.attach("good", *pool_arguments) as pool:
        assert len(list(pool.imap_unordered())) == 3
    with pytest.raises(NotStored, match="damaged page"):
        Pool.attach("bad", *pool_arguments)
    repaired = pools_command(cluster, "repair", "bad")
    assert repaired.returncode == 0, repaired.stderr
    # Unless later entries tell, nobody knows what stood on the page.
    assert "at least" in repaired.stdout or "30 jobs that were accepted are lost" in repaired.stdout
    with Pool(Echo, None, *pool_arguments, name="bad", steal=True) as pool:  # that its holder has left may be lost too
        assert pool.submit("new").result(20) == "new"
    assert (tmp_path / "store.db.damaged").stat().st_mode & 0o77 == 0


def _queued(cluster: Cluster, name: str) -> int:
    status = cluster.status()
    return next((pool["to_deliver"] for pool in status["pools"] if pool["name"] == name), 0)
