"""The iterators behind map, imap and imap_unordered: they read the caller's items only as results are consumed."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from time import monotonic
from typing import Any, Self

from distributed_computing import _client
from distributed_computing._named import split_key
from distributed_computing._payload import PLAIN_TYPES, dumps_plain
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
_FOREVER = float("inf")


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

    Reads only a bounded number of items, and bytes, ahead of what was consumed: about two for each worker, more when
    jobs are short. An item whose job failed raises at its place; the iterator goes on with the next one after that.
    Leaving it unfinished (break, `close`) reads no more items and discards the results of the jobs that were submitted:
    these, 2,048 at most (8,192 of a named pool), still run, before later jobs of the pool, unless that is closed.
    Threads may share it: each result goes to one of them, and `items` are read by one at a time. `Results` of the C++
    interface is for one thread, and does the same in the same words.

    Args:
        stream: of the pool where the jobs run; the iterator's own.
        items: what to run, see `Pool.map`.
        ordered: results in the order of the items.
        bounded: False when results that wait to be consumed do not count (map keeps them all anyway).
        window: jobs under way at most; four times as many of a named pool, whose jobs pass its store twice.
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
        self._named = stream.named
        self._whole: list[int] | None = [] if whole else None  # named pools: sequences that were yielded
        self._window = _client.Window(
            ordered=ordered, bounded=bounded, named=self._named, jobs_max=window, workers=stream.workers()
        )
        self._index = 0  # items read so far
        self._item_error: BaseException | None = None  # raised by the caller's iterator or for an item
        self._ready: deque[tuple[int, Any, Any]] = deque()  # outcomes to be consumed, in this order
        # The first jobs start now, not when the first result is asked for.
        while self._feed() and not self._window.slow():
            pass

    def _step(self, deadline: float | None) -> tuple[int, Any, Any]:
        """Return the next outcome, see `Stream.read`."""
        window = self._window
        while not self._ready:
            if window.due():
                self._feed()
            self._ready.extend(window.next())
            if self._ready or self._take(0.0) or self._feed():
                continue
            if not window.empty():
                self._wait(deadline)
            elif self._item_error is not None:
                error, self._item_error = self._item_error, None
                raise error
            else:
                self._end_whole()
                self.close()
                raise StopIteration
        outcome = self._ready.popleft()
        if self._named:
            self._hand_over(outcome[0])
        return outcome

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

    def _feed(self) -> bool:
        """Read and submit some items as far as the window allows; return whether there were any."""
        if self._item_error is not None:
            return False
        jobs, jobs_always, bytes_left, to_come = self._window.room()
        batch: list[bytes | list[Any]] = []
        sizes: list[int] = []
        keys: list[str] = []
        slow = False
        end = monotonic() + _client.Window.BATCH_SECONDS
        try:
            while len(batch) < jobs and (bytes_left > 0 or len(batch) < jobs_always):
                item = next(self._items)
                where = self._index
                self._index += 1
                key = ""
                payload: bytes | list[Any]
                if type(item) in PLAIN_TYPES:
                    payload = dumps_plain(item)
                    size = len(payload)
                else:
                    if self._named:
                        item, key = split_key(item, f"item {where}")
                    payload = pickled_item(item, f"item {where}", self._stream.definitions)
                    size = payload_size(payload)
                if self._named:
                    keys.append(key)
                batch.append(payload)
                sizes.append(size)
                bytes_left -= size + to_come
                slow = monotonic() > end
                if slow:
                    break
        except StopIteration:
            self._window.end_items()
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            self._item_error = error  # raised after the results of the items before it
        first = 0
        if batch:
            first = self._stream.submit_many(batch, keys) if any(keys) else self._stream.submit_many(batch)
        self._window.submitted(first, sizes, slow)
        return bool(batch)

    def _take(self, timeout: float, patience: int = NOBODY) -> bool:
        outcomes = self._stream.take(timeout, patience=patience)
        if outcomes:
            self._window.arrived(outcomes)
        return bool(outcomes)

    def _wait(self, deadline: float | None) -> None:
        """Wait for a result."""
        start = monotonic()
        left = self._window.begin_wait()
        if deadline is not None:
            left = max(0.0, min(left, deadline - start))
        came = self._take(left, self._patience(deadline))
        self._window.end_wait(came, monotonic() - start, self._stream.workers())
        if not came and deadline is not None and monotonic() >= deadline:
            self._asked_at = monotonic()
            raise TimeoutError("no result within the timeout")

    def close(self) -> None:
        """Discard what is still under way: read no more items, and drop the results of the jobs that were submitted. These
        still run; `close()` of the pool ends them."""
        self._window.end_items()
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
