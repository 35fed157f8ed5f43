"""How exceptions travel: as what they are, whatever their constructors want to be called with.

By default Python pickles an exception as a call of its class with its `args`. That fails for a constructor with
keyword-only arguments, and gives another text for one that makes its text itself. Where a class does not say itself how it
is pickled, its instances are therefore put together without their constructor: `args`, attributes, slots and what native
bases keep.
"""

from __future__ import annotations

import copyreg
import pickle
from dataclasses import dataclass
from types import GetSetDescriptorType, MemberDescriptorType
from typing import Any

from distributed_computing._payload import dumps, loads

_HEAP_TYPE = 1 << 9  # Py_TPFLAGS_HEAPTYPE: a class that a program made
_OWN_WAY = ("__reduce__", "__reduce_ex__", "__getstate__", "__setstate__", "__getnewargs__", "__getnewargs_ex__")
_TEXT_MAX = 1000


def type_name(value: Any) -> str:
    """Return the name of the value's type."""
    try:
        return str(type(value).__name__)
    except BaseException:  # a metaclass may do anything
        return "object"


def safe_repr(value: Any) -> str:
    """Return `repr(value)`, or its type where that raises."""
    try:
        return repr(value)
    except BaseException:
        return f"<{type_name(value)}>"


def native_bases(kind: type) -> list[Any]:
    """Return the classes of an exception's ancestors that no program made, but object."""
    return [each for each in kind.__mro__[:-1] if not each.__flags__ & _HEAP_TYPE]


def _says_itself(kind: type) -> bool:
    """Tell whether a class, or an ancestor that a program made, says how it is pickled."""
    if kind in copyreg.dispatch_table or not kind.__flags__ & _HEAP_TYPE:
        return True
    made = [each for each in kind.__mro__ if each.__flags__ & _HEAP_TYPE]
    return any(name in vars(each) for each in made for name in _OWN_WAY)


@dataclass
class Parts:
    """What an exception consists of.

    Attributes:
        made_of: what its native base is made of: `args`, or the message and the exceptions of a group.
        args: its `args`; None for a group that was made as usual.
        members: values of its slots and of what native bases keep, by name.
        attributes: its `__dict__`.
    """

    made_of: tuple[Any, ...]
    args: tuple[Any, ...] | None
    members: dict[str, Any]
    attributes: dict[str, Any]

    @classmethod
    def of(cls, error: BaseException) -> Parts:
        """Take an exception apart."""
        made_of, args = error.args, error.args
        if isinstance(error, OSError):
            made_of = args[:2]  # what is behind means different things to different classes; it is in the members
        if isinstance(error, BaseExceptionGroup):
            made_of = (error.message, list(error.exceptions))
            usual = len(args) == 2 and args[0] is error.message and isinstance(args[1], (list, tuple))
            if usual and tuple(args[1]) == error.exceptions:
                args = None
        return cls(made_of, args, _members(error), dict(vars(error)))

    def build(self, kind: type) -> BaseException:
        """Return an exception of that class with these parts, without calling what a program wrote."""
        error = _new(kind, self.made_of)
        try:
            native_bases(kind)[0].__init__(error, *self.made_of)
        except Exception:  # this one's `args` are not what its base was made with
            pass
        if self.args is not None:
            BaseException.args.__set__(error, self.args)  # type: ignore[attr-defined]
        for name, value in self.members.items():
            _set_member(error, name, value)
        vars(error).update(self.attributes)
        return error


def _new(kind: type, made_of: tuple[Any, ...]) -> BaseException:
    """Return an instance that no constructor has seen yet."""
    refused: TypeError | None = None
    for base in native_bases(kind):
        try:
            return base.__new__(kind, *made_of)
        except TypeError as error:  # beside another base, that one's may be the one to take: MemoryError
            refused = refused or error
    raise refused or TypeError(f"{kind!r} is no exception")


