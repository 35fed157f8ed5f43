"""The iterators behind map, imap and imap_unordered: they read the caller's items only as results are consumed."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from distributed_computing._items import arguments
from distributed_computing._payload import dumps, loads
from distributed_computing.errors import SerializationError, from_outcome

if TYPE_CHECKING:
    from distributed_computing.pool import Pool

WINDOW_JOBS = 2048  # limits::imap_window_jobs
WINDOW_BYTES = 64 << 20  # limits::imap_window_bytes
_BATCH = 64
_FOREVER = 1e10


def payload_size(payload: bytes | list[Any]) -> int:
    """Return the bytes of what `dumps` returned."""
    if isinstance(payload, bytes):
        return len(payload)
    return sum(memoryview(part).nbytes for part in payload)


def pickled_item(item: Any, where: str) -> bytes | list[Any]:
    """Return an item's (args, kwargs) as a payload. Raises TypeError naming the item when that is impossible."""
    call = ((item,), {}) if type(item) in (int, float, str, bytes) else arguments(item, where)
    try:
        return dumps(call)
    except Exception as error:
        raise SerializationError(f"{where} cannot be pickled: {type(error).__name__}: {error}") from error


class ResultIterator:
    """Yields results while it reads items: ordered (`imap`) or as they come (`imap_unordered`).

    An item whose job failed raises at its place; the iterator goes on with the next one after that. Leaving it unfinished
    discards what is still under way. Not to be shared between threads.
    """

    def __init__(self, pool: Pool, items: Iterable[Any], ordered: bool, window: int = WINDOW_JOBS) -> None:
        if isinstance(items, (str, bytes)) or not hasattr(items, "__iter__"):
            raise TypeError(f"items must be an iterable of jobs, not {type(items).__name__}")
        self._pool = pool
        self._items = iter(items)
        self._ordered = ordered
        self._stream = pool._open_stream()
        self._window_max = window
        self._window = min(window, max(16, 2 * pool._client.state()[0]))
        self._index = 0  # items read so far
        self._exhausted = False
        self._item_error: BaseException | None = None  # raised by the caller's iterator or for an item
        self._first: int | None = None  # sequence of the first job of this iterator, if all are consecutive
        self._sizes: dict[int, int] = {}
        self._bytes = 0
        self._order: list[int] = []  # ordered: sequences in the order of the items
        self._next_place = 0
        self._early: dict[int, tuple[Any, Any]] = {}  # ordered: outcomes that came before their turn
        self._ready: list[tuple[int, Any, Any]] = []  # outcomes, the next one last
        self._in_flight = 0
        self._feed()  # the first jobs start now, not when the first result is asked for

    def __iter__(self) -> ResultIterator:
        return self

    def __next__(self) -> Any:
        return self.next()

    def next(self, timeout: float | None = None) -> Any:
        """Return the next result; like `next()`, with a limit on the time.

        Args:
            timeout: seconds to wait at most; None waits for ever.

        Raises:
            StopIteration: there are no more results.
            TimeoutError: none came in time; the iterator can still be used.
            JobError, WorkerDied, JobTimeout: this job failed.
        """
        if self._ready and not self._ordered:
            return self._deliver(*self._ready.pop())
        try:
            return self._wait(None if timeout is None else time.monotonic() + timeout)
        except KeyboardInterrupt:
            self._pool.close()
            raise

    def _wait(self, deadline: float | None) -> Any:
        while True:
            if self._ordered and self._next_place < len(self._order):
                sequence = self._order[self._next_place]
                if sequence in self._early:
                    self._next_place += 1
                    if self._next_place >= 4096:
                        del self._order[: self._next_place]
                        self._next_place = 0
                    return self._deliver(sequence, *self._early.pop(sequence))
            elif not self._ordered and self._ready:
                return self._deliver(*self._ready.pop())
            if self._feed():
                continue
            waiting = self._in_flight if not self._ordered else len(self._order) - self._next_place
            if waiting == 0:
                if self._item_error is not None:
                    error, self._item_error = self._item_error, None
                    raise error
                if self._exhausted:
                    self.close()
                    raise StopIteration
                continue
            if self._take(0.0):
                continue
            if self._window < self._window_max:
                # The consumer waits: read further ahead next time.
                self._window = min(self._window_max, self._window * 2)
                if not self._exhausted and self._item_error is None and self._bytes < WINDOW_BYTES:
                    continue
            left = _FOREVER if deadline is None else deadline - time.monotonic()
            if not self._take(max(0.0, left)) and deadline is not None and time.monotonic() >= deadline:
                raise TimeoutError("no result within the timeout")

    def _feed(self) -> bool:
        """Read and submit items as far as the window allows; stop early and return True when results are there."""
        while (
            self._in_flight < self._window
            and (self._bytes < WINDOW_BYTES or not self._in_flight)
            and not self._exhausted
            and self._item_error is None
        ):
            batch: list[bytes | list[Any]] = []
            room = min(_BATCH, self._window - self._in_flight)
            batch_bytes = 0
            try:
                while (len(batch) < room and self._bytes + batch_bytes < WINDOW_BYTES) or not batch:
                    item = next(self._items)
                    payload = pickled_item(item, f"item {self._index}")
                    self._index += 1
                    batch.append(payload)
                    batch_bytes += len(payload) if type(payload) is bytes else payload_size(payload)
            except StopIteration:
                self._exhausted = True
            except BaseException as error:
                self._index += 1
                self._item_error = error  # raised after the results of the items before it
                if isinstance(error, KeyboardInterrupt):
                    raise
            if batch:
                self._submit(batch)
            if self._take(0.0):
                return True
        return False

    def _submit(self, batch: list[bytes | list[Any]]) -> None:
        first = self._stream.submit_many(batch)
        for sequence, payload in enumerate(batch, first):
            size = len(payload) if type(payload) is bytes else payload_size(payload)
            self._bytes += size
            if size:
                self._sizes[sequence] = size
        if self._ordered:
            self._order.extend(range(first, first + len(batch)))
        self._in_flight += len(batch)

    def _take(self, timeout: float) -> bool:
        outcomes = self._stream.take(timeout)
        if not outcomes:
            return False
        self._in_flight -= len(outcomes)
        sizes = self._sizes
        for sequence, _payload, _error in outcomes:
            self._bytes -= sizes.pop(sequence, 0)
        if self._ordered:
            early = self._early
            for sequence, payload, error in outcomes:
                early[sequence] = (payload, error)
        else:
            outcomes.reverse()
            self._ready[:0] = outcomes
        return True

    @staticmethod
    def _deliver(sequence: int, payload: Any, error: Any) -> Any:
        if error is not None:
            exception = from_outcome(error, payload)
            raise exception from exception.__cause__
        try:
            return loads(payload)
        except Exception as problem:
            raise SerializationError(
                f"the result of job {sequence} cannot be unpickled here: {type(problem).__name__}: {problem}"
            ) from problem

    def close(self) -> None:
        """Discard what is still under way."""
        self._exhausted = True
        self._stream.close()
