"""What `run` raised arrives as a JobError that is of its own type too, whatever that type's constructor wants."""

import contextlib
import copy
import dataclasses
import json
import pickle
import threading

import pytest

from distributed_computing._exceptions import pickled_exception
from distributed_computing._outcome import from_outcome
from distributed_computing._payload import dumps, loads
from distributed_computing.errors import JobError, PoolClosed, WorkerDied


def loaded(parts):
    return loads(parts) if isinstance(parts, bytes) else pickle.loads(parts[0], buffers=parts[1:])


def arrived(error, kind=0):
    """Return what the client makes of an exception that a worker sends."""
    parts = pickled_exception(error)
    assert isinstance(parts, bytes)
    return from_outcome((kind, "our text", "our trace", type(error).__name__, "host-1", 3, -1, 0), parts)


class MakesItsText(Exception):
    def __init__(self, code, text):
        super().__init__(f"{code}: {text}")
        self.code = code


class KeywordOnly(ValueError):
    __slots__ = ("slotted",)

    def __init__(self, *, code):
        super().__init__(f"code {code}")
        self.slotted = code + 1


@dataclasses.dataclass(frozen=True)
class Frozen(Exception):
    name: str
    size: int = 3


class RefusesAttributes(Exception):
    def __setattr__(self, name, value):
        raise TypeError("no attributes")


class HasLength(Exception):
    def __len__(self):
        return 0


class SaysHow(OSError):
    def __init__(self, code, *, place):
        super().__init__(code, "broken")
        self.place = place

    def __reduce__(self):
        return _make_says_how, (self.errno, self.place)


def _make_says_how(code, place):
    return SaysHow(code, place=place)


class Refused(OSError):
    def __init__(self, *, place):
        super().__init__(111, "refused", place)
        self.place = place


class TextRaises(Exception):
    def __str__(self):
        raise SystemExit(2)

    __repr__ = __str__


class CannotBePickled(Exception):
    def __reduce__(self):
        raise SystemExit(3)


class Several(ExceptionGroup):
    def __new__(cls, errors, code):
        self = super().__new__(cls, f"code {code}", errors)
        self.code = code
        return self


def caught(function, *args):
    try:
        function(*args)
    except Exception as error:
        return error
    raise AssertionError


ERRORS = {
    "built in": KeyError("a"),
    "makes its text": MakesItsText(5, "bad"),
    "keyword-only": KeywordOnly(code=6),
    "frozen": Frozen("x"),
    "refuses attributes": RefusesAttributes("x"),
    "has a length": HasLength("x"),
    "says how": SaysHow(5, place="here"),
    "of a native base": Refused(place="here"),
    "memory": MemoryError("full"),
    "of another size": BlockingIOError(11, "later", 5),
    "text raises": TextRaises("x"),
    "cannot be pickled": CannotBePickled("x"),
    "a file": caught(open, "/does/not/exist"),
    "bytes": caught(b"\xff".decode),
    "json": caught(json.loads, "{"),
    "import": caught(__import__, "no_such_module"),
    "group": ExceptionGroup("both", [KeywordOnly(code=1), KeyError(2)]),
    "group of one's own": Several([KeywordOnly(code=1)], 7),
}


@pytest.mark.parametrize("what", ERRORS)
def test_an_error_is_both(what):
    original = ERRORS[what]
    error = arrived(original)
    assert isinstance(error, JobError) and isinstance(error, type(original))
    assert type(error.__cause__) is type(original)
    assert str(error) == "our text\n\nour trace"
    assert (error.host, error.slot, error.traceback) == ("host-1", 3, "our trace")
    with pytest.raises(type(original)), contextlib.ExitStack():
        raise error from error.__cause__
    for again in (pickle.loads(pickle.dumps(error)), copy.copy(error), copy.deepcopy(error)):
        assert type(again) is type(error) is type(arrived(original)), "one class for one type"
        assert (str(again), again.host) == (str(error), "host-1")
        assert type(again.__cause__) is type(original)


