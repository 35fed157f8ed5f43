"""Variables of a script, and state of its classes, on workers and in named pools."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAMS = Path(__file__).parent / "programs"
HEADER = """
import os, sys
from distributed_computing.api import Pool
WHERE = os.environ["DISTRIBUTED_COMPUTING_PASSWORD"], "localhost", int(sys.argv[1])
"""


@pytest.fixture
def started(cluster):
    cluster.head()
    cluster.node(workers=1)
    return cluster


@pytest.fixture
def run(started, tmp_path):
    def run(text, name="script.py"):
        """Run a script, whose path is the same each time; return what it printed, on stdout and on stderr."""
        script = tmp_path / name
        script.write_text(text)
        done = subprocess.run(
            [sys.executable, str(script), str(started.port)],
            env=started.environment("head"),
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout.strip(), done.stderr

    return run


def test_variables_are_as_in_the_script(run):
    out, told = run((PROGRAMS / "values.py").read_text())
    assert out == "done"
    for name in ("scale", "model", "power", "offset"):
        assert told.count(f"{name} has another value") == 1
    assert told.count("\n") == 4


def test_a_worker_class_that_reads_another_value_by_now_is_told(run):
    out, told = run(
        HEADER
        + """
SCALE = 2
class Worker:
    def run(self, x):
        return x * SCALE
with Pool(Worker, None, *WHERE) as pool:
    first = pool.map([1])
    SCALE = 3
    print(first, pool.map([1]), pool.map([1]), pool.submit(1).result())
"""
    )
    assert out == "[2] [2] [2] 2"
    assert told.count("SCALE has another value than the pool's workers have") == 1


MAKER = (
    HEADER
    + """
SCALE = 2
TAGS = {"red", "green", "blue"}
SAME = object()
class Caller:
    def run(self, function, *args):
        return function(*args)
def double(x):
    return x * SCALE, sorted(TAGS), SAME is not None
def tagged(x):
    return x in TAGS
if __name__ == "__main__":
    with Pool(Caller, None, *WHERE, name="shared") as pool:
        print(pool.map({"args": [double, i]} for i in range(2)), pool.submit(tagged, "red").result())
"""
)


def test_the_same_script_goes_on_by_name(run):
    for _ in range(2):
        out, told = run(MAKER)
        assert out == "[(0, ['blue', 'green', 'red'], True), (2, ['blue', 'green', 'red'], True)] True"
        assert told == ""


def test_an_edited_value_is_used_and_told(run):
    run(MAKER)
    out, told = run(MAKER.replace("SCALE = 2", "SCALE = 10"))
    assert out == "[(0, ['blue', 'green', 'red'], True), (10, ['blue', 'green', 'red'], True)] True"
    assert told.count("SCALE") == 1


def test_functions_of_another_script_have_its_own_variables(run):
    run(MAKER)
    out, told = run(
        HEADER
        + """
SCALE = 10
LABEL = "other"
SAME = object()
def area(x, same=SAME):
    return LABEL, x * SCALE
def same(x=SAME):
    return x is SAME
def tagged():
    return TAGS
TAGS = {"blue", "red", "green"}
with Pool.attach("shared", *WHERE) as pool:
    print(pool.map({"args": [area, i]} for i in range(2)), pool.submit(same).result(), sorted(pool.submit(tagged).result()))
""",
        "other.py",
    )
    assert out == "[('other', 0), ('other', 10)] True ['blue', 'green', 'red']"
    assert told.count("SCALE has another value") == 1 and told.count("another one") == 1  # that is `tagged`


COUNTER = (
    HEADER
    + """
import random
class Score:
    cache = {}
    every = []
    random = random.Random()
    limit = 1
    def __init__(self, x):
        self.x = x
        Score.cache[x] = self
        Score.every.append(x)
class Worker:
    def run(self, x):
        return Score(x)
if __name__ == "__main__":
    made = [Score(i) for i in range(COUNT)]
    with Pool(Worker, None, *WHERE, name="scores") as pool:
        results = pool.map({"key": str(i), "args": [i]} for i in range(2))
    print([type(one) is Score for one in results])
"""
)


def test_state_of_a_class_makes_no_other_class(run):
    for count in (3, 5):
        assert run(COUNTER.replace("COUNT", str(count))) == ("[True, True]", "")


def test_results_of_another_class_of_that_name_are_told(run):
    run(COUNTER.replace("COUNT", "1"))
    out, told = run(
        HEADER
        + """
class Score:
    pass
with Pool.attach("scores", *WHERE) as pool:
    print([type(one) is Score for one in pool.map([1, 2])])
""",
        "reader.py",
    )
    assert out == "[False, False]"
    assert told.count("Score of this script is another one than the pool's") == 1 and told.count("\n") == 1


def test_a_module_that_travels_by_value_has_one_state(run, tmp_path):
    (tmp_path / "counting.py").write_text(
        """
