"""A worker class that prints in all the ways in which jobs print."""

import contextlib
import ctypes
import io
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from distributed_computing.api import WorkerInterface


class Talker(WorkerInterface):
    def __init__(self, greeting=None):
        if greeting:
            print(greeting)
        if greeting == "fails":
            raise ValueError(greeting)

    def run(self, how, *args):
        return getattr(self, how)(*args)

    def handle_update(self, text):
        print("update", text)

    def prints(self, text, stream="stdout"):
        print(text, file=getattr(sys, stream))
        return text

    def many(self, count):
        for i in range(count):
            print(f"line {i}")

    def dots(self, count=5):
        for _ in range(count):
            print("dot.", end="")

    def flushed_dot(self):
        print("dot.", end="", flush=True)

    def both(self):
        print("to stdout")
        print("to stderr", file=sys.stderr)

    def printf(self, text):
        ctypes.CDLL(None).printf(text.encode())

    def child(self, command):
        return subprocess.call(command, shell=True)

    def bar(self, stream="stderr"):
        for percent in range(0, 101, 10):
            getattr(sys, stream).write(f"\r{percent:3}%|{'#' * (percent // 10):10}|")
            getattr(sys, stream).flush()
        getattr(sys, stream).write("\n")

    def fails(self, text):
        print(text)
        print(text, "unfinished", end="", file=sys.stderr)
        raise ValueError(text)

    def dies(self, text, count=0):
        for i in range(count):
            print("storm", i)
        print(text)
        print(text, "unfinished", end="", flush=True)
        os.kill(os.getpid(), signal.SIGKILL)

    def redirected(self, path):
        """Print into a file for a while, by Python's means and by the system's."""
        with contextlib.redirect_stdout(io.StringIO()) as kept:
            print("into memory")
        saved = os.dup(1)
        file = os.open(path, os.O_WRONLY | os.O_CREAT)
        os.dup2(file, 1)
        print("into a file", end="")
        sys.stdout.flush()
        os.dup2(saved, 1)
        return kept.getvalue(), Path(path).read_text()

    def talks_until(self, path, text, native=False):
        """Say a line, and go on only when there is a file of this name."""
        if native:
            ctypes.CDLL(None).printf(text.encode() + b"\n")
        else:
            print(text)
        end = time.monotonic() + 20
        while not Path(path).exists() and time.monotonic() < end:
            time.sleep(0.01)
        return Path(path).exists()

    def storm_until(self, path, count, text):
        self.many(count)
        return self.talks_until(path, text)
