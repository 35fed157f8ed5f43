"""What workers need to build the class: by reference when they can import it, by definition when they cannot."""

from __future__ import annotations

import pickle
from typing import Any

from distributed_computing._culprit import explained
from distributed_computing._definitions import Definitions
from distributed_computing._fingerprint import is_definition
from distributed_computing._payload import dumps
from distributed_computing._surroundings import surroundings


def make_spec(
    worker_class: type,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    definitions: Definitions,
    secrets: list[str],
    modules: bytes,
) -> list[Any]:
    """Return the parts of the spec that `worker_main.build` reads.

    Args:
        worker_class: of the pool.
        args, kwargs: of its constructor.
        definitions: of the pool; gets what class and arguments need of the script.
        secrets: texts that no worker is to see in `sys.argv`.
        modules: what travels with the pool, see `_shipped.pack`.

    Raises:
        TypeError: something cannot be pickled; the message says what, and where it stands.
    """
    definitions.publish = lambda chunk: None  # they travel in the spec
    try:
        pickled_class = _one_part(worker_class, definitions)
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
        **surroundings(secrets),
        "modules": pickle.PickleBuffer(modules) if modules else None,
        # Pickled apart from the rest, so that a class that cannot be imported gives a message of its own. The last: who
        # reads the pool's definitions later does not need it.
        "init": [pickle.PickleBuffer(part) for part in (init if isinstance(init, list) else [init])],
    }
    spec = dumps(outer)
    return spec if isinstance(spec, list) else [spec]


def _one_part(worker_class: type, definitions: Definitions) -> bytes:
    if not is_definition(worker_class):
        return pickle.dumps(worker_class, 5)
    text = dumps(worker_class, definitions)
    assert isinstance(text, bytes)
    return text
