"""The variables of a script that a pool's functions use: what its workers got, and whether that is what the script has.

A variable that a function of the pool assigns is state, each worker's own. The others are input: a definition may be
referred to by name only while all that it reads is what the workers have.
"""

from __future__ import annotations

import types
import weakref
from typing import Any

from distributed_computing._fingerprint import DEFINED, MAIN, PLAIN, Fingerprint, in_by_value_module
from distributed_computing._left_behind import stays

ABSENT = object()  # in place of the value of a name that stands for nothing
_ELSEWHERE = object()  # in place of one that may be large: nobody is to be kept from freeing it
NO_VALUE = b""  # its digest


def key_of_variable(variables: dict[str, Any], name: str) -> str | None:
    """Return under which name a pool knows a global variable; None for those of modules that workers import."""
    module = variables.get("__name__")
    if module in MAIN:
        return name
    return f"{module}:{name}" if isinstance(module, str) and in_by_value_module(module) else None


def has_identity(value: Any) -> bool:
    """Tell whether it matters that a value is one and the same object, and pickling does not see to that anyway."""
    is_empty = type(value) is tuple and not value
    return not (is_empty or type(value) in PLAIN or isinstance(value, (*DEFINED, types.ModuleType)))


class Sent:
    """A variable, as the workers got it.

    Args:
        digest: of its value; NO_VALUE if it had none; None if it is state.
        value: if this program has sent it.

    Attributes:
        object: the value that workers have, if it is kept here.
    """

    __slots__ = ("_other", "_reference", "digest", "object")

    def __init__(self, digest: bytes | None, value: Any = ABSENT) -> None:
        self._other: Any = ABSENT
        self.take(digest, value)

    def take(self, digest: bytes | None, value: Any = ABSENT) -> None:
        """The workers get this."""
        self.digest = digest
        self.object, self._reference = value, None
        try:
            if not isinstance(value, (*DEFINED, types.ModuleType)):
                self.object, self._reference = _ELSEWHERE, weakref.ref(value)
        except TypeError:
            self.object = value

    def value(self) -> Any:
        """Return the value that workers have; None if it is gone, ABSENT if it has not been here."""
        return self.object if self._reference is None else self._reference()

    def holds(self, value: Any) -> bool:
        """Tell whether workers may go on with what they have where the script has this value."""
        if self.digest is None or value is ABSENT:
            return True
        if value is self.object or (value is not None and value is self.value()):
            return True
        if id(value) == self._other:
            return False
        if stays(value) or self.is_like(value):
            self.take(self.digest, value)
            return True
        self._other = id(value)  # if another value gets that place, it goes by value, which is right too
        return False

    def is_like(self, value: Any, met: list[Any] | None = None) -> bool:
        """Tell whether the value that was sent was just like this one is now.

        Args:
            value: any.
            met: gets the definitions that stand in it.
        """
        from distributed_computing._digest import digest_of  # it brings cloudpickle, which workers seldom need

        return bool(self.digest) and digest_of(value, met) == self.digest


class Entry:
    """What was found out about a definition.

    Args:
        value: the definition.
        key: its name in the pool.
        taken: its fingerprint; None on workers, whose definitions are the pool's.
        sent: what the pool has of the script's variables.
    """

    __slots__ = ("_reads", "_value", "key", "taken")

    def __init__(self, value: Any, key: str, taken: Fingerprint | None, sent: dict[str, Sent]) -> None:
        self._value = weakref.ref(value)
        self.key = key
        self.taken = taken
        self._reads: list[tuple[dict[str, Any], str, Sent]] = []
        for variables, name in taken.reads if taken is not None else ():
            one = sent.get(key_of_variable(variables, name) or "")
            if one is not None:
                self._reads.append((variables, name, one))

    def is_about(self, value: Any) -> bool:
        """Tell whether this is about this definition, and none that it depends on has changed."""
        return self._value() is value and (self.taken is None or self.taken.holds())

    def reads_the_same(self) -> bool:
        """Tell whether the variables that it reads are what the workers have."""
        for variables, name, sent in self._reads:
            value = variables.get(name, ABSENT)
            if value is not sent.object and not sent.holds(value):
                return False
        return True

    def is_current(self) -> bool:
        """Tell whether the pool has just this definition, and workers run it as the script would."""
        return self.taken is None or (self.taken.holds() and (not self._reads or self.reads_the_same()))
