"""Futures: what goes wrong with one is its own affair, and they keep no pool that nobody needs."""

import gc
import logging
import threading
import weakref

import pytest
from fakes import FakePool, FakeStream

from distributed_computing._futures import Futures
from distributed_computing._stream import LIMITED, NOBODY, PERHAPS, Stream
from distributed_computing.errors import PoolClosed, SerializationError
from distributed_computing.iterators import EarlierResults, ResultIterator


class CannotBeRebuilt:
    """Raises when it is loaded."""

    def __init__(self, error):
        self.error = error

    def __reduce__(self):
        return _raise, (self.error,)


class OnlyAsAResult:
    """Is loaded once as an argument; when that is loaded as a result, raises."""

    def __init__(self, error):
        self.error = error

    def __reduce__(self):
        return CannotBeRebuilt, (self.error,)


def _raise(error):
    raise error


class TextRaises(BaseException):
    def __str__(self):
        raise SystemExit(2)

    __repr__ = __str__


@pytest.fixture
def futures():
    made = Futures(FakeStream())
    yield made
    made._stream.close()
    made.join()
    assert not made._thread.is_alive()


def submit(futures, value):
    return futures.submit(FakePool(), "", (value,), {})


@pytest.mark.parametrize("error", [SystemExit(3), KeyboardInterrupt(), GeneratorExit(), TextRaises(), ValueError("no")])
def test_a_result_that_cannot_be_rebuilt_hurts_its_own_future(futures, error):
    broken = submit(futures, OnlyAsAResult(error))
    with pytest.raises(SerializationError, match=f"cannot be unpickled here: {type(error).__name__}") as caught:
        broken.result(30)
    assert type(caught.value.__cause__) is type(error)
    assert submit(futures, 5).result(30) == 5


@pytest.mark.parametrize("error", [SystemExit(3), KeyboardInterrupt(), TextRaises(), ValueError("no")])
def test_a_callback_that_raises_hurts_nobody(error, caplog):
    native = FakeStream(held=True)
    futures = Futures(native)
    called = []
    with caplog.at_level(logging.ERROR):
        first, second = submit(futures, 1), submit(futures, 2)
        first.add_done_callback(lambda future: _raise(error))
        first.add_done_callback(called.append)
        native.release(2)
        assert (first.result(30), second.result(30), submit_and_release(futures, 3)) == (1, 2, 3)
    assert called == [first], "the callbacks after it are called"
    assert "exception calling callback" in caplog.text
    native.close()
    futures.join()


def submit_and_release(futures, value):
    future = submit(futures, value)
    futures._stream.release()
    return future.result(30)


def test_one_that_was_set_by_somebody_else(futures):
    native = FakeStream(held=True)
    futures = Futures(native)
    first, second = submit(futures, 1), submit(futures, 2)
    first.set_result("mine")
    native.release(2)
    assert (first.result(30), second.result(30)) == ("mine", 2)
    native.close()
    futures.join()


def test_the_end_of_the_pool_ends_all():
    native = FakeStream(held=True)
    futures = Futures(native)
    called = []
    waiting = [submit(futures, number) for number in range(3)]
    waiting[0].add_done_callback(lambda future: _raise(SystemExit()))
    waiting[1].add_done_callback(called.append)
    native.close()
    futures.join()
    for future in waiting:
        with pytest.raises(PoolClosed):
            future.result(0)
    assert called == [waiting[1]]
    with pytest.raises(PoolClosed):
        submit(futures, 4)


def test_a_callback_may_close_the_pool(caplog):
    native = FakeStream(held=True)
    futures = Futures(native)
    waiting = [submit(futures, number) for number in range(3)]

    def close(future):
        native.close()
        futures.join()

    waiting[0].add_done_callback(close)
    native.release(3)
    assert waiting[0].result(30) == 0
    for future in waiting[1:]:
        with pytest.raises(PoolClosed, match="before this job had a result"):
            future.result(30)
    assert thread_ends(futures._thread) and "Error" not in caplog.text


def test_when_the_thread_has_ended_no_future_is_given_that_nobody_sets(futures):
    futures.fail(MemoryError("no room"))
    with pytest.raises(PoolClosed, match="MemoryError: no room: make a new one"):
        submit(futures, 1)


class PoolWithFutures(FakePool):
    """Does with its futures what a pool does."""

    def __init__(self, native):
        super().__init__()
        self.native = native
        self.futures = Futures(native)

    def submit(self, value):
        return self.futures.submit(self, "", (value,), {})

    def __del__(self):
        self.native.close()
        self.futures.end()


def thread_ends(thread):
    thread.join(30)
    return not thread.is_alive()


def test_a_pool_that_nobody_refers_to_goes():
    pool = PoolWithFutures(FakeStream())
    known, thread = weakref.ref(pool), pool.futures._thread
    done = pool.submit(1)
    assert done.result(30) == 1
    del pool
    # The thread itself may be about to let go of it.
    for _ in range(3000):
        gc.collect()
        if known() is None:
            break
        threading.Event().wait(0.01)
    assert known() is None and thread_ends(thread)
    assert done.result() == 1


def test_a_future_that_is_not_done_keeps_its_pool():
    native = FakeStream(held=True)
    future = PoolWithFutures(native).submit(1)
    gc.collect()
    native.release()
    assert future.result(30) == 1


def test_a_pool_goes_together_with_its_futures():
    pool = PoolWithFutures(FakeStream(held=True))
    known, thread = weakref.ref(pool), pool.futures._thread
    future = pool.submit(1)
    del pool
    gc.collect()
    assert known() is not None
    del future
    gc.collect()
    assert known() is None and thread_ends(thread)


def test_an_error_keeps_nothing(futures):
    future = submit(futures, OnlyAsAResult(ValueError("no")))
    with pytest.raises(SerializationError):
        future.result(30)
    known = weakref.ref(future)
    del future
    for _ in range(3000):
        if known() is None:
            break
        threading.Event().wait(0.01)
    assert known() is None, "without the garbage collector"


@pytest.mark.parametrize("ask", ["done", "running", "result"])
def test_who_asks_again_and_again_may_wait_for_ever(ask):
    native = FakeStream(held=True)
    futures = Futures(native)
    future = submit(futures, 1)
    assert future.patience() == NOBODY
    if ask == "result":
        with pytest.raises(TimeoutError):
            future.result(0.01)
    else:
        getattr(future, ask)()
    assert futures.patience() == PERHAPS
    native.release()
    assert future.result(30) == 1
    native.close()
    futures.join()


@pytest.mark.parametrize("earlier", [False, True])
def test_an_iterator_that_is_asked_again_after_its_limit_may_wait_for_ever(earlier):
    class Silent(FakeStream):
        told = ()

        def take(self, timeout, most=3, patience=0):
            self.told = (*self.told, patience)
            return []

        def in_flight(self):
            return 1

    native = Silent()
    stream = Stream(native, FakePool("named"))
    results = EarlierResults(stream) if earlier else ResultIterator(stream, [1], True)
    for limit in (LIMITED, PERHAPS):
        with pytest.raises(TimeoutError):
            results.next(timeout=0.01)
        assert max(native.told) == limit
