"""Definitions on their way: how a script's classes and functions are found here, and defined elsewhere."""

from __future__ import annotations

import linecache
import pickle
import sys
import threading
from collections.abc import Callable
from typing import Any

from distributed_computing._fingerprint import MAIN

_SOURCE_BYTES_MAX = 4 << 20
IN_BAND_BYTES_MAX = 16 << 10  # a small buffer is cheaper inside the pickle, and writable when it comes out


def resolve(namespace: dict[str, Any], name: str) -> Any:
    """Return what a dotted name stands for among variables; None if there is no such thing."""
    first, *rest = name.split(".")
    value = namespace.get(first)
    for one in rest:
        value = getattr(value, one, None)
    return value


def main_variables(module: str = "__main__") -> dict[str, Any]:
    """Return the variables of the script, or of another module."""
    found = sys.modules.get("__mp_main__" if module == "__mp_main__" else module)
    return vars(found) if found is not None else {}


def key_of(value: Any) -> str | None:
    """Return the name under which a pool knows a definition; None for one that has no name of its own: a lambda, or what was
    defined inside of a function."""
    name, module = value.__qualname__, value.__module__
    variables = main_variables(module)
    if "<" in name or resolve(variables, name) is not value:
        return None
    if "." in name and not isinstance(variables.get(name.partition(".")[0]), type):
        return None
    return str(name) if module in MAIN else f"{module}:{name}"


def outermost(value: Any) -> Any:
    """Return the class of the script that a definition stands in; the definition itself if it stands in none."""
    key = key_of(value)
    if key is None or "." not in key.rpartition(":")[2]:
        return value
    return main_variables(value.__module__)[value.__qualname__.partition(".")[0]]


class Chunk:
    """Definitions on their way.

    Args:
        index: fingerprints by key.
        parts: the pickle and its large buffers.
    """

    def __init__(self, index: dict[str, bytes], *parts: Any) -> None:
        self.index = index
        self.parts = parts

    def __reduce__(self) -> tuple[Any, ...]:
        return Chunk, (self.index, *map(pickle.PickleBuffer, self.parts))

    def load(self, variables: dict[str, Any]) -> dict[str, Any]:
        """Define them.

        Args:
            variables: where they live. What is there stays.

        Returns:
            The definitions by key.
        """
        before = getattr(_loading, "variables", None)
        _loading.variables = variables
        try:
            _, (found, sources) = pickle.loads(self.parts[0], buffers=self.parts[1:])
        finally:
            _loading.variables = before
        for name, text in sources.items():
            linecache.cache.setdefault(name, (len(text), None, text.splitlines(True), name))
        for key, value in found.items():
            if key.isidentifier():
                variables.setdefault(key, value)
        return dict(found)


_loading = threading.local()


def _variables() -> dict[str, Any]:
    variables: dict[str, Any] = _loading.variables
    return variables


class Variables:
    """Stands for the script's variables in a chunk."""

    def __reduce__(self) -> tuple[Any, ...]:
        return _variables, ()


def set_function_state(function: Any, state: Any) -> None:
    """Fill a function of the script. The variables that it uses are set unless they are there."""
    from cloudpickle.cloudpickle import _function_setstate

    attributes, slots = state
    for name, value in slots["__globals__"].items():
        function.__globals__.setdefault(name, value)
    _function_setstate(function, (attributes, {**slots, "__globals__": {}}))


def source_of(name: str) -> str:
    """Return the text of a source file, or of a notebook's cell; empty if it is not to be had or too large."""
    lines = linecache.getlines(name)
    text = "".join(lines)
    return text if len(text) <= _SOURCE_BYTES_MAX else ""


def aside_into(buffers: list[pickle.PickleBuffer]) -> Callable[[pickle.PickleBuffer], bool]:
    """Return a buffer_callback that collects large buffers."""

    def aside(buffer: pickle.PickleBuffer) -> bool:
        if buffer.raw().nbytes < IN_BAND_BYTES_MAX:
            return True
        buffers.append(buffer)
        return False

    return aside
