"""Whether a pool may be opened now: not while the module of its class is being imported."""

from __future__ import annotations

import sys
from typing import Any

importing = False  # a worker imports the class of its pool

_WORDS = (
    "a pool is opened while {what} is being imported. Every worker imports that module too, and would open a pool of its "
    "own instead of becoming a worker. Open the pool only in the program that is started, under the main guard:\n\n"
    "    if __name__ == '__main__':\n"
    "        with Pool(...) as pool:\n"
    "            ..."
)


def check(worker_class: Any) -> None:
    """Refuse to open a pool of this class during an import that workers do too.

    Raises:
        RuntimeError: with what to do.
    """
    if importing:
        raise RuntimeError(_WORDS.format(what="a worker's module"))
    name = getattr(worker_class, "__module__", None)
    while isinstance(name, str) and name:
        spec = getattr(sys.modules.get(name), "__spec__", None)
        if getattr(spec, "_initializing", False) and name not in ("__main__", "__mp_main__"):
            raise RuntimeError(_WORDS.format(what=f"the module {name}"))
        name = name.rpartition(".")[0]
