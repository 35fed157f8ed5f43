"""What a worker gets to see of the client: where its modules are, its arguments, its main module."""

from __future__ import annotations

import os
import re
import site
import sys
import sysconfig
from typing import Any

_HIDDEN = "***"
_TELLING_CHARACTERS = 6  # of a secret; a shorter one may stand in any text by chance
_PACKAGE_FOLDERS = ("site-packages", "dist-packages")
_STORE = re.compile(r"(redis|rediss|valkey|valkeys|unix)://\S*")
_STORE_IN_SOURCE = re.compile(r"(redis|rediss|valkey|valkeys|unix)://[^\s'\"]*")


def own_folders(path: list[str]) -> list[str]:
    """Return where a program finds its own modules: `sys.path` without the interpreter's and the installed packages.

    Args:
        path: `sys.path`; what is relative in it, ``''`` too, counts from the working directory.
    """
    paths = sysconfig.get_paths()
    library = os.path.realpath(paths["stdlib"])
    installed = {paths["purelib"], paths["platlib"], *site.getsitepackages(), site.getusersitepackages()}
    installed = {os.path.realpath(one) for one in installed}
    archive = f"python{sys.version_info[0]}{sys.version_info[1]}.zip"
    found: dict[str, None] = {}
    for entry in path:
        if not isinstance(entry, str):
            continue
        try:
            absolute = os.path.abspath(entry)
        except FileNotFoundError:  # the working directory is gone
            continue
        real = os.path.realpath(absolute)
        of_the_interpreter = real == library or real.startswith(library + os.sep) or os.path.basename(real) == archive
        if not of_the_interpreter and real not in installed and os.path.basename(real) not in _PACKAGE_FOLDERS:
            found[absolute] = None
    return list(found)


def arguments_without(secrets: list[str], arguments: list[str]) -> list[str]:
    """Return a program's arguments with the secrets and the address of a store blanked.

    Args:
        secrets: texts that are not to be seen.
        arguments: `sys.argv`.
    """
    result = []
    for argument in arguments:
        for secret in filter(None, secrets):
            if len(secret) >= _TELLING_CHARACTERS:
                argument = argument.replace(secret, _HIDDEN)
            elif argument == secret or argument.endswith("=" + secret):
                argument = argument[: -len(secret)] + _HIDDEN
        result.append(_STORE.sub(_HIDDEN, argument))
    return result


def hidden_texts(secrets: list[str]) -> list[str]:
    """Return these secrets, and those of the environment."""
    return [*secrets, *(os.environ.get(f"DISTRIBUTED_COMPUTING_{name}", "") for name in ("PASSWORD", "STORE"))]


def source_without(secrets: list[str], text: str) -> str:
    """Return a program's text with the secrets and the addresses of stores blanked. Its lines stay where they are.

    Args:
        secrets: texts that are not to be seen; a short one is blanked where it is a whole string.
        text: of the source file.
    """
    for secret in filter(None, secrets):
        ways = {secret, repr(secret)[1:-1], secret.replace("\\", "\\\\")}
        for way in sorted(ways, key=len, reverse=True):
            if len(secret) >= _TELLING_CHARACTERS:
                text = text.replace(way, _HIDDEN)
            else:
                text = re.sub(rf"(['\"]){re.escape(way)}\1", rf"\1{_HIDDEN}\1", text)
    return _STORE_IN_SOURCE.sub(_HIDDEN, text)


def surroundings(secrets: list[str], with_key: bool) -> dict[str, Any]:
    """Return the client's modules' folders, arguments and main module, and the key of its managers.

    Args:
        secrets: texts that are not to be seen.
        with_key: whether workers may use what the program's managers (``multiprocessing.Manager``) hold.
    """
    main = sys.modules.get("__main__")
    result = {
        "path": own_folders(sys.path),
        "argv": arguments_without(hidden_texts(secrets), [str(one) for one in sys.argv]),
        "file": getattr(main, "__file__", None),
        "package": getattr(main, "__package__", None),
    }
    if with_key and "multiprocessing.managers" in sys.modules:
        # With it, jobs on the same machine can use what a manager of the program holds.
        result["authkey"] = bytes(sys.modules["multiprocessing.process"].current_process().authkey)
    return result
