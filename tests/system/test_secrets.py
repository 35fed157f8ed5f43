"""Where the password and the store's URL go, and where they never do."""

import os
import pty
import re
import shutil
import signal
import subprocess
from pathlib import Path

import pytest

from conftest import BIN, bare_environment, state_dir, wait_until
from distributed_computing.api import Pool
from workers import Hostile

LINE = re.compile(r"\nstart_node -p \d+ -a \S+ (.*)--fingerprint sha256:\S{43}\n")


def banner(cluster, *arguments, stdin=b"", **changed):
    """Start a head, and end it; return the password's part of its join line, and all that it printed."""
    command = [str(BIN / "start_node"), "--head", "--workers", "0", "-p", str(cluster.port), *arguments]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    with subprocess.Popen(command, env=bare_environment(cluster, **changed), **pipes) as head:
        head.stdin.write(stdin)
        head.stdin.close()
        shown = ""
        while "Named pools are kept" not in shown:
            line = head.stdout.readline().decode()
            assert line, f"it ended: {shown}"
            shown += line
        head.send_signal(signal.SIGINT)
        shown += head.stdout.read().decode()
    return LINE.search(shown)[1], shown


def on_a_terminal(cluster, *arguments):
    """Like banner(), with a terminal in the place of the pipes."""
    here, there = pty.openpty()
    command = [str(BIN / "start_node"), "--head", "--workers", "0", "-p", str(cluster.port), *arguments]
    head = subprocess.Popen(command, env=bare_environment(cluster), stdin=there, stdout=there, stderr=there)
    os.close(there)
    shown = b""
    while b"Named pools are kept" not in shown:
        shown += os.read(here, 4096)
    head.send_signal(signal.SIGINT)
    assert head.wait(15) == 0
    os.close(here)
    return LINE.search(shown.decode().replace("\r\n", "\n"))[1]


# --- The join line ----------------------------------------------------------------------------------------------


def test_the_join_line_repeats_a_password_only_from_the_command_line(cluster, tmp_path):
    word = "unmistakable-secret"
    file = tmp_path / "the key"
    file.write_text(word + "\n")
    file.chmod(0o600)
    assert banner(cluster, "-r", word)[0] == f"-r {word} "
    assert banner(cluster, f"--password={word}")[0] == f"-r {word} "
    for part, shown in (
        banner(cluster, "--password-file", str(file)),
        banner(cluster, DISTRIBUTED_COMPUTING_PASSWORD=word),
        banner(cluster, "--password-stdin", stdin=f"{word}\nand more\n".encode()),
    ):
        assert part in ("", f"--password-file '{file}' ")
        assert (part == "") == ("key" not in shown)
        assert word not in shown


def test_a_made_password_is_kept_where_no_terminal_shows_it_and_used_again(cluster):
    part, shown = banner(cluster)
    file = state_dir(cluster) / f"head-{cluster.port}.password"
    assert part == f"--password-file {file} "
    assert file.stat().st_mode & 0o777 == 0o600
    made = file.read_text().strip()
    assert re.fullmatch("[0-9a-f]{32}", made) and made not in shown
    assert banner(cluster)[0] == part and file.read_text().strip() == made
    assert on_a_terminal(cluster) == f"-r {made} "
    assert [path.name for path in state_dir(cluster).glob("*password*")] == [file.name]
    cluster.password = ""
    cluster.start("head", "--head", "--workers", "0")
    asked = [str(BIN / "distributed-computing"), "status", "-p", str(cluster.port), *part.split()]
    answers = wait_until(
        lambda: subprocess.run(asked, env=bare_environment(cluster), capture_output=True).returncode == 0,
        "the head answers",
    )
    assert answers
    file.chmod(0o644)
    refused = [str(BIN / "start_node"), "--head", "-p", "1"]
    file.rename(file.with_name("head-1.password"))
    told = subprocess.run(
        refused, env=bare_environment(cluster), capture_output=True, text=True, stdin=subprocess.DEVNULL
    )
    assert told.returncode == 1 and "can be read by others: chmod 600" in told.stderr


def test_a_head_on_any_port_uses_its_made_password_again(cluster):
    cluster.port = 0
    for name, own in (("any", {}), ("job-77", {"SLURM_JOB_ID": "77"})):
        file = state_dir(cluster) / f"head-{name}.password"
        assert banner(cluster, **own)[0] == f"--password-file {file} "
        made = file.read_text()
        assert banner(cluster, **own)[0] == f"--password-file {file} " and file.read_text() == made
    assert len(list(state_dir(cluster).glob("*password*"))) == 2


