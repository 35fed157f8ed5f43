"""The private Redis that start_redis starts."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from conftest import alive, free_port, wait_until
from distributed_computing import redis_server
from distributed_computing.api import start_redis

PROGRAM = shutil.which("redis-server") or shutil.which("valkey-server")
pytestmark = pytest.mark.skipif(PROGRAM is None, reason="redis-server is not installed")
PASSWORD = 'corréct "horse" \\ 123'


def ask(port: int, *commands: tuple[str, ...], password: str = PASSWORD) -> list[str]:
    """Send commands after AUTH; return the lines of the answers."""
    text = b""
    for command in [("AUTH", password), *commands, ("QUIT",)]:
        text += b"*%d\r\n" % len(command)
        text += b"".join(b"$%d\r\n%s\r\n" % (len(word.encode()), word.encode()) for word in command)
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.sendall(text)
        answer = b""
        while received := connection.recv(65536):
            answer += received
    return answer.decode().splitlines()


def connects(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port)).close()
    except OSError:
        return False
    return True


@pytest.fixture
def port(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setenv("DISTRIBUTED_COMPUTING_HOME", str(tmp_path))
    return free_port()


@pytest.fixture
def server(port: int) -> Iterator[subprocess.Popen[bytes]]:
    process = start_redis(PASSWORD, port)
    assert process is not None
    yield process
    redis_server.stop(process)


def test_it_asks_for_the_password_and_listens_on_the_loopback_only(server, port):
    assert ask(port, ("PING",)) == ["+OK", "+PONG", "+OK"]
    assert ask(port, ("PING",), password="wrong")[0].startswith("-WRONGPASS")
    with open("/proc/net/tcp") as tcp, open("/proc/net/tcp6") as tcp6:
        listening = [line.split()[1] for line in [*tcp, *tcp6] if f":{port:04X} " in line and line.split()[3] == "0A"]
    assert listening == [f"0100007F:{port:04X}"]


def test_the_password_is_in_no_command_line_and_no_file(server, port, tmp_path):
    shown = Path(f"/proc/{server.pid}/cmdline").read_bytes() + Path(f"/proc/{server.pid}/environ").read_bytes()
    ask(port, ("SET", "key", "value"))
    for secret in (PASSWORD.encode(), b"horse", b"\\x68\\x6f\\x72\\x73\\x65"):
        assert secret not in shown
        assert not [path for path in tmp_path.rglob("*") if path.is_file() and secret in path.read_bytes()]


def test_a_second_start_finds_the_first_through_its_socket(server, port):
    assert start_redis(PASSWORD, port) is None


def test_its_files_are_for_this_user_alone(server, port, tmp_path):
    ask(port, ("SET", "key", "value"))
    directory = tmp_path / "state" / f"redis-{port}"
    assert (directory / "redis.sock").is_socket()
    assert [
        path for path in [tmp_path / "state", directory, *directory.rglob("*")] if path.stat().st_mode & 0o077
    ] == []


def test_of_two_starts_at_the_same_time_one_wins(port):
    results: list[subprocess.Popen[bytes] | None] = []
    threads = [threading.Thread(target=lambda: results.append(start_redis(PASSWORD, port))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    (process,) = [result for result in results if result is not None]
    assert len(results) == 4
    redis_server.stop(process)


def test_what_was_stored_is_there_after_a_restart(server, port):
    assert ask(port, ("SET", "key", "value")) == ["+OK", "+OK", "+OK"]
    redis_server.stop(server)
    again = start_redis(PASSWORD, port)
    assert again is not None
    try:
        assert ask(port, ("GET", "key")) == ["+OK", "$5", "value", "+OK"]
    finally:
        redis_server.stop(again)


def test_another_password_is_refused(server, port):
    with pytest.raises(
        OSError, match=f"process {server.pid}.*does not take this password.*kill {server.pid}.*port={port + 1}"
    ):
        start_redis("another one", port)


def test_a_port_that_something_else_holds_is_named_and_gets_no_connection(port):
    with socket.create_server(("127.0.0.1", port)) as listener:
        other = f"port={port + 1}.*redis-{port + 1}/redis.sock.password=PASSWORD"
        with pytest.raises(
            OSError, match=f"port {port} .* another program.*{other}.*redis://:PASSWORD@127.0.0.1:{port}"
        ):
            start_redis(PASSWORD, port)
        listener.settimeout(0)
        with pytest.raises(BlockingIOError):
            listener.accept()


def test_a_server_of_an_earlier_version_is_named_and_its_data_are_found(port, tmp_path):
    directory = tmp_path / "state" / f"redis-{port}"
    directory.mkdir(parents=True)
    settings = ["--port", str(port), "--bind", "127.0.0.1", "--requirepass", PASSWORD, "--appendonly", "yes"]
    old = subprocess.Popen([str(PROGRAM), *settings, "--dir", str(directory)], stdout=subprocess.DEVNULL)
    try:
        wait_until(lambda: connects(port), "the earlier server listens")
        assert ask(port, ("SET", "key", "value")) == ["+OK", "+OK", "+OK"]
        with pytest.raises(OSError, match="earlier version started, end it and call start_redis again"):
            start_redis(PASSWORD, port)
    finally:
        old.terminate()
        old.wait()
    process = start_redis(PASSWORD, port)
    assert process is not None
    assert ask(port, ("GET", "key")) == ["+OK", "$5", "value", "+OK"]
    redis_server.stop(process)


def test_a_path_that_is_too_long_for_a_socket_is_named(port, tmp_path, monkeypatch):
    monkeypatch.setenv("DISTRIBUTED_COMPUTING_HOME", str(tmp_path / ("x" * 100)))
    with pytest.raises(OSError, match="107 is the limit: set DISTRIBUTED_COMPUTING_HOME to a shorter directory"):
        start_redis(PASSWORD, port)


def test_a_missing_program_is_named(port, monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(FileNotFoundError, match="redis-server nor valkey-server is installed"):
        start_redis(PASSWORD, port)


def test_a_server_that_cannot_start_says_why(port, tmp_path):
    (tmp_path / "state" / f"redis-{port}").mkdir(parents=True)
    (tmp_path / "state" / f"redis-{port}" / "appendonlydir").write_text("in the way")
    with pytest.raises(OSError, match="did not start .*exit code 1"):
        start_redis(PASSWORD, port)


def process_of(directory: Path) -> int:
    """Return the process id of the server that listens on the socket there, as the kernel tells it."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(str(directory / "redis.sock"))
        return int.from_bytes(connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)[:4], sys.byteorder)


