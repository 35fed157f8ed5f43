"""The script's module on a worker: what stands in ``sys.modules["__main__"]`` there, and in the processes that jobs start.

Children that ``multiprocessing`` spawns ask for the module to load by the name in ``__spec__``; they get one that defines
what the worker has (`_child_main`).
"""

from __future__ import annotations

import os
import pickle
import sys
import types
from importlib.machinery import ModuleSpec
from typing import Any

from distributed_computing._chunks import Chunk
from distributed_computing._definitions import Definitions
from distributed_computing._module_paths import why_not_found

_FILE = "DISTRIBUTED_COMPUTING_DEFINITIONS"


class _Spec(ModuleSpec):
    """Writes down the definitions when somebody asks for the name: children are started seldom."""

    def __init__(self, script: ScriptModule) -> None:
        self._script = script
        super().__init__("__main__", None)

    @property
    def name(self) -> str:
        self._script.write_down()
        return "distributed_computing._child_main"

    @name.setter
    def name(self, _: str) -> None:
        pass


class _Main(types.ModuleType):
    def __repr__(self) -> str:
        return "<module '__main__', of the script>"


class ScriptModule:
    """The module ``__main__`` of a worker.

    Args:
        file: of the script, on the client's machine; None in a notebook.
        package: ``__package__`` of a script that was started with ``python -m``.
    """

    def __init__(self, file: str | None, package: str | None) -> None:
        self.module = _Main("__main__")
        self.definitions = Definitions()
        self._chunks: list[Chunk] = []
        self._written = 0
        self._file = -1
        self._failed: dict[str, str] = {}
        spec = _Spec(self)
        vars(self.module).update(
            __package__=package, __spec__=spec, __builtins__=__builtins__, __getattr__=self._missing
        )
        if file is not None:
            vars(self.module)["__file__"] = file
        sys.modules["__main__"] = sys.modules["__mp_main__"] = self.module

    def load(self, chunk: Chunk) -> None:
        """Define a chunk. Raises whatever that raises."""
        self._chunks.append(chunk)
        self.definitions.load(chunk, vars(self.module))

    def load_later(self, chunk: Chunk) -> None:
        """The same for one that came later: what goes wrong is told when a definition is looked for."""
        try:
            self.load(chunk)
        except BaseException as error:
            self._failed.update(dict.fromkeys(chunk.index, f"{type(error).__name__}: {error}{why_not_found(error)}"))

    def _missing(self, name: str) -> Any:
        problem = self._failed.get(name)
        if problem is not None:
            raise ImportError(f"{name} of the script cannot be defined here: {problem}", name=name)
        raise AttributeError(f"the script's module has no attribute {name!r}", name=name, obj=self.module)

    def write_down(self) -> None:
        """Put what is defined into a file that children can read."""
        if self._written == len(self._chunks):
            return
        if self._file < 0:
            self._file = os.memfd_create("definitions", os.MFD_CLOEXEC)
        for chunk in self._chunks[self._written :]:
            with open(self._file, "ab", closefd=False) as file:
                pickle.dump(chunk, file, 5)
        self._written = len(self._chunks)
        os.environ[_FILE] = f"/proc/{os.getpid()}/fd/{self._file}"


def load_in_child(variables: dict[str, Any]) -> None:
    """Define, in a process that a job has started, what its worker has.

    Args:
        variables: of the child's ``__mp_main__``.
    """
    path = os.environ.get(_FILE)
    if path is None:
        return
    with open(path, "rb") as file:
        while True:
            try:
                chunk = pickle.load(file)
            except EOFError:
                return
            chunk.load(variables)