def test_a_made_password_is_shown_on_a_terminal_and_not_kept(cluster):
    first, second = on_a_terminal(cluster), on_a_terminal(cluster)
    assert re.fullmatch("-r [0-9a-f]{32} ", first) and re.fullmatch("-r [0-9a-f]{32} ", second) and first != second
    assert not list(state_dir(cluster).glob("*password*"))


# --- Where they come from ---------------------------------------------------------------------------------------


def test_standard_input_gives_the_password_and_may_still_end_the_node(cluster):
    cluster.head()
    command = [
        str(BIN / "start_node"),
        "-p",
        str(cluster.port),
        "--workers",
        "1",
        "--password-stdin",
        "--until-stdin-ends",
    ]
    own = {**bare_environment(cluster), "DISTRIBUTED_COMPUTING_HOME": str(cluster.root / "node")}
    with subprocess.Popen(command, env=own, stdin=subprocess.PIPE) as node:
        node.stdin.write(cluster.password.encode() + b"\n")
        node.stdin.flush()
        wait_until(lambda: [n["pid"] for n in cluster.nodes()] == [node.pid], "the node has joined")
        node.stdin.close()
        assert node.wait(15) == 0
    asked = [str(BIN / "distributed-computing"), "status", "-p", str(cluster.port), "--password-stdin"]
    right = subprocess.run(asked, env=bare_environment(cluster), input=cluster.password.encode(), capture_output=True)
    assert right.returncode == 0, right.stderr
    empty = subprocess.run(asked, env=bare_environment(cluster), input=b"\n", capture_output=True, text=False)
    assert empty.returncode == 2 and b"first line of standard input is empty" in empty.stderr
    for command in (["distributed-computing", "status"], ["start_node", "--head"]):
        none = [str(BIN / command[0]), *command[1:], "-p", str(cluster.port), "--password-file", ""]
        told = subprocess.run(none, env=bare_environment(cluster), stdin=subprocess.DEVNULL, capture_output=True)
        assert told.returncode == 2 and b"--password-file names no file" in told.stderr