def test_its_args_and_attributes_are_the_originals():
    error = arrived(MakesItsText(5, "bad"))
    assert (error.args, error.code, error.__cause__.args) == (("5: bad",), 5, ("5: bad",))
    error = pickle.loads(pickle.dumps(arrived(KeywordOnly(code=6))))
    assert (error.args, error.slotted, error.__cause__.slotted) == (("code 6",), 7, 7)
    assert (arrived(Frozen("x", 4)).name, arrived(Frozen("x", 4)).size) == ("x", 4)
    error = arrived(ERRORS["a file"])
    assert (error.errno, error.filename, error.filename2) == (2, "/does/not/exist", None)
    error = arrived(SaysHow(5, place="here"))
    assert (error.errno, error.place) == (5, "here")
    error = pickle.loads(pickle.dumps(arrived(Refused(place="here"))))
    assert (error.errno, error.strerror, error.filename, error.place) == (111, "refused", "here", "here")
    error = arrived(ERRORS["of another size"])
    assert (error.args, error.characters_written, error.filename) == ((11, "later", 5), 5, None)
    assert arrived(ERRORS["bytes"]).object == b"\xff" and arrived(ERRORS["json"]).pos == 1
    assert arrived(ERRORS["import"]).name == "no_such_module"
    noted = ValueError("x")
    noted.add_note("epoch 7")
    assert arrived(noted).__notes__ == ["epoch 7"]


def test_a_group_can_be_split():
    error = arrived(ERRORS["group"])
    assert [type(each) for each in error.exceptions] == [KeywordOnly, KeyError]
    keys, others = error.split(KeyError)
    assert keys.exceptions[0].args == (2,) and others.exceptions[0].slotted == 2
    assert arrived(ERRORS["group of one's own"]).code == 7


def test_names_of_the_original_win():
    class Unreachable(Exception):
        slot = "of the class"

        def __init__(self, host):
            super().__init__(host)
            self.host = host

        @property
        def traceback(self):
            return "of the property"

    error = from_outcome((0, "our text", "our trace", "", "host-1", 3, -1, 9), dumps(Unreachable("database")))
    for each in (error, copy.copy(error)):
        assert (each.host, each.slot, each.traceback) == ("database", "of the class", "of the property")
        assert each.signal == 9 and str(each) == "our text\n\nour trace"


def test_a_class_learns_nothing_of_the_one_that_is_both():
    class Counts(Exception):
        heirs = []

        def __init_subclass__(cls, **kwargs):
            Counts.heirs.append(cls)
            raise TypeError("not you")

    error = from_outcome((0, "our text", "", "", "", 0, -1, 0), dumps(Counts("x")))
    assert isinstance(error, Counts) and not Counts.heirs


@pytest.mark.parametrize(
    "original",
    [StopIteration(4), StopAsyncIteration(), SystemExit(3), KeyboardInterrupt(), GeneratorExit(), PoolClosed("inner")],
)
def test_some_stay_plain_job_errors(original):
    error = arrived(original)
    assert type(error) is JobError and type(error.__cause__) is type(original)


def test_a_type_that_cannot_be_inherited_from():
    class Sealing(type):
        def __new__(mcs, name, bases, body):
            if any(isinstance(base, Sealing) for base in bases):
                raise SystemExit("sealed")
            return super().__new__(mcs, name, bases, body)

    class Sealed(Exception, metaclass=Sealing):
        pass

    error = from_outcome((0, "our text", "", "", "", 0, -1, 0), dumps(Sealed("x")))
    assert type(error) is JobError and type(error.__cause__).__name__ == "Sealed"


def test_other_outcomes_keep_their_class():
    error = arrived(ValueError("x"), kind=1)
    assert type(error) is WorkerDied and isinstance(error.__cause__, ValueError)


def test_what_cannot_be_pickled_is_left_out_of_an_error():
    original = ValueError("holds", threading.Lock())
    original.lock, original.epoch = threading.Lock(), 5
    error = arrived(ExceptionGroup("one", [original])).exceptions[0]
    assert type(error) is ValueError and not hasattr(error, "lock") and error.epoch == 5
    assert error.args[0] == "holds" and "lock" in error.args[1]


def test_an_error_of_a_pool_inside_of_a_job():
    inner = arrived(KeywordOnly(code=6))
    outer = arrived(inner)
    assert type(outer) is JobError and type(outer.__cause__) is type(inner)


def test_the_workers_copy_is_known_to_load():
    class Once(Exception):
        made = 0

        def __new__(cls, *args):
            Once.made += 1
            if Once.made > 1:
                raise KeyboardInterrupt
            return super().__new__(cls, *args)

    assert loaded(pickled_exception(Once("x"))).args == ("x",)
