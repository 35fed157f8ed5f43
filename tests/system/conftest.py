"""A real cluster for each test that asks for one: a head and nodes with home directories of their own, ended and checked
for leftovers afterwards."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

BIN = Path(sys.executable).parent
HERE = Path(__file__).resolve().parent
PASSWORD = "correct horse 123456"

# A shell's background jobs ignore Ctrl-C, and what they start would inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)  # ignored under nohup


def wait_until(condition: Callable[[], Any], what: str, deadline_s: float = 30.0) -> Any:
    """Poll until the condition holds; return its value. Fail with `what` when it takes too long."""
    end = time.monotonic() + deadline_s
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            pytest.fail(f"waited {deadline_s:.0f} s in vain until {what}")
        time.sleep(0.02)


_ports = itertools.count(os.getpid() * 499)


def free_port() -> int:
    """Return a port that nobody has. It is below those that the system gives to connections: between here and the start of
    a head another test's connection could take one of these."""
    while True:
        port = 10_000 + next(_ports) % 22_000
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


def alive(pid: int) -> bool:
    """Tell whether the process runs (a zombie does not)."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def rss_mib(pid: int) -> float:
    """Return the resident memory of a process in MiB."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    return 0.0


class Largest:
    """How much a process has grown since this began, in MiB, as far as it was looked at."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self.process = process
        self.before = self.most = rss_mib(process.pid)

    def look(self) -> float:
        self.most = max(self.most, rss_mib(self.process.pid))
        return self.most - self.before


class Cluster:
    """Processes of one cluster below one directory."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.port = free_port()
        self.address = "localhost"  # of its heads, for nodes, clients and status()
        self.password = PASSWORD
        self.processes: dict[str, subprocess.Popen[bytes]] = {}

    def environment(self, name: str) -> dict[str, str]:
        home = self.root / name
        home.mkdir(exist_ok=True)
        path = os.pathsep.join([str(HERE), os.environ.get("PYTHONPATH", "")])
        return {
            **os.environ,
            "DISTRIBUTED_COMPUTING_HOME": str(home),
            "DISTRIBUTED_COMPUTING_PASSWORD": self.password,
            "DISTRIBUTED_COMPUTING_BIND": "127.0.0.1",
            "DISTRIBUTED_COMPUTING_STORE": "sqlite",  # whatever listens on this machine's port of Redis
            "PYTHONPATH": path.rstrip(os.pathsep),
        }

    def start(
        self,
        name: str,
        *arguments: str,
        port: int | None = None,
        in_group: Callable[[int], None] | None = None,
        inside: str | None = None,
        cwd: Path | None = None,
        environment: dict[str, str] | None = None,
    ) -> subprocess.Popen[bytes]:
        """Start one start_node process; its output goes to NAME.log. `port`: another way to the head. `in_group` is called
        in the new process, with its pid, before start_node runs there. `inside`: a network namespace for it. `cwd`: its
        working directory. `environment`: what it has beside the usual."""
        enter = ["ip", "netns", "exec", inside] if inside else []
        with open(self.root / f"{name}.log", "ab") as log:
            process = subprocess.Popen(
                [*enter, str(BIN / "start_node"), "-p", str(port or self.port), *arguments],
                env={**self.environment(name), **(environment or {})},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                preexec_fn=in_group and (lambda: in_group(os.getpid())),
                cwd=cwd,
            )
        self.processes[name] = process
        return process

    def log(self, name: str) -> str:
        return (self.root / f"{name}.log").read_text(errors="replace")

    def head(self, *arguments: str, inside: str | None = None) -> subprocess.Popen[bytes]:
        """Start a head without a node and wait until it answers."""
        process = self.start("head", "--head", "--workers", "0", *arguments, inside=inside)
        wait_until(lambda: self.status() is not None, "the head answers")
        return process

    def node(
        self,
        name: str = "node",
        workers: int = 2,
        *arguments: str,
        port: int | None = None,
        inside: str | None = None,
        **how: Any,
    ) -> subprocess.Popen[bytes]:
        """Start a node and wait until the head knows it."""
        where = ["-a", self.address] if self.address != "localhost" else []
        process = self.start(name, "--workers", str(workers), *where, *arguments, port=port, inside=inside, **how)
        wait_until(lambda: any(n["pid"] == process.pid for n in self.nodes()), f"{name} has joined")
        return process

    def status(self) -> dict[str, Any] | None:
        """Return what `distributed-computing status --json` says, or None while no head answers."""
        answer = subprocess.run(
            [str(BIN / "distributed-computing"), "status", "--json", "-a", self.address, "-p", str(self.port)],
            env=self.environment("head"),
            capture_output=True,
            text=True,
        )
        return json.loads(answer.stdout) if answer.returncode == 0 else None

    def nodes(self) -> list[dict[str, Any]]:
        status = self.status()
        return [node for node in status["nodes"] if node["connected"]] if status else []

    def worker_pids(self, state: str | None = None) -> list[int]:
        """Return the pids of all workers, or of those in one state."""
        slots = [slot for node in self.nodes() for slot in node["slots"]]
        return [slot["worker_pid"] for slot in slots if slot["worker_pid"] and state in (None, slot["state"])]

    def stop(self) -> None:
        for process in self.processes.values():
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(signal.SIGCONT)
                process.send_signal(signal.SIGINT)
        for process in self.processes.values():
            try:
                process.wait(15)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def leftovers(self) -> list[str]:
        """Return the processes that still belong to this cluster."""
        found = []
        marker = f"DISTRIBUTED_COMPUTING_HOME={self.root}".encode()
        for entry in Path("/proc").glob("[0-9]*"):
            if int(entry.name) == os.getpid() or not alive(int(entry.name)):
                continue
            with contextlib.suppress(OSError):
                if marker in (entry / "environ").read_bytes():
                    found.append(f"{entry.name} {(entry / 'cmdline').read_bytes()!r}")
        return found


