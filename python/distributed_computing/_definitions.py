"""The classes and functions of a script: how they get to the workers once, and how objects then refer to them by name.

A pool has a list of definitions, each with a key (its name in the script) and a fingerprint. They travel in chunks: the
first with the pool, others in an update before the job that first needs them. An object that consists of what the pool has
is pickled by name, as the standard library does it; what is not among them, or differs, goes by value. Where an object is
read, a name stands for the reader's own definition if that has the pool's fingerprint, else for the pool's.
"""

from __future__ import annotations

import io
import pickle
import re
import threading
import weakref
from collections.abc import Callable, Iterable
from typing import Any

from distributed_computing._chunks import Chunk, key_of, main_variables, resolve
from distributed_computing._fingerprint import DEFINED, MAIN, Fingerprint, is_definition

CHUNKS_MAX = 1000  # of a pool; what is defined later than that goes by value


class NotDefined(Exception):
    """Pickling has met a definition that the pool may not have. Its argument is that definition."""


# Of each global in a pickle the name, where that stands before its opcode; else an empty text. Bytes of data may look so.
_global_names = re.compile(rb"(?:\x8c.([\w.]*)\x94|)\x93", re.DOTALL).findall
_GLOBAL_OPCODE = b"\x93"
_PICKLE_HEAD = 11  # protocol and length of the frame


class _Here:
    """What a name of the script's stands for here, as it was looked at."""

    __slots__ = ("_name", "_taken", "_value", "_variables", "opcodes")

    def __init__(self, variables: dict[str, Any], name: str, value: Any, taken: Fingerprint | None) -> None:
        self._variables = variables
        self._name = name
        self._value = weakref.ref(value) if taken is not None else lambda: value
        self._taken = taken
        encoded = name.encode()
        self.opcodes = b"\x8c" + len(encoded).to_bytes(1, "little") + encoded + b"\x94\x93"

    def holds(self) -> bool:
        """Tell whether it still stands for that."""
        found = self._variables.get(self._name)
        if found is None:
            found = resolve(self._variables, self._name)
        return found is self._value() and (self._taken is None or self._taken.holds())


class _Entry:
    """What was found out about a definition."""

    __slots__ = ("_value", "key", "taken")

    def __init__(self, value: Any, key: str, taken: Fingerprint | None) -> None:
        self._value = weakref.ref(value)
        self.key = key
        self.taken = taken

    def holds(self, value: Any) -> bool:
        """Tell whether this is about this value, and nothing that it depends on has changed."""
        return self._value() is value and (self.taken is None or self.taken.holds())


