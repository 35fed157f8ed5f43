"""Where the commands keep sockets and locks; the same rules as src/core/paths.cpp."""

from __future__ import annotations

import fcntl
import json
import os
from pathlib import Path
from typing import Any


def run_dir() -> Path:
    """Return the directory of sockets, locks and pid files."""
    if moved := os.environ.get("DISTRIBUTED_COMPUTING_HOME"):
        return Path(moved).absolute() / "run"
    if (base := os.environ.get("XDG_RUNTIME_DIR", "")).startswith("/"):
        return Path(base) / "distributed-computing"
    return Path(f"/tmp/distributed-computing-{os.getuid()}")


def state_dir() -> Path:
    """Return the directory of what is kept over restarts."""
    if moved := os.environ.get("DISTRIBUTED_COMPUTING_HOME"):
        return Path(moved).absolute() / "state"
    if (base := os.environ.get("XDG_STATE_HOME", "")).startswith("/"):
        return Path(base) / "distributed-computing"
    return Path.home() / ".local" / "state" / "distributed-computing"


def owner(path: Path) -> dict[str, Any] | None:
    """Return what the file says of the process that holds its lock now, or None when none does."""
    try:
        with open(path) as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                try:
                    return json.load(file)
                except ValueError:
                    return {}
    except OSError:
        pass
    return None
