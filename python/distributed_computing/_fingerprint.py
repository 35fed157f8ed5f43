"""Fingerprints of the classes and functions of a script: two processes that have the same ones have the same definitions.

What counts is what the interpreter runs: code, defaults, bases, what stands in a class, and the script's classes and
functions that these use. File names, line numbers, comments, the values of global variables and what is in a class's lists,
dictionaries and other objects do not count: these are state, and change as the program runs.
"""

from __future__ import annotations

import builtins
import enum
import functools
import opcode
import sys
import types
import weakref
from collections.abc import Iterator, Mapping, Set
from typing import Any

MAIN = ("__main__", "__mp_main__")
_LRU_CACHE = type(functools.lru_cache(lambda: None))
DEFINED = (type, types.FunctionType, _LRU_CACHE)
ASSIGNING = frozenset(opcode.opmap[name] for name in ("STORE_GLOBAL", "DELETE_GLOBAL"))
_GLOBAL_CODES = ASSIGNING | {opcode.opmap[name] for name in ("LOAD_GLOBAL", "LOAD_NAME")}
PLAIN = frozenset((type(None), bool, int, float, complex, str, bytes, type(...), type(NotImplemented), range))
# Of a class: made by the interpreter, changing as the program runs, or of no account.
_LEFT_OUT = {
    *("__dict__", "__weakref__", "__module__", "__doc__", "__firstlineno__", "__static_attributes__"),
    *("_abc_impl", "__abstractmethods__", "__parameters__", "__annotate_func__", "__annotate__", "__slotnames__"),
}
_DEPTH_MAX = 30


def by_value_modules() -> set[str]:
    """Return the names of the modules whose classes and functions travel by value, as the program has told cloudpickle
    (``register_pickle_by_value``)."""
    cloudpickle = sys.modules.get("cloudpickle.cloudpickle")
    return getattr(cloudpickle, "_PICKLE_BY_VALUE_MODULES", None) or set()


def in_by_value_module(module: str) -> bool:
    """Tell whether a module, or a package that it is in, is one of these."""
    names = by_value_modules()
    return bool(names) and any(module == name or module.startswith(name + ".") for name in names)


def is_definition(value: Any) -> bool:
    """Tell whether this is a class or a function (cached ones too) that workers cannot import: it was defined in a script,
    a notebook or inside a function, or its module travels by value."""
    if not isinstance(value, DEFINED):
        return False
    module = getattr(value, "__module__", None)
    if module in MAIN:
        return True
    return isinstance(module, str) and ("<locals>" in getattr(value, "__qualname__", "") or in_by_value_module(module))


def is_single_dispatch(function: Any) -> bool:
    """Tell whether this is what ``functools.singledispatch`` has made."""
    return hasattr(function, "registry") and hasattr(function, "dispatch") and hasattr(function, "_clear_cache")


def global_names(code: types.CodeType, codes: Set[int] = _GLOBAL_CODES) -> Iterator[str]:
    """Yield the names of the global variables that a code uses, with those of the functions inside of it.

    Args:
        code: of a function.
        codes: what it does with them, such as ASSIGNING; all by default.
    """
    import dis  # workers seldom need it

    for instruction in dis.get_instructions(code):
        if instruction.opcode in codes:
            yield instruction.argval
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from global_names(constant, codes)


_Global = tuple[dict[str, Any], str]  # the variables that it is among, and its name