def test_a_heads_own_server_has_a_secret_and_no_port_and_ends_with_the_program_that_started_it(port, tmp_path):
    script = (
        "import time\n"
        "from distributed_computing import redis_server\n"
        f"redis_server.start_for_head({port})\n"
        "print('ready', flush=True)\n"
        "time.sleep(600)\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None and parent.stdout.readline() == "ready\n"
    directory = tmp_path / "state" / f"head-{port}-redis"
    pid = process_of(directory)
    assert alive(pid)
    assert (directory / "secret").stat().st_mode & 0o777 == 0o600
    assert len((directory / "secret").read_text().strip()) == 64
    inodes = {os.readlink(fd).strip("socket:[]") for fd in Path(f"/proc/{pid}/fd").iterdir() if fd.exists()}
    with open(f"/proc/{pid}/net/tcp") as tcp, open(f"/proc/{pid}/net/tcp6") as tcp6:
        assert not [line for line in [*tcp, *tcp6] if line.split()[9] in inodes]
    assert redis_server.start_for_head(port) is None  # it runs
    os.kill(parent.pid, signal.SIGKILL)
    parent.wait()
    parent.stdout.close()
    wait_until(lambda: not alive(pid), "the server is gone")
    again = redis_server.start_for_head(port)
    assert again is not None
    redis_server.stop(again)


def test_a_heads_own_server_is_stopped(port, tmp_path):
    process = redis_server.start_for_head(port)
    assert process is not None
    pid = process_of(tmp_path / "state" / f"head-{port}-redis")
    redis_server.stop(process)
    assert not alive(pid)
