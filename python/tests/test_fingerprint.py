"""Fingerprints: what makes a definition another one, and what does not."""

import pickle
import subprocess
import sys
import types

import pytest

from distributed_computing._fingerprint import Fingerprint

BASE = """
import dataclasses, datetime, enum, functools, random, typing
LIMIT = 3

def helper(x):
    return x + LIMIT

class Kind(enum.Enum):
    A = 1
    B = 2

class Pair(typing.NamedTuple):
    left: int
    right: int = 1

@dataclasses.dataclass
class Item:
    x: int
    kind: Kind = Kind.A
    parts: list = dataclasses.field(default_factory=list)
    seen = {"b", "a", "c"}
    cache = {"a": 1}
    rng = random.Random(1)
    top = 9
    since = datetime.date(2020, 1, 1)
    pair = Pair

    @property
    def double(self):
        return 2 * self.x

    @functools.cached_property
    def helped(self):
        return helper(self.x)

    @staticmethod
    @functools.lru_cache
    def cached(x):
        return {1: x, "two": (x, None)}
"""


def digest(source, name="Item"):
    """Return the fingerprint of what a script with this source defines."""
    script = types.ModuleType("__main__")
    main, sys.modules["__main__"] = sys.modules["__main__"], script
    try:
        exec(compile(source, "script.py", "exec"), vars(script))
        return Fingerprint(getattr(script, name)).digest
    finally:
        sys.modules["__main__"] = main


@pytest.mark.parametrize(
    "change",
    [
        ("return x + LIMIT", "return x - LIMIT"),  # what it uses
        ("    B = 2", "    B = 3"),
        ("A = 1\n", "A = 1\n    C = 1\n"),
        ("    x: int\n", "    x: int\n    y: int = 0\n"),
        ("kind: Kind = Kind.A", "kind: Kind = Kind.B"),
        ("2 * self.x", "3 * self.x"),
        ('"two"', '"three"'),
        ("    top = 9", "    top = 10"),
        ("right: int = 1", "right: int = 2"),
        ("datetime.date(2020, 1, 1)", "datetime.date(2021, 1, 1)"),
        ("@functools.lru_cache\n", "@functools.lru_cache(maxsize=5)\n"),
        ("@dataclasses.dataclass\n", "@dataclasses.dataclass(order=True)\n"),
    ],
)
def test_a_change_of_what_runs_is_told(change):
    assert change[0] in BASE
    assert digest(BASE.replace(*change)) != digest(BASE)


@pytest.mark.parametrize(
    "change",
    [
        ("def helper", "# a comment\n\n\ndef helper"),
        ("LIMIT = 3", "LIMIT = 4"),  # a variable is state, and so is what changes in a class
        ('{"b", "a", "c"}', '{"b", "a", "d"}'),
        ('{"a": 1}', "{}"),
        ("random.Random(1)", "random.Random(2)"),
        ("class Kind", "def unused():\n    return 1\n\nclass Kind"),
    ],
)
def test_other_changes_are_not(change):
    assert change[0] in BASE
    assert digest(BASE.replace(*change)) == digest(BASE)


def test_it_is_the_same_in_every_process():
    text = "import test_fingerprint as t; print(t.digest(t.BASE).hex())\nassert t.digest(t.BASE) == t.digest(t.BASE)"
    found = set()
    for seed in ("1", "2", "3"):
        environment = {"PYTHONHASHSEED": seed, "PYTHONPATH": ":".join(sys.path)}
        found.add(subprocess.check_output([sys.executable, "-c", text], env=environment, text=True))
    assert len(found) == 1


def test_state_that_changes_later_is_no_other_definition():
    script = types.ModuleType("__main__")
    main, sys.modules["__main__"] = sys.modules["__main__"], script
    try:
        exec(BASE, vars(script))
        before = Fingerprint(script.Item)
        script.Item.seen.add("e")
        script.LIMIT = 77
        pickle.dumps(script.Item(1))
        assert before.holds() and Fingerprint(script.Item).digest == before.digest
        exec(BASE, vars(script))
        assert not before.holds() and Fingerprint(script.Item).digest == before.digest
        exec("def helper(x):\n    return 0", vars(script))
        assert not before.holds() and Fingerprint(script.Item).digest != before.digest
    finally:
        sys.modules["__main__"] = main