class _Walk:
    """Feeds one definition to a hash, and notes which others it uses."""

    def __init__(self) -> None:
        import hashlib  # it brings OpenSSL, which workers seldom need

        self._hash = hashlib.sha256()
        self._seen: dict[int, tuple[int, Any]] = {}
        self.uses: dict[int, Any] = {}  # definitions that stand in this one
        self.names: list[_Global] = []  # global variables that hold definitions
        self.reads: list[_Global] = []  # the others

    def digest(self) -> bytes:
        return self._hash.digest()

    def _say(self, *words: Any) -> None:
        for word in words:
            data = word if isinstance(word, bytes) else str(word).encode("utf-8", "surrogatepass")
            self._hash.update(len(data).to_bytes(8, "little") + data)

    def definition(self, value: Any) -> None:
        """A class or function of the script, from its inside."""
        self._seen[id(value)] = (0, value)
        self._inside(value, 0)

    def _inside(self, value: Any, depth: int) -> None:
        if isinstance(value, type):
            self._class(value)
        elif isinstance(value, _LRU_CACHE):
            self._say("cached", sorted(value.cache_parameters().items()))
            self._inside(value.__wrapped__, depth + 1)
        elif isinstance(value, types.FunctionType):
            self._function(value, depth)
        else:
            self._value(value, depth + 1)

    def _function(self, function: Any, depth: int) -> None:
        self._say("function", function.__qualname__)
        if is_single_dispatch(function):
            self._value(dict(function.registry), depth + 1)  # type: ignore[attr-defined]
            return
        self._code(function.__code__)
        for part in (function.__defaults__, function.__kwdefaults__):
            self._value(part, depth + 1)
        for cell in function.__closure__ or ():
            try:
                self._value(cell.cell_contents, depth + 1)
            except ValueError:
                self._say("empty")
        for name, value in sorted(vars(function).items()):
            self._say(name)
            self._value(value, depth + 1)
        for name in sorted(set(global_names(function.__code__))):
            if is_definition(function.__globals__.get(name)):
                self._say("uses", name)
                self.names.append((function.__globals__, name))
            elif name in function.__globals__ or not hasattr(builtins, name):
                self.reads.append((function.__globals__, name))

    def _code(self, code: types.CodeType) -> None:
        self._say(code.co_name, code.co_argcount, code.co_posonlyargcount, code.co_kwonlyargcount, code.co_flags)
        self._say(code.co_code, code.co_names, code.co_varnames, code.co_freevars, code.co_cellvars)
        self._say(getattr(code, "co_exceptiontable", b""))
        for constant in code.co_consts:
            self._value(constant, 1)

    def _class(self, kind: type) -> None:
        self._say("class", kind.__qualname__)
        for base in kind.__bases__:
            self._value(base, 1)
        self._value(type(kind), 1)
        members = dict(kind.__dict__)
        if isinstance(kind, enum.EnumMeta):
            self._say(*kind.__members__)
            for member in kind.__members__.values():
                self._value(member.value, 1)
            members = {
                name: value
                for name, value in members.items()
                if isinstance(getattr(value, "__func__", value), types.FunctionType) and is_definition(value)
            }
        for name, value in sorted(members.items()):
            made = name in _LEFT_OUT or name.startswith("__pydantic") or (name == "__annotations__" and not value)
            if not made:
                self._say(name)
                if _changes(value) and not name.startswith(("__", "_field")):  # of named tuples and structures
                    self._say(type(value).__qualname__)
                else:
                    self._value(value, 1)

    def _use(self, value: Any) -> None:
        self._say(value.__qualname__)
        self.uses[id(value)] = value

    def _value(self, value: Any, depth: int) -> None:
        kind = type(value)
        if kind in PLAIN:
            return self._say(kind.__name__, repr(value))
        if id(value) in self._seen or depth > _DEPTH_MAX:
            return self._say("again", self._seen.get(id(value), (0,))[0])
        self._seen[id(value)] = (len(self._seen), value)
        self._say(kind.__name__)
        if isinstance(value, type):
            self._use(value) if is_definition(value) else self._say(value.__module__, value.__qualname__)
        elif kind in (types.FunctionType, _LRU_CACHE):
            self._inside(value, depth) if is_definition(value) else self._say(value.__module__, value.__qualname__)
        elif kind is types.CodeType:
            self._code(value)
        elif kind in (list, tuple):
            for one in value:
                self._value(one, depth + 1)
        elif isinstance(value, (set, frozenset)):
            self._say(*sorted(_alone(one) for one in value))
        elif isinstance(value, Mapping):
            for _, key, one in sorted(
                ((_alone(key), key, one) for key, one in value.items()), key=lambda item: item[0]
            ):
                self._value(key, depth + 1)
                self._value(one, depth + 1)
        else:
            self._object(value, depth)

    def _object(self, value: Any, depth: int) -> None:
        kind = type(value)
        if isinstance(value, (staticmethod, classmethod)):
            self._value(value.__func__, depth + 1)
        elif isinstance(value, property):
            for part in (value.fget, value.fset, value.fdel):
                self._value(part, depth + 1)
        elif isinstance(value, functools.cached_property):
            self._value(value.func, depth + 1)
        elif isinstance(value, (types.ModuleType, types.BuiltinFunctionType, types.MemberDescriptorType)):
            self._say(getattr(value, "__qualname__", value.__name__))
        elif kind.__module__ == "weakref":
            return  # lives as the program does
        elif (kind.__module__ or "").partition(".")[0] in sys.stdlib_module_names or is_definition(kind):
            try:
                parts = value.__reduce_ex__(2)
            except Exception:
                return
            self._value(parts if isinstance(parts, str) else parts[:3], depth + 1)
        # Objects of other classes may hold anything, addresses too: only what they are counts.