import os
count = 0
LIMITS = {"a": 1}
class Limit:
    known = LIMITS
def first():
    global count
    count += 1
    return count, os.getpid()
def second():
    global count
    count += 1
    return count, os.getpid()
def same():
    return Limit.known is LIMITS
def scaled(x):
    return x * scale
"""
    )
    os.chmod(tmp_path, 0o777)  # workers do not import from here
    out, told = run(
        HEADER
        + """
import cloudpickle, counting
cloudpickle.register_pickle_by_value(counting)
class Caller:
    def run(self, function, *args):
        return function(*args)
with Pool(Caller, None, *WHERE) as pool:
    got = [pool.submit(function).result() for function in (counting.first, counting.first, counting.second, counting.first)]
    counting.scale = 2
    scaled = [pool.submit(counting.scaled, 1).result()]
    counting.scale = 3
    print([count for count, _ in got], len(set(pid for _, pid in got)), pool.submit(counting.same).result(),
        [*scaled, pool.submit(counting.scaled, 1).result()])
"""
    )
    assert out == "[1, 2, 3, 4] 1 True [2, 3]"
    assert told.count("counting:scale has another value") == 1


def test_what_an_imported_decorator_has_made_has_the_variables_of_its_module(run, tmp_path):
    (tmp_path / "decorators.py").write_text("""
import functools, threading
calls = []
_lock = threading.Lock()
def counted(function):
    @functools.wraps(function)
    def wrapper(*args):
        with _lock:
            calls.append(function.__name__)
        return function(*args)
    return wrapper
def counter():
    def count():
        calls.append("count")
        return len(calls)
    return count
""")
    out, told = run(
        HEADER
        + """
import decorators
@decorators.counted
def double(x):
    return 2 * x
count = decorators.counter()
class Worker:
    @decorators.counted
    def run(self, x):
        return double(x), count(), list(decorators.calls)
class Caller:
    def run(self, function, *args):
        return function(*args)
with Pool(Worker, None, *WHERE) as pool:
    print(pool.submit(1).result())
with Pool(Caller, None, *WHERE) as pool:
    print(pool.submit(decorators.counted(lambda x: 3 * x), 1).result())
"""
    )
    assert out == "(2, 3, ['run', 'double', 'count'])\n3"
    assert not told


def test_single_objects_of_modules_stay_single(run):
    out, told = run(
        HEADER
        + """
import dataclasses
@dataclasses.dataclass
class Config:
    rate: float
    tags: list = dataclasses.field(default_factory=list)
def missing(kind):
    return [field.name for field in dataclasses.fields(kind) if field.default is dataclasses.MISSING]
class Worker:
    def run(self, rate):
        @dataclasses.dataclass
        class More(Config):
            steps: int = 3
        return missing(Config), More(rate).steps, Config(rate).tags
with Pool(Worker, None, *WHERE) as pool:
    print(pool.submit(1).result())
"""
    )
    assert out == "(['rate', 'tags'], 3, [])"
    assert not told


def test_a_pool_that_the_script_has_as_a_variable_stays_with_it(run):
    out, told = run(
        HEADER
        + """
class Task:
    def __init__(self, x):
        self.x = x
    def work(self):
        return 2 * self.x
    def submit(self):
        return pool.submit(self)
class Worker:
    def run(self, task, nested=False):
        return task.submit() if nested else task.work()
with Pool(Worker, None, *WHERE) as pool:
    print(Task(1).submit().result())
    try:
        pool.submit(Task(1), True).result()
    except RuntimeError as error:
        print(str(error).splitlines()[0])
with Pool(Worker, None, *WHERE) as pool:
    print(Task(2).submit().result())
"""
    )
    assert not told
    lines = out.splitlines()
    assert lines[0] == "2" and lines[2] == "4"
    assert "a Pool is of the program that has it" in lines[1]


def test_pools_in_other_places_are_told_or_stay_too(run):
    out, told = run(
        HEADER
        + """
class Caller:
    def run(self, function, *args):
        return function(*args)
def named():
    return repr(type(pool).__name__)
with Pool(Caller, None, *WHERE) as pool:
    print(pool.submit(lambda: type(pool).__name__).result())
    print(pool.submit(named).result())
    pool, first = Pool(Caller, None, *WHERE), pool
    with pool:
        print(first.submit(named).result())
        try:
            first.submit(len, pool)
        except TypeError as error:
            print(error)
"""
    )
    lines = out.splitlines()
    assert lines[:3] == ["LeftBehind", "'LeftBehind'", "'LeftBehind'"]
    assert "a Pool is of the program that has it" in lines[3]
    assert not told
