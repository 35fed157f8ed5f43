"""How Python objects become payloads: pickle protocol 5, with large buffers standing beside the pickle, not inside it.

A payload is one of two things:

* a bare pickle (its first byte is 0x80), or
* MAGIC, the number n of parts and their n sizes (each 8 bytes, little-endian), then the n parts, each starting at the
  next multiple of 64 bytes. Part 0 is the pickle; the others are its out-of-band buffers in order.

The native modules assemble the second form with a single copy (`python/client_payload.hpp`, `worker_binding.cpp`).
"""

from __future__ import annotations

import io
import pickle
import struct
from collections.abc import Callable
from typing import Any

MAGIC = b"\x00DCPY01\x00"
ALIGNMENT = 64
ASIDE_BYTES_MIN = 16 << 10
_U64 = struct.Struct("<Q")


def split(payload: Any) -> list[memoryview]:
    """Return the parts of a payload (bytes or any buffer) without copying: the pickle and its buffers."""
    view = memoryview(payload)
    if view[: len(MAGIC)] != MAGIC:
        return [view]
    (count,) = _U64.unpack_from(view, len(MAGIC))
    header = len(MAGIC) + 8
    parts = []
    end = header + 8 * count
    for i in range(count):
        (size,) = _U64.unpack_from(view, header + 8 * i)
        start = -(-end // ALIGNMENT) * ALIGNMENT
        end = start + size
        parts.append(view[start:end])
    return parts


def loads(payload: Any) -> Any:
    """Return the object in a payload. Its large buffers share the payload's memory."""
    if type(payload) is bytes and payload[:1] != b"\x00":
        return pickle.loads(payload)
    parts = split(payload)
    return pickle.loads(parts[0], buffers=parts[1:])


class _Beside:
    """Large bytes on their own: as a buffer of the pickle they are neither copied into it nor searched with it."""

    def __init__(self, value: bytes) -> None:
        self.value = value

    def __reduce_ex__(self, protocol: Any) -> tuple[Any, ...]:
        return bytes, (pickle.PickleBuffer(self.value),)


def _beside(value: Any) -> Any:
    return _Beside(value) if type(value) is bytes and len(value) >= ASIDE_BYTES_MIN else value


def dumps_call(args: tuple[Any, ...], kwargs: dict[str, Any]) -> bytes | list[Any]:
    """Pickle a call's (args, kwargs), see `dumps`."""
    return dumps((tuple(map(_beside, args)), {name: _beside(value) for name, value in kwargs.items()}))


def _by_value(value: Any, callback: Callable[[pickle.PickleBuffer], Any]) -> bytes:
    import cloudpickle

    stream = io.BytesIO()
    cloudpickle.Pickler(stream, protocol=5, buffer_callback=callback).dump(value)
    return stream.getvalue()


def dumps(value: Any) -> bytes | list[Any]:
    """Pickle a value: bytes for a bare pickle, else the list of parts, for the native modules to assemble.

    What lives in ``__main__`` or cannot be pickled by reference (lambdas, local classes) goes by value through
    cloudpickle. Raises whatever the value's own pickling raises.
    """
    buffers: list[pickle.PickleBuffer] = []
    value = _beside(value)

    def aside(buffer: pickle.PickleBuffer) -> bool:
        # A small buffer is cheaper inside the pickle, and writable when it comes out.
        if buffer.raw().nbytes < ASIDE_BYTES_MIN:
            return True
        buffers.append(buffer)
        return False

    try:
        text = pickle.dumps(value, 5, buffer_callback=aside)
        if b"__main__" not in text:
            return [text, *map(_raw, buffers)] if buffers else text
    except (pickle.PicklingError, AttributeError, TypeError):
        pass
    buffers.clear()
    text = _by_value(value, aside)
    return [text, *map(_raw, buffers)] if buffers else text


def _raw(buffer: pickle.PickleBuffer) -> memoryview:
    return buffer.raw()
