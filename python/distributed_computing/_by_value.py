"""The pickler for what goes by value: cloudpickle's, which refers to what the pool has, and knows more kinds of objects."""

from __future__ import annotations

import builtins
import types
from typing import Any

import cloudpickle

from distributed_computing import _reducers
from distributed_computing._chunks import Variable, Variables, key_of, main_variables, set_function_state, source_of
from distributed_computing._definitions import Definitions, Differs, NotDefined, reduced
from distributed_computing._digest import digest_of
from distributed_computing._fingerprint import ASSIGNING, DEFINED, MAIN, Fingerprint, global_names, is_definition
from distributed_computing._left_behind import LeftBehind, stays, why
from distributed_computing._surroundings import source_without
from distributed_computing._variables import ABSENT, NO_VALUE, has_identity, key_of_variable


class _Found:
    """Stands for what a chunk has at its end, when all is known."""

    def __init__(self, pickler: ChunkPickler) -> None:
        self._pickler = pickler

    def __reduce__(self) -> tuple[Any, ...]:
        sources = {name: text for name in sorted(self._pickler.files) if (text := source_of(name))}
        sources = {name: source_without(self._pickler.secrets, text) for name, text in sources.items()}
        return _end, (dict(self._pickler.found), sources, dict(self._pickler.met))


def _end(*parts: Any) -> tuple[Any, ...]:
    return parts


_pair = _end  # its name in the named pools of earlier versions


class ValuePickler(cloudpickle.Pickler):
    """Pickles definitions that the pool has by name and others by value.

    Args:
        stream: written to.
        definitions: of the pool.
        aside: the buffer_callback.
    """

    def __init__(self, stream: Any, definitions: Definitions, aside: Any) -> None:
        super().__init__(stream, protocol=5, buffer_callback=aside)
        self._definitions = definitions

    def reducer_override(self, value: Any) -> Any:
        if stays(value):
            return self._leave(value)
        ours = isinstance(value, DEFINED) and is_definition(value)
        if ours:
            key = self._definitions.reference(value)
            if key is not None:
                return reduced(value, key)
            self._note(value)
        if isinstance(value, type):
            return _reducers.of_class(value) if ours else super().reducer_override(value)
        if type(value) is types.FunctionType:
            found = _reducers.of_function(value) if ours else NotImplemented
            if ours and found is NotImplemented:  # cloudpickle takes __mp_main__ for a module that everybody has
                return self._dynamic_function_reduce(value)
        else:
            found = _reducers.of_object(value)
        return super().reducer_override(value) if found is NotImplemented else found

    def _leave(self, value: Any) -> Any:
        """A pool, a future or the like does not travel."""
        raise TypeError(why(type(value).__name__))

    def _note(self, value: Any) -> None:
        """A definition goes by value."""
        if not self._definitions.goes_by_value(value):
            raise NotDefined(value)

    def _dynamic_function_reduce(self, function: Any) -> Any:
        """The script's variables go along, but for those that workers have just so: these may be large."""
        module = _reducers.imported_module(function.__globals__)
        if module is not None:
            return self._of_module(function, module)
        reduced = super()._dynamic_function_reduce(function)
        used = reduced[2][1]["__globals__"]
        used.update({name: LeftBehind(type(value).__name__) for name, value in used.items() if stays(value)})
        for name, value in used.items():
            key = key_of_variable(function.__globals__, name)
            if key in self._definitions.sent and has_identity(value) and self._is_there(key, value):
                used[name] = Variable(key)
        return reduced

    def _of_module(self, function: Any, module: str) -> Any:
        """A function that code of an imported module has made, a decorator most often, has the module's variables."""
        self.globals_ref[id(function.__globals__)] = _reducers.ModuleVariables(module)
        make, arguments, (attributes, slots), *rest = cloudpickle.Pickler._dynamic_function_reduce(self, function)
        return make, arguments, (attributes, {**slots, "__globals__": {}}), *rest

    def _is_there(self, key: str, value: Any) -> bool:
        met: list[Any] = []
        is_like = self._definitions.sent[key].is_like(value, met)
        return is_like and all(self._definitions.reference(one) is not None for one in met)


