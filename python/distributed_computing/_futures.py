"""Futures of single jobs."""

from __future__ import annotations

import logging
import threading
import weakref
from collections.abc import Callable
from concurrent.futures import Future
from itertools import islice
from queue import SimpleQueue
from time import monotonic
from typing import Any

from distributed_computing._definitions import Definitions
from distributed_computing._outcome import described, is_interrupt, value_of
from distributed_computing._stream import ASKS_AGAIN, FOREVER, LIMITED, NOBODY, PERHAPS, pickled_item
from distributed_computing.errors import CLOSED_EARLY, PoolClosed

_LOOKED_AT = 1000  # futures, to see whether anybody waits for one
_QUICK = 0.2  # seconds: while outcomes come faster than this nobody looks


class JobFuture(Future[Any]):
    """The future of one job. Refers to its pool, which therefore lasts, until it is done.

    The job cannot be taken back: `cancel()` returns False, and the job runs whether or not anybody waits for it.
    """

    def __init__(self, pool: Any) -> None:
        super().__init__()
        self._pool = pool
        self._readers = [0, 0]  # threads in result() and exception(): with a limit, without one
        self._in_loop = False  # an event loop of asyncio waits for it
        self._asked_at = float("-inf")  # when somebody last asked and it was not done
        self.set_running_or_notify_cancel()

    def result(self, timeout: float | None = None) -> Any:
        """Return the job's result, or raise its error; see `concurrent.futures.Future.result`."""
        self._read(timeout, 1)
        try:
            return super().result(timeout)
        except BaseException:
            self._read(timeout, -1)
            raise
        finally:
            del self  # an error that is kept keeps this frame

    def exception(self, timeout: float | None = None) -> BaseException | None:
        """Return the job's error, or None; see `concurrent.futures.Future.exception`."""
        self._read(timeout, 1)
        try:
            return super().exception(timeout)
        except BaseException:
            self._read(timeout, -1)
            raise

    def done(self) -> bool:
        """Return whether the result or the error is there; see `concurrent.futures.Future.done`."""
        done = super().done()
        if not done:
            self._asked_at = monotonic()
        return done

    def running(self) -> bool:
        """Return whether it is not done; see `concurrent.futures.Future.running`."""
        running = super().running()
        if running:
            self._asked_at = monotonic()
        return running

    def _read(self, timeout: float | None, threads: int) -> None:
        """So many threads more wait for it. Of a future that is done nobody asks, so that they need not be counted out."""
        with self._condition:
            self._readers[timeout is None] += threads
            if threads < 0:
                self._asked_at = monotonic()

    def patience(self) -> int:
        """Return how long somebody means to wait for it."""
        if self._readers[1] or self._waiters or self._in_loop:
            return FOREVER
        if monotonic() - self._asked_at < ASKS_AGAIN:
            return PERHAPS
        return LIMITED if self._readers[0] else NOBODY

    def add_done_callback(self, fn: Callable[[Future[Any]], object]) -> None:
        """Call `fn` with this future when it is done, or now. What it raises, whatever that is, is logged."""
        self._in_loop |= getattr(fn, "__module__", "") == "asyncio.futures"

        def guarded(future: Future[Any]) -> None:
            try:
                fn(future)
            except Exception:
                raise  # the base class logs it
            except BaseException as problem:
                if is_interrupt(problem):
                    raise
                logging.getLogger("concurrent.futures").exception("exception calling callback for %r", future)

        super().add_done_callback(guarded)

    def finish(self, value: Any, problem: BaseException | None) -> None:
        """Set the value, or the problem if there is one. Raises nothing but Ctrl-C."""
        try:
            if problem is None:
                self.set_result(value)
            else:
                self.set_exception(problem)
        except BaseException as another:  # somebody else has set it, or a callback's error cannot even be logged
            if is_interrupt(another):
                raise


