"""Futures of single jobs."""

from __future__ import annotations

import threading
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any

from distributed_computing._named import value_of
from distributed_computing.errors import CLOSED_EARLY, PoolClosed
from distributed_computing.iterators import pickled_item

if TYPE_CHECKING:
    from distributed_computing.pool import Pool


class Futures:
    """Turns the outcomes of one stream into futures, on a thread of its own."""

    def __init__(self, pool: Pool) -> None:
        self._stream = pool._open_stream()
        self._pool = pool
        self._waiting: dict[int, Future[Any]] = {}
        self._condition = threading.Condition()
        self._thread = threading.Thread(target=self._run, name="distributed-computing-futures", daemon=True)
        self._thread.start()

    def submit(self, key: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Future[Any]:
        payload = pickled_item({"args": args, "kwargs": kwargs}, "the job")
        future: Future[Any] = Future()
        future.set_running_or_notify_cancel()
        with self._condition:
            self._waiting[self._stream.submit(payload, key)] = future
            self._condition.notify()
        return future

    def _run(self) -> None:
        try:
            while True:
                with self._condition:
                    while not self._waiting:
                        if self._pool._closed:
                            return
                        self._condition.wait(0.5)
                for sequence, payload, error in self._stream.take(1.0):
                    self._settle(sequence, payload, error)
                    self._stream.hand_over([sequence])
        except BaseException as problem:
            self._fail(problem)

    def _settle(self, sequence: int, payload: Any, error: Any) -> None:
        with self._condition:
            future = self._waiting.pop(sequence)
        try:
            value = value_of(sequence, payload, error)
        except Exception as problem:
            future.set_exception(problem)
            return
        future.set_result(value)

    def _fail(self, problem: BaseException) -> None:
        with self._condition:
            waiting, self._waiting = self._waiting, {}
        for future in waiting.values():
            future.set_exception(problem)

    def join(self) -> None:
        with self._condition:
            self._condition.notify()
        if self._thread is not threading.current_thread():
            self._thread.join(2)
        self._fail(PoolClosed(CLOSED_EARLY))
