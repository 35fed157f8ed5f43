"""start_node, start_server and start_head_node with what else the command takes."""

from __future__ import annotations

import os
import signal

import pytest

from conftest import free_port, wait_until
from distributed_computing import _paths, processes
from distributed_computing.api import DistributedComputingError, start_head_node, start_node, start_server
from own_redis import PROGRAM as REDIS
from own_redis import Redis

PASSWORD = "correct horse"


@pytest.fixture
def started(tmp_path, monkeypatch):
    """Ends what a test has started, and tells the words of the command that ran last."""
    monkeypatch.setenv("DISTRIBUTED_COMPUTING_HOME", str(tmp_path))
    monkeypatch.setenv("DISTRIBUTED_COMPUTING_STORE", "sqlite")
    ends = []

    class Noted(processes._Process):
        def __init__(self, *args, **kwargs):
            super().__init__(*args, **kwargs)
            ends.append(self)

    monkeypatch.setattr(processes, "_Process", Noted)
    yield ends
    for process in reversed(ends):
        process.terminate()


def test_a_head_and_named_nodes_with_all_that_may_be_said(started):
    port = free_port()
    start_head_node(
        PASSWORD,
        port,
        workers=1,
        bind=["127.0.0.1", "::1"],
        durability="interval",
        name="beside",
        drain_timeout=1,
        head_timeout=5,
        verbose=True,
        gpus=[],
    )
    assert {node["name"] for node in _paths.nodes()} == {"beside"}
    assert any("This head listens on this machine only" in line for line in started[0].output)
    terminate, wait = start_node(
        PASSWORD, "127.0.0.1", port, workers=1, name="other", if_none=False, head_timeout="never", drain_timeout=1
    )
    assert {node["name"] for node in _paths.nodes()} == {"beside", "other"}
    with pytest.raises(DistributedComputingError, match="a node named other is already running"):
        start_node(PASSWORD, "127.0.0.1", port, workers=1, name="other", if_none=False)
    again, wait_again = start_node(PASSWORD, "127.0.0.1", port, workers=1, name="other")
    assert wait_again() == 0
    again()
    terminate()
    assert wait() == 0


@pytest.mark.skipif(REDIS is None, reason="redis-server is not installed")
@pytest.mark.parametrize("level", ["", "error"])
def test_a_standby_takes_over(started, tmp_path, monkeypatch, level):
    if level:
        monkeypatch.setenv("DISTRIBUTED_COMPUTING_LOG", level)
    redis = Redis(tmp_path)
    try:
        start_server(PASSWORD, free_port(), bind="127.0.0.1", store=redis.url)
        port = free_port()
        start_head_node(PASSWORD, port, workers=1, bind="127.0.0.1", store=redis.url, standby=True)
        head, standby = started
        assert standby.popen.poll() is None and not _paths.nodes(), "it waits"
        os.kill(head.popen.pid, signal.SIGKILL)
        wait_until(lambda: _paths.nodes(), "the standby serves, with its node", 30)
        standby.terminate()
        assert standby.popen.returncode == 0
    finally:
        redis.process.terminate()
        redis.process.wait()


def test_a_standby_that_finds_the_store_free_serves(started):
    terminate, wait = start_server(PASSWORD, free_port(), bind="127.0.0.1", standby=True)
    assert processes.is_server_running()
    terminate()
    assert wait() == 0
