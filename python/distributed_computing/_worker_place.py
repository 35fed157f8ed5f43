"""What a worker makes of the client's surroundings: modules, arguments, the script's module."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from typing import Any

from distributed_computing import _bootstrap, _definitions, _module_paths
from distributed_computing._main_module import ScriptModule
from distributed_computing._paths import state_dir


class Surroundings:
    """The client's surroundings, as far as a worker has them.

    Args:
        outer: of the spec, see `_spec.make_spec`.

    Attributes:
        script: the module ``__main__``.
    """

    def __init__(self, outer: dict[str, Any]) -> None:
        if "chunks" not in outer:  # a named pool of an earlier version
            outer = {
                "chunks": [],
                "argv": [outer["main"] or ""],
                "file": outer["main"],
                "package": None,
                "modules": None,
                **outer,
            }
        sys.argv = list(outer["argv"])
        self._set_path(outer)
        self._set_key(outer.get("authkey"))
        self.script = ScriptModule(outer["file"], outer["package"])
        _definitions.current = self.script.definitions
        with self.importing():
            for chunk in outer["chunks"]:
                self.script.load(chunk)

    def _set_path(self, outer: dict[str, Any]) -> None:
        """The client's own folders in its order, then what this interpreter has; what was shipped before all."""
        theirs, _module_paths.skipped = _module_paths.usable(outer["path"])
        if outer["modules"] is not None:
            from distributed_computing._shipped import unpack

            theirs.insert(0, str(unpack(outer["modules"], state_dir() / "modules")))
        sys.path[:] = theirs + [entry for entry in sys.path if entry not in theirs]

    @staticmethod
    def _set_key(key: bytes | None) -> None:
        if key is not None:
            import multiprocessing.process

            multiprocessing.process.current_process().authkey = key

    @contextlib.contextmanager
    def importing(self) -> Iterator[None]:
        """While the class is imported no pool can be opened."""
        _bootstrap.importing = True
        try:
            yield
        finally:
            _bootstrap.importing = False