def _changes(value: Any) -> bool:
    """Tell whether this is a cache, a registry, a generator or the like, whose content may change as the program runs. What
    can be hashed by its content is none."""
    kind = type(value)
    is_behaviour = hasattr(kind, "__get__") or callable(value) or isinstance(value, types.ModuleType)
    return kind.__hash__ in (None, object.__hash__) and not is_behaviour


def _alone(value: Any) -> bytes:
    walk = _Walk()
    walk._value(value, 1)
    return walk.digest()


# Taken when a definition is first seen: class-level state that changes later makes no other definition.
_own: weakref.WeakKeyDictionary[Any, tuple[bytes, list[weakref.ref[Any]], list[_Global], list[_Global]]]
_own = weakref.WeakKeyDictionary()


class Fingerprint:
    """What tells a class or function of the script from all others, with all that it uses.

    Args:
        definition: of which `is_definition` is true.

    Attributes:
        digest: 16 bytes.
        uses: the global variables that it uses and that hold definitions, each as (variables that it is among, name).
        reads: the others that it uses, also through objects that these hold.
    """

    def __init__(self, definition: Any) -> None:
        import hashlib

        self._seen: set[tuple[int, str]] = set()
        self.uses: list[_Global] = []
        self.reads: list[_Global] = []
        found: dict[int, Any] = {}
        parts = self._gather(definition, found)
        self.digest = hashlib.sha256(parts[0] + b"".join(sorted(parts[1:]))).digest()[:16]
        self._closure = [weakref.ref(one) for one in found.values()]
        self._watched = [(variables, name, variables.get(name)) for variables, name in self.uses]
        for variables, name in self.reads:  # more of them as it goes
            kind = type(variables.get(name))
            if is_definition(kind) and id(kind) not in found:
                self._gather(kind, found)

    def _gather(self, definition: Any, found: dict[int, Any]) -> list[bytes]:
        """Add a definition, and all that it uses, to those that were found. Return the digest of each."""
        found[id(definition)] = definition
        todo = [definition]
        parts = []
        while todo:
            own, uses, names, reads = self._own_of(todo.pop())
            parts.append(own)
            self._add(self.uses, names)
            self._add(self.reads, reads)
            for one in [reference() for reference in uses] + [variables.get(name) for variables, name in names]:
                if is_definition(one) and id(one) not in found:
                    found[id(one)] = one
                    todo.append(one)
        return parts

    def _add(self, those: list[_Global], more: list[_Global]) -> None:
        for variables, name in more:
            if (id(variables), name) not in self._seen:
                self._seen.add((id(variables), name))
                those.append((variables, name))

    @staticmethod
    def _own_of(definition: Any) -> Any:
        found = _own.get(definition)
        if found is None:
            walk = _Walk()
            walk.definition(definition)
            found = walk.digest(), [weakref.ref(used) for used in walk.uses.values()], walk.names, walk.reads
            _own[definition] = found
        return found

    def closure(self) -> list[Any]:
        """Return the definition, and all that it uses."""
        return [one for reference in self._closure if (one := reference()) is not None]

    def holds(self) -> bool:
        """Tell whether all global variables that it depends on still hold what they held."""
        for variables, name, value in self._watched:
            if variables.get(name) is not value:
                return False
        return True