def pools_command(cluster: Cluster, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run `distributed-computing pools` with these arguments against the cluster's head."""
    return subprocess.run(
        [str(BIN / "distributed-computing"), "pools", *arguments, "-p", str(cluster.port)],
        env=cluster.environment("head"),
        capture_output=True,
        text=True,
        timeout=60,
    )


def bare_environment(cluster: Cluster, **changed: str) -> dict[str, str]:
    """Return that of the head's home, without a store and a password but those given."""
    own = cluster.environment("head")
    for name in ("DISTRIBUTED_COMPUTING_STORE", "DISTRIBUTED_COMPUTING_PASSWORD", "CREDENTIALS_DIRECTORY"):
        own.pop(name, None)
    return {**own, **changed}


def state_dir(cluster: Cluster) -> Path:
    """Return the state directory of the head's home."""
    return cluster.root / "head" / "state"


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cluster]:
    """A cluster that is started by the test and ended after it; no process and no socket may be left."""
    made = Cluster(tmp_path)
    # This process is the client: on the head's machine, so to speak.
    monkeypatch.setenv("DISTRIBUTED_COMPUTING_STORE", "sqlite")
    monkeypatch.setenv("DISTRIBUTED_COMPUTING_HOME", made.environment("head")["DISTRIBUTED_COMPUTING_HOME"])
    yield made
    made.stop()
    wait_until(lambda: not made.leftovers(), f"nothing is left: {made.leftovers()}", 10)
    killed = {name for name, process in made.processes.items() if process.returncode == -signal.SIGKILL}
    left = [path for path in tmp_path.glob("*/run/*") if path.parts[-3] not in killed]
    assert not left, "sockets or locks are left"


@pytest.fixture
def pool_arguments(cluster: Cluster) -> tuple[str, str, int]:
    """(password, address, port) for Pool."""
    return cluster.password, cluster.address, cluster.port


@pytest.fixture
def clock_shift(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[int], int]:
    """Return clock_shift(seconds): sets the wall clock of everything that the test starts after its first call."""
    library, file = tmp_path / "clock_shift.so", tmp_path / "clock_shift"
    source = HERE.parent / "standins" / "clock_shift.c"
    subprocess.run(["cc", "-shared", "-fPIC", "-O1", "-o", library, source, "-ldl"], check=True)
    monkeypatch.setenv("LD_PRELOAD", str(library))
    monkeypatch.setenv("CLOCK_SHIFT_FILE", str(file))
    return lambda seconds: file.write_text(str(seconds))


@pytest.fixture
def notes(tmp_path: Path) -> Path:
    """Return a directory where workers of the class Recorder write down what happens to them."""
    directory = tmp_path / "notes"
    directory.mkdir()
    return directory


def runs(notes: Path, item: int) -> int:
    """Return how often a job was started, as its workers wrote it down."""
    return len(list(notes.glob(f"run{item}-*")))


def run_counts(notes: Path, count: int) -> list[int]:
    """Return how often each of the jobs 0 to count - 1 was started: the folder is read once."""
    started = Counter(name.partition("-")[0] for name in os.listdir(notes))
    return [started[f"run{item}"] for item in range(count)]


def recorder_items(count: int, seconds: float) -> list[dict[str, Any]]:
    """Return jobs of that length for the class Recorder."""
    return [{"args": [i], "kwargs": {"seconds": seconds}} for i in range(count)]


def run_script(cluster: Cluster, text: str, *arguments: str, timeout: float = 60, **kwargs: Any) -> Any:
    """Run a Python script as its own process, as a user would; return the completed process."""
    script = cluster.root / "script.py"
    script.write_text(text)
    return subprocess.run(
        [sys.executable, str(script), *arguments],
        env=cluster.environment("head"),
        capture_output=True,
        text=True,
        timeout=timeout,
        **kwargs,
    )
