"""Somebody is slow, or large, or damaged: no memory grows for it, and nothing is lost."""

import hashlib
import json
import subprocess
from pathlib import Path

from conftest import BIN, rss_mib, wait_until
from distributed_computing import _client
from distributed_computing.api import Pool
from proxy import Proxy
from workers import Calculator, Maker

MIB = 1 << 20
HELLO = Path(__file__).resolve().parents[2] / "build" / "dev" / "examples" / "hello"


def made(notes):
    return len(list(notes.glob("made*")))


def test_results_for_a_slow_client_wait_at_the_node(cluster, pool_arguments, notes):
    jobs, size = 60, 8 * MIB
    head = cluster.head()
    cluster.node(workers=2)
    password, address, _ = pool_arguments
    before = rss_mib(head.pid)
    most = 0.0

    def sample():
        nonlocal most
        most = max(most, rss_mib(head.pid))
        return made(notes) >= 32

    with Proxy(cluster.port) as proxy, Pool(Maker, {"args": [str(notes)]}, password, address, proxy.port) as pool:
        proxy.slow(rate=MIB)
        futures = [pool.submit(i, size) for i in range(jobs)]
        wait_until(sample, "the workers have gone on as far as the node keeps results", 60)
        # The slots are free for others, who are not held up by what waits.
        with Pool(Calculator, None, *pool_arguments) as other:
            assert other.map(range(100)) == list(range(100))
        sample()
        assert made(notes) < jobs, "and no further: the node's memory is bounded too"
        proxy.slow()
        for i, future in enumerate(futures):
            value = future.result(60)
            assert len(value) == size and value[:8] == i.to_bytes(8, "little")
        sample()
    assert made(notes) == jobs, "no job ran twice"
    # Large results take turns within 192 MiB.
    assert most - before < 220, f"the head grew by {most - before:.0f} MiB for {jobs * size // MIB} MiB of results"


def test_results_larger_than_a_window_have_turns(cluster, pool_arguments, notes):
    cluster.head()
    cluster.node("one", 2)
    cluster.node("two", 2)
    sizes = [40 * MIB, 10, 70 * MIB, 300_000, 40 * MIB, 1, 40 * MIB, 20 * MIB]
    with Pool(Maker, {"args": [str(notes)]}, *pool_arguments) as pool:
        values = pool.map([{"args": [i, size]} for i, size in enumerate(sizes)])
    assert [len(value) for value in values] == [max(size, 8) for size in sizes]
    assert made(notes) == len(sizes)


def test_the_state_of_a_large_cluster_is_told(cluster):
    head = cluster.head()
    for i in range(6):
        cluster.node(f"node{i}", 4096)
    status = cluster.status()
    assert sum(len(node["slots"]) for node in status["nodes"]) == 24_576
    assert len(json.dumps(status)) > 4 * MIB, "more than a frame holds"

    def command(*arguments):
        return subprocess.run(
            [str(BIN / "distributed-computing"), *arguments, "-p", str(cluster.port)],
            env=cluster.environment("head"),
            capture_output=True,
            text=True,
        )

    assert command("pools", "list").returncode == 0
    shown = command("pools", "show", "nothing")
    assert "nothing" in shown.stderr and "WebSocket" not in shown.stderr
    assert len(json.loads(_client.status("localhost", cluster.port, cluster.password.encode()))["nodes"]) == 6
    assert head.poll() is None


def test_a_damaged_program_is_fetched_again(cluster):
    def hello():
        command = [str(HELLO), cluster.password, "localhost", str(cluster.port)]
        done = subprocess.run(command, env=cluster.environment("head"), capture_output=True, text=True, timeout=60)
        assert done.stdout.startswith("1 4 9 16 25"), done.stdout + done.stderr + cluster.log("node")

    cluster.head()
    node = cluster.node(workers=2)
    hello()
    (program,) = (cluster.root / "node" / "cache" / "programs").iterdir()
    for damaged in (b"", program.read_bytes()[:5000], program.read_bytes()[:-1] + b"?"):
        node.terminate()
        node.wait(15)
        program.chmod(0o700)
        program.write_bytes(damaged)
        node = cluster.node(workers=2)
        hello()
        assert hashlib.sha256(program.read_bytes()).hexdigest() == program.name
    assert cluster.log("node").count("was damaged") == 3
    program.chmod(0o700)
    program.write_bytes(b"")  # while the node lives
    hello()
