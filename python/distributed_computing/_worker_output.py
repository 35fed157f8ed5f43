"""stdout and stderr of a worker process: lines go to the node at once, so that none is lost when the process is killed; in a
storm of them they go in blocks and some times a second, so that printing costs no more than into /dev/null."""

from __future__ import annotations

import _thread
import contextlib
import io
import os
import sys
import time
from typing import Any

_WINDOW_S = 0.1
_WRITES = 200  # in a window: more are a storm
_FLUSH_S = 0.05
_CALM_BYTES = 2048  # between two flushes: fewer are calm
_CALM_FLUSHES = 4
PRINTED, OPEN_LINE = 1, 2
_NEWLINE = 10


class _Pipe(io.FileIO):
    """The pipe to the node, below Python's buffers. Of one that is line-buffered this sees each line."""

    printed = open_line = in_storm = False
    left = _WRITES
    window = 0.0
    written = 0
    stream: _Stream

    def write(self, data: Any) -> int | None:
        self.printed = True
        if len(data):
            self.open_line = data[-1] != _NEWLINE
        self.written += len(data)
        self.left -= 1
        if self.left < 0 and not self.in_storm:
            now = time.monotonic()
            if now - self.window < _WINDOW_S:
                self.in_storm = True
                self.stream.storm()
            self.window, self.left = now, _WRITES
        return super().write(data)


class _Stream:
    """One of sys.stdout and sys.stderr, in place of what Python has made."""

    def __init__(self, name: str, fd: int) -> None:
        old = getattr(sys, name)
        self.pipe = _Pipe(fd, "w", closefd=False)
        self.pipe.stream = self
        self.pipe.name = f"<{name}>"
        self.text = io.TextIOWrapper(
            io.BufferedWriter(self.pipe),
            encoding=old.encoding if old else "utf-8",
            errors=old.errors if old else "backslashreplace",
            newline="\n",
            line_buffering=True,
        )
        self.text.mode = "w"
        setattr(sys, name, self.text)
        setattr(sys, f"__{name}__", self.text)
        self.lock = _thread.allocate_lock()  # held by the thread of a storm while it holds the stream's
        os.register_at_fork(before=self._before_fork, after_in_parent=self.lock.release, after_in_child=self._in_child)

    def storm(self) -> None:
        """Called in the middle of a write."""
        import threading

        threading.Thread(target=self._calm_down, name="distributed-computing-output", daemon=True).start()

    def _calm_down(self) -> None:
        """Flush some times a second instead of with each line, until it is calm again."""
        with contextlib.suppress(Exception):  # the user has closed or detached it
            with self.lock:
                self.text.reconfigure(line_buffering=False)
            calm = 0
            while calm < _CALM_FLUSHES:
                before = self.pipe.written
                time.sleep(_FLUSH_S)
                with self.lock:
                    self.text.flush()
                calm = calm + 1 if self.pipe.written - before < _CALM_BYTES else 0
            with self.lock:
                self.text.reconfigure(line_buffering=True)
        self.pipe.in_storm = False

    def _before_fork(self) -> None:
        if self.pipe.in_storm:  # the child would print again what is buffered
            with contextlib.suppress(Exception):
                self.text.flush()
        self.lock.acquire()

    def _in_child(self) -> None:
        self.lock.release()
        if self.pipe.in_storm:  # it has no thread for that
            self.pipe.in_storm = False
            with contextlib.suppress(Exception):
                self.text.reconfigure(line_buffering=True)


_streams: list[_Stream] = []


def install() -> None:
    """Put our streams in place of Python's."""
    _streams[:] = [_Stream("stdout", 1), _Stream("stderr", 2)]


def flush() -> int:
    """Flush both, and what the user's code has put in their place. Return PRINTED and OPEN_LINE as they are found."""
    if not _streams:
        return 0
    out, err = _streams
    try:
        out.text.flush()
        err.text.flush()
        if sys.stdout is not out.text:
            sys.stdout.flush()
        if sys.stderr is not err.text:
            sys.stderr.flush()
    except Exception:
        pass  # closed, or something of the user's: print would have said so
    out_pipe, err_pipe = out.pipe, err.pipe
    if not (out_pipe.printed or err_pipe.printed):
        return 0
    found = PRINTED | (OPEN_LINE if out_pipe.open_line or err_pipe.open_line else 0)
    out_pipe.printed = err_pipe.printed = out_pipe.open_line = err_pipe.open_line = False
    return found
