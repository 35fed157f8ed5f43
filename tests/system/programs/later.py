"""Definitions that come after the pool: new ones, other ones of a name, and two pools of one class name."""

import dataclasses
import os
import sys

from distributed_computing.api import Pool

WHERE = os.environ["DISTRIBUTED_COMPUTING_PASSWORD"], "localhost", int(sys.argv[1])

CELL = """
import dataclasses

@dataclasses.dataclass
class Item:
    value: int
    def total(self):
        return self.value + bonus()

def bonus():
    return {bonus}

class Adder:
    kept = []
    def run(self, item):
        self.kept.append(item)
        return Item(item.total()), self.kept[:]
"""


class Caller:
    def run(self, function, *args):
        return function(*args)

    def handle_update(self, what):
        raise ValueError(what)


@dataclasses.dataclass
class Pair:
    a: int
    b: int


def swapped(pair):
    swapped.calls = getattr(swapped, "calls", 0) + 1
    return Pair(pair.b, pair.a), swapped.calls


class Outer:
    class Inner:
        def __init__(self, value):
            self.value = value

    @staticmethod
    def helper(x):
        return Outer.Inner(x + 1)


def main():
    global bonus
    with Pool(Caller, None, *WHERE) as pool:
        pool.wait_for_workers(1)
        got = pool.map({"args": [swapped, Pair(i, 0)]} for i in range(10))
        assert [pair for pair, _ in got] == [Pair(0, i) for i in range(10)]
        assert max(calls for _, calls in got) > 1, "the function is defined once"
        inner = pool.submit(Outer.helper, 1).result()
        assert type(inner) is Outer.Inner and inner.value == 2
        assert type(pool.submit(lambda x: x, Outer.Inner(1)).result()) is Outer.Inner
        factor = 3
        assert pool.map({"args": [lambda x: x * factor, i]} for i in range(3)) == [0, 3, 6]
        factor = 5
        assert pool.submit(lambda x: x * factor, 2).result() == 10
        try:
            pool.update_workers("bad", wait=True)
        except ValueError as error:
            assert "for update 1 on" in str(error), "definitions are not counted"
        else:
            raise AssertionError

    exec(CELL.format(bonus=1), globals())
    first_item, first = Item(1), Pool(Adder, None, *WHERE)  # noqa: F821
    assert first.map([first_item])[0][0] == Item(2)  # noqa: F821
    exec(CELL.format(bonus=1), globals())  # the same once more: other objects, and no other definition
    assert first.map([Item(1)])[0][0] == Item(2)  # noqa: F821
    exec(CELL.format(bonus=100), globals())
    second = Pool(Adder, None, *WHERE)  # noqa: F821
    result = second.map([Item(1)])[0][0]  # noqa: F821
    assert type(result) is Item and result == Item(101)  # noqa: F821
    old = first.map([first_item])[0][0]
    assert old.value == first_item.total() == 101, "it uses what its method would use here"
    assert type(old) is type(first_item), "the first pool keeps its own class"
    mixed = first.map([Item(1)])[0][0]  # noqa: F821
    assert type(mixed) is type(first_item) and mixed.value == 101, "the new item's own code, the old class's result"
    second.close()
    first.close()

    class Local:
        made = 0

        def __init__(self, value):
            self.value = value

        class Worker:
            def run(self, x):
                return Local(x)

    with Pool(Local.Worker, None, *WHERE) as pool:
        assert type(pool.map([7])[0]) is Local
        Local.made = 5
        assert pool.map([8])[0].value == 8 and Local.made == 5, "results do not touch the class"


if __name__ == "__main__":
    main()
    print("done")
