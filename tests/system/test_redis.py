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

pytestmark = pytest.mark.skipif(
    not (shutil.which("redis-server") or shutil.which("valkey-server")), reason="redis-server is not installed"
)
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


def test_a_second_start_finds_the_first(server, port):
    assert start_redis(PASSWORD, port) is None


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
    with pytest.raises(OSError, match=f"port {port} .* does not take this password"):
        start_redis("another one", port)


def test_a_port_that_something_else_holds_is_named(port):
    with socket.create_server(("127.0.0.1", port)) as listener:

        def greet() -> None:
            connection, _ = listener.accept()
            connection.sendall(b"220 mail.example.com\r\n")
            connection.close()

        thread = threading.Thread(target=greet)
        thread.start()
        with pytest.raises(OSError, match=f"port {port} .* no Redis"):
            start_redis(PASSWORD, port)
        thread.join()


def test_a_missing_program_is_named(port, monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(FileNotFoundError, match="redis-server nor valkey-server is installed"):
        start_redis(PASSWORD, port)


def test_a_server_that_cannot_start_says_why(port, tmp_path):
    (tmp_path / "state" / f"redis-{port}").mkdir(parents=True)
    (tmp_path / "state" / f"redis-{port}" / "appendonlydir").write_text("in the way")
    with pytest.raises(OSError, match="did not start .*exit code 1"):
        start_redis(PASSWORD, port)


def test_a_kept_server_ends_with_the_program_that_started_it(port):
    script = (
        "import sys, time\n"
        "from distributed_computing import redis_server\n"
        f"redis_server.start({PASSWORD!r}, {port}, kept=True)\n"
        "print('ready', flush=True)\n"
        "time.sleep(600)\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None and parent.stdout.readline() == "ready\n"
    pid = int(next(line for line in ask(port, ("INFO", "server")) if line.startswith("process_id:")).split(":")[1])
    assert alive(pid)
    os.kill(parent.pid, signal.SIGKILL)
    parent.wait()
    parent.stdout.close()
    wait_until(lambda: not alive(pid), "the server is gone")


def test_a_kept_server_is_stopped(port):
    process = redis_server.start(PASSWORD, port, kept=True)
    assert process is not None
    ask(port, ("SET", "key", "value"))
    redis_server.stop(process)
    with pytest.raises(ConnectionRefusedError):
        ask(port)
