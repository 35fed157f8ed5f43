"""Worker classes whose jobs wait: for pools of their own, for time, or for a file."""

import asyncio
import time
from concurrent.futures import as_completed
from pathlib import Path

from distributed_computing.api import Pool, WorkerInterface
from workers import Calculator


class Opener(WorkerInterface):
    """Opens a pool in each job, and waits for it in one of many ways."""

    def __init__(self, where):
        self.where = where

    def run(self, how, options=None):
        with Pool(Calculator, None, *self.where, **(options or {})) as pool:
            return getattr(self, how)(pool)

    def map(self, pool):
        return sum(pool.map(range(3)))

    def future(self, pool):
        return pool.submit(3).result()

    def completed(self, pool):
        return sum(future.result() for future in as_completed([pool.submit(i) for i in range(3)]))

    def loop(self, pool):
        async def result():
            return await asyncio.wrap_future(pool.submit(3))

        return asyncio.run(result())

    def workers(self, pool):
        pool.wait_for_workers(1)
        return 3

    def limited(self, pool):
        try:
            pool.wait_for_workers(1, timeout=6)
        except TimeoutError:
            return 3

    def nothing(self, pool):
        return 3


class Sleeper(WorkerInterface):
    """Sleeps, for seconds, or until a file is there."""

    def run(self, how_long):
        if isinstance(how_long, str):
            while not Path(how_long).exists():
                time.sleep(0.01)
        else:
            time.sleep(how_long)
        return how_long


class Broken(WorkerInterface):
    """Cannot be constructed."""

    def __init__(self):
        raise ValueError("no data set")

    def run(self):
        return None
