"""Whose a named pool is: programs that are cut off keep it, programs that are gone hold nobody up."""

from __future__ import annotations

import subprocess
import sys
import threading
import time

import pytest

from conftest import BIN, wait_until
from distributed_computing.api import Pool, PoolBusy
from proxy import Proxy
from test_named_pools import PRELUDE


@pytest.fixture
def started(cluster):
    cluster.head()
    cluster.node(workers=2)
    return cluster


def test_a_program_that_is_cut_off_for_a_moment_keeps_its_pool(started, tmp_path, capfd):
    """Another program, on what looks like another machine to it, and a look at the results change nothing."""
    text = """
where = (where[0], where[1], int(sys.argv[2]))
with Pool(Worker, None, *where, name="sweep") as pool:
    for value in pool.imap_unordered({"args": [x, 0.02]} for x in range(300)):
        print(value, flush=True)
"""
    path = started.root / "cut_off.py"
    path.write_text(PRELUDE + text)
    with Proxy(started.port) as link:
        program = subprocess.Popen(
            [sys.executable, str(path), str(started.port), str(link.port)],
            env=started.environment("head"),
            stdout=subprocess.PIPE,
            text=True,
        )
        lines = [program.stdout.readline() for _ in range(60)]
        link.freeze(True, True)
        link.reset()
        wait_until(lambda: not _client(started)["connected"], "the head sees the break", 15)
        looked = subprocess.run(
            [str(BIN / "distributed-computing"), "pools", "results", "sweep", "-p", str(started.port)],
            env=started.environment("head"),
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert looked.returncode == 0, looked.stderr
        busy = []

        def open_too():
            try:
                Pool.attach("sweep", started.password, "localhost", started.port).detach()
            except PoolBusy as error:
                busy.append(str(error))

        other = threading.Thread(target=open_too)
        other.start()
        wait_until(lambda: "waiting up to" in capfd.readouterr().err, "it says for whom it waits")
        link.thaw()
        other.join(40)
        assert busy and f"pid {program.pid}" in busy[0]
        lines += program.stdout.readlines()
        assert program.wait(60) == 0
    assert sorted(int(line) for line in lines) == list(range(300)), "none is lost, and none came twice"


def _client(cluster):
    return next(pool for pool in cluster.status()["pools"] if pool["name"] == "sweep")["client"]


def test_a_program_that_is_gone_is_not_waited_for(started, pool_arguments):
    path = started.root / "gone.py"
    path.write_text(
        PRELUDE + "pool = Pool(Worker, None, *where, name='sweep')\nprint('open', flush=True)\ntime.sleep(60)"
    )
    program = subprocess.Popen(
        [sys.executable, str(path), str(started.port)],
        env=started.environment("head"),
        stdout=subprocess.PIPE,
        text=True,
    )
    assert program.stdout.readline() == "open\n"
    program.kill()
    program.wait()
    begin = time.monotonic()
    with Pool.attach("sweep", *pool_arguments) as pool:
        assert time.monotonic() - begin < 10, "it used to be 28 s"
        pool.close()
