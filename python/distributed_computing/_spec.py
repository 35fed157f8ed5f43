"""What workers need to build the class: by reference when they can import it, by definition when they cannot."""

from __future__ import annotations

import pickle
from typing import Any

from distributed_computing._chunks import Chunk
from distributed_computing._culprit import explained
from distributed_computing._definitions import Definitions
from distributed_computing._fingerprint import is_definition
from distributed_computing._payload import dumps, places_of


def make_spec(
    worker_class: type,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    definitions: Definitions,
    around: dict[str, Any],
    modules: bytes,
) -> list[Any]:
    """Return the parts of the spec that `worker_main.build` reads.

    Args:
        worker_class: of the pool.
        args, kwargs: of its constructor.
        definitions: of the pool; gets what class and arguments need of the script.
        around: of the program, see `_surroundings.surroundings`.
        modules: what travels with the pool, see `_shipped.pack`.

    Raises:
        TypeError: something cannot be pickled; the message says what, and where it stands.
    """
    definitions.publish = lambda chunk: None  # they travel in the spec
    try:
        pickled_class = _one_part(worker_class, definitions)
        definitions.worker_class = worker_class if definitions.reference(worker_class) is not None else None
    except Exception as error:
        name = worker_class.__qualname__
        raise TypeError(f"the worker class {name} cannot be pickled: {explained(error, worker_class)}") from error
    try:
        init = dumps((args, kwargs), definitions)
    except Exception as error:
        raise TypeError(f"init_data cannot be pickled: {explained(error, (args, kwargs))}") from error
    outer = {
        "chunks": list(definitions.chunks),
        "class": pickled_class,
        **around,
        "modules": pickle.PickleBuffer(modules) if modules else None,
        # Pickled apart from the rest, so that a class that cannot be imported gives a message of its own. The last: who
        # reads the pool's definitions later does not need it.
        "init": [pickle.PickleBuffer(part) for part in (init if isinstance(init, list) else [init])],
    }
    spec = dumps(outer)
    return spec if isinstance(spec, list) else [spec]


def spec_bytes_needed(beginning: Any) -> int:
    """Return how many bytes of a spec its definitions take.

    Args:
        beginning: of the spec: so many bytes as were asked for, or all that there are.
    """
    places = places_of(beginning)
    size = memoryview(beginning).nbytes
    if places[0][1] > size:
        return places[0][1]
    _, parts = _outer_of(beginning)
    return places[parts][1]


def chunks_of_spec(beginning: Any) -> list[Chunk]:
    """Return the definitions in a spec.

    Args:
        beginning: of the spec, with `spec_bytes_needed`.
    """
    outer, _ = _outer_of(beginning)
    return list(outer["chunks"])


def _outer_of(beginning: Any) -> tuple[dict[str, Any], int]:
    """Return what is in a spec, of which large parts may be missing, and how many of these are definitions."""
    view = memoryview(beginning)
    text, *buffers = [view[start:end] for start, end in places_of(beginning)]
    outer = pickle.loads(text, buffers=buffers)
    outer.setdefault("chunks", [])  # of a named pool of an earlier version
    aside = [part for chunk in outer["chunks"] for part in chunk.parts if not isinstance(part, bytes)]
    return outer, len(aside)


def _one_part(worker_class: type, definitions: Definitions) -> bytes:
    if not is_definition(worker_class):
        return pickle.dumps(worker_class, 5)
    text = dumps(worker_class, definitions)
    assert isinstance(text, bytes)
    return text
