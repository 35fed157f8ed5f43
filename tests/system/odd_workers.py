"""Worker classes whose errors are of any length and any bytes, in `run`, the constructor and `handle_update`."""

from __future__ import annotations

import dataclasses
import os
import signal
import threading

from distributed_computing.api import WorkerInterface


class TextRaises(Exception):
    def __str__(self):
        raise RuntimeError("no text")

    __repr__ = __str__


class ExitsWhenPickled(Exception):
    def __reduce__(self):
        raise SystemExit(3)


class KeywordOnly(ValueError):
    def __init__(self, *, code):
        super().__init__(f"code {code}")
        self.code = code


@dataclasses.dataclass(frozen=True)
class Frozen(LookupError):
    host: str


def recursive(depth, environment):
    return recursive_too(depth + 1, {**environment, "depth": depth})


def recursive_too(depth, environment):
    return recursive(depth + 1, {**environment, "depth": depth})


def chain(length):
    error = ValueError("the first")
    for number in range(length):
        error, error.__cause__ = RuntimeError(f"link {number}"), error
    return error


def odd_error(what):
    """Return the exception of that name, or raise it."""
    if what == "long":
        return ValueError("begin " + "x" * 5_000_000 + " end")
    if what == "wide":
        return ValueError("\N{ROCKET}" * 100_000)
    if what == "recursion":
        recursive(0, {})
    if what == "file name":
        return ValueError(os.fsdecode(b"/data/caf\xe9.csv"))
    if what == "zeros":
        return ValueError("before\0after")
    if what == "text raises":
        return TextRaises("x")
    if what == "exits when pickled":
        return ExitsWhenPickled("hello")
    if what == "keyword-only":
        return KeywordOnly(code=6)
    if what == "frozen":
        return Frozen("database")
    if what == "unpicklable":
        error = KeyError("kept", lambda: threading.Lock(), threading.Lock())
        error.lock = threading.Lock()
        return error
    if what == "long type":
        return type("T" * 300_000, (Exception,), {})("hello")
    if what == "chain":
        return chain(1000)
    if what == "group":
        error = ExceptionGroup("all of them", [ValueError(f"number {i} " + "y" * 5000) for i in range(100)])
        error.add_note("z" * 200_000)
        return error
    if what == "heavy":
        error = ValueError("carries much")
        error.data = bytes(8 << 20)
        return error
    if what == "base":
        return BaseException("bye")
    raise AssertionError(what)


# What must be found in the text of each.
ODD = {
    "long": r"begin x+ \[\.\.\. 49\d{5} bytes left out \.\.\.\] x+ end",
    "wide": "\N{ROCKET} \\[\\.\\.\\. [0-9]+ bytes left out",
    "recursion": "RecursionError",
    "file name": r"ValueError: /data/caf\\udce9\.csv",
    "zeros": "before\0after",
    "text raises": "TextRaises",
    "exits when pickled": "ExitsWhenPickled: hello",
    "keyword-only": "KeywordOnly: code 6",
    "frozen": "Frozen: database",
    "unpicklable": "KeyError: .*kept",
    "long type": "T+ .* bytes left out",
    "chain": "RuntimeError: link 999",
    "group": "all of them",
    "heavy": "carries much",
    "base": "BaseException: bye",
}


class Odd(WorkerInterface):
    """Raises odd errors, and counts what it has lived through."""

    def __init__(self, what=None):
        if what is not None:
            raise odd_error(what)
        self.lived = 0

    def run(self, what=None):
        self.lived += 1
        if what is not None:
            raise odd_error(what)
        return self.lived, os.getpid()

    def handle_update(self, what):
        self.lived += 1
        if what == "dies":
            os.kill(os.getpid(), signal.SIGKILL)
        raise odd_error(what)
