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
    """``run`` raised. The error is also of the original exception's type, with its `args` and attributes, where that can
    be: ``except KeyError`` catches it. The original is ``__cause__`` where it could be brought over; its text and its
    traceback are in the message in any case."""


class SerializationError(JobError, TypeError):
    """Arguments, a result or an update could not be pickled or unpickled."""


class WorkerDied(_Located):
    """The worker process ended while it ran the job, as often as ``max_retries`` allows. ``traceback`` holds the last lines
    that it printed, and Python's stack if it crashed in native code."""

    @property
    def output(self) -> str:
        """The last lines that the worker printed, and Python's stack after a crash in native code."""
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


class PoolDeadlock(_Located):
    """The pool was opened by a job, and all slots that could serve it are held by jobs that wait for pools of their own: of
    those pools this is the youngest. Have fewer such jobs at a time than there are slots, or more slots."""


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
