"""From what callers write to (args, kwargs), with errors that name what is wrong."""

from __future__ import annotations

import reprlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

_KEYS = {"args", "kwargs"}


def job_items(data: Any, method: str) -> Iterable[Any]:
    """Return what was given as the items of many jobs, if it can be that.

    Args:
        data: what the caller wrote.
        method: that it was given to, e.g. ``"map"``.

    Raises:
        TypeError: it is a single item, or a function.
    """
    call = f"pool.{method}"
    if isinstance(data, Mapping):
        if data and data.keys() <= _KEYS | {"key"}:
            raise TypeError(f"{call} takes a list of items, and this is one item: write {call}([{reprlib.repr(data)}])")
        raise TypeError(
            f"{call} takes a list of items, and this is one mapping. As keyword arguments of one job write "
            f"{call}([{{'kwargs': mapping}}]), for a job with each of its keys {call}(list(mapping))"
        )
    if isinstance(data, (str, bytes)) or not hasattr(data, "__iter__"):
        if callable(data):
            raise TypeError(f"{call} takes the items alone, not a function: run of the worker class is called for each")
        raise TypeError(
            f"items must be an iterable of jobs, not {type(data).__name__}: write {call}([item]) for a single job"
        )
    return data


def arguments(item: Any, where: str) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Return (args, kwargs) of an item.

    A mapping must have the form ``{'args': [...], 'kwargs': {...}}``; either key may be missing, args may be any sequence
    but a string. Anything that is no mapping is the single argument.

    Args:
        item: what the caller wrote.
        where: name of the place, for messages, e.g. ``"item 3"``.

    Raises:
        TypeError: a mapping of another form.
    """
    if not isinstance(item, Mapping):
        return (item,), {}
    unknown = item.keys() - _KEYS
    if unknown:
        names = ", ".join(sorted(map(repr, unknown)))
        raise TypeError(
            f"{where} is a mapping with the unknown key{'s' * (len(unknown) > 1)} {names}: it must have the form "
            "{'args': [...], 'kwargs': {...}}. To pass a dictionary as the argument, write {'args': [dictionary]}"
        )
    args = item.get("args", ())
    kwargs = item.get("kwargs", {})
    if args is None:
        args = ()
    if isinstance(args, (str, bytes)) or not (isinstance(args, Sequence) or hasattr(args, "__array__")):
        raise TypeError(f"{where}: 'args' must be a list or tuple, not {type(args).__name__}")
    if kwargs is None:
        kwargs = {}
    if not isinstance(kwargs, Mapping) or not all(isinstance(key, str) for key in kwargs):
        raise TypeError(f"{where}: 'kwargs' must be a dictionary with string keys, not {type(kwargs).__name__}")
    return tuple(args), dict(kwargs)


def item_arguments(item: Any, where: str) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Return (args, kwargs) of a job's item, like `arguments`; a ``'key'`` in it gets a message of its own."""
    try:
        return arguments(item, where)
    except TypeError:
        if isinstance(item, Mapping) and "key" in item:
            raise TypeError(
                f"{where} has a 'key', and this pool has no name: only a pool with a name, Pool(..., name='...'), keeps "
                "results by key"
            ) from None
        raise
