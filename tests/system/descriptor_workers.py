"""A worker class that keeps large things."""

from __future__ import annotations

import os

import numpy  # noqa: F401  (its import needs descriptors, of which there may be none later)

from distributed_computing.api import WorkerInterface


class Keeper(WorkerInterface):
    """Keeps what it is given, and remembers its updates."""

    def __init__(self):
        self.kept = []
        self.numbers = []

    def run(self, what, *args):
        return getattr(self, what)(*args)

    def handle_update(self, number, data):
        assert not any(data[:1]) and len(data) == 70_000
        self.numbers.append(number)

    def updates(self):
        return self.numbers

    def keeps(self, data):
        self.kept.append(data)
        return len(self.kept)

    def makes(self, size):
        return bytes(size)

    def pid(self):
        return os.getpid()

    def dies(self):
        os._exit(1)

    def opens_all(self):
        while True:
            self.kept_files = [*getattr(self, "kept_files", []), open(os.devnull)]
