"""Which of the client's folders a worker takes modules from."""

from __future__ import annotations

import grp
import os
import pwd
import stat

skipped: list[str] = []  # of this worker: why folders of its client's are not searched


def why_not_found(error: BaseException) -> str:
    """Return, where a module was not found, which of the client's folders are not searched here, to be appended."""
    return "".join(f". {one}" for one in skipped) if isinstance(error, ModuleNotFoundError) else ""


def usable(folders: list[str]) -> tuple[list[str], list[str]]:
    """Return (those of a client's folders that are here and can be trusted, why others that are here are not used).

    Args:
        folders: absolute paths; of zip files too.
    """
    used, reasons = [], []
    for folder in folders:
        if not os.path.isabs(folder) or not os.path.exists(folder):
            continue
        problem = _problem(os.path.realpath(folder)) or _problem(folder)
        if problem:
            reasons.append(f"{folder} is not searched: {problem}")
        else:
            used.append(folder)
    return used, reasons


def _problem(path: str) -> str:
    """Return who could put other modules there: a folder and all above it must be ours or root's alone."""
    ours = (0, os.geteuid())
    place, top = path, True
    while True:
        try:
            status = os.stat(place)
        except OSError as error:
            return f"{place} cannot be looked at ({error.strerror})"
        if status.st_uid not in ours:
            return f"{place} belongs to {_user(status.st_uid)}, this worker runs as {_user(os.geteuid())}"
        # In a sticky folder such as /tmp others cannot replace what is ours.
        sticky = not top and status.st_mode & stat.S_ISVTX
        if not sticky and (status.st_mode & stat.S_IWOTH or (status.st_mode & stat.S_IWGRP and not _alone(status))):
            return f"others may write to {place} (mode {stat.S_IMODE(status.st_mode):o})"
        parent = os.path.dirname(place)
        if parent == place:
            return ""
        place, top = parent, False


def _alone(status: os.stat_result) -> bool:
    """Tell whether the group is one of this user alone, as many systems make for each user."""
    if status.st_gid == 0:
        return True
    try:
        group, user = grp.getgrgid(status.st_gid), pwd.getpwuid(os.geteuid())
    except KeyError:
        return False
    return group.gr_name == user.pw_name and not set(group.gr_mem) - {user.pw_name}


def _user(number: int) -> str:
    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:
        return f"user {number}"
