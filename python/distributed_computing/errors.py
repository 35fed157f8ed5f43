"""Everything that can go wrong, as exceptions. Each message says what was wrong, where, and what to do."""

from __future__ import annotations

from typing import Any


class DistributedComputingError(Exception):
    """Base of all errors of this package."""


class _Located(DistributedComputingError):
    """An error that happened at a worker.

    Attributes:
        host: name of the machine, or an empty string.
        slot: number of the slot on it.
        traceback: the remote traceback, or the last lines that the worker printed; may be empty.
        type_name: name of the remote exception's type; may be empty.
        exit_status: exit status of the worker process, -1 if there is none.
        signal: signal that ended the worker process, 0 if there is none.
    """

    host = ""
    slot = 0
    traceback = ""
    type_name = ""
    exit_status = -1
    signal = 0

    def __init__(self, message: str = "", **details: Any) -> None:
        super().__init__(message)
        for name, value in details.items():
            setattr(self, name, value)

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), self.args, dict(self.__dict__)

    def __str__(self) -> str:
        message = super().__str__()
        return f"{message}\n\n{self.traceback.rstrip()}" if self.traceback else message


class JobError(_Located):
    """``run`` raised. The original exception is ``__cause__`` where it could be brought over; its text and its
    traceback are in the message in any case."""


class SerializationError(JobError, TypeError):
    """Arguments, a result or an update could not be pickled or unpickled."""


class WorkerDied(_Located):
    """The worker process ended while it ran the job, as often as ``max_retries`` allows. ``traceback`` holds the last lines
    that it printed."""

    @property
    def output(self) -> str:
        """The last lines that the worker printed."""
        return self.traceback


class JobTimeout(_Located, TimeoutError):
    """The job ran longer than ``job_timeout``, as often as ``max_retries`` allows."""


class WorkerInitError(_Located):
    """The worker class could not be constructed on any slot."""


class NoSuitableDevice(_Located):
    """No device of the cluster can ever meet what the pool asks for; the message lists the devices."""


class NotStored(_Located):
    """The head could not keep a job or an update of a named pool: its store is full, does not answer, or has lost it."""


class PoolBusy(_Located):
    """Another program has the named pool and is connected; the message says which. ``steal=True`` takes it over."""


class PoolNotFound(_Located, LookupError):
    """The head has no pool of this name."""


class PoolClosed(_Located):
    """The pool is closed: by this program, or because it failed."""


class HeadUnreachable(DistributedComputingError, ConnectionError):
    """No head answers at the address."""


class AuthenticationError(DistributedComputingError, PermissionError):
    """The head refused the password or the version."""


class PayloadTooLarge(DistributedComputingError, ValueError):
    """Arguments, a result or an update over the limit of the head."""


# Of a job that had no result when its program closed the pool.
CLOSED_EARLY = (
    "the pool was closed before this job had a result (the end of a with block closes it): call future.result(), or read "
    "the rest of an iterator, before that, inside of the with block"
)

# ErrorKind of src/core/job.hpp.
_KINDS = {
    0: JobError,
    1: WorkerDied,
    2: JobTimeout,
    3: WorkerInitError,
    4: PoolClosed,
    5: PayloadTooLarge,
    6: SerializationError,
    7: NoSuitableDevice,
    8: NotStored,
    9: PoolBusy,
    10: PoolNotFound,
}


def from_outcome(error: tuple[Any, ...], payload: Any) -> DistributedComputingError:
    """Return the exception for an outcome with an error: (kind, message, traceback, type_name, host, slot, exit_status,
    signal) and the payload that may hold the pickled original."""
    kind, message, traceback, type_name, host, slot, exit_status, signal = error
    error_class = _KINDS.get(kind, JobError)
    if error_class is PoolClosed and message == "the pool is closed":  # by this program: src/client/pool_loop.cpp
        message = CLOSED_EARLY
    if error_class is PayloadTooLarge:
        return PayloadTooLarge(message)
    exception = error_class(
        message,
        traceback=traceback,
        type_name=type_name,
        host=host,
        slot=slot,
        exit_status=exit_status,
        signal=signal,
    )
    if payload is not None and len(payload):
        from distributed_computing._payload import loads

        try:
            original = loads(payload)
            if isinstance(original, BaseException):
                exception.__cause__ = original
        except BaseException:
            # Its module is not here, or it refuses to be rebuilt: text and traceback are in the message.
            exception.__cause__ = None
    return exception
