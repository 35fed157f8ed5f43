"""Threads may share an iterator: each result goes to one of them, and none waits for ever."""

import threading
from itertools import chain

import pytest
from fakes import FakePool, FakeStream

from distributed_computing._stream import Stream
from distributed_computing.iterators import EarlierResults, ResultIterator

COUNT = 3000


def consume_in_threads(results, threads=4):
    """Return what each thread got of one iterator."""
    got = [[] for _ in range(threads)]
    all_of_them = [threading.Thread(target=mine.extend, args=(results,), daemon=True) for mine in got]
    for thread in all_of_them:
        thread.start()
    for thread in all_of_them:
        thread.join(30)
        assert not thread.is_alive(), "a thread waits for what will not come"
    return got


@pytest.mark.parametrize("ordered", [True, False])
def test_each_result_goes_to_one_thread(ordered):
    def items():  # a generator that two threads enter raises ValueError
        yield from range(COUNT)

    got = consume_in_threads(ResultIterator(Stream(FakeStream(), FakePool()), items(), ordered))
    assert sorted(chain(*got)) == list(range(COUNT))
    if ordered:
        assert all(mine == sorted(mine) for mine in got)


def test_results_of_earlier_programs_go_to_one_thread_each():
    native, pool, lock = FakeStream(), FakePool("named"), threading.RLock()
    for number in range(COUNT):
        native.submit(_payload(number))
    readers = [EarlierResults(Stream(native, pool, lock)) for _ in range(2)]
    got = consume_in_threads(_Either(readers))
    assert sorted(chain(*got)) == list(range(COUNT))
    assert native.handed == list(range(1, COUNT + 1))


def _payload(number):
    from distributed_computing._payload import dumps_call

    return dumps_call((number,), {})


class _Either:
    """Gives each thread one of several iterators over the same stream."""

    def __init__(self, iterators):
        self.iterators = iterators
        self.calls = 0

    def __iter__(self):
        self.calls += 1
        return self.iterators[self.calls % len(self.iterators)]


def test_a_thread_with_little_time_does_not_wait_for_one_with_much():
    native = FakeStream(held=True)
    results = ResultIterator(Stream(native, FakePool()), [7], ordered=True)
    got = []
    patient = threading.Thread(target=lambda: got.append(results.next(30)), daemon=True)
    patient.start()
    with pytest.raises(TimeoutError, match="no result within the timeout"):
        results.next(0.05)
    native.release()
    patient.join(30)
    assert got == [7]
    assert list(results) == []


def test_closing_ends_those_that_wait():
    native = FakeStream(held=True)
    results = ResultIterator(Stream(native, FakePool()), [7], ordered=True)
    got = []
    waiting = threading.Thread(target=lambda: got.extend(results) or got.append("end"), daemon=True)
    waiting.start()
    results.close()
    waiting.join(30)
    assert got == ["end"]


def test_an_iterator_keeps_its_pool():
    import gc
    import weakref

    pool = FakePool()
    known = weakref.ref(pool)
    results = ResultIterator(Stream(FakeStream(), pool), [1, 2], ordered=True)
    del pool
    gc.collect()
    assert known() is not None and list(results) == [1, 2]
    del results
    gc.collect()
    assert known() is None
