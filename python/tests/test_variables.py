"""When the value of a variable is the one that workers have."""

import gc
import random
import threading
import types
import weakref

import pytest

from distributed_computing._digest import digest_of
from distributed_computing._variables import ABSENT, NO_VALUE, Sent


class Point:
    def __init__(self, x):
        self.x = x


def sent(value):
    return Sent(digest_of(value), value)


@pytest.mark.parametrize(
    "pair",
    [
        (5.5, 5.5),
        ([1, "a", {2: {3, "b"}}], [1, "a", {2: {"b", 3}}]),
        (Point({"a", "b"}), Point({"b", "a"})),
        (object(), object()),
        (random.Random(1), random.Random(2)),  # where it stands is state
        (iter([1]), iter([2])),
        (types, types),
        (Point, Point),
    ],
)
def test_values_that_are_alike(pair):
    assert sent(pair[0]).holds(pair[1])


@pytest.mark.parametrize(
    "pair",
    [
        (1, 2),
        (1, True),
        (0, None),
        (None, 0),
        ([1, 2], [2, 1]),
        ({"a"}, {"b"}),
        (Point(1), Point(2)),
        (Point(1), 1),
        (len, max),
        (lambda: 1, lambda: 2),
        (threading.Lock(), threading.Lock()),  # cannot be pickled: others each time
    ],
)
def test_values_that_are_not(pair):
    one = sent(pair[0])
    assert not one.holds(pair[1]) and not one.holds(pair[1])
    assert one.holds(pair[0])


def test_the_same_object_holds_whatever_is_done_to_it():
    value = [1]
    one = sent(value)
    value.append(2)
    assert one.holds(value) and not one.holds([1, 2]) and one.holds([1])


def test_state_and_what_is_gone_hold():
    assert Sent(None, 1).holds(2) and sent(1).holds(ABSENT)
    assert Sent(NO_VALUE).holds(ABSENT) and not Sent(NO_VALUE).holds(1)


def test_a_value_that_the_script_gives_up_is_freed():
    value = Point(1)
    one, seen = sent(value), weakref.ref(value)
    del value
    gc.collect()
    assert seen() is None and not one.holds(None) and one.holds(Point(1))
