"""What pools and started processes show on stdout and stderr: on threads of their own, so that a reader who does not read (a
stopped terminal, a pager, an object in place of ``sys.stdout``) stops nobody."""

from __future__ import annotations

import contextlib
import fcntl
import itertools
import logging  # noqa: F401  before _client: what it does at the end, flushing sys.stderr, then comes after our own end
import os
import select
import stat
import sys
import termios
import threading
import time
import traceback
import weakref
from collections.abc import Callable
from typing import Any, NamedTuple

from distributed_computing import _client

# The queues of client_output.hpp.
_OUT, _ERR, _CALLS = 0, 1, 2
NOT_SHOWN, SHOWN = 0, 1
_JOIN_S = 0.5
_TELL_AGAIN_S = 1.0
_ROOM = 32 << 10

_lock = threading.Lock()
_threads: dict[int, threading.Thread] = {}
_busy: dict[int, Any] = {}  # the stream that each thread is writing to


class OutputSource(NamedTuple):
    """Where a line comes from that a worker printed: the second argument of a function given as ``show_output``."""

    host: str
    slot: int
    stream: str
    """``"stdout"`` or ``"stderr"``"""


class Lines:
    """A pool's function that gets the lines of its workers. The pool holds it, so that it does not hold the pool."""

    def __init__(self, function: Callable[[str, OutputSource], object]) -> None:
        self.number = next(_numbers)
        self._function = function
        self._told_at = 0.0
        self._untold = 0
        _functions[self.number] = self

    def call(self, text: str, source: OutputSource) -> None:
        """Hand over whole lines, one after the other. What the function raises is shown, the first time in full."""
        for line in text.removesuffix("\n").split("\n"):
            try:
                self._function(line, source)
            except BaseException as error:
                self._tell(error)
            _client.shown_progressed(_CALLS)

    def _tell(self, error: BaseException) -> None:
        now = time.monotonic()
        if self._told_at and now - self._told_at < _TELL_AGAIN_S:
            self._untold += 1
            return
        again = f" ({self._untold} times more)" if self._untold else ""
        text = repr(type(error)) if self._told_at else traceback.format_exc()
        self._told_at, self._untold = now, 0
        show(f"distributed-computing: the function given as show_output raised{again}: {text.rstrip()}\n")


_numbers = itertools.count(SHOWN + 1)
_functions: weakref.WeakValueDictionary[int, Lines] = weakref.WeakValueDictionary()


# --- Writing --------------------------------------------------------------------------------------------------------


def _write_descriptor(fd: int, data: bytes) -> None:
    while data:
        try:
            data = data[os.write(fd, data) :]
        except BlockingIOError:  # somebody else has set O_NONBLOCK
            select.select([], [fd], [])


def _takes_more(fd: int) -> bool:
    """Tell whether flushing what Python has buffered for this descriptor cannot have to wait."""
    mode = os.fstat(fd).st_mode
    if stat.S_ISFIFO(mode):
        unread = int.from_bytes(fcntl.ioctl(fd, termios.FIONREAD, bytes(4)), sys.byteorder)
        return fcntl.fcntl(fd, fcntl.F_GETPIPE_SZ) - unread >= _ROOM
    return stat.S_ISREG(mode)


def _write(queue: int, to_stdout: bool, text: str) -> None:
    stream, own = (sys.stdout, sys.__stdout__) if to_stdout else (sys.stderr, sys.__stderr__)
    _busy[queue] = stream
    if stream is None:
        return
    if stream is own:
        # Not through its buffer: a thread that hangs with the buffer's lock would break the interpreter's end.
        fd = stream.fileno()
        if to_stdout and _takes_more(fd):
            stream.flush()  # what the program has printed before
        _write_descriptor(fd, text.encode(stream.encoding or "utf-8", "backslashreplace"))
    else:
        stream.write(text)
        stream.flush()


def _run(queue: int) -> None:
    while (taken := _client.take_shown(queue)) is not None:
        source, text = taken
        with contextlib.suppress(Exception):
            if queue == _CALLS:
                number, stream, slot, host = source.split(" ", 3)
                lines = _functions.get(int(number))
                if lines is not None:
                    lines.call(text, OutputSource(host, int(slot), stream))
                del lines  # it may hold a pool
            else:
                _write(queue, source == "out", text)
        _busy.pop(queue, None)


# --- For pools ------------------------------------------------------------------------------------------------------


def _one_file() -> bool:
    """Tell whether stdout and stderr go to the same place: then one thread keeps the order."""
    if sys.stdout is sys.stderr:
        return True
    if sys.stdout is not sys.__stdout__ or sys.stderr is not sys.__stderr__:
        return False
    try:
        return os.path.sameopenfile(sys.stdout.fileno(), sys.stderr.fileno())
    except (OSError, ValueError, AttributeError):
        return False


def begin(calls: bool = False) -> None:
    """Have somebody show what there will be to show; `calls`: also for functions that get lines."""
    with _lock:
        _client.show_together(_one_file())
        for queue in (_OUT, _ERR, _CALLS) if calls else (_OUT, _ERR):
            thread = _threads.get(queue)
            if thread is None or not thread.is_alive():
                name = "distributed-computing-output"
                _threads[queue] = threading.Thread(target=_run, args=(queue,), name=name, daemon=True)
                _threads[queue].start()


def show(text: str) -> None:
    """Show whole lines on stderr. Never waits; what nobody reads is dropped and counted."""
    begin()
    _client.show(text)


def flush() -> None:
    """Wait, for a bounded time, until everything is shown."""
    for queue, thread in list(_threads.items()):
        if thread is not threading.current_thread():
            _client.shown_drained(queue)


def finish() -> None:
    """Show what is left, for a bounded time: the interpreter ends."""
    flush()
    for queue, thread in list(_threads.items()):
        _client.end_shown(queue)
        thread.join(_JOIN_S)
        stream = _busy.get(queue)
        # One that hangs with our thread: the interpreter would wait for it, or break.
        if stream is not None and stream is sys.stderr and stream is not sys.__stderr__:
            sys.stderr = None
        if stream is not None and stream is sys.stdout and stream is not sys.__stdout__:
            sys.stdout = None


def _forked() -> None:
    global _lock
    _threads.clear()
    _busy.clear()
    _lock = threading.Lock()
    _client.new_shown()


os.register_at_fork(after_in_child=_forked)
