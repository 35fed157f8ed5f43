"""Worker classes that tell how they end, and what becomes of the processes that they start."""

from __future__ import annotations

import atexit
import ctypes
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from distributed_computing.api import WorkerInterface


class Ending(WorkerInterface):
    """Writes down each step of its end; its SIGTERM handler calls sys.exit."""

    def __init__(self, folder, stubborn=False):
        self.folder = Path(folder)
        self.stubborn = stubborn
        self.log = open(self.folder / f"log-{os.getpid()}", "w")  # buffered: written when it is closed
        atexit.register(self.note, "atexit")
        signal.signal(signal.SIGTERM, self.terminated)

    def note(self, step):
        with open(self.folder / f"steps-{os.getpid()}", "a") as file:
            file.write(f"{step}\n")

    def terminated(self, number, frame):
        assert number == signal.SIGTERM and frame is not None
        self.note("handler")
        sys.exit(0)

    def close(self):
        self.note("close")
        if self.stubborn:
            raise RuntimeError("as asked")

    def run(self, seconds=0.0):
        self.log.write("job\n")
        self.note("job")
        time.sleep(seconds)
        return os.getpid()


class Signalled(WorkerInterface):
    """Gets signals, and counts its updates."""

    def __init__(self):
        self.updates = 0

    def handle_update(self, interrupt):
        self.updates += 1
        if interrupt:
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(10)

    def run(self, what, *args):
        return getattr(self, what)(*args)

    def interrupted(self):
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(10)

    def child_gets_it(self):
        child = subprocess.Popen(["sleep", "60"])
        child.send_signal(signal.SIGINT)
        return child.wait(10)

    def state(self):
        return os.getpid(), self.updates, signal.getsignal(signal.SIGINT) is signal.default_int_handler


class ExitsOnTerm(WorkerInterface):
    """Ends by itself when it is sent SIGTERM, also while it is idle."""

    def __init__(self, mark):
        self.mark = mark
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(3))

    def close(self):
        Path(self.mark).write_text("closed")

    def run(self):
        return os.getpid()


class Forking(WorkerInterface):
    """Forks, and the child comes out of the user's code."""

    def __init__(self, folder, where=None):
        self.folder = Path(folder)
        if where == "constructor":
            self.fork("return")

    def fork(self, how):
        """Return the child's exit code; in the child come back as `how` says."""
        child = os.fork()
        if child:
            return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        file = open(self.folder / how, "a")
        file.write("child\n")
        print("printed by the child", end="")
        if how == "exit":
            sys.exit(4)
        if how == "raise":
            raise ValueError("in the child")
        if how == "return a lock":
            return sys.stdout
        return None

    def run(self, how):
        return self.fork(how)

    def handle_update(self, how):
        self.fork(how)


class Crashing(WorkerInterface):
    """Ends in native code."""

    def run(self, how):
        getattr(self, how)()

    def segfault(self):
        print("printed before")
        ctypes.string_at(0)

    def abort(self):
        os.abort()

    def native_exit(self):
        ctypes.CDLL(None).exit(42)

    def own_faulthandler(self):
        import faulthandler

        faulthandler.enable(open("/dev/null", "w"))
        ctypes.string_at(0)

    def crash_in_child(self):
        if os.fork() == 0:
            ctypes.string_at(0)
        os.wait()
        os.kill(os.getpid(), signal.SIGKILL)


class Starting(WorkerInterface):
    """Starts helpers that live in sessions of their own."""

    def run(self, what, *args):
        return getattr(self, what)(*args)

    def child(self):
        """Return the pid of a child in a session of its own."""
        return subprocess.Popen(["sleep", "1000"], start_new_session=True).pid

    def daemon(self):
        """Return the pid of one that has another parent, session and environment."""
        script = "(setsid sh -c 'echo $$; exec sleep 1000' &)"
        path = {"PATH": os.environ["PATH"]}
        child = subprocess.Popen(["sh", "-c", script], env=path, stdout=subprocess.PIPE, text=True)
        pid = int(child.stdout.readline())
        child.wait()
        return pid

    def pid(self):
        return os.getpid()

    def waits_for_any_child(self):
        """Return how many there were: a daemon is none."""
        if os.fork() == 0:
            os._exit(0)
        ended = 0
        while True:
            try:
                ended += os.wait()[1] == 0
            except ChildProcessError:
                return ended

    def dies(self):
        os.kill(os.getpid(), signal.SIGKILL)
