"""What beginners write, against a real cluster: the error says what to write instead."""

import pytest

from distributed_computing.api import JobError, Pool, PoolClosed, WorkerInitError, WorkerInterface

PAIRS = [(1, 2), (3, 4)]


class Adder(WorkerInterface):
    def __init__(self, first=0, second=0):
        self.start = first + second

    def run(self, a, b):
        return self.start + a + b

    def handle_update(self, first, second):
        self.start = first + second


class TwoNeeded(Adder):
    def __init__(self, first, second):
        super().__init__(first, second)


class Whole(WorkerInterface):
    def run(self, item):
        raise TypeError(f"of its own, with {item}")


@pytest.fixture
def pool(cluster, pool_arguments):
    cluster.head()
    cluster.node(workers=1)
    with Pool(Adder, None, *pool_arguments) as pool:
        yield pool


def test_tuples_where_arguments_were_meant(pool):
    hint = (
        r"missing 1 required positional argument: 'b' \(the job's argument is one tuple.*write \{'args': \[1, 2\]\}\)"
    )
    with pytest.raises(JobError, match=hint):
        pool.map(PAIRS)
    assert pool.map({"args": pair} for pair in PAIRS) == [3, 7]
    with pytest.raises(JobError, match=r"pool.submit\(1, 2\)"):
        pool.submit({"args": [1, 2]}).result(30)
    with pytest.raises(JobError, match=r"the update is one tuple.*write \{'args': \[5, 6\]\}"):
        pool.update_workers((5, 6), wait=True, timeout=30)
    assert pool.submit(1, 2).result(30) == 3


def test_a_tuple_as_init_data(cluster, pool_arguments):
    cluster.head()
    cluster.node(workers=1)
    with Pool(TwoNeeded, (1, 2), *pool_arguments) as pool:
        with pytest.raises(WorkerInitError, match=r"init_data is one tuple.*write \{'args': \[1, 2\]\}"):
            pool.map([1])


def test_an_error_of_run_itself_gets_no_hint(cluster, pool_arguments):
    cluster.head()
    cluster.node(workers=1)
    with Pool(Whole, None, *pool_arguments) as pool:
        with pytest.raises(JobError) as caught:
            pool.map(PAIRS)
    assert str(caught.value).splitlines()[0] == "TypeError: of its own, with (1, 2)"


def test_a_future_read_after_the_end_of_the_block(cluster, pool_arguments):
    cluster.head()  # without a node: no job ever runs
    with Pool(Adder, None, *pool_arguments) as pool:
        future, results = pool.submit(1, 2), pool.imap([(1, 2)])
    for read in (lambda: future.result(30), lambda: results.next(30)):
        with pytest.raises(PoolClosed, match=r"before this job had a result .*inside of the with block"):
            read()
    with pytest.raises(PoolClosed, match="this pool is closed .*make a new one"):
        pool.map([1])
