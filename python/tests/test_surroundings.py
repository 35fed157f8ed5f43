"""What of the client's surroundings a worker gets."""

import io
import os
import sys
import sysconfig
import types
import zipfile

import pytest

from distributed_computing import _module_paths, _shipped
from distributed_computing._module_paths import usable
from distributed_computing._shipped import pack, unpack
from distributed_computing._surroundings import arguments_without, own_folders, source_without


def test_own_folders_keep_their_order_and_become_absolute(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    installed = [
        sysconfig.get_path("stdlib"),
        sysconfig.get_path("purelib"),
        sysconfig.get_path("stdlib") + "/lib-dynload",
    ]
    found = own_folders(["", "src", installed[0], "/elsewhere", *installed, "src/../src", 5])
    assert found == [str(tmp_path), str(tmp_path / "src"), "/elsewhere"]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["a.py", "correct horse", "--password=correct horse", "x"], ["a.py", "***", "--password=***", "x"]),
        (["a.py", "--store", "redis://:pw@host:6379/0", "b"], ["a.py", "--store", "***", "b"]),
        (["a.py", "--store=rediss://host"], ["a.py", "--store=***"]),
    ],
)
def test_secrets_are_blanked(arguments, expected):
    assert arguments_without(["correct horse", ""], arguments) == expected


def test_a_short_password_is_blanked_where_it_stands_alone():
    arguments = ["12", "--password=12", "--rate=0.12", "123"]
    assert arguments_without(["12"], arguments) == ["***", "--password=***", "--rate=0.12", "123"]


def test_folders_that_others_may_change_are_not_used(tmp_path):
    good, open_to_all, below = tmp_path / "good", tmp_path / "open", tmp_path / "open" / "below"
    for folder in (good, open_to_all, below):
        folder.mkdir(mode=0o755)
    open_to_all.chmod(0o777)
    used, reasons = usable([str(good), str(open_to_all), str(below), str(tmp_path / "absent"), "relative"])
    assert used == [str(good)]
    assert len(reasons) == 2
    assert all(f"others may write to {open_to_all} (mode 777)" in reason for reason in reasons)
    open_to_all.chmod(0o1777)  # as /tmp: others cannot put something else in the place of what is ours
    assert usable([str(open_to_all), str(below)])[0] == [str(below)]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files to others")
def test_folders_of_others_are_not_used(tmp_path):
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    os.chown(theirs, 65534, -1)
    used, reasons = usable([str(theirs)])
    assert used == [] and "belongs to nobody" in reasons[0]


@pytest.fixture
def project(tmp_path):
    folder = tmp_path / "project"
    for name, text in {
        "__init__.py": "",
        "core.py": "X = 1\n",
        "data/table.csv": "1,2\n",
        ".env": "SECRET=1\n",
        "server.key": "secret",
        "id_rsa": "secret",
        "__pycache__/core.pyc": "",
        ".git/config": "",
    }.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    (folder / "link.py").symlink_to(folder / "core.py")
    return folder


def names_in(archive, tmp_path):
    (tmp_path / "archive.zip").write_bytes(archive)
    return zipfile.ZipFile(tmp_path / "archive.zip").namelist()


def test_a_package_travels_without_what_is_private(project, tmp_path):
    assert names_in(pack([str(project)]), tmp_path) == [
        "project/__init__.py",
        "project/core.py",
        "project/data/table.csv",
    ]
    assert pack([project]) == pack([str(project)])
    (project / "__init__.py").unlink()
    assert names_in(pack([project]), tmp_path) == ["core.py", "data/table.csv"]
    assert names_in(pack([project / "core.py"]), tmp_path) == ["core.py"]


def test_modules_and_names_of_modules(project, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    assert pack(["project"]) == pack([project])
    import project as imported

    assert pack(imported) == pack([project])
    del sys.modules["project"]


@pytest.mark.parametrize(
    ("what", "words"),
    [
        (["no_such_module"], "neither a module nor a file 'no_such_module'"),
        (["/no/such/folder"], "no file or folder /no/such/folder"),
        ([sys], "sys is a part of Python"),
        (["cloudpickle.cloudpickle"], "give the package, 'cloudpickle'"),
        ([types.ModuleType("made")], "the module made has no file"),
    ],
)
def test_what_cannot_travel_is_told(what, words):
    with pytest.raises(ValueError, match=words):
        pack(what)
    with pytest.raises(TypeError, match="ship_modules takes modules"):
        pack([5])


def test_too_much_is_told_with_the_largest_file(project, monkeypatch):
    monkeypatch.setattr(_shipped, "BYTES_MAX", 8)
    (project / "data" / "large.bin").write_bytes(b"x" * 9)
    with pytest.raises(ValueError, match=r"the largest file is .*large\.bin"):
        pack([project])


def test_it_is_unpacked_once_for_this_user_alone(project, tmp_path):
    archive, cache = pack([project]), tmp_path / "state" / "modules"
    place = unpack(archive, cache)
    assert (place / "project" / "core.py").read_text() == "X = 1\n"
    assert place.stat().st_mode & 0o777 == 0o700 and cache.stat().st_mode & 0o777 == 0o700
    marker = place / "project" / "marker"
    marker.touch()
    assert unpack(archive, cache) == place and marker.exists()
    assert sorted(entry.name for entry in cache.iterdir()) == sorted([place.name, "lock"])
    cache.chmod(0o777)
    with pytest.raises(PermissionError, match="does not belong to this user alone"):
        unpack(archive, cache)


def test_the_source_shows_no_secrets():
    text = 'Pool(W, None, \'geheim-123\', "redis://x:y@h")\nkey = "abc"  # abcd\n'
    assert source_without(["geheim-123", "abc", ""], text) == 'Pool(W, None, \'***\', "***")\nkey = "***"  # abcd\n'


def test_a_namespace_package_travels_under_its_name(tmp_path, monkeypatch):
    for place, name in (("one", "a"), ("two", "b")):
        (tmp_path / place / "spread").mkdir(parents=True)
        (tmp_path / place / "spread" / f"{name}.py").write_text("")
        monkeypatch.syspath_prepend(tmp_path / place)
    archive = zipfile.ZipFile(io.BytesIO(pack(["spread"])))
    assert sorted(archive.namelist()) == ["spread/a.py", "spread/b.py"]


def test_what_is_compiled_or_a_part_of_python_is_refused(tmp_path):
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib" / "fast.cpython-311-x86_64-linux-gnu.so").write_bytes(b"")
    with pytest.raises(ValueError, match=r"fast.*\.so is compiled, which does not travel: install"):
        pack([tmp_path / "lib"])
    for module in (os, "json", "os.path", "sys"):
        with pytest.raises(ValueError, match="is a part of Python"):
            pack([module])


def test_folders_that_are_not_searched_are_told_where_a_module_is_not_found(monkeypatch):
    monkeypatch.setattr(_module_paths, "skipped", ["/open is not searched: others may write to it"])
    assert _module_paths.why_not_found(ModuleNotFoundError("x")) == ". /open is not searched: others may write to it"
    assert _module_paths.why_not_found(ImportError("x")) == ""


def test_a_name_is_a_module_first_also_in_its_own_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    for name in ("spaced", "json"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "part.py").write_text("")
    assert names_in(pack(["spaced"]), tmp_path) == ["spaced/part.py"]
    assert names_in(pack(["./spaced"]), tmp_path) == ["part.py"]
    with pytest.raises(ValueError, match="json is a part of Python"):
        pack(["json"])
