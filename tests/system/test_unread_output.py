"""Nobody who does not read (stderr, stdout, a log's pipe, whatever a program has put in place of them) stops a head, a
node or a client."""

import contextlib
import os
import signal
import subprocess
import sys

import pytest

from conftest import BIN, wait_until
from distributed_computing.api import Pool
from workers import Calculator, Hostile


class FullPipe:
    """A pipe that takes nothing more, as a stopped terminal or pager leaves it."""

    def __init__(self) -> None:
        self.reading, self.writing = os.pipe()
        os.set_blocking(self.writing, False)
        with contextlib.suppress(BlockingIOError):
            while True:
                os.write(self.writing, b"." * 4096)
        os.set_blocking(self.writing, True)

    def read_for(self, process: subprocess.Popen[bytes]) -> str:
        """Return all that comes out until the process has ended."""
        os.close(self.writing)
        with os.fdopen(self.reading, "rb") as file:
            text = file.read().decode()
        process.wait(20)
        return text.lstrip(".")


@pytest.fixture
def full_pipe():
    return FullPipe()


def start(cluster, name, output, *arguments):
    process = subprocess.Popen(
        [str(BIN / "start_node"), "-p", str(cluster.port), *arguments],
        env=cluster.environment(name),
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=output,
    )
    cluster.processes[name] = process
    return process


def test_a_head_and_a_node_whose_output_nobody_reads_serve_as_ever(cluster, pool_arguments, full_pipe):
    head = start(cluster, "head", full_pipe.writing, "--head", "--workers", "0")
    wait_until(cluster.status, "the head answers")
    node = start(cluster, "node", full_pipe.writing, "--workers", "2")
    wait_until(lambda: len(cluster.nodes()) == 1, "the node has joined")
    for _ in range(30):  # each is said in the head's log
        with Pool(Calculator, None, *pool_arguments) as pool:
            assert pool.map(range(10)) == list(range(10))
    with Pool(Hostile, None, *pool_arguments) as pool:
        printed = [pool.submit("prints", ("x" * 999 + "\n") * 2000) for _ in range(8)]  # 16 MB
        assert all(future.result(60) == 2_000_000 for future in printed)
        assert pool.submit("fine", 1).result(30) == 1
    for process in (node, head):
        process.send_signal(signal.SIGTERM)
        assert process.wait(15) == 0
    assert full_pipe.read_for(head) == "", "nothing was taken, and nothing waited for"


def test_what_is_missing_is_counted_when_somebody_reads_again(cluster, pool_arguments, full_pipe):
    cluster.head()
    node = start(cluster, "node", full_pipe.writing, "--workers", "1")
    wait_until(lambda: len(cluster.nodes()) == 1, "the node has joined")
    for _ in range(5):  # of each pool so much is shown in a second
        with Pool(Hostile, None, *pool_arguments) as pool:
            pool.submit("prints", ("x" * 7999 + "\n") * 2000).result(60)
    node.send_signal(signal.SIGTERM)  # while it waits for its reader
    text = full_pipe.read_for(node)
    assert " lines were dropped because nobody read them]\n" in text
    assert "joined the head" in text and "leaving" in text, "what the node itself says is kept"


def test_a_reader_that_is_gone_stops_nobody(cluster, pool_arguments):
    reading, writing = os.pipe()
    os.close(reading)
    start(cluster, "head", writing, "--head", "--workers", "1")
    wait_until(lambda: len(cluster.nodes()) == 1, "the node has joined")
    with Pool(Hostile, None, *pool_arguments) as pool:
        pool.submit("prints", "x\n" * 1000).result(30)
        assert pool.submit("fine", 1).result(30) == 1
    os.close(writing)


CLIENT = """
import sys, threading
stream, how = sys.argv[3:]
if how == 'replaced':
    class Stuck:
        def write(self, text): threading.Event().wait()
        def flush(self): threading.Event().wait()
    setattr(sys, stream, Stuck())
from distributed_computing.api import Pool
from talkers import Talker
with Pool(Talker, None, sys.argv[1], server_port=int(sys.argv[2])) as pool:
    for round in range(4):
        pool.submit('prints', ('x' * 999 + '\\n') * 1000, stream).result(30)
    result = pool.submit('prints', '', stream).result(30)
    print(repr(result), file=sys.stderr if stream == 'stdout' else sys.stdout, flush=True)
"""


@pytest.mark.parametrize("how", ["unread", "replaced", "gone"])
@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_a_client_whose_output_nobody_reads_gets_its_results_and_ends(cluster, full_pipe, stream, how):
    cluster.head()
    cluster.node(workers=1)
    if how == "gone":
        os.close(full_pipe.reading)
    other = "stderr" if stream == "stdout" else "stdout"
    streams = {stream: subprocess.DEVNULL if how == "replaced" else full_pipe.writing, other: subprocess.PIPE}
    client = subprocess.run(
        [sys.executable, "-c", CLIENT, cluster.password, str(cluster.port), stream, how],
        env=cluster.environment("head"),
        text=True,
        timeout=60,
        **streams,
    )
    assert (getattr(client, other), client.returncode) == ("''\n", 0)


def test_what_a_pool_has_to_show_is_there_when_it_is_closed(cluster, pool_arguments, capfd):
    cluster.head()
    cluster.node(workers=1)
    with Pool(Hostile, None, *pool_arguments) as pool:
        pool.submit("prints", "".join(f"{i}\n" for i in range(150))).result(30)
    shown = [line.split("] ")[1] for line in capfd.readouterr().out.splitlines() if "] " in line]
    assert shown == [str(i) for i in range(150)]
