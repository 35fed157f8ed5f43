"""Named pools that keep more than their head's memory is to hold."""

import os
import random
import signal
import sqlite3

import pytest

from conftest import Largest, rss_mib, wait_until
from distributed_computing.api import NotStored, Pool, WorkerInterface

MIB = 1 << 20


def noise(number, size):
    """Return bytes that no compression makes smaller, always the same ones for a number."""
    return random.Random(number).randbytes(size)


class Numbered(WorkerInterface):
    """Returns noise behind its number."""

    def run(self, number, size, *_):
        return number.to_bytes(4, "little") + noise(number, size)


def pools(cluster):
    return {pool["name"]: pool for pool in cluster.status()["pools"]}


def take_all(cluster, pool_arguments, largest, count, size):
    """Take the results of earlier programs, each once."""
    seen = set()
    with Pool.attach("sweep", *pool_arguments) as pool:
        for result in pool.imap_unordered():
            number = int.from_bytes(result[:4], "little")
            assert number not in seen and result[4:] == noise(number, size), number
            seen.add(number)
            largest.look()
    assert seen == set(range(count))


@pytest.mark.timeout(250)  # 2 GiB, written and read
def test_results_that_nobody_takes_are_not_in_the_heads_memory(cluster, pool_arguments):
    count, size = 256, 8 * MIB
    head = cluster.head()
    cluster.node(workers=2)
    largest = Largest(head)
    with Pool(Numbered, None, *pool_arguments, name="sweep") as pool:
        for number in range(count):
            pool.submit(number, size)
        pool.detach()

    def all_there():
        largest.look()
        return pools(cluster)["sweep"]["to_take"] == count

    wait_until(all_there, "all results are in the store", 120)
    assert largest.look() < 64, f"the head grew by {largest.look():.0f} MiB"
    head.send_signal(signal.SIGKILL)
    head.wait()
    head = cluster.head()
    largest = Largest(head)
    assert rss_mib(head.pid) < 100
    take_all(cluster, pool_arguments, largest, count, size)
    assert largest.look() < 64, f"the head grew by {largest.look():.0f} MiB"


class Blocks(WorkerInterface):
    """Returns a block of 10 KiB that tells its number, at little cost."""

    def run(self, number):
        return number.to_bytes(4, "little") * 2560


@pytest.mark.timeout(300)
def test_many_small_results_that_nobody_takes_are_not_in_the_heads_memory_either(cluster, pool_arguments):
    count = 200_000
    head = cluster.head()
    cluster.node(workers=2)
    largest = Largest(head)
    with Pool(Blocks, None, *pool_arguments, name="sweep") as pool:
        futures = [pool.submit(number) for number in range(count)]
        pool.detach()
    taken = bytearray(not future.cancelled() and future.exception() is None for future in futures)

    def all_there():
        largest.look()
        return pools(cluster)["sweep"]["to_take"] == count - sum(taken)

    assert sum(taken) < count // 2
    wait_until(all_there, "all results are in the store", 200)
    # 2 GiB of results, and for a moment most of 200,000 jobs in the queue.
    assert largest.look() < 64, f"the head grew by {largest.look():.0f} MiB"
    head.send_signal(signal.SIGKILL)
    head.wait()
    head = cluster.head()
    assert rss_mib(head.pid) < 100
    largest = Largest(head)
    with Pool.attach("sweep", *pool_arguments) as pool:
        for result in pool.imap_unordered():
            number = int.from_bytes(result[:4], "little")
            assert not taken[number] and result == result[:4] * 2560, number
            taken[number] = 1
            if number % 1000 == 0:
                largest.look()
    assert sum(taken) == count
    assert largest.look() < 64, f"the head grew by {largest.look():.0f} MiB"


def test_arguments_of_jobs_that_wait_are_not_in_the_heads_memory(cluster, pool_arguments):
    count, size = 100, 4 * MIB
    head = cluster.head()
    before = rss_mib(head.pid)
    with Pool(Numbered, None, *pool_arguments, name="sweep") as pool:
        for number in range(count):
            pool.submit(number, 100, os.urandom(size))
        pool.detach()
    wait_until(lambda: pools(cluster)["sweep"]["jobs_queued"] == count, "all jobs are in the store")
    # 32 MiB of them stay.
    assert rss_mib(head.pid) - before < 80
    for _ in range(2):  # those of the head that took them, and of one that has read them
        cluster.node("node", 2)
        wait_until(lambda: pools(cluster)["sweep"]["to_take"] >= 8, "some have run")
        cluster.processes["node"].kill()
        cluster.processes["node"].wait()
        head.kill()
        head.wait()
        head = cluster.head()
    cluster.node("other", 2)
    take_all(cluster, pool_arguments, Largest(head), count, 100)


@pytest.mark.parametrize("table", ["results", "arguments"])
def test_a_damaged_payload_costs_its_job_and_no_other(cluster, pool_arguments, table):
    head = cluster.head()
    size = 100_000
    if table == "results":
        cluster.node(workers=1)
    with Pool(Numbered, None, *pool_arguments, name="sweep") as pool:
        for number in range(3):
            pool.submit(number, size, b"" if table == "results" else os.urandom(size))
        pool.detach()
    key, count = ("to_take", 3) if table == "results" else ("jobs_queued", 3)
    wait_until(lambda: pools(cluster)["sweep"][key] == count, "all jobs have come so far")
    head.kill()
    head.wait()
    file = next(cluster.root.rglob("head-*.db"))
    with sqlite3.connect(file) as db:
        damaged = db.execute("SELECT rowid FROM contents WHERE length(bytes) >= ? LIMIT 1", (size,)).fetchone()
        db.execute("UPDATE contents SET bytes = zeroblob(length(bytes)) WHERE rowid = ?", damaged)
    db.close()
    cluster.head()
    if table == "arguments":
        cluster.node(workers=1)
    good, bad = [], []
    with Pool.attach("sweep", *pool_arguments) as pool:
        results = pool.imap_unordered()
        while len(good) + len(bad) < 3:
            try:
                good.append(len(next(results)))
            except NotStored as error:
                bad.append(str(error))
        assert pool.submit(7, 10).result(30)[:4] == (7).to_bytes(4, "little")
    assert good == [size + 4] * 2
    assert len(bad) == 1 and "of pool 'sweep' cannot be read: a payload is missing or damaged in the store" in bad[0]