def readable(file, mode, owner, group, **changed):
    """Tell whether a command that runs as nobody takes the password in this file, or what it says."""
    file.chmod(mode)
    os.chown(file, owner, group)
    told = subprocess.run(
        [str(BIN / "distributed-computing"), "status", "-p", "1", "--password-file", str(file)],
        env={"DISTRIBUTED_COMPUTING_HOME": "/nonexistent", **changed},
        user=65534,
        group=65534,
        extra_groups=[],
        capture_output=True,
        text=True,
    )
    return (told.returncode == 1 and "cannot reach the head" in told.stderr) or told.stderr


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to be two users")
def test_secrets_are_read_from_where_services_get_them(tmp_path_factory):
    try:
        subprocess.run([str(BIN / "distributed-computing"), "--version"], user=65534, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("another user cannot run the commands where they are")
    place = Path("/tmp") / f"dc-credentials-{os.getpid()}"
    place.mkdir()
    try:
        file = place / "key"
        file.write_text("a-password\n")
        # A volume of a pod: root's, for the pod's group. Then what others than the owner may read, or write.
        assert readable(file, 0o440, 0, 65534) is True
        assert readable(file, 0o640, 0, 65534) is True
        assert "can be read by others" in readable(file, 0o444, 0, 65534)
        assert "can be read by others" in readable(file, 0o460, 0, 65534)
        assert "can be read by others: chmod 600" in readable(file, 0o440, 65534, 65534)
        assert readable(file, 0o400, 65534, 65534) is True
        # What the service manager gives, by whomever it is owned.
        assert readable(file, 0o440, 65534, 65534, CREDENTIALS_DIRECTORY=str(place)) is True
        assert "can be read by others" in readable(file, 0o444, 65534, 65534, CREDENTIALS_DIRECTORY=str(place))
        assert "can be read by others" in readable(file, 0o440, 65534, 65534, CREDENTIALS_DIRECTORY=str(place / "x"))
    finally:
        shutil.rmtree(place)


def test_a_service_finds_password_and_store_among_its_credentials(cluster, tmp_path):
    credentials = tmp_path / "credentials"
    credentials.mkdir()
    for name, secret in (("password", "unmistakable-secret"), ("store", f"sqlite://{tmp_path}/of-the-service.db")):
        (credentials / f"distributed-computing.{name}").write_text(secret + "\n")
        (credentials / f"distributed-computing.{name}").chmod(0o400)
    part, shown = banner(cluster, CREDENTIALS_DIRECTORY=str(credentials))
    assert part == "" and "unmistakable" not in shown
    assert f"SQLite ({tmp_path}/of-the-service.db)" in shown
    assert (tmp_path / "of-the-service.db").stat().st_mode & 0o777 == 0o600


# --- Where they leave no trace ----------------------------------------------------------------------------------


def test_the_process_title_shows_neither_password_nor_store_nor_how_long_they_are(cluster, tmp_path):
    titles = set()
    for word in ("short-1", "a-much-longer-password-than-that-one"):
        store = f"sqlite://{tmp_path}/{word}.db"
        arguments = ["--head", "-r", word, f"--store={store}", "--workers", "0"]
        cluster.password = word
        head = cluster.start("head", *arguments)
        wait_until(lambda: cluster.status(), "the head answers")
        titles.add(Path(f"/proc/{head.pid}/cmdline").read_bytes())
        assert word not in subprocess.run(["ps", "axww", "-o", "args"], capture_output=True, text=True).stdout
        head.send_signal(signal.SIGINT)
        assert head.wait(15) == 0
    (title,) = titles
    assert title.endswith(b"start_node -p %d --head --workers 0\0" % cluster.port)


def test_workers_inherit_neither_password_nor_store(cluster, tmp_path):
    cluster.password = "unmistakable-secret"
    url = f"redis://:st0re-secret@127.0.0.1:{cluster.port + 1}/0"
    own = {
        "DISTRIBUTED_COMPUTING_STORE": url,
        "COPY": url,
        "OF_THE_STORE": "x-st0re-secret",
        "OF_THE_PASSWORD": f"https://me:{cluster.password}@host",
        "HARMLESS": "kept",
    }
    cluster.head()
    command = [str(BIN / "start_node"), "-p", str(cluster.port), "--workers", "1"]
    node = subprocess.Popen(command, env={**cluster.environment("node"), **own}, stderr=subprocess.PIPE, text=True)
    cluster.processes["node"] = node
    with Pool(Hostile, None, cluster.password, "localhost", cluster.port) as pool:
        seen, _ = pool.submit("environment").result(30)
    assert seen["HARMLESS"] == "kept"
    assert not [name for name, value in seen.items() if "st0re-secret" in value or cluster.password in value]
    assert "DISTRIBUTED_COMPUTING_STORE" not in seen and not own.keys() & seen.keys() - {"HARMLESS"}
    assert b"st0re-secret" not in b"".join(
        v for v in Path(f"/proc/{node.pid}/environ").read_bytes().split(b"\0") if v.startswith(b"DISTRIBUTED_COMPUTING")
    )
    node.send_signal(signal.SIGINT)
    told = node.communicate(timeout=15)[1]
    assert "the variable OF_THE_PASSWORD holds a password: workers do not get it" in told


def test_a_mistyped_option_does_not_show_its_value(cluster):
    for typed in ("--pasword=s3cret-word", "-password=s3cret-word", "s3cret-word"):
        for command in (["start_node", "--head"], ["distributed-computing", "status"]):
            told = subprocess.run([str(BIN / command[0]), *command[1:], typed], capture_output=True, text=True)
            assert told.returncode == 2 and "s3cret" not in told.stdout + told.stderr, told.stderr
            assert "--help" in told.stderr and ("--pasword" in told.stderr) == typed.startswith("--")


def test_a_wrong_store_is_refused_without_showing_its_password(cluster):
    for url in ("redis://user:s3cret-word", "redis:/:s3cret-word@host", "redis+unix:///x?password=a&s3cret-word"):
        answer = subprocess.run(
            [str(BIN / "start_node"), "--head", "--workers", "0", "-p", str(cluster.port), "--store", url],
            env={**bare_environment(cluster), "DISTRIBUTED_COMPUTING_PASSWORD": "x"},
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
        )
        assert answer.returncode == 2 and "--store redis" in answer.stderr
        assert "s3cret-word" not in answer.stdout + answer.stderr
