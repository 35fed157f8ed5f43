"""Definitions on their way: how a script's classes and functions are found here, and defined elsewhere."""

from __future__ import annotations

import io
import linecache
import pickle
import sys
import threading
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from distributed_computing._fingerprint import MAIN

_SOURCE_BYTES_MAX = 4 << 20
EMPTY: Mapping[str, Any] = MappingProxyType({})
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
        values: digests of the variables that come with it, by key; see `_variables.Sent`.
    """

    def __init__(self, index: dict[str, bytes], *parts: Any, values: Mapping[str, bytes | None] = EMPTY) -> None:
        self.index = index
        self.parts = parts
        self.values = values

    def __reduce__(self) -> tuple[Any, ...]:
        return _chunk, (self.index, dict(self.values), *map(pickle.PickleBuffer, self.parts))

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
            _, (found, sources, *more) = _Unpickler(io.BytesIO(self.parts[0]), buffers=self.parts[1:]).load()
        finally:
            _loading.variables = before
        for name, text in sources.items():
            linecache.cache.setdefault(name, (len(text), None, text.splitlines(True), name))
        for key, value in (*(more[0].items() if more else ()), *found.items()):
            if key.isidentifier():
                variables.setdefault(key, value)
        return dict(found)


def _chunk(index: dict[str, bytes], values: dict[str, bytes | None], *parts: Any) -> Chunk:
    return Chunk(index, *parts, values=values)


_loading = threading.local()
_MODULES = "__modules_by_value__"  # among a script's variables: those of the modules that travel by value


def _variables(module: str = "", basics: Mapping[str, Any] = EMPTY) -> dict[str, Any]:
    loading: dict[str, Any] | None = getattr(_loading, "variables", None)
    variables = main_variables() if loading is None else loading
    if not module:
        return variables
    found: dict[str, Any] = variables.setdefault(_MODULES, {}).setdefault(module, dict(basics))
    return found


class Variables:
    """Stands for the variables of the script, or of a module that travels by value.

    Args:
        basics: what every module has, such as its name; empty for the script.
    """

    def __init__(self, basics: Mapping[str, Any] = EMPTY) -> None:
        self._basics = basics

    def __reduce__(self) -> tuple[Any, ...]:
        return _variables, (self._basics["__name__"], dict(self._basics)) if self._basics else ()


def variable(key: str) -> Any:
    """Return the value of a variable that has come with an earlier chunk.

    Args:
        key: see `_variables.key_of_variable`.
    """
    module, _, name = key.rpartition(":")
    try:
        return _variables(module)[name]
    except KeyError:
        raise AttributeError(f"the variable {key} of the script is not defined here") from None


class Variable:
    """Stands for the value of a variable."""

    def __init__(self, key: str) -> None:
        self._key = key

    def __reduce__(self) -> tuple[Any, ...]:
        return variable, (self._key,)


class _Unpickler(pickle.Unpickler):
    def persistent_load(self, key: Any) -> Any:
        return variable(key)


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
