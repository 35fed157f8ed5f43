"""How to pickle by value what cloudpickle does not know or changes: cached functions and properties, functions by the type
of their argument, enums with more than their values, codes with the names of their files."""

from __future__ import annotations

import enum
import functools
import importlib
import marshal
import sys
import threading
import types
import typing
import weakref
from collections.abc import Callable
from typing import Any

from cloudpickle import cloudpickle as _cloudpickle

from distributed_computing._chunks import main_variables, resolve
from distributed_computing._fingerprint import MAIN, in_by_value_module, is_definition, is_single_dispatch

_LRU_CACHE = type(functools.lru_cache(lambda: None))


def _cached_function(function: Any, parameters: dict[str, Any]) -> Any:
    return functools.lru_cache(**parameters)(function)


def _cached_property(kind: Any, function: Any, name: str | None, doc: str | None) -> Any:
    made = kind(function)
    made.attrname = name
    made.__doc__ = doc
    return made


def _single_dispatch(default: Any) -> Any:
    return functools.singledispatch(default)


def _fill_single_dispatch(function: Any, state: Any) -> None:
    registry, attributes = state
    for kind, implementation in registry:
        function.register(kind, implementation)
    vars(function).update(attributes)


def _reduce_single_dispatch(function: Any) -> tuple[Any, ...]:
    others = [(kind, one) for kind, one in function.registry.items() if kind is not object]
    ours = ("registry", "dispatch", "register", "_clear_cache", "__wrapped__")
    attributes = {name: value for name, value in vars(function).items() if name not in ours}
    return _single_dispatch, (function.registry[object],), (others, attributes), None, None, _fill_single_dispatch


def _quiet_class(constructor: Any, name: str, bases: Any, kwargs: dict[str, Any], tracker: Any, extra: Any) -> Any:
    """Make a class as cloudpickle does, without telling its bases (``__init_subclass__``) and its metaclass: what they made
    of it when it was first defined is in their state and its own, and what they were told besides is not known here."""
    if is_definition(constructor):
        builtin = next(kind for kind in constructor.__mro__ if not is_definition(kind))
        resolved = types.resolve_bases(bases)
        body = dict(kwargs) if resolved is bases else {**kwargs, "__orig_bases__": bases}
        return _cloudpickle._lookup_class_or_track(tracker, builtin.__new__(constructor, name, resolved, body))
    told = [base for base in _ancestors(types.resolve_bases(bases)) if _HOOK in vars(base) and is_definition(base)]
    with _lock:
        hooks = [vars(base)[_HOOK] for base in told]
        try:
            for base in told:
                type.__setattr__(base, _HOOK, classmethod(_hear_nothing))
            return _cloudpickle._make_skeleton_class(constructor, name, bases, kwargs, tracker, extra)
        finally:
            for base, hook in zip(told, hooks, strict=True):
                type.__setattr__(base, _HOOK, hook)


_HOOK = "__init_subclass__"
_lock = threading.RLock()


def _hear_nothing(cls: type, **_: Any) -> None:
    pass


def _ancestors(bases: Any) -> set[type]:
    return {one for base in bases for one in getattr(base, "__mro__", ())}


def _tells_others(kind: type) -> bool:
    return is_definition(type(kind)) or any(_HOOK in vars(base) and is_definition(base) for base in kind.__mro__[1:])


def _make_enum(constructor: Any, arguments: Any, attributes: dict[str, dict[str, Any]]) -> Any:
    made = constructor(*arguments)
    for name, state in attributes.items():
        vars(made.__members__[name]).update(state)
    return made


def _reduce_enum(kind: Any, reduced: tuple[Any, ...]) -> tuple[Any, ...]:
    """With the aliases, and what `__init__` has set in the members."""
    constructor, arguments, state, *rest = reduced
    bases, name, qualname, _, *others = arguments
    members = {name: member.value for name, member in kind.__members__.items()}
    for alias in members:
        state[0].pop(alias, None)
    own = ("_value_", "_name_", "__objclass__", "_sort_order_", "_inverted_")
    attributes = {
        name: found
        for name, member in kind.__members__.items()
        if (found := {key: value for key, value in vars(member).items() if key not in own})
    }
    return _make_enum, (constructor, (bases, name, qualname, members, *others), attributes), state, *rest


