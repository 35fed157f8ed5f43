"""The pickler for what goes by value: cloudpickle's, which refers to what the pool has, and knows more kinds of objects."""

from __future__ import annotations

import types
from typing import Any

import cloudpickle

from distributed_computing import _reducers
from distributed_computing._chunks import Variables, key_of, set_function_state, source_of
from distributed_computing._definitions import Definitions, NotDefined, reduced
from distributed_computing._fingerprint import DEFINED, MAIN, is_definition


class _Found:
    """Stands for what a chunk has at its end, when all is known."""

    def __init__(self, pickler: ValuePickler) -> None:
        self._pickler = pickler

    def __reduce__(self) -> tuple[Any, ...]:
        sources = {name: text for name in sorted(self._pickler.files) if (text := source_of(name))}
        return _pair, (dict(self._pickler.found), sources)


def _pair(found: dict[str, Any], sources: dict[str, str]) -> tuple[dict[str, Any], dict[str, str]]:
    return found, sources


class ValuePickler(cloudpickle.Pickler):
    """Pickles definitions that the pool has by name and others by value.

    Args:
        stream: written to.
        definitions: of the pool.
        aside: the buffer_callback.
        chunk: whether definitions are to become the pool's, among the variables of its script.

    Attributes:
        found: definitions that were pickled by value, by key; of a chunk.
        variables: names of the script's variables that they use; of a chunk.
        files: names of the files that they come from; of a chunk.
    """

    def __init__(self, stream: Any, definitions: Definitions, aside: Any, chunk: bool = False) -> None:
        super().__init__(stream, protocol=5, buffer_callback=aside)
        self.found: dict[str, Any] = {}
        self.variables: set[str] = set()
        self.files: set[str] = set()
        self._definitions = definitions
        self._chunk = chunk
        self._stand_in = Variables()

    def dump_chunk(self, value: Any) -> None:
        """Write a definition with all that it uses and the pool has not."""
        self.dump((value, _Found(self)))

    def reducer_override(self, value: Any) -> Any:
        ours = isinstance(value, DEFINED) and is_definition(value)
        if ours:
            key = self._definitions.reference(value)
            if key is not None:
                return reduced(value, key)
            if self._chunk:
                self._note(value)
            elif not self._definitions.goes_by_value(value):
                raise NotDefined(value)
        if isinstance(value, type):
            return _reducers.of_class(value) if ours else super().reducer_override(value)
        if type(value) is types.FunctionType:
            found = _reducers.of_function(value) if ours else NotImplemented
            if ours and found is NotImplemented:  # cloudpickle takes __mp_main__ for a module that everybody has
                return self._dynamic_function_reduce(value)
        else:
            found = _reducers.of_object(value)
        return super().reducer_override(value) if found is NotImplemented else found

    def _note(self, value: Any) -> None:
        key = key_of(value)
        if key is None and isinstance(value, type):
            key = self._definitions.new_key(value, len(self.found))
        if key is not None:
            self.found[key] = value

    def _dynamic_function_reduce(self, function: Any) -> Any:
        """In a chunk the script's functions have its variables, as they have here; else each has values of its own."""
        if not self._chunk or function.__globals__.get("__name__") not in MAIN:
            return super()._dynamic_function_reduce(function)
        self.files.add(function.__code__.co_filename)
        self.globals_ref[id(function.__globals__)] = self._stand_in
        make, arguments, (attributes, slots), *_ = super()._dynamic_function_reduce(function)
        used = {name: one for name, one in slots["__globals__"].items() if name not in self._definitions.variables}
        self.variables |= used.keys()
        return make, arguments, (attributes, {**slots, "__globals__": used}), None, None, set_function_state
