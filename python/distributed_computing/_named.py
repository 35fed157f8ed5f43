"""Pools with a name, which outlive the program that opened them: their names, keys of jobs, and what earlier programs
left to be collected."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from distributed_computing._payload import loads
from distributed_computing.errors import PoolNotFound, SerializationError, from_outcome

if TYPE_CHECKING:
    from distributed_computing.pool import Pool

NAME_BYTES_MAX = 200  # limits::pool_name_bytes_max
KEY_BYTES_MAX = 1024  # limits::job_key_bytes_max
_FOREVER = float("inf")


def checked_name(name: Any) -> str:
    """Return the name of a pool if it can be one."""
    if not isinstance(name, str):
        raise TypeError(f"name must be a string, not {type(name).__name__}")
    size = len(name.encode())
    if not 1 <= size <= NAME_BYTES_MAX or not name.isprintable():
        raise ValueError(f"name must have 1 to {NAME_BYTES_MAX} bytes and no control characters, not {name!r}")
    return name


def checked_key(key: Any, where: str) -> str:
    """Return the key of a job if it can be one. `where` names the place, for messages."""
    if not isinstance(key, str):
        raise TypeError(f"{where}: a key must be a string, not {type(key).__name__}")
    size = len(key.encode())
    if not 1 <= size <= KEY_BYTES_MAX:
        raise ValueError(f"{where}: a key must have 1 to {KEY_BYTES_MAX} bytes, this one has {size}")
    return key


def split_key(item: Any, where: str) -> tuple[Any, str]:
    """Return an item without its ``'key'``, and the key; an empty text if it has none."""
    if not isinstance(item, Mapping) or "key" not in item:
        return item, ""
    return {name: value for name, value in item.items() if name != "key"}, checked_key(item["key"], where)


def pool_status(text: str, name: str) -> dict[str, Any]:
    """Return the part about one named pool of what the head says about itself."""
    for pool in json.loads(text)["pools"]:
        if pool.get("name") == name:
            return pool
    raise PoolNotFound(f"the head has no pool named {name!r}: it was closed or removed")


def value_of(sequence: int, payload: Any, error: Any) -> Any:
    """Return the result in an outcome; raise its error if it has one."""
    if error is not None:
        exception = from_outcome(error, payload)
        raise exception from exception.__cause__
    try:
        return loads(payload)
    except Exception as problem:
        raise SerializationError(
            f"the result of job {sequence} cannot be unpickled here: {type(problem).__name__}: {problem}"
        ) from problem


class EarlierResults:
    """Yields the results of the jobs that earlier programs submitted to a named pool and that no program has so far.

    Waits for those that still run. A job that failed raises at its place; the iterator goes on with the next one after
    that. A result counts as delivered when the next one is asked for, or the pool is left: what a killed program had not
    done with is there for the next one. Not to be shared between threads.
    """

    def __init__(self, pool: Pool, ordered: bool) -> None:
        self._stream = pool._read_earlier(ordered)

    def __iter__(self) -> EarlierResults:
        return self

    def __next__(self) -> Any:
        return self.next()

    def __length_hint__(self) -> int:
        return self._stream.in_flight()

    def next(self, timeout: float | None = None) -> Any:
        """Return the next result; like `next()`, with a limit on the time.

        Args:
            timeout: seconds to wait at most; None waits for ever.

        Raises:
            StopIteration: there are no more results.
            TimeoutError: none came in time; the iterator can still be used.
            JobError, WorkerDied, JobTimeout: this job failed.
        """
        if self._stream.in_flight() == 0:
            self._stream.take(0.0, 1)  # the caller has done with the last one
            raise StopIteration
        # One at a time: what the caller does not ask for stays in the pool.
        outcomes = self._stream.take(_FOREVER if timeout is None else timeout, 1)
        if not outcomes:
            raise TimeoutError("no result within the timeout")
        sequence, payload, error = outcomes[0]
        self._stream.hand_over([sequence])
        return value_of(sequence, payload, error)