def of_class(kind: type) -> tuple[Any, ...]:
    """Return how a class of the script is pickled by value."""
    reduced: tuple[Any, ...] = _cloudpickle._dynamic_class_reduce(kind)
    if isinstance(kind, enum.EnumMeta):
        return _reduce_enum(kind, reduced)
    make, (constructor, name, bases, kwargs, *others), (state, slots), *rest = reduced
    kwargs["__qualname__"] = kind.__qualname__
    if "__slots__" in vars(kind) and not hasattr(kind, "_fields"):  # a named tuple's are its base's matter
        kwargs["__slots__"] = vars(kind)["__slots__"]
        of_slots = [key for key, value in state.items() if isinstance(value, types.MemberDescriptorType)]
        state = {key: value for key, value in state.items() if key not in ("__slots__", *of_slots)}
    make = _quiet_class if _tells_others(kind) else make
    return make, (constructor, name, bases, kwargs, *others), (state, slots), *rest


def _reduce_code(code: types.CodeType) -> Any:
    try:
        return marshal.loads, (marshal.dumps(code),)
    except ValueError:  # somebody has put an object among its constants
        return _cloudpickle._code_reduce(code)


def _reduce_cached_function(value: Any) -> Any:
    if not is_definition(value) and resolve(main_variables(value.__module__), value.__qualname__) is value:
        return NotImplemented  # of a module
    return _cached_function, (value.__wrapped__, value.cache_parameters())


def _reduce_new_type(value: Any) -> Any:
    return typing.NewType, (value.__name__, value.__supertype__)


def _reduce_weak_dictionary(value: Any) -> Any:
    return type(value), (dict(value),)


class ModuleVariables:
    """Stands for the variables of a module that workers import.

    Args:
        name: of the module.
    """

    def __init__(self, name: str) -> None:
        self._name = name

    def __reduce__(self) -> tuple[Any, ...]:
        return _variables_of, (self._name,)


def _variables_of(module: str) -> dict[str, Any]:
    return vars(importlib.import_module(module))


def imported_module(variables: dict[str, Any]) -> str | None:
    """Return the name of the module whose variables these are, if it is one that workers import: what a decorator of it has
    made of a function of the script has its globals, not copies of them."""
    name = variables.get("__name__")
    module = sys.modules.get(name) if isinstance(name, str) else None
    usual = module is not None and name not in MAIN and getattr(module, "__spec__", None) is not None
    return name if usual and vars(module) is variables and not in_by_value_module(str(name)) else None


def _single_of(kind: type) -> dict[str, Any] | None:
    """Return the variables of the module that may have all instances of a class, which has neither state nor a way of its
    own to be pickled (``dataclasses.MISSING``)."""
    plain = kind.__reduce_ex__ is object.__reduce_ex__ and kind.__reduce__ is object.__reduce__  # type: ignore[comparison-overlap]
    bare = all(base is object or not vars(base).get("__slots__") for base in kind.__mro__)
    module = sys.modules.get(kind.__module__)
    if not (plain and bare and kind.__base__ is object and kind.__flags__ & _HEAP_TYPE) or module is None:
        return None
    return vars(module) if imported_module(vars(module)) is not None else None


_HEAP_TYPE = 1 << 9  # Py_TPFLAGS_HEAPTYPE: made by a class statement
_singles: weakref.WeakKeyDictionary[type, Any] = weakref.WeakKeyDictionary()


def _name_in_module(value: Any) -> str | None:
    kind = type(value)
    if kind not in _singles:
        _singles[kind] = _single_of(kind)
    names = _singles[kind]
    if names is None or getattr(value, "__dict__", None):
        return None
    return next((name for name, one in names.items() if one is value), None)


_REDUCERS: dict[type, Callable[[Any], Any]] = {
    _LRU_CACHE: _reduce_cached_function,
    types.CodeType: _reduce_code,
    weakref.WeakKeyDictionary: _reduce_weak_dictionary,
    weakref.WeakValueDictionary: _reduce_weak_dictionary,
}


def of_object(value: Any) -> Any:
    """Return how an object is pickled that is neither a class nor a function; NotImplemented for the usual way."""
    reducer = _REDUCERS.get(type(value))
    if reducer is not None:
        return reducer(value)
    if isinstance(value, functools.cached_property):
        return _cached_property, (type(value), value.func, value.attrname, value.__doc__)
    if isinstance(value, typing.NewType) and getattr(value, "__module__", None) in ("__main__", "__mp_main__"):
        return _reduce_new_type(value)
    name = _name_in_module(value)
    return NotImplemented if name is None else name


def of_function(function: Any) -> Any:
    """Return how a function of the script is pickled that is not of the usual kind; NotImplemented for the others."""
    return _reduce_single_dispatch(function) if is_single_dispatch(function) else NotImplemented
