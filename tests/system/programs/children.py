"""Processes that jobs start know the script's functions and classes, however they are started."""

import concurrent.futures
import functools
import multiprocessing
import os
import sys

from distributed_computing.api import Pool


class Data:
    scale = 2

    def __init__(self, n):
        self.n = n

    def __getitem__(self, i):
        return self.scale * i


@functools.lru_cache
def offset():
    return 1


def load(data, i):
    return data[i] + offset()


class Loader:
    def run(self, method):
        Data.scale = 3
        context = multiprocessing.get_context(method)
        with concurrent.futures.ProcessPoolExecutor(1, mp_context=context) as executor:
            found = list(executor.map(functools.partial(load, Data(10)), range(3)))
        queue = context.SimpleQueue()
        child = context.Process(target=tell, args=(queue,))
        child.start()
        told = queue.get()
        child.join()
        return found, told


def tell(queue):
    queue.put((type(Data(1)).__module__, Data(1)[1]))


def sweep(where, queue):
    with Pool(Loader, None, *where) as pool:
        queue.put(pool.map(["spawn"])[0][0])


if __name__ == "__main__":
    where = os.environ["DISTRIBUTED_COMPUTING_PASSWORD"], "localhost", int(sys.argv[1])
    with Pool(Loader, None, *where) as pool:
        assert pool.map(["fork"]) == [([1, 4, 7], ("__main__", 3))]
        assert pool.map(["spawn"]) == [([1, 3, 5], ("__main__", 2))], "as defined, as multiprocessing does it"
        assert pool.map(["forkserver"]) == [([1, 3, 5], ("__main__", 2))]
    for method in ("spawn", "forkserver", "fork"):  # the program itself is a child
        context = multiprocessing.get_context(method)
        queue = context.Queue()
        child = context.Process(target=sweep, args=(where, queue))
        child.start()
        assert queue.get(timeout=30) == [1, 3, 5], method
        child.join()
    print("done")
