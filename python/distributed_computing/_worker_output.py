"""stdout and stderr of a worker process: what is printed goes to the node through a native stream, which sees to it that no
line is lost when the process is killed, but for the last 50 ms of a storm, and that a storm costs little
(src/worker/output_stream.hpp)."""

from __future__ import annotations

import _thread
import contextlib
import io
import os
import sys
import time
from collections.abc import Callable

from distributed_computing import _worker

_FLUSH_S = 0.05


class _Pipe(io.BufferedIOBase):
    """The pipe to the node, as what is below a text stream. No code of Python's runs in a write: other threads and handlers
    of signals would come in between.

    Args:
        fd: of the pipe.
        unbuffered: whether also parts of lines go out at once.
        name: for whoever asks.
        on_storm: is called when there begin to be many lines.
    """

    mode = "wb"

    def __init__(self, fd: int, unbuffered: bool, name: str, on_storm: Callable[[], None]) -> None:
        self.native = _worker.OutputStream(fd, unbuffered, on_storm)
        self.write = self.native.write  # type: ignore[method-assign]
        self.flush = self.native.flush  # type: ignore[method-assign]
        self.name = name
        self._fd = fd

    def fileno(self) -> int:
        """Return the descriptor."""
        return self._fd

    def writable(self) -> bool:
        """Return True."""
        return True


class _Stream:
    """One of sys.stdout and sys.stderr, in place of what Python has made."""

    def __init__(self, name: str, fd: int) -> None:
        old = getattr(sys, name)
        self.name = name
        unbuffered = getattr(old, "write_through", False)
        self.pipe = _Pipe(fd, unbuffered, f"<{name}>", self._storm)
        self.text = io.TextIOWrapper(
            self.pipe,
            encoding=old.encoding if old else "utf-8",
            errors=old.errors if old else "backslashreplace",
            newline="\n",
            line_buffering=True,
            write_through=unbuffered,
        )
        self.text.mode = "w"
        setattr(sys, name, self.text)
        setattr(sys, f"__{name}__", self.text)
        self.settle: Callable[[], int] = self.pipe.native.settle
        self._in_blocks = False  # the text stream gives them down, not lines
        os.register_at_fork(before=self._before_fork, after_in_child=self._in_child)

    def _storm(self) -> None:
        if not self._in_blocks and self.pipe.native.in_storm():  # not in a child that was forked before this call
            self._in_blocks = True
            try:
                _thread.start_new_thread(self._calm_down, ())
            except RuntimeError:  # there are too many: lines go on one by one
                self._in_blocks = False

    def _calm_down(self) -> None:
        """Give blocks down instead of lines, until it is calm again."""
        with contextlib.suppress(Exception):  # the user has closed or detached it
            self.text.reconfigure(line_buffering=False)
            while self.pipe.native.in_storm():
                time.sleep(_FLUSH_S)
                self.text.flush()
            self.text.reconfigure(line_buffering=True)
        self._in_blocks = False

    def _before_fork(self) -> None:
        if self._in_blocks:  # the child would print again what is buffered
            with contextlib.suppress(Exception):
                self.text.flush()

    def _in_child(self) -> None:
        if self._in_blocks:  # it has no thread for that
            self._in_blocks = False
            self.pipe.native.swallow(True)  # another thread has printed since: the parent writes it
            with contextlib.suppress(Exception):
                self.text.reconfigure(line_buffering=True)
            self.pipe.native.swallow(False)

    def flush(self) -> None:
        """Flush it, and what stands in its place, whatever one of them raises."""
        for text in (self.text, getattr(sys, self.name, None)):
            with contextlib.suppress(
                Exception
            ):  # closed, detached, or something of the user's: print would have said so
                text.flush()


_streams: list[_Stream] = []


def install() -> None:
    """Put our streams in place of Python's."""
    _streams[:] = [_Stream("stdout", 1), _Stream("stderr", 2)]


def flush() -> int:
    """Flush both, and what the user's code has put in their place. Return what was printed since the last
    time: 0 nothing, 1 whole lines, 3 the last one is not whole."""
    if not _streams:
        return 0
    out, err = _streams
    try:  # each job ends with this: most often both are there, and nothing is in them
        out.text.flush()
        err.text.flush()
        if sys.stdout is not out.text or sys.stderr is not err.text:
            raise ValueError
    except Exception:
        out.flush()
        err.flush()
    return out.settle() | err.settle()
