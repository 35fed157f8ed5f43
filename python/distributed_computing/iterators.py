"""The iterators behind map, imap and imap_unordered: they read the caller's items only as results are consumed."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from time import monotonic
from typing import Any, Self

from distributed_computing import _client
from distributed_computing._named import split_key
from distributed_computing._stream import (
    ASKS_AGAIN,
    FOREVER,
    LIMITED,
    NOBODY,
    PERHAPS,
    Stream,
    payload_size,
    pickled_item,
)

WINDOW_JOBS: int = _client.IMAP_WINDOW_JOBS
WINDOW_BYTES: int = _client.IMAP_WINDOW_BYTES
_WINDOW_MIN = 16
_BATCH = 64
_BATCH_SECONDS = 0.001  # reading that takes longer is slow
_SHORT_WAIT = 0.02  # seconds: results that come this quickly mean that jobs are short
_FOREVER = float("inf")
_LOOK_AGAIN = 0.2  # seconds: whether there are more workers to feed


def text_size(error: tuple[Any, ...]) -> int:
    """Return about how many bytes the texts of an outcome's error take: message and traceback."""
    return len(error[1]) + len(error[2])


class _Results:
    """Results that are read one by one, with or without a limit on the time."""

    _stream: Stream
    _asked_at = float("-inf")  # when the limit of somebody who waited was over

    def _patience(self, deadline: float | None) -> int:
        """Return how long the caller means to wait: whoever asks again after his limit may do so for ever."""
        if deadline is None:
            return FOREVER
        return PERHAPS if monotonic() - self._asked_at < ASKS_AGAIN else LIMITED

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Any:
        return self._stream.read(self._step, None)

    def next(self, timeout: float | None = None) -> Any:
        """Return the next result; like `next()`, with a limit on the time.

        Args:
            timeout: seconds to wait at most; None waits for ever.

        Raises:
            StopIteration: there are no more results.
            TimeoutError: none came in time; the iterator can still be used.
            JobError, WorkerDied, JobTimeout: this job failed.
        """
        return self._stream.read(self._step, timeout)

    def _step(self, deadline: float | None) -> tuple[int, Any, Any]:
        """Return the next outcome, see `Stream.read`."""
        raise NotImplementedError


