"""The house rules as tests: layers, purity, file and function length, nothing foreign in the tree."""

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SRC = ROOT / "src"

# What each folder may include of the project, beside itself.
ALLOWED = {
    "core": set(),
    "wire": {"core"},
    "scheduler": {"core"},
    "gpu": {"core"},
    "store": {"core"},
    "net": {"core", "wire"},
    "worker": {"core", "wire"},
    "node": {"core", "wire", "net", "gpu"},
    "head": {"core", "wire", "net", "scheduler", "store"},
    "client": {"core", "wire", "net"},
    "cli": {"core", "wire", "net", "gpu", "store", "node", "head"},
}
FILE_LINES_MAX = 400
FUNCTION_LINES_MAX = 60


def tracked(*suffixes: str) -> list[Path]:
    """Return the files of the tree (tracked, or new and not ignored) with one of these endings."""
    command = ["git", "ls-files", "-co", "--exclude-standard"]
    names = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout.splitlines()
    return [ROOT / n for n in sorted(set(names)) if n.endswith(suffixes) and (ROOT / n).exists()]


CPP = tracked(".cpp", ".hpp")
SOURCES = tracked(".cpp", ".hpp", ".py")


def exceptions() -> dict[str, int]:
    """Return {name: lines allowed} from length_exceptions.txt; each line of it gives a reason."""
    allowed = {}
    for line in (Path(__file__).parent / "length_exceptions.txt").read_text().splitlines():
        if line and not line.startswith("#"):
            name, lines, _reason = line.split(maxsplit=2)
            allowed[name] = int(lines)
    return allowed


def includes(path: Path) -> list[str]:
    return re.findall(r'^\s*#\s*include\s+[<"]([^>"]+)[>"]', path.read_text(), re.M)


def test_there_are_sources():
    assert len(CPP) > 20


@pytest.mark.parametrize("folder", sorted(ALLOWED))
def test_a_layer_includes_only_those_below_it(folder):
    wrong = []
    for path in CPP:
        if path.is_relative_to(SRC / folder):
            for name in includes(path):
                layer = name.split("/")[0]
                if layer in ALLOWED and layer != folder and layer not in ALLOWED[folder]:
                    wrong.append(f"{path.relative_to(ROOT)} includes {name}")
    assert not wrong


def test_what_only_tests_include_says_so_in_its_name():
    users: dict[str, list[str]] = {}
    for path in CPP:
        for name in includes(path):
            users.setdefault(name, []).append(path.relative_to(ROOT).as_posix())
    wrong = []
    for path in CPP:
        name = path.relative_to(SRC).as_posix() if path.is_relative_to(SRC) else ""
        of_product = [user for user in users.get(name, []) if not re.search(r"^tests/|_test\.cpp$|_for_tests\.", user)]
        if path.suffix == ".hpp" and name in users and name.endswith("_for_tests.hpp") == bool(of_product):
            wrong.append(f"{name} is included by {users[name]}")
    assert not wrong


def test_every_folder_of_src_has_a_layer():
    assert {p.name for p in SRC.iterdir() if p.is_dir()} <= set(ALLOWED)


def test_only_net_names_asio_beast_and_tls():
    wrong = [
        f"{path.relative_to(ROOT)} includes {name}"
        for path in CPP
        if not path.is_relative_to(SRC / "net")
        for name in includes(path)
        if name.startswith(("boost/asio", "boost/beast", "openssl/", "gsasl"))
    ]
    assert not wrong


@pytest.mark.parametrize("folder", ["worker", "scheduler"])
def test_pure_and_small_parts_include_no_boost(folder):
    wrong = [
        f"{p.name}: {n}" for p in CPP if p.is_relative_to(SRC / folder) for n in includes(p) if n.startswith("boost/")
    ]
    assert not wrong