class Definitions:
    """What one pool knows of a script, for those who pickle and unpickle its objects.

    Args:
        publish: sends a chunk to the workers, before all that is submitted later; None where none can be sent.
        notice: tells the user something, once.

    Attributes:
        chunks: that travel with the pool.
    """

    def __init__(
        self,
        publish: Callable[[Chunk], None] | None = None,
        notice: Callable[[str], None] | None = None,
    ) -> None:
        self.chunks: list[Chunk] = []
        self.publish = publish
        self.open = False  # the pool is; before, what has no name of its own can be defined too
        self.variables: set[str] = set()  # of the script, that the pool has values of
        self.lock = threading.RLock()
        self._digests: dict[str, bytes] = {}
        self._count = 0  # of chunks
        self._notice = notice
        self._known: dict[int, _Entry] = {}
        self._by_value: dict[int, _Entry] = {}
        self._objects: dict[str, Any] = {}  # the pool's own by key, as far as they are here
        self._unloaded: list[Chunk] = []
        self._here: dict[bytes, _Here] = {}
        self._latest: list[_Here] = []
        self._own: dict[str, Any] = {"__name__": "__main__", "__builtins__": __builtins__}
        self._told: set[str] = set()

    def begin(self, publish: Callable[[Chunk], None], keeps_history: bool) -> None:
        """The pool is open.

        Args:
            publish: sends a chunk to the workers, before all that is submitted later.
            keeps_history: whether workers that start later get it too.
        """
        self.publish = publish if keeps_history else None
        self.open = True
        self.chunks.clear()  # they have been sent

    # --- What the pool has ---------------------------------------------------------------------------------------

    def load(self, chunk: Chunk, variables: dict[str, Any]) -> None:
        """On a worker: define a chunk among the variables of its script."""
        for key, value in chunk.load(variables).items():
            self._have(key, value, None)

    def belongs_to_another(self, chunks: list[Chunk]) -> None:
        """The pool has the definitions of the program that made it, in these chunks, which are loaded when needed."""
        with self.lock:
            self._known.clear()
            self._here.clear()
            self._latest = []
            self._by_value.clear()
            self._objects.clear()
            self._digests.clear()
            self.variables.clear()
            self._count = 0
            self._unloaded = list(chunks)
            for chunk in chunks:
                self._add(chunk)

    def _have(self, key: str, value: Any, taken: Fingerprint | None) -> None:
        self._objects.setdefault(key, value)
        self._known[id(value)] = _Entry(value, key, taken)

    def _add(self, chunk: Chunk) -> None:
        self._count += 1
        self._digests.update(chunk.index)

    def resolve(self, name: str) -> Any:
        """Return what a name of the pool's script stands for here: our definition if it is the same, else the pool's."""
        for module in MAIN:
            value = resolve(main_variables(module), name)
            if value is not None and (not is_definition(value) or self.reference(value) is not None):
                return value
        return self.lookup(name)

    def lookup(self, key: str) -> Any:
        """Return the pool's own definition of this key."""
        with self.lock:
            while key not in self._objects and self._unloaded:
                for name, value in self._unloaded.pop(0).load(self._own).items():
                    self._have(name, value, None)
            if key in self._objects:
                return self._objects[key]
        raise AttributeError(f"the pool has no class or function {key}")

    def same_here(self, text: Any) -> bool:
        """Tell whether all that a pickle names of the script is, for sure, the same here and in the pool: it needs no other
        pickler or unpickler than Python's.

        Args:
            text: a pickle of protocol 5, bytes or any buffer.
        """
        if type(text) is bytes and self._as_before(text):
            return True
        found = []
        for name in _global_names(text, _PICKLE_HEAD):
            here = self._here.get(name)
            if (here is None or not here.holds()) and not self._look_at(name):
                return False
            if name in self._here and self._here[name] not in found:
                found.append(self._here[name])
        self._latest = found
        return True

    def _as_before(self, text: bytes) -> bool:
        """Tell whether it has just the globals of the latest one, which still hold: jobs of a pool are much alike."""
        others = text.count(_GLOBAL_OPCODE, _PICKLE_HEAD)
        for here in self._latest:
            count = text.count(here.opcodes)
            if count == 0 or not here.holds():
                return False
            others -= count
        return others == 0

    def _look_at(self, encoded: bytes) -> bool:
        name = encoded.decode()
        ours = name in self._digests or name in self._objects
        for module in MAIN:
            variables = main_variables(module)
            value = resolve(variables, name)
            if value is None:
                continue
            if is_definition(value):
                if self.reference(value) != name:
                    return False
                self._here[encoded] = _Here(variables, name, value, self._known[id(value)].taken)
                return True
            if not ours:  # of a module that the script has imported it from, or the like
                self._here[encoded] = _Here(variables, name, value, None)
                return True
        return not ours and bool(name) and name != of_main__.__name__

    # --- References ----------------------------------------------------------------------------------------------

    def reference(self, value: Any) -> str | None:
        """Return the key of a definition that the pool has; None if it has not just this one."""
        entry = self._known.get(id(value))
        if entry is not None and entry.holds(value):
            return entry.key
        key = key_of(value) if self._digests else None
        if key is None or key not in self._digests:
            return None
        taken = Fingerprint(value)
        if self._digests[key] != taken.digest:
            return None
        with self.lock:
            self._have(key, value, taken)
        return key

    def goes_by_value(self, value: Any) -> bool:
        """Tell whether a definition that the pool has not is to stay outside of it."""
        if key_of(value) is None and (self.open or not isinstance(value, type)):
            return True
        entry = self._by_value.get(id(value))
        return entry is not None and entry.holds(value)

    def may_define(self, taken: Fingerprint) -> bool:
        """Tell whether the pool can have a definition: not beside another one of that name, whoever uses that."""
        if self.publish is None or self._count >= CHUNKS_MAX:
            return False
        for one in taken.closure():
            key = key_of(one)
            if key in self._digests and self._digests[key] != Fingerprint(one).digest:
                self._tell(key)
                return False
        return True

    def _tell(self, name: str) -> None:
        if self._notice is not None and name not in self._told:
            self._told.add(name)
            self._notice(
                f"{name} is another one than the pool was opened with: what needs it carries it along, job by job, and the "
                "worker class goes on with the old one. Open a new pool for the new one"
            )

    def leave_out(self, value: Any, taken: Fingerprint) -> None:
        """A definition goes by value from now on."""
        self._by_value[id(value)] = _Entry(value, "", taken)

    def define(self, chunk: Chunk, found: dict[str, Any], variables: set[str]) -> None:
        """Send definitions to the pool, which has them from now on.

        Args:
            chunk: what is sent.
            found: the definitions by key.
            variables: names of the script's variables whose values are in it.
        """
        assert self.publish is not None
        self.publish(chunk)
        self._add(chunk)
        if not self.open:
            self.chunks.append(chunk)
        self.variables |= variables
        for key, one in found.items():
            self._have(key, one, Fingerprint(one))

    def new_key(self, value: Any, others: int) -> str:
        """Return a key for a class that has no name of its own."""
        return f"{value.__module__}:{value.__qualname__}#{len(self._digests) + others}"

    def loads(self, text: Any, buffers: Iterable[Any] = ()) -> Any:
        """Unpickle what was pickled by another process of the pool. For clients: a worker's names are the pool's anyway."""
        return _Reader(io.BytesIO(text), self, buffers).load()


