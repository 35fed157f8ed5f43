"""How Python objects become payloads: pickle protocol 5, with large buffers standing beside the pickle, not inside it.

A payload is one of two things:

* a bare pickle (its first byte is 0x80), or
* MAGIC, the number n of parts and their n sizes (each 8 bytes, little-endian), then the n parts, each starting at the
  next multiple of 64 bytes. Definitions have DEFINITIONS_MAGIC in its place.
  Part 0 is the pickle; the others are its out-of-band buffers in order.

The native modules assemble the second form with a single copy (`python/payload.hpp`).
"""

from __future__ import annotations

import pickle
import re
import struct
from typing import Any

from distributed_computing import _definitions
from distributed_computing._chunks import IN_BAND_BYTES_MAX, aside_into
from distributed_computing._defining import dumps_text
from distributed_computing._definitions import Definitions
from distributed_computing._fingerprint import by_value_modules

MAGIC = b"\x00DCPY01\x00"
DEFINITIONS_MAGIC = b"\x00DCDEF1\x00"  # dc::definitions_mark
ALIGNMENT = 64
# Their pickles refer to nothing, and have nothing beside them.
PLAIN_TYPES = (int, float)
# What is in a pickle that refers to something of a script.
_MAIN = b"_main__"
_names_main = re.compile(_MAIN).search
_U64 = struct.Struct("<Q")


def split(payload: Any) -> list[memoryview]:
    """Return the parts of a payload (bytes or any buffer) without copying: the pickle and its buffers."""
    view = memoryview(payload)
    return [view[start:end] for start, end in places_of(payload)]


def is_definitions(payload: Any) -> bool:
    """Tell whether a payload holds definitions of the script (`_definitions.Chunk`), not what the user has sent."""
    return bytes(memoryview(payload)[: len(DEFINITIONS_MAGIC)]) == DEFINITIONS_MAGIC


def places_of(payload: Any) -> list[tuple[int, int]]:
    """Return where the parts of a payload begin and end, also of one whose end is missing."""
    view = memoryview(payload)
    if view[: len(MAGIC)] not in (MAGIC, DEFINITIONS_MAGIC):
        return [(0, view.nbytes)]
    (count,) = _U64.unpack_from(view, len(MAGIC))
    header = len(MAGIC) + 8
    places = []
    end = header + 8 * count
    for i in range(count):
        (size,) = _U64.unpack_from(view, header + 8 * i)
        start = -(-end // ALIGNMENT) * ALIGNMENT
        end = start + size
        places.append((start, end))
    return places


def loads(payload: Any, definitions: Definitions | None = None) -> Any:
    """Return the object in a payload. Its large buffers share the payload's memory.

    Args:
        payload: bytes, or any buffer.
        definitions: of the pool that it comes from; None for what comes to this process's own pool, or from no pool.
    """
    if type(payload) is bytes and payload[:1] != b"\x00":
        if definitions is not None and _MAIN in payload and not definitions.same_here(payload):
            return definitions.loads(payload)
        return pickle.loads(payload)
    text, *buffers = split(payload)
    if definitions is not None and _names_main(text) and not definitions.same_here(text):
        return definitions.loads(text, buffers)
    return pickle.loads(text, buffers=buffers)


class _Beside:
    """Large bytes on their own: as a buffer of the pickle they are neither copied into it nor searched with it."""

    def __init__(self, value: bytes) -> None:
        self.value = value

    def __reduce_ex__(self, protocol: Any) -> tuple[Any, ...]:
        return bytes, (pickle.PickleBuffer(self.value),)


def _beside(value: Any) -> Any:
    return _Beside(value) if type(value) is bytes and len(value) >= IN_BAND_BYTES_MAX else value


def dumps_call(
    args: tuple[Any, ...], kwargs: dict[str, Any], definitions: Definitions | None = None
) -> bytes | list[Any]:
    """Pickle a call's (args, kwargs), see `dumps`."""
    return dumps((tuple(map(_beside, args)), {name: _beside(value) for name, value in kwargs.items()}), definitions)


def dumps_plain(item: Any) -> bytes:
    """Pickle a call with one argument of one of `PLAIN_TYPES`, as `dumps_call` does, which looks at more."""
    return pickle.dumps(((item,), {}), 5)


def dumps(value: Any, definitions: Definitions | None = None) -> bytes | list[Any]:
    """Pickle a value: bytes for a bare pickle, else the list of parts, for the native modules to assemble.

    Classes and functions of modules go by reference, those of a script by the name that the pool has for them; what it has
    not, and what cannot be pickled by reference (lambdas, local classes), by value.

    Args:
        value: any.
        definitions: of the pool that it goes to; None for this process's own pool, or for no pool.

    Raises:
        Whatever the value's own pickling raises.
    """
    buffers: list[pickle.PickleBuffer] = []
    aside = aside_into(buffers)
    value = _beside(value)
    text = b""
    if not by_value_modules():
        try:
            text = pickle.dumps(value, 5, buffer_callback=aside)
        except (pickle.PicklingError, AttributeError, TypeError):
            text = b""
    if not text or _MAIN in text:
        known = definitions or _definitions.current or Definitions()
        if not text or not known.same_here(text):
            text = dumps_text(value, known, aside, buffers.clear)
    return [text, *map(_raw, buffers)] if buffers else text


def _raw(buffer: pickle.PickleBuffer) -> memoryview:
    return buffer.raw()
