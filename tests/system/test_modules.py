"""Where workers take modules from: the client's own folders in its order, what travels with the pool, nothing else."""

import subprocess
import sys

import pytest

RUN = """
import os, sys
sys.argv.pop()
from distributed_computing.api import Pool
WHERE = os.environ.get("DISTRIBUTED_COMPUTING_PASSWORD"), "localhost", int(os.environ.get("TEST_PORT", 0))
"""

MAP = "\nwith Pool(Adder, None, *WHERE) as p:\n    print(p.map([1]))"


def run(cluster, text, *arguments, cwd, check=True):
    """Run a script of this text in a folder; return what it printed."""
    (cwd / "script.py").write_text(RUN + text)
    done = subprocess.run(
        [sys.executable, "script.py", *arguments, "end"],
        env=cluster.environment("head") | {"TEST_PORT": str(cluster.port)},
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert not check or done.returncode == 0, done.stdout + done.stderr
    return done.stdout.strip() if check else done.stdout + done.stderr


@pytest.fixture
def mine(tmp_path):
    folder = tmp_path / "mine"
    folder.mkdir()
    return folder


def adder(n):
    return f"class Adder:\n    def run(self, x):\n        return x + {n}\n"


def test_the_clients_order_wins(cluster, mine, tmp_path, monkeypatch):
    """Modules with names of Python's own, of other folders, and of the folder in which the node was started."""
    other = tmp_path / "other"
    other.mkdir()
    (other / "worker.py").write_text(adder(1000))
    for name in ("worker", "test", "queue_of_mine"):
        (mine / f"{name}.py").write_text(adder(1))
    (mine / "lib").mkdir()
    (mine / "lib" / "queue_of_mine.py").write_text(adder(50))
    cluster.head()
    with monkeypatch.context() as patch:
        patch.chdir(other)
        cluster.node(workers=1)
    for name in ("worker", "test"):
        assert run(cluster, f"from {name} import Adder" + MAP, cwd=mine) == "[2]"
    text = "sys.path.insert(0, 'lib')\nfrom queue_of_mine import Adder" + MAP
    assert run(cluster, text, cwd=mine) == "[51]"


def test_arguments_and_files_of_the_program(cluster, mine):
    (mine / "settings.py").write_text(
        "import argparse\np = argparse.ArgumentParser()\np.add_argument('--rate', type=float, required=True)\n"
        "p.add_argument('--password')\nARGS = p.parse_args()\n"
    )
    (mine / "model.py").write_text(
        "import settings, sys\nclass Model:\n    def run(self, x):\n        return settings.ARGS.rate * x, sys.argv\n"
    )
    cluster.head()
    cluster.node(workers=1)
    text = "from model import Model\nwith Pool(Model, None, *WHERE) as p: print(p.map([2]))"
    got = run(cluster, text, "--rate=0.5", f"--password={cluster.password}", cwd=mine)
    assert got == "[(1.0, ['script.py', '--rate=0.5', '--password=***'])]"


def test_folders_that_are_skipped_are_named(cluster, mine):
    shared = mine / "shared"
    shared.mkdir()
    (shared / "model.py").write_text(adder(1))
    shared.chmod(0o777)
    cluster.head()
    cluster.node(workers=1)
    text = (
        "sys.path.insert(0, 'shared')\nfrom model import Adder\nwith Pool(Adder, None, *WHERE) as p: print(p.map([2]))"
    )
    got = run(cluster, text, cwd=mine, check=False)
    assert "No module named 'model'" in got
    assert f"{shared} is not searched: others may write to {shared} (mode 777)" in got
    shared.chmod(0o755)
    assert run(cluster, text, cwd=mine) == "[3]"


def test_folders_that_are_skipped_are_named_wherever_a_module_is_missing(cluster, mine):
    """In what the script's class uses, arguments, init_data, and what is imported in a job or an update."""
    shared = mine / "shared"
    shared.mkdir()
    (shared / "opened.py").write_text("class C: pass\ndef f(x): return x\n")
    shared.chmod(0o777)
    cluster.head()
    cluster.node(workers=1)
    text = (
        "sys.path.insert(0, 'shared')\nimport opened\n"
        "class Lazy:\n    def run(self, x):\n        import opened as again\n        return x\n"
        "    def handle_update(self, x): pass\n"
        "class Uses:\n    def run(self, x): return opened.f(x)\n"
        "def told(what):\n    try: what()\n    except Exception as error: print('is not searched: others' in str(error))\n"
        "    else: print('no error')\n"
        "with Pool(Lazy, None, *WHERE) as p:\n"
        "    told(lambda: p.map([1]))\n    told(lambda: p.map([opened.C()]))\n"
        "    told(lambda: p.update_workers(opened.C(), wait=True))\n"
        "told(lambda: Pool(Uses, None, *WHERE).map([1]))\n"
        "told(lambda: Pool(Lazy, {'args': [opened.C()]}, *WHERE).map([1]))\n"
    )
    assert run(cluster, text, cwd=mine) == "\n".join(["True"] * 5)


@pytest.fixture
def away(mine, tmp_path):
    """A package that only this program finds: it has been imported, and its folder is on nobody's path."""
    package = tmp_path / "laptop" / "away"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("from away.core import Adder, double\n")
    (package / "core.py").write_text(
        "import importlib.resources\n" + adder(1) + "    def table(self):\n"
        "        return importlib.resources.files('away').joinpath('table.txt').read_text()\n"
        "def double(x):\n    return 2 * x\n"
    )
    (package / "table.txt").write_text("seven")
    return f"sys.path.insert(0, {str(package.parent)!r})\nimport away\nsys.path.pop(0)\n"


def test_modules_travel_with_the_pool(cluster, mine, away):
    cluster.head()
    cluster.node(workers=2)
    text = away + (
        "class Asks(away.Adder):\n"
        "    def run(self, f, x):\n"
        "        place = os.path.dirname(os.path.dirname(away.__file__))\n"
        "        return f(x), self.table(), place, os.stat(place).st_mode & 0o777\n"
        "with Pool(Asks, None, *WHERE, ship_modules=[away], name='ships') as p:\n"
        "    print(p.map([{'args': [away.double, 4]}]))\n"
        "    p.detach()\n"
    )
    got = run(cluster, text, cwd=mine)
    assert got.startswith("[(8, 'seven', ") and got.endswith(", 448)]"), got
    alone = text.replace("ship_modules=[away], name='ships'", "")
    assert "ModuleNotFoundError: No module named 'away'" in run(cluster, alone, cwd=mine, check=False)
    cluster.processes["head"].kill()
    cluster.processes["head"].wait()
    cluster.head()
    again = "with Pool.attach('ships', *WHERE) as p:\n    print(p.submit(abs, -1).result()[:2])\n    p.close()"
    assert run(cluster, again, cwd=mine) == "(1, 'seven')"


def test_modules_that_the_program_has_registered_travel_by_value(cluster, mine, away):
    cluster.head()
    cluster.node(workers=1)
    text = away + (
        "import cloudpickle\n"
        "cloudpickle.register_pickle_by_value(away)\n"
        "class Local:\n"
        "    def run(self, f, x): return f(x), away.double(x), away.Adder\n"
        "with Pool(away.Adder, None, *WHERE) as p: print(p.map([1]))\n"
        "with Pool(Local, None, *WHERE) as p:\n"
        "    a, b, c = p.map([{'args': [away.double, 4]}])[0]\n"
        "    print(a, b, c is away.Adder)\n"
    )
    assert run(cluster, text, cwd=mine) == "[2]\n8 8 True"


def test_a_pool_in_an_imported_module(cluster, mine):
    (mine / "app.py").write_text(
        RUN.replace("sys.argv.pop()", "") + adder(1) + "ANSWER = Pool(Adder, None, *WHERE).map([1])\n"
    )
    cluster.head()
    cluster.node(workers=1)
    got = run(cluster, "import app", cwd=mine, check=False)
    assert "RuntimeError: a pool is opened while the module app is being imported" in got
    assert "if __name__ == '__main__':" in got
    # Only workers import this one: they tell it instead of waiting for ever.
    (mine / "lazy.py").write_text("import os\nif 'CLIENT' not in os.environ:\n    import app\n" + adder(1))
    text = "os.environ['CLIENT'] = '1'\nfrom lazy import Adder" + MAP
    got = run(cluster, text, cwd=mine, check=False)
    assert "WorkerInitError" in got and "while a worker's module is being imported" in got


def test_what_a_manager_holds_can_be_used_on_its_machine(cluster, mine):
    cluster.head()
    cluster.node(workers=1)
    text = (
        "import multiprocessing\n"
        "class Tells:\n"
        "    def run(self, i, queue): queue.put(i)\n"
        "if __name__ == '__main__':\n"
        "    with multiprocessing.Manager() as manager:\n"
        "        queue = manager.Queue()\n"
        "        with Pool(Tells, None, *WHERE) as p: p.map([{'args': [i, queue]} for i in range(3)])\n"
        "        print(sorted(queue.get() for _ in range(3)))\n"
    )
    assert run(cluster, text, cwd=mine) == "[0, 1, 2]"
