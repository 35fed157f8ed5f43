"""The Python side of a worker process: ``python -m distributed_computing.worker_main``, started by a node.

Builds the user's class from the pool's spec, then runs jobs and updates as the native runtime asks for them. Imports as
little as possible: this process belongs to the user's class.
"""

from __future__ import annotations

import inspect
import pickle
import signal
import socket
import sys
import traceback
from collections.abc import Callable
from typing import Any

from distributed_computing import _worker
from distributed_computing._payload import dumps, loads

# ErrorKind of src/core/job.hpp.
JOB_ERROR, WORKER_INIT_ERROR, SERIALIZATION = 0, 3, 6


def describe(error: BaseException) -> str:
    """Return ``Type: text`` as the last line of a traceback shows it."""
    return "".join(traceback.format_exception_only(type(error), error)).strip()


def user_traceback(error: BaseException) -> str:
    """Return the traceback without the frames of this file."""
    frames = error.__traceback__
    while frames is not None and frames.tb_frame.f_code.co_filename == __file__:
        frames = frames.tb_next
    return "".join(traceback.format_exception(type(error), error, frames))


def pickled_exception(error: BaseException) -> bytes:
    """Return the exception as a pickle that is known to load again, or nothing."""
    for drop_context in (False, True):
        try:
            if drop_context:
                error.__cause__ = error.__context__ = None
            error.__traceback__ = None
            text = dumps(error)
            if isinstance(text, bytes) and isinstance(loads(text), BaseException):
                return text
        except Exception:
            continue
    return b""


def failure(kind: int, message: str, error: BaseException) -> tuple[Any, tuple[int, str, str, str]]:
    """Return what the runtime expects of a job that failed: the pickled exception and (kind, message, traceback, type)."""
    trace, name = user_traceback(error), type(error).__name__
    return pickled_exception(error), (kind, message, trace, name)


def takes_no_self(function: Callable[..., Any]) -> bool:
    """Tell whether `run` was written without ``self``, as in the README that this project grew from.

    True only for a plain function in the class whose first parameter has another name than the usual ones.
    """
    if not inspect.isfunction(function):
        return False
    names = list(inspect.signature(function).parameters.values())
    return bool(names) and names[0].kind in (0, 1) and names[0].name not in ("self", "this", "cls", "_", "_self", "me")


class Runner:
    """One user object, called by the native runtime."""

    def __init__(self, instance: Any) -> None:
        """Decide once how `run` is called."""
        function = inspect.getattr_static(type(instance), "run", None)
        self.run = function if takes_no_self(function) else instance.run
        self.handle_update = getattr(instance, "handle_update", None)

    def run_job(self, arguments: Any) -> tuple[Any, tuple[int, str, str, str] | None]:
        """Run one job; return (payload of the value, None) or (pickled exception or b"", error)."""
        try:
            args, kwargs = loads(arguments)
        except BaseException as error:
            return failure(SERIALIZATION, f"the job's arguments cannot be unpickled here: {describe(error)}", error)
        try:
            value = self.run(*args, **kwargs)
        except SystemExit as error:
            return failure(JOB_ERROR, f"SystemExit: run called sys.exit({error.code!r})", error)
        except BaseException as error:
            return failure(JOB_ERROR, describe(error), error)
        try:
            return dumps(value), None
        except BaseException as error:
            text = f"the result of run ({type(value).__name__}) cannot be pickled: {describe(error)}"
            return failure(SERIALIZATION, text, error)

    def update(self, payload: Any) -> str:
        """Apply one update; return the traceback when it raised, else an empty string."""
        try:
            args, kwargs = loads(payload)
            if self.handle_update is None:
                raise TypeError("the worker class has no handle_update method")
            self.handle_update(*args, **kwargs)
        except BaseException as error:
            return user_traceback(error)
        return ""


def build(spec: Any, label: str, python_version: str, slot: int) -> Runner:
    """Construct the user's class. Whatever it raises ends the process with a message for the pool's owner."""
    here = f"{sys.version_info[0]}.{sys.version_info[1]}"
    if here != python_version:
        raise _worker.ConstructionError(
            f"this node's workers run Python {here} ({sys.executable}), the pool was made by Python {python_version}: "
            f"start the node with --python and an interpreter of version {python_version}"
        )
    outer = loads(spec)
    if outer["main"]:
        sys.argv = [outer["main"]]
    try:
        if outer["path"] is not None:
            sys.path[:] = sys.path + [entry for entry in outer["path"] if entry not in sys.path]
        worker_class = pickle.loads(outer["class"])
    except BaseException as error:
        raise _worker.ConstructionError(
            f"the worker class {label} cannot be imported on {socket.gethostname()}: {describe(error)}. Install its "
            "module on this machine, or define the class in the script that makes the pool",
            user_traceback(error),
            type(error).__name__,
        ) from None
    try:
        args, kwargs = pickle.loads(outer["init"][0], buffers=outer["init"][1:])
        return Runner(worker_class(*args, **kwargs))
    except BaseException as error:
        raise _worker.ConstructionError(
            f"the constructor of {label} raised on {socket.gethostname()} slot {slot}: {describe(error)}",
            user_traceback(error),
            type(error).__name__,
        ) from None


def main() -> int:
    """Serve the node until it says stop. Return the exit code."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the node and the client
    sys.stdout.reconfigure(line_buffering=True)
    sys.modules.setdefault("__mp_main__", sys.modules["__main__"])
    code = _worker.run(build)
    sys.stdout.flush()
    return code


if __name__ == "__main__":
    # Classes that were pickled by reference must find this module under one name only.
    from distributed_computing import worker_main

    sys.exit(worker_main.main())