class Futures:
    """Turns the outcomes of one stream into futures, on a thread of its own.

    The thread refers neither to this object nor to the pool, so that a pool that nobody refers to can go.

    Args:
        stream: of the native client.
        definitions: of the pool.
    """

    def __init__(self, stream: Any, definitions: Definitions | None = None) -> None:
        self._definitions = definitions
        self._stream = stream
        self._waiting: dict[int, JobFuture] = {}
        self._lock = threading.RLock()
        self._problem: BaseException | None = None  # that ended the thread
        self._wake: SimpleQueue[bool] = SimpleQueue()  # True: there are jobs. False: it is over
        self._thread = threading.Thread(
            target=_serve,
            args=(weakref.ref(self), stream, self._wake),
            name="distributed-computing-futures",
            daemon=True,
        )
        self._thread.start()

    def submit(self, pool: Any, key: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> JobFuture:
        """Submit a job.

        Args:
            pool: that the future is to refer to.
            key: of the job; an empty text if it has none.
            args, kwargs: of `run`.

        Raises:
            TypeError: they cannot be pickled.
            DistributedComputingError: the pool takes no more jobs.
        """
        payload = pickled_item({"args": args, "kwargs": kwargs}, "the job", self._definitions)
        future = JobFuture(pool)
        with self._lock:
            sequence = self._stream.submit(payload, key)
            if self._problem is not None:
                raise PoolClosed(f"this pool has no more futures, for {described(self._problem)}: make a new one")
            self._waiting[sequence] = future
            if len(self._waiting) == 1:
                self._wake.put(True)
        return future

    def settle(self, sequence: int, payload: Any, error: Any) -> None:
        """Set the future of an outcome."""
        value = problem = None
        try:
            value = value_of(sequence, payload, error, self._definitions)
        except BaseException as raised:  # whatever it is, it is this job's alone
            problem = BaseException.with_traceback(raised, None)
        with self._lock:
            future = self._waiting.pop(sequence, None)
        if future is None:  # a callback has closed the pool
            return
        future.finish(value, problem)
        self._stream.hand_over([sequence])
        future._pool = None
        del self, future  # frames of an error's cause may last as long as it does

    def fail(self, problem: BaseException) -> None:
        """End all futures that are not done with this problem."""
        with self._lock:
            self._problem = problem
            waiting, self._waiting = self._waiting, {}
        interrupt = None
        for future in waiting.values():
            try:
                future.finish(None, problem)
            except KeyboardInterrupt as raised:
                interrupt = raised
            future._pool = None
        if interrupt is not None:
            raise interrupt

    def patience(self) -> int:
        """Return how long somebody means to wait for one of the first of those that are not done."""
        with self._lock:
            return max((future.patience() for future in islice(self._waiting.values(), _LOOKED_AT)), default=NOBODY)

    def waits(self) -> bool:
        """Tell whether there are futures that are not done."""
        with self._lock:
            return bool(self._waiting)

    def end(self) -> None:
        """Let the thread end. Takes no lock: a pool that nobody refers to may go at any moment."""
        self._wake.put(False)

    def join(self) -> None:
        """End the thread and all futures, when the pool is closed."""
        self.end()
        if self._thread is not threading.current_thread():
            self._thread.join(2)
        self.fail(PoolClosed(CLOSED_EARLY))


def _serve(futures_now: weakref.ref[Futures], stream: Any, wake: SimpleQueue[bool]) -> None:
    """Set futures until the pool has ended."""
    while wake.get():
        try:
            while _settle_some(futures_now, stream):
                pass
        except BaseException as problem:
            futures = futures_now()
            if futures is not None:
                futures.fail(problem)
            return


def _settle_some(futures_now: weakref.ref[Futures], stream: Any) -> bool:
    """Wait for some outcomes and set their futures. Return whether there are others to wait for."""
    outcomes = stream.take(_QUICK)
    if not outcomes:
        futures = futures_now()
        patience = NOBODY if futures is None else futures.patience()
        del futures
        outcomes = stream.take(1.0, patience=patience)
    futures = futures_now()
    if futures is None:
        return False
    for outcome in outcomes:
        futures.settle(*outcome)
    others = futures.waits()
    del futures
    return others
