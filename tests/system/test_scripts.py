"""Programs as people write them, in files of their own: their classes and functions on the workers and back."""

import subprocess
import sys
from pathlib import Path

import pytest

PROGRAMS = Path(__file__).parent / "programs"


@pytest.fixture
def started(cluster):
    cluster.head()
    cluster.node(workers=2)
    return cluster


def run(cluster, *command, cwd=None, **kwargs):
    """Run Python with these arguments and the head's port; return what it printed."""
    done = subprocess.run(
        [sys.executable, *map(str, command), str(cluster.port)],
        env=cluster.environment("head"),
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=60,
        **kwargs,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.strip()


@pytest.mark.parametrize("program", ["state", "later", "children"])
def test_program(started, program):
    assert run(started, PROGRAMS / f"{program}.py") == "done"


def test_a_named_pool_is_read_by_its_script_again(started):
    program = PROGRAMS / "again.py"
    assert run(started, program) == "[2, 3] True True True 1 True"
    assert run(started, program) == "[2, 3] True True True 1 True"


def test_an_edited_script_gets_the_pools_classes(started, tmp_path):
    run(started, PROGRAMS / "again.py")
    edited = tmp_path / "again.py"
    text = (PROGRAMS / "again.py").read_text()
    edited.write_text(text.replace("limit = 1  # EDITED", "limit = 10"))
    # Scores are the pool's, with its limit; the enum did not change, and is the script's.
    assert run(started, edited) == "[2, 3] False False False 1 True"
    edited.write_text(
        "# A comment, and other lines.\n\n" + text.replace("  # EDITED", "").replace("def main", "\n\ndef main")
    )
    assert run(started, edited) == "[2, 3] True True True 1 True"


def test_another_script_reads_the_pools_classes(started, tmp_path):
    run(started, PROGRAMS / "again.py")
    (tmp_path / "reader.py").write_text(
        "import os, sys, pickle\n"
        "from distributed_computing.api import Pool\n"
        "class Score: pass\n"
        "with Pool.attach('sweep', os.environ['DISTRIBUTED_COMPUTING_PASSWORD'], 'localhost', int(sys.argv[1])) as pool:\n"
        "    one, two = pool.map([0, 3])\n"
        "    print(type(one).__name__, type(one) is type(two), type(one) is Score, one.passes(), two.passes())\n"
        "    print(two.verdict.name, one.verdict is type(two.verdict).BAD)\n"
    )
    assert run(started, tmp_path / "reader.py") == "Score True False False True\nGOOD True"


def test_a_module_that_is_run(started, tmp_path):
    package = tmp_path / "project"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "near.py").write_text("def plus_one(x):\n    return x + 1\n")
    (package / "sweep.py").write_text(
        "import os, sys\n"
        "from distributed_computing.api import Pool\n"
        "class Item:\n"
        "    def __init__(self, x): self.x = x\n"
        "class Worker:\n"
        "    def run(self, item):\n"
        "        from .near import plus_one\n"
        "        return Item(plus_one(item.x))\n"
        "if __name__ == '__main__':\n"
        "    with Pool(Worker, None, os.environ['DISTRIBUTED_COMPUTING_PASSWORD'], 'localhost', int(sys.argv[1])) as pool:\n"
        "        results = pool.map([Item(1), Item(2)])\n"
        "        print([result.x for result in results], {type(result) for result in results} == {Item})\n"
    )
    assert run(started, "-m", "project.sweep", cwd=tmp_path) == "[2, 3] True"


SESSION = """
import os, sys
import near
from distributed_computing.api import Pool
class Score:
    def __init__(self, x): self.x = x

class Worker:
    def run(self, x):
        return Score(near.plus_one(x))

with Pool(Worker, None, os.environ["DISTRIBUTED_COMPUTING_PASSWORD"], "localhost", PORT) as pool:
    first = pool.map([1])[0]

class Score:
    def __init__(self, x): self.x = 10 * x

with Pool(Worker, None, os.environ["DISTRIBUTED_COMPUTING_PASSWORD"], "localhost", PORT) as pool:
    second = pool.map([1])[0]
    print(first.x, type(first) is Score, second.x, type(second) is Score)

"""


@pytest.mark.parametrize("how", ["-i", "-", "-c", "ipython"])
def test_what_is_typed_in(started, tmp_path, how):
    """A shell, in a folder with a module of the user's; the node was started elsewhere."""
    (tmp_path / "near.py").write_text("def plus_one(x):\n    return x + 1\n")
    text = SESSION.replace("PORT", str(started.port))
    command = {"-c": ["-c", text], "-i": ["-i", "-q"], "ipython": ["-m", "IPython", "--quick", "--simple-prompt"]}.get(
        how, [how]
    )
    if how == "ipython":
        pytest.importorskip("IPython")
    done = subprocess.run(
        [sys.executable, *command],
        env=started.environment("head") | {"IPYTHONDIR": str(tmp_path / "ipython")},
        cwd=tmp_path,
        input=None if how == "-c" else text,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert "2 False 20 True" in done.stdout, done.stdout + done.stderr


def test_in_a_test_of_pytest(started, tmp_path):
    (tmp_path / "test_user.py").write_text(
        "import os\n"
        "from distributed_computing.api import Pool\n"
        "class Score:\n"
        "    made = 0\n"
        "    def __init__(self, x): self.x = x\n"
        "class Worker:\n"
        "    def run(self, x): return Score(x)\n"
        f"WHERE = os.environ.get('DISTRIBUTED_COMPUTING_PASSWORD'), 'localhost', {started.port}\n"
        "def test_of_the_module():\n"
        "    with Pool(Worker, None, *WHERE) as pool:\n"
        "        assert type(pool.map([1])[0]) is Score\n"
        "def test_of_its_own():\n"
        "    class Local(Worker):\n"
        "        def run(self, x): return Score(x + 1)\n"
        "    with Pool(Local, None, *WHERE) as pool:\n"
        "        assert pool.map([1])[0].x == 2\n"
    )
    for mode in ("prepend", "importlib"):
        done = subprocess.run(
            [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", f"--import-mode={mode}", str(tmp_path)],
            env=started.environment("head"),
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.returncode == 0, mode + done.stdout + done.stderr
