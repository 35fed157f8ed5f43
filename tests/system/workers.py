"""Worker classes that the system tests import by name, here and on the nodes."""

from __future__ import annotations

import importlib
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

from distributed_computing.api import WorkerInterface


class Calculator(WorkerInterface):
    """Multiplies."""

    def __init__(self, factor=1):
        self.factor = factor

    def run(self, x, plus=0):
        return self.factor * x + plus


class Recorder(WorkerInterface):
    """Tells which updates it has applied, and writes down what happens to it."""

    def __init__(self, directory=None):
        self.updates = []
        self.directory = directory
        self.note("constructed")

    def note(self, what):
        if self.directory:
            path = Path(self.directory) / f"{what}-{os.getpid()}-{time.monotonic_ns()}"
            path.touch()

    def run(self, x=None, seconds=0.0, padding=b""):
        self.note(f"run{x}")
        time.sleep(seconds)
        return x, os.getpid(), list(self.updates)

    def handle_update(self, value):
        if value == "raise":
            raise ValueError("this update cannot be applied")
        self.updates.append(value)


class Maker(WorkerInterface):
    """Returns as many bytes as it is asked for, which begin with the job's number; writes down each that it made."""

    def __init__(self, directory):
        self.directory = Path(directory)

    def run(self, number, size):
        (self.directory / f"made{number}-{os.getpid()}-{time.monotonic_ns()}").touch()
        return number.to_bytes(8, "little") + bytes(max(0, size - 8))


class Lines(WorkerInterface):
    """Appends a line to a file for each job that runs."""

    def __init__(self, path):
        self.path = path

    def run(self, x):
        with open(self.path, "a") as file:
            file.write(f"{x}\n")
        return x * x


class Hostile(WorkerInterface):
    """Does what jobs must not do."""

    def run(self, what, *args):
        return getattr(self, what)(*args)

    def fine(self, value):
        return value

    def raises(self):
        raise KeyError("missing")

    def raises_unpicklable(self):
        error = RuntimeError("holds a lock")
        error.lock = threading.Lock()
        raise error

    def raises_unrebuildable(self):
        class Local(Exception):
            def __init__(self, a, b):
                super().__init__(f"{a} {b}")

        raise Local(1, 2)

    def returns_lock(self):
        return threading.Lock()

    def exits(self):
        sys.exit(7)

    def exits_at_once(self):
        os._exit(7)

    def dies(self):
        print("last words")
        os.kill(os.getpid(), signal.SIGKILL)

    def sleeps(self, seconds):
        time.sleep(seconds)
        return seconds

    def makes(self, size):
        return bytes(size)

    def starts_a_child(self, pid_file):
        signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        child = subprocess.Popen(["sleep", "1000"])
        Path(pid_file).write_text(str(child.pid))
        child.wait()

    def fills_memory(self, mebibytes):
        return sum(len(block) for block in [bytes(1 << 20).replace(b"\0", b"x") for _ in range(mebibytes)])

    def hangs(self):
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        time.sleep(1000)

    def prints(self, text, count=1):
        sys.stdout.write(text * count)
        return len(text) * count

    def leaves_orphans(self, count):
        subprocess.run(["sh", "-c", f"for i in $(seq {count}); do (sleep 0.1 &); done"], check=True)
        return count

    def environment(self):
        return dict(os.environ), sorted(os.listdir("/proc/self/fd"))

    def dies_once(self, path):
        if not Path(path).exists():
            Path(path).touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return "second time"


class Imports(WorkerInterface):
    """Tells what it can import."""

    def run(self, what, *args):
        return getattr(self, what)(*args)

    def state(self):
        return list(sys.path), os.getcwd(), sorted(os.environ)

    def imports(self, name):
        return importlib.import_module(name).__file__

    def spawns(self):
        """Return the exit code of an interpreter that multiprocessing starts."""
        child = multiprocessing.get_context("spawn").Process(target=os.getpid)
        child.start()
        child.join()
        return child.exitcode


class HangsInUpdate(WorkerInterface):
    """Hangs in its first update, once: a file remembers it."""

    def run(self):
        return "fine"

    def handle_update(self, flag):
        if not Path(flag).exists():
            Path(flag).touch()
            signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
            time.sleep(1000)


class FailsToConstruct(WorkerInterface):
    """Cannot be built."""

    def __init__(self):
        raise RuntimeError("no data set here")

    def run(self):
        return None


class FailsOnOddSlots(WorkerInterface):
    """Can be built on even slots only."""

    def __init__(self):
        if int(os.environ["DISTRIBUTED_COMPUTING_SLOT"]) % 2:
            raise RuntimeError("odd slot")

    def run(self, x):
        return x
