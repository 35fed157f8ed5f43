"""The Python side of a worker process, which a node starts (``src/node/python_worker.cpp``).

Builds the user's class from the pool's spec, then runs jobs and updates as the native runtime asks for them. Imports as
little as possible: this process belongs to the user's class.
"""

from __future__ import annotations

import inspect
import pickle
import socket
import sys
import traceback
import types
from collections.abc import Callable
from typing import Any

from distributed_computing import _worker, _worker_end, _worker_output
from distributed_computing._exceptions import pickled_exception, safe_repr, type_name
from distributed_computing._module_paths import why_not_found
from distributed_computing._payload import dumps, is_definitions, loads
from distributed_computing._worker_place import Surroundings

# ErrorKind of src/core/job.hpp.
JOB_ERROR: int = _worker.ERROR_KINDS["job_error"]
SERIALIZATION: int = _worker.ERROR_KINDS["serialization"]


_RUNS_HERE = (
    "run returned a {}, which exists in the worker alone: give its values back, return list(...) of a generator, "
    "return asyncio.run(...) of a coroutine"
)
Failure = tuple[int, str, str, str]  # kind, message, traceback, name of the type


def describe(error: BaseException) -> str:
    """Return ``Type: text`` as the last line of a traceback shows it, and where a module was not found, which folders were
    not searched. Never raises, whatever the exception does."""
    try:
        return "".join(traceback.format_exception_only(type(error), error)).strip() + why_not_found(error)
    except BaseException as second:
        return f"{type_name(error)}: (its text cannot be shown: {type_name(second)})"


def user_traceback(error: BaseException) -> str:
    """Return the traceback without the frames of this file. Never raises."""
    try:
        frames = error.__traceback__
        while frames is not None and frames.tb_frame.f_code.co_filename == __file__:
            frames = frames.tb_next
        return "".join(traceback.format_exception(type(error), error, frames))
    except BaseException as second:
        return f"(the traceback cannot be shown: {type_name(second)})"


def failure(kind: int, message: str, error: BaseException) -> tuple[Any, Failure]:
    """Return what the runtime expects of a job that failed: the pickled exception and the failure. Texts may have any
    length and any characters: the runtime sees to that. In a copy that `run` has forked: end it."""
    if _worker_end.is_copy:
        _worker_end.end_copy(error)
    trace, name = user_traceback(error), type_name(error)
    return pickled_exception(error), (kind, message, trace, name)


def hint(function: Callable[..., Any], call: tuple[Any, ...], error: BaseException, where: str) -> str:
    """Return what may have been meant, where the error may be that the function cannot be called like this."""
    if not isinstance(error, TypeError):
        return ""
    from distributed_computing._hints import of_call

    return of_call(function, *call, where)


def may_take_no_self(function: Any) -> bool:
    """Tell whether `run` may have been written without ``self``, as in the README that this project grew from: a plain
    function in the class whose first parameter has another name than the usual ones."""
    if not inspect.isfunction(function):
        return False
    names = list(inspect.signature(function).parameters.values())
    return bool(names) and names[0].kind in (0, 1) and names[0].name not in ("self", "this", "cls", "_", "_self", "me")


def with_or_without_self(function: Callable[..., Any], instance: Any) -> Callable[..., Any]:
    """Return how such a `run` is called: as a method where the arguments allow that, else as a function."""
    signature = inspect.signature(function)
    method = function.__get__(instance)

    def fits(*args: Any, **kwargs: Any) -> bool:
        try:
            signature.bind(*args, **kwargs)
        except TypeError:
            return False
        return True

    def run(*args: Any, **kwargs: Any) -> Any:
        if not fits(instance, *args, **kwargs) and fits(*args, **kwargs):
            return function(*args, **kwargs)
        return method(*args, **kwargs)

    run.__wrapped__ = method  # type: ignore[attr-defined]
    return run