# The definitions of the process: a worker has those of its pool.
current: Definitions | None = None


def of_main__(key: str) -> Any:
    """Return a definition of the worker's pool. (Its name makes pickles that use it recognizable, see `_payload.loads`.)"""
    assert current is not None
    return current.lookup(key)


def reduced(value: Any, key: str) -> Any:
    """Return how a pickler writes a definition of the pool: by its name where this finds it, else by a look-up."""
    if value.__module__ in MAIN and resolve(main_variables(value.__module__), key) is value:
        return NotImplemented
    return of_main__, (key,)


class NamePickler(pickle.Pickler):
    """Pickles by name alone; raises NotDefined for what the pool may not have."""

    def __init__(self, stream: Any, definitions: Definitions, aside: Any) -> None:
        super().__init__(stream, 5, buffer_callback=aside)
        self._known = definitions._known

    def reducer_override(self, value: Any) -> Any:
        if isinstance(value, DEFINED):
            entry = self._known.get(id(value))
            if entry is not None and entry.holds(value):
                return reduced(value, entry.key)
            if is_definition(value):
                raise NotDefined(value)
        return NotImplemented


class _Reader(pickle.Unpickler):
    """Finds the pool's definitions."""

    def __init__(self, stream: Any, definitions: Definitions, buffers: Iterable[Any]) -> None:
        super().__init__(stream, buffers=buffers)
        self._definitions = definitions

    def find_class(self, module: str, name: str) -> Any:
        if module in MAIN:
            return self._definitions.resolve(name)
        if name == "of_main__" and module == __name__:
            return self._definitions.lookup
        return super().find_class(module, name)
