"""Where the commands keep sockets and locks; the same rules as src/core/paths.cpp."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import stat
from pathlib import Path
from typing import Any


def run_dir() -> Path:
    """Return the directory of sockets, locks and pid files."""
    if moved := os.environ.get("DISTRIBUTED_COMPUTING_HOME"):
        return Path(moved).absolute() / "run"
    if (base := os.environ.get("XDG_RUNTIME_DIR", "")).startswith("/") and _is_ours(base):
        return Path(base) / "distributed-computing"
    common = f"/tmp/distributed-computing-{os.geteuid()}"
    if not os.path.lexists(common) or _is_ours(common):
        return Path(common)
    return state_dir() / f"run-{_machine_key()}"


def _is_ours(path: str) -> bool:
    try:
        status = os.lstat(path)
    except OSError:
        return False
    return stat.S_ISDIR(status.st_mode) and status.st_uid == os.geteuid() and os.access(path, os.W_OK | os.X_OK)


def _machine_key() -> str:
    """Return the name of this machine since it was started, or of this container."""
    try:
        key = Path("/proc/sys/kernel/random/boot_id").read_text().strip().replace("-", "")
    except OSError:
        key = os.uname().nodename
    try:
        return f"{key}-{os.stat('/proc/self/ns/pid').st_ino}"
    except OSError:
        return key


def nodes() -> list[dict[str, Any]]:
    """Return what the nodes of this user that run on this machine say of themselves."""
    files = {*run_dir().glob("node*.json"), *(state_dir() / "nodes").glob(f"{_machine_key()}-node*.json")}
    return [found for file in files if (found := owner(file)) is not None]


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
