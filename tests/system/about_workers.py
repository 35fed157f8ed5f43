"""Worker classes that tell what they know of themselves; imported by name, here and on the nodes."""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import distributed_computing
from distributed_computing.api import WorkerInterface

ABOUT = "import distributed_computing as d; w = d.worker(); print(w.worker_number, w.slot, w.job_number)"
THREADS = tuple(f"{name}_NUM_THREADS" for name in ("OMP", "MKL", "OPENBLAS", "BLIS", "NUMEXPR"))


def answer(queue):
    queue.put(distributed_computing.worker())


class Knows(WorkerInterface):
    """Runs a method by its name."""

    def __init__(self):
        self.built = distributed_computing.worker()

    def run(self, what="about", *args):
        return getattr(self, what)(*args)

    def handle_update(self, _):
        self.updated = distributed_computing.worker()

    def about(self, seconds=0.0):
        time.sleep(seconds)
        return distributed_computing.worker(), os.getpid()

    def earlier(self):
        return self.built, self.updated

    def dies_until(self, attempt):
        if distributed_computing.worker().attempt < attempt:
            os._exit(1)
        return distributed_computing.worker().attempt

    def raises_until(self, attempt):
        if distributed_computing.worker().attempt < attempt:
            raise ValueError("again")
        return distributed_computing.worker().attempt

    def waits_until(self, path):
        """Return the attempt as soon as the file is there; makes another that says that it waits."""
        Path(f"{path}.{distributed_computing.worker().attempt}").touch()
        while not Path(path).exists():
            time.sleep(0.02)
        return distributed_computing.worker().attempt

    def in_a_thread(self):
        seen = []
        thread = threading.Thread(target=lambda: seen.append(distributed_computing.worker()))
        thread.start()
        thread.join()
        return seen[0] == distributed_computing.worker()

    def in_a_child(self, method):
        context = multiprocessing.get_context(method)
        queue = context.Queue()
        child = context.Process(target=answer, args=(queue,))
        child.start()
        seen = queue.get(timeout=20)
        child.join()
        return seen, distributed_computing.worker()

    def in_a_program(self):
        seen = subprocess.run([sys.executable, "-c", ABOUT], capture_output=True, text=True, check=True).stdout.split()
        here = distributed_computing.worker()
        return seen, [str(here.worker_number), str(here.slot), "None"]

    def variables(self, *names):
        return {name: os.environ[name] for name in names if name in os.environ}

    def unset(self):
        os.environ.clear()
        return distributed_computing.worker()
