"""No two modules of the package need each other, not even for the names of types."""

import ast
from graphlib import TopologicalSorter
from pathlib import Path

import distributed_computing

PACKAGE = "distributed_computing"
FOLDER = Path(distributed_computing.__file__).parent


def imported(module: Path) -> set[str]:
    """Return the package's modules that one names in an import, wherever that stands."""
    found = set()
    for node in ast.walk(ast.parse(module.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module == PACKAGE:
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and node.module.startswith(PACKAGE + "."):
            found.add(node.module.removeprefix(PACKAGE + "."))
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
            found |= {name.removeprefix(PACKAGE + ".") for name in names if name.startswith(PACKAGE + ".")}
    return found


def test_imports_have_no_circle():
    modules = {path.stem: path for path in FOLDER.glob("*.py")}
    graph = {name: imported(path) & modules.keys() for name, path in modules.items()}
    assert {"_outcome", "_stream"} <= graph["iterators"] | graph["pool"]
    TopologicalSorter(graph).prepare()  # raises CycleError, which names the circle
