"""How a worker process ends: in order, by a crash, and as a copy that the user's code has forked."""

from __future__ import annotations

import faulthandler
import os
import signal
import sys
import traceback
from collections.abc import Callable
from typing import Any, NoReturn

from distributed_computing import _worker

is_copy = False
"""Whether this process was forked by the user's code: it must not act as the worker."""


def _begin_copy() -> None:
    global is_copy
    is_copy = True


def watch() -> None:
    """Prepare for crashes and forks. To be called once, before any of the user's code runs."""
    os.register_at_fork(after_in_child=_begin_copy)
    if not faulthandler.is_enabled():  # else somebody wants it elsewhere
        os.lseek(_worker.CRASH_FILE, 0, os.SEEK_END)  # behind what the node and the runtime share
        faulthandler.enable(_worker.CRASH_FILE)


def exit_code(error: SystemExit) -> int:
    """Return the exit code that Python ends with when this is not caught; print what it prints."""
    if error.code is None or isinstance(error.code, int):
        return (error.code or 0) & 0xFF
    print(error.code, file=sys.stderr)
    return 1


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except BaseException:
            pass  # closed, replaced or full: this process is about to end


def end_copy(error: BaseException | None = None) -> NoReturn:
    """End this process, a copy of the worker whose `run` (update, constructor) has returned, or raised `error`: as Python
    ends a forked program, but without the worker's own ``atexit`` and its buffers, which are the worker's to write."""
    code = 0
    try:
        if isinstance(error, SystemExit):
            code = exit_code(error)
        elif error is not None:
            code = 1
            traceback.print_exception(error)
        while error is not None:  # the variables of the frames go: files that were opened there are written
            traceback.clear_frames(error.__traceback__)
            error = error.__context__
        _flush()
    finally:
        os._exit(code)


def close(instance: Any, terminated: bool) -> None:
    """Let the user's object end: its SIGTERM handler (unless that has run: `terminated`), then its ``close()``. What they
    raise is printed. ``atexit`` and the files are Python's own business, after this."""
    handler = signal.getsignal(signal.SIGTERM)
    if callable(handler) and not terminated:
        _call(lambda: handler(signal.SIGTERM, sys._getframe()))
    if callable(getattr(type(instance), "close", None)):
        _call(instance.close)


def _call(step: Callable[[], Any]) -> None:
    try:
        step()
    except SystemExit:
        pass  # it ends anyway
    except BaseException:
        traceback.print_exc()


def raised_between_jobs(error: BaseException) -> int | None:
    """Deal with what the handler of a signal raised while nothing ran. Return the exit code if the worker shall end, else
    None: the error is printed and dropped."""
    if isinstance(error, SystemExit):
        return exit_code(error)
    traceback.print_exception(error)
    return None