def test_public_headers_show_no_boost_and_nothing_internal():
    wrong = []
    for path in CPP:
        if path.is_relative_to(ROOT / "include"):
            for name in includes(path):
                if name.startswith("boost/") or name.split("/")[0] in ALLOWED:
                    wrong.append(f"{path.name}: {name}")
    assert not wrong


def test_machines_and_scheduler_read_no_clock():
    wrong = []
    for path in CPP:
        pure = path.is_relative_to(SRC / "scheduler") or path.name.endswith("_machine.cpp")
        if pure and not path.name.endswith("_test.cpp"):
            if re.search(
                r"steady_clock::now|system_clock|random_device|EventLoop::now|std::this_thread",
                path.read_text(),
            ):
                wrong.append(str(path.relative_to(ROOT)))
    assert not wrong


def test_no_test_sleeps_and_hopes():
    wrong = [str(p.relative_to(ROOT)) for p in CPP if p.name.endswith("_test.cpp") and "sleep_for" in p.read_text()]
    assert not wrong


def test_headers_have_pragma_once_and_files_say_what_they_are_for():
    wrong = []
    for path in CPP:
        lines = path.read_text().splitlines()
        if not lines or not lines[0].startswith("//"):
            wrong.append(f"{path.relative_to(ROOT)}: no comment in the first line")
        if path.suffix == ".hpp" and "#pragma once" not in lines:
            wrong.append(f"{path.relative_to(ROOT)}: no #pragma once")
    for path in tracked(".py"):
        text = path.read_text()
        if text.strip() and not text.lstrip("#! \n").startswith(('"""', "/usr")) and '"""' not in text[:200]:
            wrong.append(f"{path.relative_to(ROOT)}: no docstring at the top")
    assert not wrong


def test_files_are_short():
    allowed = exceptions()
    wrong = []
    for path in SOURCES:
        name = str(path.relative_to(ROOT))
        lines = len(path.read_text().splitlines())
        if lines > allowed.get(name, FILE_LINES_MAX):
            wrong.append(f"{name}: {lines} lines")
    assert not wrong


def functions(path: Path):
    """Yield (name, lines) of the functions of a clang-formatted file: a body ends at a brace of its own indentation."""
    lines = path.read_text().splitlines()
    for start, line in enumerate(lines):
        header = re.match(r"^(\s{0,2})[A-Za-z_].*[)\w] (?:const )?(?:override )?(?:noexcept )?\{$", line)
        if not header or re.match(
            r"^\s*(namespace|MSGPACK_API_VERSION_NAMESPACE|class|struct|enum|union|else|do|try|if|for|while|switch)\b",
            line,
        ):
            continue
        for end in range(start + 1, len(lines)):
            if lines[end].startswith(header[1] + "}"):
                yield line.strip(), end - start + 1
                break


def test_functions_are_short():
    allowed = exceptions()
    wrong = []
    for path in CPP:
        for name, lines in functions(path):
            key = f"{path.relative_to(ROOT)}:{re.split(r'[( ]', name.split('(')[0])[-1]}"
            if lines > allowed.get(key, FUNCTION_LINES_MAX):
                wrong.append(f"{key}: {lines} lines")
    assert not wrong


def test_the_worker_runtime_links_neither_boost_nor_tls():
    modules = list(ROOT.glob("build/dev/python/_worker*.so"))
    assert modules, "build first: make build"
    libraries = subprocess.run(["ldd", str(modules[0])], check=True, capture_output=True, text=True).stdout
    assert not re.search(r"boost|libssl|libcrypto|gsasl", libraries)
    symbols = subprocess.run(["nm", "-DC", str(modules[0])], check=True, capture_output=True, text=True).stdout
    assert not re.search(r"boost::asio|SSL_", symbols)


def test_the_project_speaks_of_itself_alone():
    wrong = []
    for path in tracked(""):
        if path.is_file():
            text = path.read_bytes().decode(errors="replace")
            if re.search(r"/wor[k]/|\.\./share[d]|\.librar[y]/", text):
                wrong.append(str(path.relative_to(ROOT)))
    assert not wrong
