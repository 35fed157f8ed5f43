"""From an outcome to what the caller gets: the value, or the exception that tells what went wrong."""

from __future__ import annotations

import inspect
import threading
import types
import weakref
from typing import Any

from distributed_computing import _client, errors
from distributed_computing._definitions import Definitions
from distributed_computing._exceptions import Parts, Travelling, travels, type_name
from distributed_computing._payload import loads
from distributed_computing.errors import DistributedComputingError, JobError, SerializationError

_NAMED_KINDS = {
    "job_error": errors.JobError,
    "worker_died": errors.WorkerDied,
    "job_timeout": errors.JobTimeout,
    "worker_init_error": errors.WorkerInitError,
    "pool_closed": errors.PoolClosed,
    "too_large": errors.PayloadTooLarge,
    "serialization": errors.SerializationError,
    "no_device": errors.NoSuitableDevice,
    "not_stored": errors.NotStored,
    "pool_busy": errors.PoolBusy,
    "pool_not_found": errors.PoolNotFound,
    "pool_deadlock": errors.PoolDeadlock,
}
_KINDS = {number: _NAMED_KINDS[name] for name, number in _client.ERROR_KINDS.items()}
# A StopIteration would end the caller's loops; ours say what happened to the pool of the job, not to the caller's.
_NEVER_BOTH = (StopIteration, StopAsyncIteration, DistributedComputingError)
_NAME_MAX = 200
_OURS = "_distributed_computing"


def described(problem: BaseException) -> str:
    """Return ``Type: text`` of an exception. Never raises."""
    try:
        return f"{type_name(problem)}: {problem}"
    except BaseException:
        return type_name(problem)


def is_interrupt(problem: BaseException) -> bool:
    """Tell whether this is Ctrl-C, which reaches the main thread alone."""
    return isinstance(problem, KeyboardInterrupt) and threading.current_thread() is threading.main_thread()


def value_of(sequence: int, payload: Any, error: Any, definitions: Definitions | None = None) -> Any:
    """Return the result in an outcome.

    Args:
        sequence: of its job.
        payload: the pickled result, or the pickled exception.
        error: None, or what `from_outcome` takes.
        definitions: of the pool, which tell what names of its script stand for.

    Raises:
        DistributedComputingError: the job's error.
        SerializationError: unpickling the result raised, whatever it was.
        KeyboardInterrupt: Ctrl-C meanwhile.
    """
    if error is not None:
        exception = from_outcome(error, payload, definitions)
        try:
            raise exception from exception.__cause__
        finally:
            del exception  # its traceback holds this frame
    try:
        return loads(payload, definitions)
    except BaseException as problem:
        if is_interrupt(problem):
            raise
        raise SerializationError(
            f"the result of job {sequence} cannot be unpickled here: {described(problem)}"
        ) from problem


def from_outcome(
    error: tuple[Any, ...], payload: Any, definitions: Definitions | None = None
) -> DistributedComputingError:
    """Return the exception for an outcome with an error.

    Args:
        error: (kind, message, traceback, type_name, host, slot, exit_status, signal).
        payload: may hold the pickled original.
        definitions: of the pool, which tell what names of its script stand for.

    Raises:
        KeyboardInterrupt: Ctrl-C meanwhile.
    """
    kind, message, *rest = error
    error_class = _KINDS.get(kind, JobError)
    if (
        error_class is errors.PoolClosed and message == "the pool is closed"
    ):  # by this program: src/client/pool_loop.cpp
        message = errors.CLOSED_EARLY
    if error_class is errors.PayloadTooLarge:
        return error_class(message)
    details = dict(zip(("traceback", "type_name", "host", "slot", "exit_status", "signal"), rest, strict=True))
    original = None if payload is None or not len(payload) else _original(payload, definitions)
    if error_class is JobError and original is not None:
        return job_error(original, message, details)
    exception = error_class(message, **details)
    exception.__cause__ = original
    return exception


def _original(payload: Any, definitions: Definitions | None = None) -> BaseException | None:
    """Return the exception in a payload. None if its module is not here, or it refuses to be rebuilt: its text and its
    traceback are in the message."""
    try:
        original = loads(payload, definitions)
    except BaseException as problem:
        if is_interrupt(problem):
            raise
        return None
    return original if isinstance(original, BaseException) else None


# --- Errors of two types --------------------------------------------------------------------------------------------


class _Both(JobError):
    """A JobError that is of the original exception's type too. Its `args` and attributes are the original's, its text is
    ours. What the original's class forbids (being inherited from, being changed) or is by chance (false) does not count
    here."""

    def __init_subclass__(cls, **_: Any) -> None:
        """Keep from the original's class that there is one more: it may count, name or refuse them."""

    def __str__(self) -> str:
        _, message, details = vars(self)[_OURS]
        return f"{message}\n\n{details['traceback'].rstrip()}" if details["traceback"] else message

    def __bool__(self) -> bool:
        return True

    def __setattr__(self, name: str, value: Any) -> None:
        BaseException.__setattr__(self, name, value)

    def __delattr__(self, name: str) -> None:
        BaseException.__delattr__(self, name)

    def __reduce_ex__(self, protocol: Any) -> tuple[Any, ...]:
        original, message, details = vars(self)[_OURS]
        state = {name: value for name, value in vars(self).items() if name != _OURS}
        as_it_says = Travelling(original)
        travelling = as_it_says if travels(as_it_says) else Travelling(original, bare=True)
        return job_error, (travelling, message, details), state

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)


# By the original class's id, which is not used again as long as the class that inherits from it is there.
_both_classes: weakref.WeakValueDictionary[int, type] = weakref.WeakValueDictionary()
_lock = threading.RLock()


def _has(kind: type, name: str) -> bool:
    return any(name in vars(each) for each in kind.__mro__)


def _both_class(kind: type) -> type:
    """Return the one class that is both, made when it is first needed. Raises what the original's class raises if it
    cannot be inherited from."""
    found = _both_classes.get(id(kind))
    if found is not None:
        return found
    fields: dict[str, Any] = {
        "__module__": JobError.__module__,
        "__qualname__": f"JobError({kind.__name__[:_NAME_MAX]})",
        "__doc__": JobError.__doc__,
    }
    for ours in _Both.__mro__[: _Both.__mro__.index(Exception)]:
        for name in vars(ours):
            if not name.startswith("__") and _has(kind, name):
                fields[name] = inspect.getattr_static(
                    kind, name
                )  # attributes are the original's, ours of that name too
    made = types.new_class(fields["__qualname__"], (_Both, kind), {}, lambda body: body.update(fields))
    with _lock:
        return _both_classes.setdefault(id(kind), made)


def job_error(original: BaseException | Travelling, message: str, details: dict[str, Any]) -> JobError:
    """Return the error of a job whose `run` raised: a JobError that is also of the original's type, where it can be.

    Args:
        original: what was raised.
        message: our text.
        details: attributes of JobError: host, slot, traceback and so on.
    """
    if isinstance(original, Travelling):  # copy.copy
        original = original.error
    exception: Any = None
    if isinstance(original, Exception) and not isinstance(original, _NEVER_BOTH):
        try:
            exception = Parts.of(original).build(_both_class(type(original)))
            ours = {name: value for name, value in details.items() if not _has(type(original), name)}
            vars(exception).update({**ours, **vars(exception), _OURS: (original, message, details)})
        except BaseException as problem:
            if is_interrupt(problem):
                raise
            exception = None  # its type cannot be inherited from
    if exception is None:
        exception = JobError(message, **details)
    exception.__cause__ = original
    return exception