class ChunkPickler(ValuePickler):
    """Pickles what is to become the pool's, among the variables of its script.

    Args:
        stream: written to.
        definitions: of the pool.
        aside: the buffer_callback.

    Attributes:
        found: definitions that were pickled by value, by key.
        met: objects that are the values of variables of the script and stand in them, by name.
        variables: the values of the script's variables that they use, by key.
        assigned: keys of those that they assign.
        files: names of the files that they come from.
        secrets: texts that are not to be seen in these.
    """

    def __init__(self, stream: Any, definitions: Definitions, aside: Any) -> None:
        super().__init__(stream, definitions, aside)
        self.secrets = definitions.secrets
        self.found: dict[str, Any] = {}
        self.met: dict[str, Any] = {}
        self.variables: dict[str, Any] = {}
        self.assigned: set[str] = set()
        self.files: set[str] = set()
        self._stand_ins: dict[str, Variables] = {}
        self._named = definitions.objects_sent()
        for name, value in main_variables().items():
            if has_identity(value) and not name.startswith("__"):
                self._named.setdefault(id(value), name)

    def dump_chunk(self, value: Any) -> None:
        """Write a definition with all that it uses and the pool has not.

        Raises:
            Differs: it uses what the pool has otherwise.
            Whatever pickling raises.
        """
        self.dump((value, _Found(self)))

    def digests(self) -> dict[str, bytes | None]:
        """Return the digests of the variables, see `_variables.Sent`."""
        found: dict[str, bytes | None] = {
            key: NO_VALUE if value is ABSENT else digest_of(value)
            for key, value in self.variables.items()
            if key not in self.assigned
        }
        return {**found, **dict.fromkeys(self.assigned)}

    def _leave(self, value: Any) -> Any:
        return LeftBehind, (type(value).__name__,)

    def persistent_id(self, value: Any) -> str | None:
        """An object that workers have as the value of a variable stays that very object."""
        key = self._named.get(id(value))
        if key is None:
            return None
        if self._definitions.lacks(key):
            self.met[key] = self.variables[key] = value
            return None
        return key if self._definitions.sent[key].holds(value) else None

    def _note(self, value: Any) -> None:
        differs = self._definitions.differs(Fingerprint(value))
        if differs is not None:
            raise Differs(differs)
        key = key_of(value)
        if key is None and isinstance(value, type):
            key = self._definitions.new_key(value, len(self.found))
        if key is not None:
            self.found[key] = value

    def _dynamic_function_reduce(self, function: Any) -> Any:
        """The script's functions have its variables, as they have here, and so have those of a module that goes by value."""
        variables = function.__globals__
        module = _reducers.imported_module(variables)
        if module is not None:
            return self._of_module(function, module)
        if key_of_variable(variables, "") is None:
            return cloudpickle.Pickler._dynamic_function_reduce(self, function)
        self.files.add(function.__code__.co_filename)
        self.globals_ref[id(variables)] = self._stand_in(variables)
        make, arguments, (attributes, slots), *_ = cloudpickle.Pickler._dynamic_function_reduce(self, function)
        used = {}
        for name in dict.fromkeys((*slots["__globals__"], *global_names(function.__code__))):
            key = str(key_of_variable(variables, name))
            if self._definitions.lacks(key) and name in slots["__globals__"]:
                used[name] = self.variables[key] = slots["__globals__"][name]
            elif name not in variables and not hasattr(builtins, name):
                self.variables.setdefault(key, ABSENT)
        self.assigned |= {str(key_of_variable(variables, name)) for name in global_names(function.__code__, ASSIGNING)}
        return make, arguments, (attributes, {**slots, "__globals__": used}), None, None, set_function_state

    def _stand_in(self, variables: dict[str, Any]) -> Variables:
        """Return what stands for all variables of a module: one object for each."""
        module = variables["__name__"]
        names = () if module in MAIN else ("__name__", "__package__", "__path__", "__file__")
        basics = {name: variables[name] for name in names if name in variables}
        return self._stand_ins.setdefault("" if module in MAIN else module, Variables(basics))
