"""C++ programs: one built outside the tree against the installed library, and what the compiler refuses."""

import shutil
import subprocess
from pathlib import Path

import pytest

from conftest import wait_until

ROOT = Path(__file__).resolve().parents[2]
BUILD = ROOT / "build" / "dev"


def run(*command, **kwargs):
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, **kwargs)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="session")
def prefix(tmp_path_factory):
    """The library, installed as a user would."""
    target = tmp_path_factory.mktemp("prefix")
    run("cmake", "--install", BUILD, "--component", "cpp", "--prefix", target)
    return target


@pytest.mark.slow
def test_a_program_outside_the_tree(cluster, prefix, tmp_path):
    source, build = tmp_path / "source", tmp_path / "build"
    shutil.copytree(ROOT / "tests" / "install", source)
    run("cmake", "-S", source, "-B", build, "-G", "Ninja", f"-DCMAKE_PREFIX_PATH={prefix}", "-DCMAKE_BUILD_TYPE=Debug")
    run("cmake", "--build", build, timeout=80)
    assert (prefix / "bin" / "start_node").exists()
    cluster.head()
    cluster.node(workers=2)
    output = run(build / "outside", cluster.password, cluster.port, env=cluster.environment("head"), timeout=60)
    assert output == "all fine\n"
    cached = list((cluster.root / "node" / "cache" / "programs").iterdir())
    assert len(cached) == 1 and len(cached[0].name) == 64, "shipped once, by content hash"


@pytest.mark.parametrize(
    ("statement", "message"),
    [
        ('pool.map(std::vector<std::string>{"x"});', "an item must be the argument"),
        ("pool.submit(1, 2);", "run does not take these arguments"),
        ('pool.update_workers("x");', "the worker class has no handle_update"),
    ],
)
def test_wrong_arguments_are_refused_at_compile_time(prefix, tmp_path, statement, message):
    program = tmp_path / "wrong.cpp"
    program.write_text(f"""
#include <distributed_computing/distributed_computing.hpp>
#include <string>
#include <vector>
struct Worker : dc::WorkerInterface {{ int run(int x) {{ return x; }} }};
DISTRIBUTED_COMPUTING_WORKER(Worker);
int main() {{ dc::Pool<Worker> pool({{.password = "x"}}); {statement} }}
""")
    command = ["g++", "-std=c++20", "-fsyntax-only", "-DMSGPACK_NO_BOOST", f"-I{prefix}/include", str(program)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode != 0 and message in done.stderr, done.stderr


def test_the_smallest_program(cluster):
    cluster.head()
    cluster.node(workers=2)
    hello = BUILD / "examples" / "hello"
    output = run(hello, cluster.password, "localhost", cluster.port, env=cluster.environment("head"), timeout=60)
    assert output.startswith("1 4 9 16 25 36 49 64 81 100 from ")


def test_a_program_that_is_damaged_while_its_node_lives_is_fetched_again(cluster):
    cluster.head()
    cluster.node(workers=1)
    hello = BUILD / "examples" / "hello"
    command = [hello, cluster.password, "localhost", cluster.port]
    run(*command, env=cluster.environment("head"), timeout=60)
    (cached,) = (cluster.root / "node" / "cache" / "programs").iterdir()
    cached.chmod(0o700)

    def written_over():
        try:
            with cached.open("r+b") as file:
                file.write(bytes(cached.stat().st_size))
        except OSError:  # it is still executed
            return False
        return True

    wait_until(written_over, "the last worker is gone")
    output = run(*command, env=cluster.environment("head"), timeout=60)
    assert output.startswith("1 4 9 16 25 36 49 64 81 100 from ")
    assert "was damaged or gone: it is fetched again" in cluster.log("node")


def test_the_digits_search_runs(cluster, tmp_path):
    import sys

    cluster.head()
    cluster.node(workers=2)
    table = tmp_path / "digits.csv"
    run(sys.executable, ROOT / "examples" / "digits" / "export.py", table)
    lines = table.read_text().splitlines()[:1500]
    table.write_text("\n".join(lines) + "\n")
    program = BUILD / "examples" / "digits_search"
    environment = {**cluster.environment("head"), "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(
        [program, table, cluster.password, "localhost", str(cluster.port)],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    try:
        output, _ = process.communicate(timeout=70)
    finally:
        process.kill()
    assert process.returncode == 0 and b"held-out accuracy: 0.9" in output
