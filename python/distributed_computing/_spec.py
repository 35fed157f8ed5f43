"""What workers need to build the class: by reference when they can import it, by value when they cannot."""

from __future__ import annotations

import io
import os
import pickle
import sys
from typing import Any

from distributed_computing._payload import dumps


def by_value(worker_class: type) -> bool:
    """Tell whether the class must travel by value: defined in a script, a notebook, or inside a function."""
    return worker_class.__module__ in ("__main__", "__mp_main__") or "<locals>" in worker_class.__qualname__


def pickled_class(worker_class: type) -> bytes:
    """Return the class as a pickle; raises TypeError when it cannot be pickled."""
    try:
        if not by_value(worker_class):
            return pickle.dumps(worker_class, 5)
        import cloudpickle

        stream = io.BytesIO()
        cloudpickle.Pickler(stream, protocol=5).dump(worker_class)
        return stream.getvalue()
    except Exception as error:
        raise TypeError(f"the worker class {worker_class.__qualname__} cannot be pickled: {error}") from error


def make_spec(worker_class: type, args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[Any]:
    """Return the parts of the spec that `worker_main.build` reads. Raises TypeError when something cannot be pickled."""
    try:
        init = dumps((args, kwargs))
    except Exception as error:
        raise TypeError(f"init_data cannot be pickled: {error}") from error
    parts = init if isinstance(init, list) else [init]
    outer = {
        "class": pickled_class(worker_class),
        # Pickled apart from the rest, so that a class that cannot be imported gives a message of its own.
        "init": [pickle.PickleBuffer(part) for part in parts],
        # Where this program finds its modules: of use on machines that share its files.
        "path": [os.path.abspath(entry) for entry in sys.path if entry],
        "main": getattr(sys.modules.get("__main__"), "__file__", None),
    }
    spec = dumps(outer)
    return spec if isinstance(spec, list) else [spec]
