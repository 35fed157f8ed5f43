"""Payloads: bare pickles, parts beside the pickle, what travels by value."""

import pickle

import numpy as np
import pytest

from distributed_computing._items import arguments
from distributed_computing._outcome import from_outcome
from distributed_computing._payload import ALIGNMENT, IN_BAND_BYTES_MAX, MAGIC, dumps, dumps_call, loads, split
from distributed_computing.errors import JobError, WorkerDied


def assembled(parts):
    """Lay the parts out as the native modules do."""
    out = bytearray(MAGIC + len(parts).to_bytes(8, "little"))
    for part in parts:
        out += memoryview(part).nbytes.to_bytes(8, "little")
    for part in parts:
        out += bytes(-len(out) % ALIGNMENT)
        out += part
    return out


def test_small_values_are_bare_pickles():
    payload = dumps(((1, "two"), {"three": np.arange(3)}))
    assert type(payload) is bytes and payload[0] == 0x80
    args, kwargs = loads(payload)
    assert args == (1, "two") and kwargs["three"].tolist() == [0, 1, 2]


def test_large_buffers_stand_beside_the_pickle_and_are_shared_and_aligned():
    array = np.arange(100_000)
    parts = dumps(array)
    assert len(parts) == 2 and len(parts[0]) < 500
    memory = assembled(parts)
    copy = loads(memory)
    assert np.array_equal(copy, array) and copy.flags.writeable
    copy[0] = 7
    assert split(memory)[1][:1] == b"\x07", "no copy was made"


@pytest.mark.parametrize("call", [((b"x" * IN_BAND_BYTES_MAX, 1), {}), ((), {"data": b"x" * IN_BAND_BYTES_MAX})])
def test_large_bytes_stand_beside_the_pickle_and_come_out_as_bytes(call):
    parts = dumps_call(*call)
    assert len(parts) == 2 and len(parts[0]) < 500
    assert loads(bytes(assembled(parts))) == call
    value = b"__main__" * IN_BAND_BYTES_MAX
    parts = dumps(value)
    assert memoryview(parts[1]).obj is value, "no copy was made"
    copy = loads(assembled(parts))
    assert type(copy) is bytes and copy == value


def test_what_cannot_be_imported_travels_by_value():
    seven = 7
    assert loads(dumps(lambda x: x + seven))(1) == 8


def test_what_cannot_be_pickled_says_why():
    import threading

    with pytest.raises(TypeError, match="lock"):
        dumps(threading.Lock())


@pytest.mark.parametrize(
    ("item", "call"),
    [
        (5, ((5,), {})),
        ([1, 2], (([1, 2],), {})),
        ({"args": [1], "kwargs": {"b": 2}}, ((1,), {"b": 2})),
        ({"args": (1, 2)}, ((1, 2), {})),
        ({"kwargs": {"b": 2}}, ((), {"b": 2})),
        ({}, ((), {})),
        ({"args": range(2)}, ((0, 1), {})),
    ],
)
def test_items(item, call):
    assert arguments(item, "item 0") == call


def test_errors_can_be_pickled_and_bear_their_details():
    error = from_outcome((1, "it died", "last line", "", "host", 3, -1, 9), b"")
    assert type(error) is WorkerDied and (error.host, error.slot, error.signal) == ("host", 3, 9)
    assert error.output == "last line" and "last line" in str(error)
    copy = pickle.loads(pickle.dumps(error))
    assert (type(copy), copy.host, str(copy)) == (WorkerDied, "host", str(error))


def test_an_exception_that_cannot_be_rebuilt_is_left_out():
    broken = pickle.dumps(KeyError("x")).replace(b"KeyError", b"NoErrorX")
    error = from_outcome((0, "KeyError: 'x'", "trace", "KeyError", "host", 0, -1, 0), broken)
    assert type(error) is JobError and error.__cause__ is None and "trace" in str(error)
