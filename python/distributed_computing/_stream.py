"""The jobs of one caller: how they get out, how their outcomes get in, and what is asked of their pool meanwhile."""

from __future__ import annotations

import threading
from collections.abc import Callable
from time import monotonic
from typing import Any, Protocol

from distributed_computing import _client
from distributed_computing._culprit import explained
from distributed_computing._definitions import Definitions
from distributed_computing._items import item_arguments
from distributed_computing._outcome import value_of
from distributed_computing._payload import dumps_call
from distributed_computing.errors import PoolClosed, SerializationError

# How long the caller means to wait (Patience of the native client): nobody does, with a limit, somebody
# may (who asks again and again whether a result is there), without a limit.
NOBODY, LIMITED, PERHAPS, FOREVER = _client.PATIENCE
ASKS_AGAIN = 10.0  # seconds: who asks again within this time waits


def payload_size(payload: bytes | list[Any]) -> int:
    """Return the bytes of what `dumps` returned."""
    if isinstance(payload, bytes):
        return len(payload)
    return sum(memoryview(part).nbytes for part in payload)


def pickled_item(item: Any, where: str, definitions: Definitions | None = None) -> bytes | list[Any]:
    """Return an item's (args, kwargs) as a payload for a pool with these definitions. Raises TypeError naming the item when
    that is impossible."""
    call = ((item,), {}) if type(item) in (int, float, str, bytes) else item_arguments(item, where)
    try:
        return dumps_call(*call, definitions)
    except Exception as error:
        raise SerializationError(
            f"{where} cannot be pickled: {type(error).__name__}: {explained(error, call)}"
        ) from error


class Owner(Protocol):
    """What a stream asks of its pool."""

    _definitions: Definitions | None

    @property
    def name(self) -> str | None: ...
    def get_workers_count(self) -> int: ...
    def close(self) -> None: ...


class Stream:
    """A stream of the native client, for one iterator and the threads that share it. Refers to the pool, which therefore
    lasts as long as somebody may still read: until the stream is closed.

    Args:
        native: the stream.
        pool: whose it is.
        lock: held by the thread that reads; one for all that read the same native stream.
    """

    def __init__(self, native: Any, pool: Owner, lock: Any = None) -> None:
        self.submit_many = native.submit_many
        self.take = native.take
        self.hand_over = native.hand_over
        self.in_flight = native.in_flight
        self.named = pool.name is not None
        self.definitions = pool._definitions
        self._native = native
        self._pool: Owner | None = pool
        self._lock = threading.RLock() if lock is None else lock
        self._closed = False

    def read(self, step: Callable[[float | None], tuple[int, Any, Any]], timeout: float | None) -> Any:
        """Return the value of the next outcome. One thread at a time looks for it, several may unpickle.

        Args:
            step: returns the next outcome; called with the time (monotonic) until when it may wait, or None.
            timeout: seconds to wait at most, for other threads and for the outcome; None waits for ever.

        Raises:
            TimeoutError: there was none in time.
            Whatever `step` and `value_of` raise; StopIteration if another thread has closed the stream.
        """
        try:
            deadline = None
            if timeout is None:
                self._lock.acquire()
            else:
                deadline = monotonic() + timeout
                if not self._lock.acquire(timeout=min(max(0.0, timeout), threading.TIMEOUT_MAX)):
                    raise TimeoutError("no result within the timeout: other threads read them")
            try:
                outcome = step(deadline)
            finally:
                self._lock.release()
            return value_of(*outcome, self.definitions)
        except PoolClosed:
            if not self._closed:
                raise
        except KeyboardInterrupt:
            if self._pool is not None and not self.named:
                self._pool.close()
            raise
        raise StopIteration

    def workers(self) -> int:
        """Return how many workers the pool has; 0 when the stream is closed."""
        pool = self._pool
        return 0 if pool is None else pool.get_workers_count()

    def close(self) -> None:
        """Discard what is still under way. A thread that waits for it gets StopIteration."""
        self._closed = True
        self._native.close()
        self._pool = None  # an error's traceback may keep this for long
