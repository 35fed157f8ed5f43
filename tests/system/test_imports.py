"""What a worker imports: what the interpreter has and what the user's code brings, nothing of where the node was started."""

import os
import sys
from pathlib import Path

import pytest

from distributed_computing.api import JobError, Pool
from workers import Imports

# Of what an interpreter and a worker import in any case, and what might be thought of only by accident.
PLANTED = [
    "inspect",
    "traceback",
    "linecache",
    "sitecustomize",
    "usercustomize",
    "cloudpickle",
    "numpy",
    "multiprocessing",
    "beside_the_node",
]


@pytest.fixture
def planted(tmp_path):
    """Return a directory full of modules that leave a mark when they are imported, and the directory of marks."""
    folder, marks = tmp_path / "planted", tmp_path / "marks"
    (folder / "distributed_computing").mkdir(parents=True)
    marks.mkdir()
    files = [f"{name}.py" for name in PLANTED] + ["distributed_computing/__init__.py"]
    for sub in ("", "src"):
        (folder / sub).mkdir(exist_ok=True)
        for file in files:
            path = folder / sub / file
            path.parent.mkdir(exist_ok=True)
            path.write_text(f"import os; os.mkdir({str(marks / file.replace('/', '-'))!r})\n")
    return folder, marks


@pytest.mark.parametrize("python_path", ["", ".", ":src:", "PLAIN"])
def test_nothing_of_the_nodes_directory_is_imported(cluster, pool_arguments, planted, python_path, monkeypatch):
    folder, marks = planted
    cluster.head()
    usual = cluster.environment("node")["PYTHONPATH"]
    own = usual if python_path == "PLAIN" else f"{python_path}:{usual}"
    cluster.node("node", 1, cwd=folder, environment={"PYTHONPATH": own})
    monkeypatch.setattr(sys, "path", [*sys.path, "src", "docs"])  # which means directories of this machine
    with Pool(Imports, None, *pool_arguments) as pool:
        path, where, inherited = pool.submit("state").result(30)
        assert all(os.path.isabs(entry) for entry in path) and str(folder) not in path and "/" not in path
        assert str(Path("docs").resolve()) in path, "where the client meant it"
        assert where == str(folder), "the working directory is the node's, as before"
        assert "PYTHONSAFEPATH" not in inherited
        with pytest.raises(JobError, match="No module named 'beside_the_node'"):
            pool.submit("imports", "beside_the_node").result(30)
        assert pool.submit("imports", "traceback").result(30).startswith(sys.base_prefix)
        assert pool.submit("spawns").result(30) == 0
    assert list(marks.iterdir()) == []


def test_modules_of_the_clients_path_are_found(cluster, pool_arguments, tmp_path, monkeypatch):
    cluster.head()
    cluster.node(workers=1)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "module_of_mine.py").write_text("where = __file__\n")
    monkeypatch.syspath_prepend(str(tmp_path / "mine"))
    with Pool(Imports, None, *pool_arguments) as pool:
        assert pool.submit("imports", "module_of_mine").result(30) == str(tmp_path / "mine" / "module_of_mine.py")
