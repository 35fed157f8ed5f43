"""The classes and functions of a script: how they get to the workers once, and how objects then refer to them by name.

A pool has a list of definitions, each with a key (its name in the script) and a fingerprint. They travel in chunks: the
first with the pool, others in an update before the job that first needs them. An object that consists of what the pool has
is pickled by name, as the standard library does it; what is not among them, or differs, goes by value. So does what reads
variables of the script that are others by now (`_variables`). Where an object is read, a name stands for the reader's own
definition if that has the pool's fingerprint, else for the pool's.
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
from distributed_computing._differences import Differences
from distributed_computing._fingerprint import DEFINED, MAIN, Fingerprint, is_definition
from distributed_computing._variables import ABSENT, NO_VALUE, Entry, Sent, has_identity, key_of_variable

CHUNKS_MAX = 1000  # of a pool; what is defined later than that goes by value


class NotDefined(Exception):
    """Pickling has met a definition that the pool may not have. Its argument is that definition."""


class Differs(Exception):
    """A definition uses what the pool has otherwise. Its argument is the name of that."""


# Of each global in a pickle the name, where that stands before its opcode; else an empty text. Bytes of data may look so.
_global_names = re.compile(rb"(?:\x8c.([\w.]*)\x94|)\x93", re.DOTALL).findall
_GLOBAL_OPCODE = b"\x93"
_PICKLE_HEAD = 11  # protocol and length of the frame


class _Here:
    """What a name of the script's stands for here, as it was looked at."""

    __slots__ = ("_entry", "_name", "_value", "_variables", "opcodes")

    def __init__(self, variables: dict[str, Any], name: str, value: Any, entry: Entry | None) -> None:
        self._variables = variables
        self._name = name
        self._value = weakref.ref(value) if entry is not None else lambda: value
        self._entry = entry
        encoded = name.encode()
        self.opcodes = b"\x8c" + len(encoded).to_bytes(1, "little") + encoded + b"\x94\x93"

    def holds(self) -> bool:
        """Tell whether it still stands for that."""
        found = self._variables.get(self._name)
        if found is None:
            found = resolve(self._variables, self._name)
        return found is self._value() and (self._entry is None or self._entry.is_current())


