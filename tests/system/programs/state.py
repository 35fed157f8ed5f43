"""What a script's classes hold, and what its functions share, is on each worker as it was defined."""

import collections
import dataclasses
import enum
import functools
import os
import sys
import typing
import weakref

from distributed_computing.api import Pool

Seconds = typing.NewType("Seconds", float)
Point = collections.namedtuple("Point", "x y")
Number = typing.TypeVar("Number")
TABLE = list(range(300_000))
loads = 0


def loaded():
    """Load something large once for each process."""
    global loads
    loads += 1 if not hasattr(loaded, "what") else 0
    loaded.what = TABLE
    return loads


class Planet(enum.Enum):
    EARTH = (5.97e24, 6.37e6)
    HOME = EARTH
    MARS = (6.42e23, 3.39e6)

    def __init__(self, mass, radius):
        self.mass, self.radius = mass, radius


class Wish(enum.Flag):
    NONE = 0
    TEA = enum.auto()
    MILK = enum.auto()


class Shape:
    kinds: typing.ClassVar[dict] = {}
    alive = weakref.WeakValueDictionary()
    made = 0

    def __init_subclass__(cls, name, **kwargs):
        super().__init_subclass__(**kwargs)
        Shape.kinds[name] = cls


class Square(Shape, name="square"):
    side = 2


class Circle(Shape, name="circle"):
    side = 3


@dataclasses.dataclass(frozen=True)
class Task:
    number: int
    wish: Wish = Wish.NONE
    where: Point = dataclasses.field(default_factory=lambda: Point(0, 0))
    planet: Planet = Planet.HOME
    pause: Seconds = Seconds(0.5)

    def run(self):
        return loaded(), describe(self.number), fibonacci(self.number), Seconds(self.pause)


class Box(typing.Generic[Number]):
    def __init__(self, content: Number):
        self.content = content

    @functools.cached_property
    def doubled(self):
        return 2 * self.content


@functools.cache
def fibonacci(n):
    return n if n < 2 else fibonacci(n - 1) + fibonacci(n - 2)


@functools.singledispatch
def describe(value):
    return "something"


@describe.register
def _(value: int):
    return f"number {value}"


class Worker:
    def run(self, task, what):
        Shape.made += 1
        if what == "task":
            return os.getpid(), Shape.made, task.run(), task
        if what == "registry":
            return sorted(Shape.kinds), [Shape.kinds[name] for name in sorted(Shape.kinds)], task.wish | Wish.MILK
        if what == "enum":
            return Planet(task.planet.value), Planet.HOME.mass, Planet["HOME"] is Planet.EARTH
        return Box(task.number), Box(3).doubled, fibonacci.cache_info().maxsize, Planet, fibonacci


if __name__ == "__main__":
    with Pool(Worker, None, os.environ["DISTRIBUTED_COMPUTING_PASSWORD"], "localhost", int(sys.argv[1])) as pool:
        tasks = [Task(i, Wish.TEA, Point(i, i)) for i in range(20)]
        results = pool.map({"args": [task, "task"]} for task in tasks)
        assert [result[3] for result in results] == tasks
        assert {result[2][0] for result in results} == {1}, "loaded once in each worker"
        assert [result[2][1] for result in results] == [f"number {i}" for i in range(20)]
        assert results[19][2][2] == 4181
        counts = collections.defaultdict(list)
        for pid, made, _, _ in results:
            counts[pid].append(made)
        assert all(sorted(made) == list(range(1, len(made) + 1)) for made in counts.values()), "its state is kept"
        assert Shape.made == 0, "what workers do to their class is theirs"
        assert all(result[3].planet is Planet.EARTH and result[3].wish is Wish.TEA for result in results)
        names, kinds, wish = pool.submit(tasks[0], "registry").result()
        assert names == ["circle", "square"] and kinds == [Circle, Square] and wish == Wish.TEA | Wish.MILK
        earth, mass, same = pool.submit(tasks[0], "enum").result()
        assert earth is Planet.EARTH and mass == 5.97e24 and same
        box, doubled, size, planet, function = pool.submit(tasks[5], "box").result()
        assert type(box) is Box and box.doubled == 10 and doubled == 6 and size is None
        assert planet is Planet and function is fibonacci
    print("done")
