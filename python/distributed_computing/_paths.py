"""Where the commands keep sockets and locks; the same rules as src/core/paths.cpp."""

from __future__ import annotations

import contextlib
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


def make_private_dir(path: Path) -> None:
    """Make the directory and those above it, with mode 0700.

    Raises:
        OSError: it cannot be made, or belongs to somebody else, or others may write in it.
    """
    for part in [*reversed(path.parents), path]:
        with contextlib.suppress(FileExistsError):
            if not part.is_dir():
                part.mkdir(mode=0o700)
    found = path.stat()
    if found.st_uid != os.geteuid() or path.lstat().st_uid != os.geteuid():
        raise PermissionError(f"the directory {path} belongs to someone else")
    if found.st_mode & 0o022:
        raise PermissionError(f"others may write in the directory {path}: run 'chmod 700 {path}'")
    if found.st_mode & 0o077:
        path.chmod(0o700)


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