class Definitions:
    """What one pool knows of a script, for those who pickle and unpickle its objects.

    Args:
        publish: sends a chunk to the workers, before all that is submitted later; None where none can be sent.
        notice: tells the user something, once.

    Attributes:
        chunks: that travel with the pool.
        sent: the script's variables that workers have values of, by key.
    """

    def __init__(
        self,
        publish: Callable[[Chunk], None] | None = None,
        notice: Callable[[str], None] | None = None,
        secrets: Iterable[str] = (),
    ) -> None:
        self.chunks: list[Chunk] = []
        self.secrets = list(secrets)  # texts that the script's source is not to show where it travels
        self.publish = publish
        self.open = False  # the pool is; before, what has no name of its own can be defined too
        self.sent: dict[str, Sent] = {}
        self.lock = threading.RLock()
        self._digests: dict[str, bytes] = {}
        self._count = 0  # of chunks
        self.worker_class: Any = None  # of the pool that this program opens
        self._differences = Differences(notice)
        self._known: dict[int, Entry] = {}
        self._by_value: dict[int, Entry] = {}
        self._objects: dict[str, Any] = {}  # the pool's own by key, as far as they are here
        self._unloaded: list[Chunk] = []
        self._here: dict[bytes, _Here] = {}
        self._latest: list[_Here] = []
        self._own: dict[str, Any] = {"__name__": "__main__", "__builtins__": __builtins__}

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
            digests, sent = dict(self._digests), dict(self.sent)
            self._known.clear()
            self._here.clear()
            self._latest = []
            self._by_value.clear()
            self._objects.clear()
            self._digests.clear()
            self.sent.clear()
            self._count = 0
            self._unloaded = list(chunks)
            for chunk in chunks:
                self._add(chunk, {})
            self._tell_of_others(digests, sent)

    def _tell_of_others(self, digests: dict[str, bytes], sent: dict[str, Sent]) -> None:
        """Tell the user which of the definitions and variables that a new pool would have had are others in this one."""
        others = [key for key, digest in digests.items() if self._digests.get(key, digest) != digest]
        others = [key for key in others if key.rpartition(".")[0] not in others]  # its class is named
        for key, one in sent.items():
            there = self.sent.get(key)
            if key not in self._digests and one.digest and there and there.digest and there.digest != one.digest:
                others.append(key)
        self._differences.several(others)

    def _have(self, key: str, value: Any, taken: Fingerprint | None) -> Entry:
        self._objects.setdefault(key, value)
        self._known[id(value)] = entry = Entry(value, key, taken, self.sent)
        return entry

    def _add(self, chunk: Chunk, variables: dict[str, Any]) -> None:
        self._count += 1
        self._digests.update(chunk.index)
        for key, digest in chunk.values.items():
            one = self.sent.setdefault(key, Sent(NO_VALUE))
            if digest is None or one.digest == NO_VALUE:
                one.take(digest, variables.get(key, one.value()))

    def resolve(self, name: str) -> Any:
        """Return what a name of the pool's script stands for here: our definition if it is the same, else the pool's."""
        for module in MAIN:
            value = resolve(main_variables(module), name)
            if value is not None and (not is_definition(value) or self._same(value) is not None):
                return value
            if value is not None and name in self._digests:
                self._differences.results(name)
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
                self._here[encoded] = _Here(variables, name, value, self._known[id(value)])
                return True
            if not ours:  # of a module that the script has imported it from, or the like
                self._here[encoded] = _Here(variables, name, value, None)
                return True
        return not ours and bool(name) and name != of_main__.__name__

    # --- References ----------------------------------------------------------------------------------------------

    def reference(self, value: Any) -> str | None:
        """Return the key of a definition that the pool has; None if it has not just this one, or with other variables."""
        entry = self._same(value)
        return entry.key if entry is not None and entry.reads_the_same() else None

    def _same(self, value: Any) -> Entry | None:
        """Return what is known of a definition of which the pool has the same; for those who read its objects."""
        entry = self._known.get(id(value))
        if entry is not None and entry.is_about(value):
            return entry
        key = key_of(value) if self._digests else None
        if key is None or key not in self._digests:
            return None
        taken = Fingerprint(value)
        if self._digests[key] != taken.digest:
            return None
        with self.lock:
            return self._have(key, value, taken)

    def goes_by_value(self, value: Any) -> bool:
        """Tell whether a definition that the pool has not is to stay outside of it."""
        if key_of(value) is None and (self.open or not isinstance(value, type)):
            return True
        entry = self._by_value.get(id(value))
        return entry is not None and entry.is_about(value)

    def may_define(self, taken: Fingerprint) -> bool:
        """Tell whether the pool can have a definition: not beside another one of that name, whoever uses that."""
        if self.publish is None or self._count >= CHUNKS_MAX:
            return False
        differs = self.differs(taken)
        if differs is not None:
            self.tell_of(differs)
        return differs is None

    def differs(self, taken: Fingerprint) -> str | None:
        """Return the key of what a definition uses and the pool has otherwise: another definition, or a variable."""
        for one in taken.closure() if self._digests else ():
            key = key_of(one)
            if key in self._digests and self._digests[key] != Fingerprint(one).digest:
                return key
        for variables, name in (*taken.uses, *taken.reads) if self.sent else ():
            key = key_of_variable(variables, name) or ""
            if not self.lacks(key) and not self.sent[key].holds(variables.get(name, ABSENT)):
                return key
        return None

    def lacks(self, key: str) -> bool:
        """Tell whether workers have no value of a variable yet."""
        sent = self.sent.get(key)
        return sent is None or sent.digest == NO_VALUE

    def objects_sent(self) -> dict[int, str]:
        """Return the keys of the variables whose values workers have, by the identity of the value."""
        values = ((one.value(), key) for key, one in self.sent.items())
        return {id(value): key for value, key in values if value is not ABSENT and has_identity(value)}

    def tell_of(self, key: str) -> None:
        """Tell the user what the pool has otherwise, once."""
        (self._differences.definition if key in self._digests else self._differences.variable)(key)

    def look_at_worker_class(self) -> None:
        """Tell the user if the worker class would be another one by now, or reads variables that are others."""
        value = self.worker_class
        if value is None or self.reference(value) is not None:
            return
        self.worker_class = None  # once is enough
        differs = self.differs(Fingerprint(value))
        if differs is not None:
            self.tell_of(differs)

    def leave_out(self, value: Any, taken: Fingerprint) -> None:
        """A definition goes by value from now on."""
        self._by_value[id(value)] = Entry(value, "", taken, {})

    def define(self, chunk: Chunk, found: dict[str, Any], variables: dict[str, Any]) -> None:
        """Send definitions to the pool, which has them from now on.

        Args:
            chunk: what is sent.
            found: the definitions by key.
            variables: values of the script's variables that are in it, by key.
        """
        assert self.publish is not None
        self.publish(chunk)
        self._add(chunk, variables)
        if not self.open:
            self.chunks.append(chunk)
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
            if entry is not None and entry.is_about(value) and entry.reads_the_same():
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
