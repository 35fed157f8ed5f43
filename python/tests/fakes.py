"""Stand-ins for the native client."""

import threading
from collections import deque

from distributed_computing._payload import dumps, loads
from distributed_computing.errors import PoolClosed


class FakeStream:
    """A native stream whose jobs return their argument, at once or when `release` is called."""

    def __init__(self, held=False):
        self.changed = threading.Condition()
        self.ready = deque()
        self.held = deque() if held else None
        self.sequence = 0
        self.handed = []
        self.closed = False

    def submit(self, payload, key=""):
        with self.changed:
            if self.closed:
                raise PoolClosed("the pool is closed")
            self.sequence += 1
            (value, *_), _ = loads(payload)
            outcome = (self.sequence, dumps(value), None)
            (self.ready if self.held is None else self.held).append(outcome)
            self.changed.notify_all()
            return self.sequence

    def submit_many(self, payloads, keys=()):
        first = self.sequence + 1
        for payload in payloads:
            self.submit(payload)
        return first

    def release(self, count=1):
        with self.changed:
            for _ in range(count):
                self.ready.append(self.held.popleft())
            self.changed.notify_all()

    def take(self, timeout, most=3, patience=0):
        with self.changed:
            self.changed.wait_for(lambda: self.ready or self.closed, timeout if timeout < 1e6 else None)
            if self.closed:
                raise PoolClosed("the pool is closed")
            return [self.ready.popleft() for _ in range(min(most, len(self.ready)))]

    def hand_over(self, sequences):
        self.handed += sequences

    def in_flight(self):
        with self.changed:
            return len(self.ready) + len(self.held or ())

    def close(self):
        with self.changed:
            self.closed = True
            self.changed.notify_all()


class FakePool:
    """What iterators and futures know of a pool."""

    def __init__(self, name=None):
        self.name = name
        self._definitions = None
        self.closed = False

    def get_workers_count(self):
        return 4

    def close(self):
        self.closed = True
