"""A digest of a variable's value: equal for values that are alike, in this process and in others."""

from __future__ import annotations

import hashlib
import io
import os
import pickle
from typing import Any

import cloudpickle

from distributed_computing._fingerprint import DEFINED, PLAIN, Fingerprint, is_definition


def digest_of(value: Any, met: list[Any] | None = None) -> bytes:
    """Return 16 bytes. Of what cannot be pickled they are others each time.

    Args:
        value: any.
        met: gets the definitions that stand in it.
    """
    stream = io.BytesIO()
    buffers: list[pickle.PickleBuffer] = []
    try:
        pickler = _Pickler(stream, buffers, [] if met is None else met)
        pickler.dump(pickler.settled(value))
        found = hashlib.sha256(stream.getbuffer())
        for buffer in buffers:
            found.update(buffer.raw())
    except Exception:
        return os.urandom(16)
    return found.digest()[:16]


def _moves_on(value: Any) -> bool:
    """Tell whether this is an iterator or a generator of random numbers: where it stands is state."""
    kind = type(value)
    return hasattr(kind, "__next__") or kind.__module__ == "random" or kind.__module__.startswith("numpy.random")


class _Pickler(cloudpickle.Pickler):
    """Its pickles are never read."""

    def __init__(self, stream: Any, buffers: list[pickle.PickleBuffer], met: list[Any]) -> None:
        super().__init__(stream, protocol=5, buffer_callback=buffers.append)
        self._met = met

    def settled(self, value: Any) -> Any:
        """Return something that is pickled alike in all processes: the order of a set is another in each."""
        kind = type(value)
        if kind in (set, frozenset):
            return kind.__name__, sorted(digest_of(one, self._met) for one in value)
        if kind in (list, tuple):
            return value if set(map(type, value)) <= PLAIN else kind(map(self.settled, value))
        if kind is dict:
            return [(self.settled(key), self.settled(one)) for key, one in value.items()]
        return value

    def reducer_override(self, value: Any) -> Any:
        if is_definition(value):
            self._met.append(value)
            return bytes, (Fingerprint(value).digest,)
        if isinstance(value, DEFINED):
            return super().reducer_override(value)
        if _moves_on(value):
            return str, (type(value).__qualname__,)
        found = super().reducer_override(value)
        if found is NotImplemented:
            reduce = self.dispatch_table.get(type(value))
            found = reduce(value) if reduce is not None else value.__reduce_ex__(5)
        return found if isinstance(found, str) else (found[0], *map(self.settled, found[1:3]), *found[3:])
