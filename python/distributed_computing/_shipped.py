"""Modules that travel with a pool: packed by the client, unpacked once per machine and user."""

from __future__ import annotations

import contextlib
import fcntl
import fnmatch
import importlib.util
import io
import os
import shutil
import sys
import tempfile
import time
import types
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

BYTES_MAX = 64 << 20  # of all modules of a pool, before packing
_KEPT_S = 86400  # what no worker uses for that long is removed
_COMPILED = ("*.so", "*.pyd", "*.dylib", "*.so.*")
_CACHES = ("__pycache__", "*.pyc", "*.pyo", "*.egg-info", "*.dist-info")
_KEYS = ("*.pem", "*.key", "*.p12", "*.pfx", "*.jks", "*.kdbx", "id_rsa*", "id_ed25519*", "id_ecdsa*", "id_dsa*")
_FIXED_TIME = (1980, 1, 1, 0, 0, 0)

# --- At the client -----------------------------------------------------------------------------------------------------


def pack(modules: Any) -> bytes:
    """Return modules as one archive; empty for none. The same files give the same bytes.

    Args:
        modules: a list of modules (imported ones, or their names), of Python files, and of folders: one with an
            ``__init__.py`` is a package, any other holds modules. Hidden files, links, caches and key files are left out.

    Raises:
        TypeError: that is no such list.
        ValueError: a module has no files that could travel, has compiled ones, is not there, or they are too large.
    """
    if modules is None:
        return b""
    if isinstance(modules, (str, os.PathLike, types.ModuleType)):
        modules = [modules]
    files: dict[str, Path] = {}
    for module in modules:
        for name, file in _files_of(module):
            if files.setdefault(name, file) != file:
                raise ValueError(f"ship_modules has two files for {name}: {files[name]} and {file}")
    if not files:
        return b""
    sizes = {file: file.stat().st_size for file in files.values()}
    if sum(sizes.values()) > BYTES_MAX:
        largest = max(sizes, key=lambda file: sizes[file])
        raise ValueError(
            f"ship_modules is for code: these are {sum(sizes.values()) >> 20} MiB, and {BYTES_MAX >> 20} MiB are the most "
            f"(the largest file is {largest}). Give data in init_data, or put it where all machines can read it"
        )
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in sorted(files):
            archive.writestr(zipfile.ZipInfo(name, _FIXED_TIME), files[name].read_bytes(), zipfile.ZIP_DEFLATED)
    return stream.getvalue()


def _files_of(module: Any) -> Iterator[tuple[str, Path]]:
    for top, place in _places_of(module):
        yield from _files_at(place, top)


def _files_at(place: Path, top: str) -> Iterator[tuple[str, Path]]:
    if place.is_dir():
        for name, file in _below(place, top):
            if any(fnmatch.fnmatch(file.name, pattern) for pattern in _COMPILED):
                raise ValueError(
                    f"ship_modules: {file} is compiled, which does not travel: install what it belongs to on the nodes"
                )
            yield name, file
    elif place.suffix == ".py" and place.is_file():
        yield place.name, place
    else:
        raise ValueError(
            f"ship_modules: {place} is no folder and no Python file (what is compiled must be installed there)"
        )


def _is_module(text: str) -> bool:
    """Tell whether this names a module, although a file or folder may have that name: that is written ``./name``."""
    if not all(part.isidentifier() for part in text.split(".")):
        return not (os.sep in text or os.path.exists(text))
    known = text in sys.modules or text.partition(".")[0] in sys.stdlib_module_names
    return known or not os.path.exists(text) or importlib.util.find_spec(text) is not None


def _places_of(module: Any) -> list[tuple[str, Path]]:
    """Return where the files of a module are, each place with what stands before their names."""
    if isinstance(module, os.PathLike) or (isinstance(module, str) and not _is_module(module)):
        place = Path(module)
        if not place.exists():
            raise ValueError(f"ship_modules: there is no file or folder {place}")
        place = place.resolve()
        return [(place.name + "/" if (place / "__init__.py").is_file() else "", place)]
    if isinstance(module, str):
        found = sys.modules.get(module) or importlib.util.find_spec(module)
        if found is None:
            raise ValueError(f"ship_modules: there is neither a module nor a file {module!r} here")
        module = found
    name = getattr(module, "__name__", None) or getattr(module, "name", "")
    if not isinstance(module, types.ModuleType) and not hasattr(module, "submodule_search_locations"):
        raise TypeError(f"ship_modules takes modules, their names, files and folders, not {type(module).__name__}")
    if name.partition(".")[0] in sys.stdlib_module_names:
        raise ValueError(f"ship_modules: {name} is a part of Python: nodes have it")
    if "." in name:
        raise ValueError(f"ship_modules: {name} is a part of a package: give the package, {name.partition('.')[0]!r}")
    folders = list(getattr(module, "__path__", None) or getattr(module, "submodule_search_locations", None) or ())
    file = getattr(module, "__file__", None) or getattr(module, "origin", None)
    if folders:
        # Of a namespace package there may be several.
        return [(name + "/", Path(folder).resolve()) for folder in folders]
    if not file:
        raise ValueError(f"ship_modules: the module {name} has no file (it is built in, or was made in a notebook)")
    return [("", Path(file).resolve())]


def _below(folder: Path, prefix: str) -> Iterator[tuple[str, Path]]:
    for entry in sorted(folder.iterdir()):
        hidden = entry.name.startswith(".") or any(fnmatch.fnmatch(entry.name, pattern) for pattern in _CACHES + _KEYS)
        if hidden or entry.is_symlink():
            continue
        if entry.is_dir():
            yield from _below(entry, f"{prefix}{entry.name}/")
        elif entry.is_file():
            yield prefix + entry.name, entry


# --- On a worker -------------------------------------------------------------------------------------------------------


def unpack(archive: Any, cache: Path) -> Path:
    """Unpack an archive, unless another worker of this user has done so. It stays as long as this process uses it, and a
    day longer.

    Args:
        archive: the bytes that `pack` returned.
        cache: the folder of all that was unpacked; made if it is not there.

    Returns:
        The folder of the modules, which belongs to this user alone.
    """
    import hashlib

    cache.mkdir(mode=0o700, parents=True, exist_ok=True)
    status = cache.lstat()
    if status.st_uid != os.geteuid() or status.st_mode & 0o022:
        raise PermissionError(f"{cache} does not belong to this user alone: no modules can be unpacked there")
    place = cache / hashlib.sha256(archive).hexdigest()[:32]
    with _locked(cache / "lock"):
        if not place.is_dir():
            _remove_unused(cache)
            temporary = Path(tempfile.mkdtemp(dir=cache, prefix="new-"))
            with zipfile.ZipFile(io.BytesIO(archive)) as content:
                content.extractall(temporary)
            temporary.rename(place)
        _hold(place)
    return place


def _hold(place: Path) -> None:
    descriptor = os.open(place, os.O_RDONLY | os.O_CLOEXEC | os.O_DIRECTORY)
    fcntl.flock(descriptor, fcntl.LOCK_SH)  # for as long as this process lives
    os.utime(place)


def _remove_unused(cache: Path) -> None:
    for entry in cache.iterdir():
        if not entry.is_dir() or entry.stat().st_mtime > time.time() - _KEPT_S:
            continue
        descriptor = os.open(entry, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(entry, ignore_errors=True)
        except BlockingIOError:
            pass  # a worker uses it
        finally:
            os.close(descriptor)


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
