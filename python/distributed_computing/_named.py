"""Pools with a name, which outlive the program that opened them: their names, keys of jobs, and what the head says about
them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from distributed_computing import _client
from distributed_computing.errors import PoolNotFound

NAME_BYTES_MAX: int = _client.POOL_NAME_BYTES_MAX
KEY_BYTES_MAX: int = _client.JOB_KEY_BYTES_MAX


def checked_name(name: Any) -> str:
    """Return the name of a pool if it can be one."""
    if not isinstance(name, str):
        raise TypeError(f"name must be a string, not {type(name).__name__}")
    size = len(name.encode())
    if not 1 <= size <= NAME_BYTES_MAX or not name.isprintable():
        raise ValueError(f"name must have 1 to {NAME_BYTES_MAX} bytes and no control characters, not {name!r}")
    return name


def checked_key(key: Any, where: str) -> str:
    """Return the key of a job if it can be one. `where` names the place, for messages."""
    if not isinstance(key, str):
        raise TypeError(f"{where}: a key must be a string, not {type(key).__name__}")
    size = len(key.encode())
    if not 1 <= size <= KEY_BYTES_MAX:
        raise ValueError(f"{where}: a key must have 1 to {KEY_BYTES_MAX} bytes, this one has {size}")
    return key


def split_key(item: Any, where: str) -> tuple[Any, str]:
    """Return an item without its ``'key'``, and the key; an empty text if it has none."""
    if not isinstance(item, Mapping) or "key" not in item:
        return item, ""
    return {name: value for name, value in item.items() if name != "key"}, checked_key(item["key"], where)


def pool_status(text: str, name: str) -> dict[str, Any]:
    """Return the part about one named pool of what the head says about itself."""
    for pool in json.loads(text)["pools"]:
        if pool.get("name") == name:
            return pool
    raise PoolNotFound(f"the head has no pool named {name!r}: it was closed or removed")
