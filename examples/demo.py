"""The main job on real input, with real faults: `make demo` runs this.

Starts a head and two nodes on this machine (each node in a home directory of its own, as if it were another machine),
runs the hyper-parameter search over handwritten digits in C++ and then in Python, kills one worker and one node in the
middle of each, and shows that the search ends with every result all the same.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BIN = Path(sys.executable).parent
SEARCH = Path(os.environ.get("DIGITS_SEARCH", ROOT / "build" / "dev" / "examples" / "digits_search"))
DEADLINE_S = 60.0


def say(text: str) -> None:
    """Print one line of the demo's own, apart from what the programs print."""
    print(f"\n[demo] {text}", file=sys.stderr, flush=True)


def free_port() -> int:
    """Return a TCP port that nobody listens on just now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Cluster:
    """A head and nodes on this machine, each with its own home directory below `root`."""

    def __init__(self, root: Path):
        self.root = root
        self.port = free_port()
        self.password = secrets.token_hex(16)
        self.processes: dict[str, subprocess.Popen] = {}

    def environment(self, name: str) -> dict[str, str]:
        home = self.root / name
        home.mkdir(exist_ok=True)
        return {
            **os.environ,
            "DISTRIBUTED_COMPUTING_HOME": str(home),
            "DISTRIBUTED_COMPUTING_PASSWORD": self.password,
            "DISTRIBUTED_COMPUTING_BIND": "127.0.0.1",
            "OMP_NUM_THREADS": "1",
        }

    def start(self, name: str, *arguments: str, home: str | None = None) -> None:
        """Start one process of the cluster, in its own home or another's; its output goes to NAME.log."""
        log = open(self.root / f"{name}.log", "ab")
        command = [str(BIN / "start_node"), "-p", str(self.port), *arguments]
        self.processes[name] = subprocess.Popen(
            command, env=self.environment(home or name), stdout=log, stderr=log, stdin=subprocess.DEVNULL
        )

    def status(self) -> dict | None:
        """Return what `distributed-computing status --json` says, or None while the head does not answer."""
        command = [str(BIN / "distributed-computing"), "status", "--json", "-p", str(self.port)]
        answer = subprocess.run(command, env=self.environment("head"), capture_output=True, text=True)
        return json.loads(answer.stdout) if answer.returncode == 0 else None

    def wait(self, what: str, ready) -> dict:
        """Poll the status until ready(status) holds; end the demo with the logs when it takes too long."""
        deadline = time.monotonic() + DEADLINE_S
        while time.monotonic() < deadline:
            status = self.status()
            if status and ready(status):
                return status
            time.sleep(0.1)
        for log in sorted(self.root.glob("*.log")):
            print(f"--- {log.name}\n{log.read_text(errors='replace')[-4000:]}", file=sys.stderr)
        raise SystemExit(f"[demo] waited {DEADLINE_S:.0f} s in vain until {what}")

    def stop(self) -> None:
        """End every process: in order first, by force after ten seconds."""
        for process in reversed(self.processes.values()):
            process.send_signal(signal.SIGTERM)
        for process in self.processes.values():
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def pool_of(status: dict) -> dict:
    """Return the one pool of the running search, or an empty dict."""
    return status["pools"][0] if status["pools"] else {}


def done(status: dict) -> int:
    return pool_of(status).get("jobs_done", 0)


def busy_worker(status: dict) -> tuple[str, dict] | None:
    """Return (host, slot) of a worker that runs a job."""
    for node in status["nodes"]:
        for slot in node["slots"]:
            if slot["state"] == "busy" and slot["worker_pid"]:
                return node["host"], slot
    return None


def harm(cluster: Cluster) -> None:
    """Kill one worker and one node while a search runs; start the node again."""
    status = cluster.wait("the search runs", lambda s: done(s) >= 10 and busy_worker(s))
    _, slot = busy_worker(status)
    os.kill(slot["worker_pid"], signal.SIGKILL)
    say(f"killed a worker: pid {slot['worker_pid']}, slot {slot['slot']}, after {done(status)} results")
    seen = done(status)
    status = cluster.wait("more results", lambda s: done(s) >= seen + 10)
    node = cluster.processes["node-b"]
    node.kill()
    node.wait()
    say(f"killed a node: pid {node.pid} with its workers, after {done(status)} results")
    status = cluster.wait("the loss is noticed", lambda s: len(s["nodes"]) == 1)
    cluster.start("node-b", "--workers", "2")
    status = cluster.wait("the node is back", lambda s: len(s["nodes"]) == 2)
    say(f"the node is back; jobs that lost their worker and run again so far: {pool_of(status).get('jobs_rerun', 0)}")


def search(cluster: Cluster, title: str, command: list[str]) -> None:
    """Run one search to its end with the faults in the middle."""
    say(title)
    started = time.monotonic()
    program = subprocess.Popen(command, env=cluster.environment("client"))
    cluster.processes["search"] = program
    faults = threading.Thread(target=harm, args=(cluster,), daemon=True)
    faults.start()
    code = program.wait()
    if code != 0:
        raise SystemExit(f"[demo] the search ended with exit code {code}")
    if faults.is_alive():
        faults.join(5)
    del cluster.processes["search"]
    say(f"complete in {time.monotonic() - started:.1f} s, every result exactly once")


def main() -> None:
    """Run both searches, clean up whatever happens."""
    root = Path(tempfile.mkdtemp(prefix="dc-demo-"))
    cluster = Cluster(root)
    try:
        table = root / "digits.csv"
        subprocess.run([sys.executable, str(ROOT / "examples/digits/export.py"), str(table)], check=True)
        say(f"a head on port {cluster.port} and two nodes with two workers each")
        cluster.start("head", "--head", "--workers", "0")
        cluster.start("node-a", "--workers", "2")
        cluster.start("node-b", "--workers", "2")
        cluster.wait("both nodes have joined", lambda s: len(s["nodes"]) == 2)
        where = [cluster.password, "localhost", str(cluster.port)]
        search(cluster, "search in C++ (a network of our own)", [str(SEARCH), str(table), *where])
        search(
            cluster,
            "search in Python (scikit-learn)",
            [sys.executable, str(ROOT / "examples/digits/search.py"), *where],
        )
    finally:
        cluster.stop()
        shutil.rmtree(root, ignore_errors=True)
    say("head, nodes and workers are gone; nothing is left behind")


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    main()
