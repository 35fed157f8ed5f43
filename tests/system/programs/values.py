"""The variables that functions of the script read: what the script gives them between jobs, and which object they are."""

import functools
import os
import sys

from distributed_computing.api import Pool

WHERE = os.environ["DISTRIBUTED_COMPUTING_PASSWORD"], "localhost", int(sys.argv[1])

MISSING = object()
CACHE = {}
DEFAULTS = {"rate": 1}
TABLE = [float(i) for i in range(100_000)]
calls = 0


class Caller:
    def run(self, function, *args):
        return "none" if function is MISSING else function(*args)


class Model:
    def __init__(self, weight):
        self.weight = weight

    def predict(self, x):
        return self.weight * x + offset


def get(mapping, key, default=MISSING):
    value = mapping.get(key, default)
    return "missing" if value is MISSING else value


class Store:
    content = CACHE


def put(key):
    CACHE[key] = 1
    return len(CACHE), Store.content is CACHE


def same_store():
    return Store.content is CACHE


def train(settings=DEFAULTS):
    return settings


def default():
    return train() is DEFAULTS


def counted():
    global calls
    calls += 1
    return calls


def looked_up(i):
    return TABLE[i]


def later():
    return LATE


def score(x):
    return model["weight"] * x


def powered(x):
    return power(x)


def rebound(pool):
    """What the script gives to a variable between two maps is what functions read."""
    global scale, model, power, offset, calls
    offset = 0
    for number in (1, 2, 3, 1):
        scale, model, power = number, {"weight": number}, functools.partial(pow, number)
        exec("def product(x): return x * scale", globals())  # once more, as in a loop of the script
        for function in (product, score, lambda x: x * scale):  # noqa: B023, F821
            assert pool.map({"args": [function, x]} for x in range(3)) == [0, number, 2 * number], (function, number)
        assert pool.submit(powered, 2).result() == number**2
    model = Model(2)
    assert pool.submit(predicted, 3).result() == 6
    offset = 1
    assert pool.submit(predicted, 3).result() == 7, "its methods read variables too"
    assert pool.submit(again, 3).result() == 7, "a new function has what the others have not"
    counts = [pool.submit(counted).result() for _ in range(2)]
    calls = 100
    counts += [pool.submit(counted).result() for _ in range(2)]
    assert counts == [1, 2, 3, 4], "what functions assign is the worker's"


def predicted(x):
    return model.predict(x)


def again(x):
    return model.predict(x)


def identical(pool):
    """What is one object in the script is one on the worker, whenever its parts travel."""
    assert pool.submit(get, {}, 1).result() == "missing"
    assert [pool.submit(put, key).result() for key in (1, 2, 2)] == [(1, True), (2, True), (2, True)]
    assert pool.submit(same_store).result()
    assert pool.submit(train).result() == DEFAULTS and pool.submit(default).result()


def large(pool):
    """A large variable does not travel again with what goes by value."""
    from distributed_computing._payload import dumps

    pool.submit(looked_up, 1).result()
    assert len(dumps(lambda i: TABLE[i], pool._definitions)) < 2000
    assert pool.submit(lambda i: TABLE[i], 5).result() == 5.0
    TABLE[5] = 50.0
    assert pool.submit(lambda i: TABLE[i], 5).result() == 50.0, "it was changed: a lambda has it as it is"
    assert pool.submit(looked_up, 5).result() == 5.0, "in place: workers go on with theirs"


def undefined(pool):
    """A variable that comes after the function that reads it."""
    global LATE
    try:
        pool.submit(later).result()
    except NameError:
        LATE = 5
    assert pool.submit(later).result() == 5


if __name__ == "__main__":
    with Pool(Caller, None, *WHERE) as pool:
        for part in (rebound, identical, large, undefined):
            part(pool)
    print("done")