class ResultIterator(_Results):
    """Yields results while it reads items: ordered (`imap`) or as they come (`imap_unordered`).

    Reads only a bounded number of items, and bytes, ahead of what was consumed: about two for each worker, more when jobs
    are short. An item whose job failed raises at its place; the iterator goes on with the next one after that. Leaving it
    unfinished (break, `close`) reads no more items and discards the results of the jobs that were submitted: these, 2,048
    at most, still run, before later jobs of the pool, unless that is closed. Threads may share it: each result goes to one
    of them, and `items` are read by one at a time. `Results` of the C++ interface is for one thread, and does the same in
    the same words.

    Args:
        stream: of the pool where the jobs run; the iterator's own.
        items: what to run, see `Pool.map`.
        ordered: results in the order of the items.
        bounded: False when results that wait to be consumed do not count (map keeps them all anyway).
        window: jobs under way at most.
        whole: the caller needs all results, or none of them counts as delivered.
    """

    def __init__(
        self,
        stream: Stream,
        items: Iterable[Any],
        ordered: bool,
        bounded: bool = True,
        window: int = WINDOW_JOBS,
        whole: bool = False,
    ) -> None:
        if isinstance(items, (str, bytes)) or not hasattr(items, "__iter__"):
            raise TypeError(f"items must be an iterable of jobs, not {type(items).__name__}")
        self._stream = stream
        self._items = iter(items)
        self._ordered = ordered
        self._bounded = bounded
        self._named = stream.named
        self._whole: list[int] | None = [] if whole else None  # named pools: sequences that were yielded
        self._window_max = window
        self._window = 0
        self._index = 0  # items read so far
        self._exhausted = False
        self._batch = 1  # items to submit at once
        self._slow_items = False  # the last batch ended because reading it took long
        self._item_error: BaseException | None = None  # raised by the caller's iterator or for an item
        self._submitted = 0
        self._yielded = 0
        self._in_flight = 0
        self._bytes = 0  # arguments in flight, and results not consumed where they count
        self._result_bytes = 0  # mean size of a result
        self._sizes: dict[int, int] = {}  # of arguments in flight, by sequence
        self._order: deque[int] = deque()  # ordered: sequences in the order of the items
        self._early: dict[int, tuple[int, Any, Any]] = {}  # ordered: outcomes that came before their turn
        self._ready: deque[tuple[int, Any, Any]] = deque()  # unordered: outcomes to be consumed
        self._widen()
        # The first jobs start now, not when the first result is asked for.
        while self._feed() and not self._slow_items:
            pass

    def _step(self, deadline: float | None) -> tuple[int, Any, Any]:
        """Return the next outcome, see `Stream.read`."""
        while True:
            # The workers must not run dry while the consumer works through what is ready; but it need not wait for a
            # slow iterable.
            if not self._exhausted and not self._slow_items and self._ahead() <= self._window >> 1:
                self._feed()
            outcome = self._next_outcome()
            if outcome is not None:
                if self._named:
                    self._hand_over(outcome[0])
                return outcome
            if self._take(0.0) or self._feed():
                continue
            if self._submitted != self._yielded:
                self._wait(deadline)
            elif self._item_error is not None:
                error, self._item_error = self._item_error, None
                raise error
            else:
                self._end_whole()
                self.close()
                raise StopIteration

    def _hand_over(self, sequence: int) -> None:
        """Tell a named pool what the caller has: it counts as delivered when the next one is asked for."""
        if self._whole is None:
            self._stream.hand_over([sequence])
        else:
            self._whole.append(sequence)

    def _end_whole(self) -> None:
        """With `whole`: the caller has all results. A closed stream takes no more hands-over."""
        if self._whole:
            self._stream.hand_over(self._whole)
            self._whole = []

    def _next_outcome(self) -> tuple[int, Any, Any] | None:
        if self._ordered:
            if not self._order or self._order[0] not in self._early:
                return None
            outcome = self._early.pop(self._order.popleft())
        elif self._ready:
            outcome = self._ready.popleft()
        else:
            return None
        self._yielded += 1
        if self._bounded:
            self._bytes -= len(outcome[1])
            if outcome[2] is not None:
                self._bytes -= text_size(outcome[2])
        return outcome

    def _ahead(self) -> int:
        """Return how many jobs count for the window."""
        return self._submitted - self._yielded if self._bounded else self._in_flight

    def _bytes_left(self) -> int:
        """Return how many bytes of arguments may be read. Results to come count with their mean size so far."""
        return WINDOW_BYTES - self._bytes - (self._in_flight * self._result_bytes if self._bounded else 0)

    def _feed(self) -> bool:
        """Read and submit some items as far as the window allows; return whether there were any."""
        ahead = self._ahead()
        room = min(self._batch, self._window - ahead)
        bytes_left = self._bytes_left()
        to_come = self._result_bytes if self._bounded else 0
        free = max(1, self._workers) - ahead  # however large they are, each worker may have one
        batch: list[bytes | list[Any]] = []
        sizes: list[int] = []
        keys: list[str] = []
        end = monotonic() + _BATCH_SECONDS
        self._slow_items = False
        try:
            while (
                not self._exhausted
                and self._item_error is None
                and len(batch) < room
                and (bytes_left > 0 or len(batch) < free)
            ):
                item = next(self._items)
                where = self._index
                self._index += 1
                if self._named:
                    item, key = split_key(item, f"item {where}")
                payload = pickled_item(item, f"item {where}", self._stream.definitions)
                size = len(payload) if type(payload) is bytes else payload_size(payload)
                if self._named:
                    keys.append(key)
                batch.append(payload)
                sizes.append(size)
                bytes_left -= size + to_come
                if monotonic() > end:
                    self._slow_items = True
                    break
        except StopIteration:
            self._exhausted = True
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            self._item_error = error  # raised after the results of the items before it
        # What was read is not held back while a slow iterable makes the next item: batches grow as long as it is quick.
        self._batch = 1 if self._slow_items else min(2 * self._batch, _BATCH)
        if batch:
            self._submit(batch, sizes, keys)
        return bool(batch)

    def _submit(self, batch: list[bytes | list[Any]], sizes: list[int], keys: list[str]) -> None:
        first = self._stream.submit_many(batch, keys) if any(keys) else self._stream.submit_many(batch)
        sequences = range(first, first + len(batch))
        self._sizes.update(zip(sequences, sizes, strict=True))
        if self._ordered:
            self._order.extend(sequences)
        self._bytes += sum(sizes)
        self._submitted += len(batch)
        self._in_flight += len(batch)

    def _take(self, timeout: float, patience: int = NOBODY) -> bool:
        outcomes = self._stream.take(timeout, patience=patience)
        if not outcomes:
            return False
        self._in_flight -= len(outcomes)
        pop = self._sizes.pop
        arguments_bytes = results_bytes = 0
        for outcome in outcomes:
            arguments_bytes += pop(outcome[0])
            results_bytes += len(outcome[1])
            if outcome[2] is not None:
                results_bytes += text_size(outcome[2])
        self._bytes -= arguments_bytes
        if self._bounded:
            self._bytes += results_bytes
        mean = results_bytes // len(outcomes)
        self._result_bytes += (mean - self._result_bytes) // 2
        if self._ordered:
            for outcome in outcomes:
                self._early[outcome[0]] = outcome
        else:
            self._ready.extend(outcomes)
        return True

    def _wait(self, deadline: float | None) -> None:
        """Wait for a result. When they come quickly, jobs are short and more of them must be under way; when results only
        wait for their turn, workers would be idle."""
        start = monotonic()
        idle = self._in_flight <= self._workers and self._window < self._window_max
        left = _LOOK_AGAIN if deadline is None else min(_LOOK_AGAIN, deadline - start)
        came = self._take(0.0 if idle else max(0.0, left), self._patience(deadline))
        if idle or (came and monotonic() - start < _SHORT_WAIT):
            self._window *= 2
        self._widen()
        if not came and deadline is not None and monotonic() >= deadline:
            self._asked_at = monotonic()
            raise TimeoutError("no result within the timeout")

    def _widen(self) -> None:
        self._workers = self._stream.workers()
        two_each = min(max(_WINDOW_MIN, 2 * self._workers), self._window_max)
        self._window = min(max(self._window, two_each), self._window_max)

    def close(self) -> None:
        """Discard what is still under way: read no more items, and drop the results of the jobs that were submitted. These
        still run; `close()` of the pool ends them."""
        self._exhausted = True
        self._stream.close()


class EarlierResults(_Results):
    """Yields the results of the jobs that earlier programs submitted to a named pool and that no program has so far.

    Waits for those that still run. A job that failed raises at its place; the iterator goes on with the next one after
    that. A result counts as delivered when the next one is asked for, or the pool is left: what a killed program had not
    done with is there for the next one. Threads may share it: each result goes to one of them, and counts as delivered
    when any of them asks for the next one.

    Args:
        stream: of what earlier programs left.
    """

    def __init__(self, stream: Stream) -> None:
        self._stream = stream

    def __length_hint__(self) -> int:
        return self._stream.in_flight()

    def _step(self, deadline: float | None) -> tuple[int, Any, Any]:
        if self._stream.in_flight() == 0:
            self._stream.take(0.0, 1)  # the caller has done with the last one
            raise StopIteration
        # One at a time: what the caller does not ask for stays in the pool.
        left = _FOREVER if deadline is None else max(0.0, deadline - monotonic())
        outcomes = self._stream.take(left, 1, patience=self._patience(deadline))
        if not outcomes:
            self._asked_at = monotonic()
            raise TimeoutError("no result within the timeout")
        self._stream.hand_over([outcomes[0][0]])
        return outcomes[0]
