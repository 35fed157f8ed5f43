"""How values are pickled whose classes are a script's: by the pool's names, which it gets first, or by value."""

from __future__ import annotations

import io
import pickle
from collections.abc import Callable
from typing import Any

from distributed_computing._chunks import Chunk, aside_into, outermost
from distributed_computing._definitions import Definitions, Differs, NamePickler, NotDefined
from distributed_computing._fingerprint import Fingerprint, by_value_modules

Aside = Callable[[pickle.PickleBuffer], Any]


def dumps_text(value: Any, definitions: Definitions, aside: Aside, clear: Callable[[], None]) -> bytes:
    """Pickle a value.

    Args:
        value: any.
        definitions: of the pool. What they lack of the script they get, or it goes by value.
        aside: the pickler's buffer_callback.
        clear: forgets the buffers that it was given: pickling begins anew.

    Raises:
        Whatever the value's own pickling raises.
    """
    by_name = not by_value_modules()
    while True:
        clear()
        try:
            return _text(value, definitions, aside, by_name)
        except NotDefined as missing:
            define(missing.args[0], definitions)
            by_name = by_name and not definitions.goes_by_value(missing.args[0])
        except (pickle.PicklingError, AttributeError, TypeError):
            if not by_name:
                raise
            by_name = False


def _text(value: Any, definitions: Definitions, aside: Aside, by_name: bool) -> bytes:
    stream = io.BytesIO()
    if by_name:
        NamePickler(stream, definitions, aside).dump(value)
    else:
        from distributed_computing._by_value import ValuePickler  # workers seldom need it

        ValuePickler(stream, definitions, aside).dump(value)
    return stream.getvalue()


def define(value: Any, definitions: Definitions) -> None:
    """Let a pool have a class or function of the script, or decide that it goes by value.

    Raises:
        Whatever pickling it raises.
    """
    from distributed_computing._by_value import ChunkPickler

    with definitions.lock:
        if definitions.reference(value) is not None or definitions.goes_by_value(value):
            return
        taken = Fingerprint(value)
        value = outermost(inner := value)
        if not definitions.may_define(Fingerprint(value)):
            definitions.leave_out(inner, taken)
            return
        stream = io.BytesIO()
        buffers: list[pickle.PickleBuffer] = []
        pickler = ChunkPickler(stream, definitions, aside_into(buffers))
        try:
            pickler.dump_chunk(value)
        except Differs as differs:
            definitions.tell_of(differs.args[0])
            definitions.leave_out(inner, taken)
            return
        index = {key: Fingerprint(one).digest for key, one in pickler.found.items()}
        chunk = Chunk(index, stream.getvalue(), *[buffer.raw() for buffer in buffers], values=pickler.digests())
        definitions.define(chunk, pickler.found, pickler.variables)
        if definitions.reference(inner) is None:  # an attribute of its class that is made anew whenever it is looked at
            definitions.leave_out(inner, taken)
