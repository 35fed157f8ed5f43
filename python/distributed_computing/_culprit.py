"""Which part of a value cannot be pickled: a path such as ``Trainer.run → global 'lock'``."""

from __future__ import annotations

import io
import types
from collections.abc import Iterator, Mapping
from typing import Any

from distributed_computing._definitions import Definitions
from distributed_computing._fingerprint import global_names, is_definition

_TRIES_MAX = 500
_DEPTH_MAX = 12


def explained(error: BaseException, value: Any) -> str:
    """Return the error's text with where in the value the culprit stands. Never raises.

    Args:
        error: what pickling the value has raised.
        value: that was pickled.
    """
    try:
        text = str(error)
        path = _Search().path_in(value)
    except Exception:
        return f"{type(error).__name__}"
    return f"{text} ({' → '.join(path)})" if path else text


class _Search:
    def __init__(self) -> None:
        self._tries = 0
        self._seen: dict[int, Any] = {}

    def _fails(self, value: Any) -> bool:
        from distributed_computing._by_value import ChunkPickler

        self._tries += 1
        try:
            definitions = Definitions()
            ChunkPickler(io.BytesIO(), definitions, None).dump(value)
        except Exception:
            return self._tries < _TRIES_MAX
        return False

    def path_in(self, value: Any) -> list[str]:
        """Return the steps from a value to its part that cannot be pickled."""
        path: list[str] = []
        while len(path) < _DEPTH_MAX:
            self._seen[id(value)] = value
            for step, part in _parts(value):
                if id(part) not in self._seen and self._fails(part):
                    path.append(step)
                    value = part
                    break
            else:
                break
        return _joined(path)


def _joined(path: list[str]) -> list[str]:
    """Return the path with a class's member as ``Class.member``."""
    result: list[str] = []
    for step in path:
        if step.startswith(".") and result:
            result[-1] += step
        else:
            result.append(step.lstrip("."))
    return result


def _parts(value: Any) -> Iterator[tuple[str, Any]]:
    """Yield what a value consists of, each with a word for where it stands."""
    value = getattr(value, "__func__", value)
    if isinstance(value, (list, tuple)):
        for number, one in enumerate(value):
            yield f"[{number}]", one
    elif isinstance(value, Mapping):
        for key, one in value.items():
            yield f"[{key!r:.40}]", one
    elif isinstance(value, (set, frozenset)):
        for one in value:
            yield "a member of a set", one
    elif isinstance(value, property):
        for one in (value.fget, value.fset, value.fdel):
            yield "", one
    elif isinstance(value, type):
        for base in value.__bases__:
            yield f"base {base.__qualname__}", base
        for name, one in vars(value).items():
            if name not in ("__dict__", "__weakref__"):
                yield f"{value.__qualname__}.{name}", one
    elif isinstance(value, types.FunctionType) or hasattr(value, "__wrapped__"):
        yield from _function_parts(value)
    elif not isinstance(value, types.ModuleType):
        yield from _object_parts(value)


def _function_parts(value: Any) -> Iterator[tuple[str, Any]]:
    if not isinstance(value, types.FunctionType):
        yield "", value.__wrapped__
        return
    for name in dict.fromkeys(global_names(value.__code__)):
        if name in value.__globals__:
            one = value.__globals__[name]
            yield one.__qualname__ if is_definition(one) else f"global {name!r}", one
    for name, cell in zip(value.__code__.co_freevars, value.__closure__ or (), strict=True):
        try:
            yield f"variable {name!r}", cell.cell_contents
        except ValueError:
            continue
    for one in (*(value.__defaults__ or ()), *(value.__kwdefaults__ or {}).values()):
        yield "a default argument", one


def _object_parts(value: Any) -> Iterator[tuple[str, Any]]:
    for name, one in getattr(value, "__dict__", {}).items():
        yield f"attribute {name!r}", one
    for kind in type(value).__mro__:
        slots = vars(kind).get("__slots__", ())
        for name in (slots,) if isinstance(slots, str) else slots:
            if hasattr(value, name):
                yield f"attribute {name!r}", getattr(value, name)
    if is_definition(type(value)):
        yield f"its class {type(value).__qualname__}", type(value)