def _members(error: BaseException) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for each in type(error).__mro__:
        if each is BaseException:
            break
        for name, field in vars(each).items():
            if (
                name.startswith("__")
                or name in found
                or not isinstance(field, (MemberDescriptorType, GetSetDescriptorType))
            ):
                continue
            try:
                value = field.__get__(error)
            except AttributeError:
                continue
            if value is not None:  # to a native base None is not the same as nothing
                found[name] = value
    return found


def _set_member(error: BaseException, name: str, value: Any) -> None:
    for each in type(error).__mro__:
        field = vars(each).get(name)
        if isinstance(field, (MemberDescriptorType, GetSetDescriptorType)):
            try:
                field.__set__(error, value)
            except (AttributeError, TypeError):  # one that only its base sets
                pass
            return


def travels(value: Any) -> bool:
    """Tell whether a value can be pickled and loaded again."""
    try:
        _loaded(dumps(value))
        return True
    except BaseException:
        return False


def _loaded(parts: bytes | list[Any]) -> Any:
    return loads(parts) if isinstance(parts, bytes) else pickle.loads(parts[0], buffers=parts[1:])


def rebuilt(kind: type, *parts: Any) -> BaseException:
    """Return an exception of that class from its `Parts`, as they stand in its pickle."""
    return Parts(*parts).build(kind)


class Travelling:
    """An exception in a pickle: it is loaded as the exception itself.

    Args:
        error: the exception.
        bare: put it together without its constructor, also where its class says how it is pickled.
        lossy: so, and without attributes that cannot be pickled; such `args` are told by their text.
    """

    def __init__(self, error: BaseException, bare: bool = False, lossy: bool = False) -> None:
        self.error = error
        self.bare = bare or lossy
        self.lossy = lossy
        self._inner: dict[int, Travelling] = {}

    def __reduce_ex__(self, protocol: Any) -> tuple[Any, ...]:
        kind = type(self.error)
        if not self.bare and _says_itself(kind) and not isinstance(self.error, BaseExceptionGroup):
            return _same, (self.error,)
        parts = Parts.of(self.error)
        return (
            rebuilt,
            (
                kind,
                tuple(map(self._told, parts.made_of)),
                None if parts.args is None else tuple(map(self._told, parts.args)),
                self._kept(parts.members),
                self._kept(parts.attributes),
            ),
        )

    def _with_travelling(self, value: Any) -> Any:
        """Return the value, or where it is an exception or a list of them, these as they travel."""
        if isinstance(value, BaseException):
            return self._inner.setdefault(id(value), Travelling(value, self.bare, self.lossy))
        if type(value) in (list, tuple) and any(isinstance(each, BaseException) for each in value):
            return type(value)(map(self._with_travelling, value))
        return value

    def _told(self, value: Any) -> Any:
        travelling = self._with_travelling(value)
        return travelling if not self.lossy or travels(travelling) else safe_repr(value)[:_TEXT_MAX]

    def _kept(self, values: dict[str, Any]) -> dict[str, Any]:
        travelling = {name: self._with_travelling(value) for name, value in values.items()}
        return {name: value for name, value in travelling.items() if not self.lossy or travels(value)}


def _same(error: BaseException) -> BaseException:
    return error


def pickled_exception(error: BaseException) -> bytes | list[Any]:
    """Return the exception as a pickle that is known to load again, or nothing. Never raises."""
    # The second: as Python does by default, for native classes that cannot be put together from outside.
    for way in (Travelling(error), error, Travelling(error, bare=True), Travelling(error, lossy=True)):
        try:
            # Directly: a class may refuse to have its attributes set.
            BaseException.with_traceback(error, None)
            if way is error:
                BaseException.__cause__.__set__(error, None)  # type: ignore[attr-defined]
                BaseException.__context__.__set__(error, None)  # type: ignore[attr-defined]
            parts = dumps(way)
            if isinstance(_loaded(parts), BaseException):
                return parts
        except BaseException:
            continue
    return b""
