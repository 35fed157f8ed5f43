"""What goes by value although Python or cloudpickle cannot, and what is said where nothing can."""

import abc
import collections
import contextlib
import dataclasses
import enum
import functools
import threading
import types
import typing
import weakref

import pytest
from cloudpickle import cloudpickle

from distributed_computing._culprit import explained
from distributed_computing._definitions import Definitions
from distributed_computing._payload import dumps, loads
from distributed_computing._spec import make_spec


def travelled(value):
    """Return what arrives of a value in another process, which knows none of its classes."""
    payload = dumps(value)
    cloudpickle._DYNAMIC_CLASS_TRACKER_BY_ID.clear()
    return loads(payload)


def local_things():
    class Colour(enum.IntEnum):
        RED = 1
        CRIMSON = 1
        BLUE = 2

    class Planet(enum.Enum):
        EARTH = (1.0, 2.0)

        def __init__(self, mass, radius):
            self.mass, self.radius = mass, radius

    class Base(abc.ABC):
        kinds: typing.ClassVar[list] = []
        living = weakref.WeakSet()

        def __init_subclass__(cls, *, name, **kwargs):
            super().__init_subclass__(**kwargs)
            cls.kinds.append(name)

        @abc.abstractmethod
        def area(self): ...

    class Square(Base, name="square"):
        def area(self):
            return 4

    class Meta(type):
        made: typing.ClassVar[list] = []

        def __new__(cls, name, bases, body, *, extra=None):
            made = super().__new__(cls, name, bases, body)
            cls.made.append(name)
            return made

    class Registered(metaclass=Meta, extra=5):
        pass

    @dataclasses.dataclass(slots=True)
    class Slotted:
        a: int

        class Inner:
            __slots__ = ("__hidden",)

            def __init__(self):
                self.__hidden = 1

            def hidden(self):
                return self.__hidden

    class Pair(typing.NamedTuple):
        a: int
        b: str = "x"

    class Model:
        @functools.cached_property
        def weights(self):
            return [1, 2]

        @functools.singledispatchmethod
        def fit(self, value):
            return "any"

        @fit.register
        def _(self, value: int):
            return "int"

        @functools.lru_cache(maxsize=7)  # noqa: B019
        def heavy(self, x):
            return x

        run = functools.partialmethod(fit, 3)

    @functools.cache
    def fibonacci(n):
        return n if n < 2 else fibonacci(n - 1) + fibonacci(n - 2)

    @functools.singledispatch
    def shown(value):
        return "any"

    @shown.register
    def _(value: str):
        return "text"

    @contextlib.contextmanager
    def opened():
        yield 5

    return types.SimpleNamespace(**{name: value for name, value in locals().items() if not name.startswith("_")})


def test_kinds_of_classes_and_functions():
    here = local_things()
    there = travelled(here)
    assert there.Square is not here.Square
    assert there.Colour.CRIMSON is there.Colour.RED and there.Colour(2).name == "BLUE"
    assert there.Planet.EARTH.mass == 1.0 and there.Planet((1.0, 2.0)) is there.Planet.EARTH
    assert there.Base.kinds == ["square"] and there.Square().area() == 4
    with pytest.raises(TypeError):
        there.Base()
    assert there.Meta.made == ["Registered"] and type(there.Registered) is there.Meta
    assert not hasattr(there.Slotted(1), "__dict__") and there.Slotted(1) == there.Slotted(a=1)
    assert there.Slotted.Inner().hidden() == 1 and there.Slotted.Inner.__qualname__.endswith("Slotted.Inner")
    assert there.Pair(1) == (1, "x") and there.Pair(1)._asdict() == {"a": 1, "b": "x"}
    model = there.Model()
    assert model.weights == [1, 2] and model.weights is model.weights
    assert (model.fit(3), model.fit("x"), model.run(), model.heavy(4)) == ("int", "any", "int", 4)
    assert there.Model.heavy.cache_info().maxsize == 7
    assert there.fibonacci(30) == 832040 and there.fibonacci.cache_info().currsize == 31
    assert (there.shown(1), there.shown("x")) == ("any", "text")
    with there.opened() as five:
        assert five == 5


def test_the_name_of_the_file_stays():
    def raises():
        raise ValueError

    assert travelled(raises).__code__.co_filename == __file__


def locks():
    class Trainer:
        def __init__(self):
            self.parts = {"net": [threading.Lock()]}

        def run(self):
            return 1

    class Inner(Trainer):
        pass

    captured = threading.Lock()
    return Trainer, Inner, lambda: captured


Case = collections.namedtuple("Case", "value words")


@pytest.mark.parametrize(
    "case",
    [
        Case(lambda: locks()[1](), "attribute 'parts' → ['net'] → [0]"),
        Case(lambda: {"a": (1, locks()[0]())}, "['a'] → [1] → attribute 'parts'"),
        Case(lambda: locks()[2], "variable 'captured'"),
    ],
)
def test_what_cannot_be_pickled_is_named(case):
    value = case.value()
    with pytest.raises(TypeError) as raised:
        dumps(value)
    assert "lock" in explained(raised.value, value) and case.words in explained(raised.value, value)


def test_a_lock_of_the_script_is_named():
    namespace = {"__name__": "__main__"}
    source = "import threading\nlock = threading.Lock()\nclass Trainer:\n    def run(self):\n        return lock\n"
    exec(source, namespace)
    with pytest.raises(
        TypeError, match=r"the worker class Trainer cannot be pickled: .*lock.*Trainer\.run → global 'lock'"
    ):
        make_spec(namespace["Trainer"], (), {}, Definitions(), {}, b"")