class Runner:
    """One user object, called by the native runtime."""

    def __init__(self, instance: Any, place: Surroundings) -> None:
        """Decide once how `run` is called."""
        function = inspect.getattr_static(type(instance), "run", None)
        self.run = with_or_without_self(function, instance) if may_take_no_self(function) else instance.run
        self._place = place
        self.handle_update = getattr(instance, "handle_update", None)
        self.instance = instance
        self.flush_output = _worker_output.flush

    def run_job(self, arguments: Any) -> tuple[Any, Failure | None]:
        """Run one job; return (payload of the value, None) or (pickled exception or b"", error)."""
        try:
            args, kwargs = loads(arguments)
        except BaseException as error:
            return failure(SERIALIZATION, f"the job's arguments cannot be unpickled here: {describe(error)}", error)
        try:
            value = self.run(*args, **kwargs)
        except SystemExit as error:
            return failure(JOB_ERROR, f"SystemExit: run called sys.exit({safe_repr(error.code)})", error)
        except BaseException as error:
            text = describe(error) + hint(self.run, (args, kwargs), error, "the job's argument")
            return failure(JOB_ERROR, text, error)
        if _worker_end.is_copy:
            _worker_end.end_copy()
        try:
            return dumps(value), None
        except BaseException as error:
            if isinstance(value, (types.GeneratorType, types.CoroutineType, types.AsyncGeneratorType)):
                return failure(SERIALIZATION, _RUNS_HERE.format(type_name(value)), error)
            from distributed_computing._culprit import explained

            what = f"{type_name(error)}: {explained(error, value)}"
            text = f"the result of run ({type_name(value)}) cannot be pickled: {what}"
            return failure(SERIALIZATION, text, error)

    def update(self, payload: Any) -> tuple[Any, Failure | None]:
        """Apply one update; return (b"", None), or like run_job what it raised."""
        try:
            if is_definitions(payload):
                self._place.script.load_later(loads(payload))
                return b"", None
            args, kwargs = loads(payload)
        except BaseException as error:
            return failure(SERIALIZATION, f"the update cannot be unpickled here: {describe(error)}", error)
        try:
            if self.handle_update is None:
                raise TypeError("the worker class has no handle_update method")
            self.handle_update(*args, **kwargs)
        except SystemExit as error:
            return failure(JOB_ERROR, f"SystemExit: handle_update called sys.exit({safe_repr(error.code)})", error)
        except BaseException as error:
            text = describe(error) + hint(self.handle_update, (args, kwargs), error, "the update")
            return failure(JOB_ERROR, text, error)
        if _worker_end.is_copy:
            _worker_end.end_copy()
        return b"", None

    def raised_between_jobs(self, error: BaseException) -> int | None:
        """Deal with what the handler of a signal raised. Return the exit code if the worker shall end."""
        return _worker_end.raised_between_jobs(error)

    def close(self, terminated: bool) -> None:
        """Let the user's object end. Never raises."""
        _worker_end.close(self.instance, terminated)


def build(spec: Any, label: str, python_version: str, slot: int) -> Runner:
    """Construct the user's class. Whatever it raises ends the process with a message for the pool's owner."""
    here = f"{sys.version_info[0]}.{sys.version_info[1]}"
    if here != python_version:
        raise _worker.ConstructionError(
            f"this node's workers run Python {here} ({sys.executable}), the pool was made by Python {python_version}: "
            f"start the node with --python and an interpreter of version {python_version}"
        )
    try:
        outer = loads(spec)
        place = Surroundings(outer)
        with place.importing():
            worker_class = pickle.loads(outer["class"])
    except BaseException as error:
        if _worker_end.is_copy:
            _worker_end.end_copy(error)
        raise _worker.ConstructionError(
            f"the worker class {label} cannot be imported on {socket.gethostname()}: {describe(error)}. Install its "
            "module on this machine, ship it with the pool (ship_modules=[...]), or define the class in the script that "
            "makes the pool",
            user_traceback(error),
            type_name(error),
        ) from None
    args, kwargs = (), {}
    try:
        args, kwargs = pickle.loads(outer["init"][0], buffers=outer["init"][1:])
        runner = Runner(worker_class(*args, **kwargs), place)
        if _worker_end.is_copy:
            _worker_end.end_copy()
        return runner
    except BaseException as error:
        if _worker_end.is_copy:
            _worker_end.end_copy(error)
        raise _worker.ConstructionError(
            f"the constructor of {label} raised on {socket.gethostname()} slot {slot}: {describe(error)}"
            + hint(worker_class, (args, kwargs), error, "init_data"),
            user_traceback(error),
            type_name(error),
        ) from None


def main() -> int:
    """Serve the node until it says stop. Return the exit code."""
    _worker_end.watch()
    _worker_output.install()
    code = _worker.run(build)
    sys.stdout.flush()
    return code
