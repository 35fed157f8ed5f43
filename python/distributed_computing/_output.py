"""What pools and started processes show on stderr: on a thread of its own, so that a reader who does not read (a stopped
terminal, a pager, an object in place of ``sys.stderr``) stops nobody."""

from __future__ import annotations

import contextlib
import os
import select
import sys
import threading
from typing import Any

from distributed_computing import _client

_lock = threading.Lock()
_thread: threading.Thread | None = None
_stream: Any = None  # that is being written to
_JOIN_S = 0.5


def _write_descriptor(fd: int, data: bytes) -> None:
    while data:
        try:
            data = data[os.write(fd, data) :]
        except BlockingIOError:  # somebody else has set O_NONBLOCK
            select.select([], [fd], [])


def _write(text: str) -> None:
    global _stream
    _stream = stream = sys.stderr
    if stream is None:
        return
    if stream is sys.__stderr__:
        # Not through its buffer: a thread that hangs with the buffer's lock would break the interpreter's end.
        _write_descriptor(stream.fileno(), text.encode(stream.encoding or "utf-8", "backslashreplace"))
    else:
        stream.write(text)
        stream.flush()


def _run() -> None:
    global _stream
    while text := _client.take_shown():
        with contextlib.suppress(Exception):
            _write(text)
        _stream = None


def begin() -> None:
    """Have somebody show what there will be to show."""
    global _thread
    with _lock:
        if _thread is None or not _thread.is_alive():
            _thread = threading.Thread(target=_run, name="distributed-computing-output", daemon=True)
            _thread.start()


def show(text: str) -> None:
    """Show whole lines. Never waits; what nobody reads is dropped and counted."""
    begin()
    _client.show(text)


def flush() -> None:
    """Wait, for a bounded time, until everything is shown."""
    if _thread is not None:
        _client.shown_drained()


def finish() -> None:
    """Show what is left, for a bounded time: the interpreter ends."""
    if _thread is None:
        return
    _client.shown_drained()
    _client.end_shown()
    _thread.join(_JOIN_S)
    if _stream is not None and _stream is sys.stderr and _stream is not sys.__stderr__:
        sys.stderr = None  # it hangs with our thread: the interpreter would wait for it, or break


def _forked() -> None:
    global _thread, _lock, _stream
    _thread, _lock, _stream = None, threading.Lock(), None
    _client.new_shown()


os.register_at_fork(after_in_child=_forked)
