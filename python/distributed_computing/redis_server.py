"""A private Redis (or Valkey) server on this machine, as a store for named pools."""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

from distributed_computing import _paths
from distributed_computing._options import password_bytes

REDIS_PORT = 6379
_ANSWER_DEADLINE_S = 2.0
_START_DEADLINE_S = 30.0
_STOP_DEADLINE_S = 10.0
_PROGRAMS = ("redis-server", "valkey-server")

# Ends the server when standard input ends, so when the program that started it does, however that dies.
_KEEPER = """
exec 3<&0
"$@" </dev/null 3<&- & server=$!
trap 'kill $server 2>/dev/null' TERM INT
(cat <&3 >/dev/null; kill $server 2>/dev/null) &
exec 3<&-
wait $server; wait $server 2>/dev/null
"""


def _answer(password: bytes, port: int) -> str | None:
    """Return how what listens on the port answers to the password, or None when nothing listens."""
    command = b"*2\r\n$4\r\nAUTH\r\n$%d\r\n%s\r\n" % (len(password), password)
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=_ANSWER_DEADLINE_S) as connection:
            connection.sendall(command)
            return connection.recv(256).decode(errors="replace").strip() or "it closed the connection"
    except ConnectionRefusedError:
        return None
    except OSError as error:
        return f"no answer ({error})"


def _refusal(answer: str, port: int) -> OSError:
    if answer.startswith("-WRONGPASS"):
        what = "a Redis that does not take this password: use its password"
    elif answer.startswith("-") and "AUTH" in answer:
        what = "a Redis without a password: set requirepass there"
    else:
        what = f"something that is no Redis ({answer!r})"
    return OSError(f"port {port} of this machine is held by {what}, or end it, or use another port")


def _program() -> str:
    for name in _PROGRAMS:
        if found := shutil.which(name):
            return found
    raise FileNotFoundError(
        "neither redis-server nor valkey-server is installed: apt-get install redis-server, or do without, as the head's "
        "default store (SQLite) does"
    )


def _settings(password: bytes, port: int) -> tuple[str, Path]:
    """Return the configuration and the directory of the data, which is made."""
    directory = _paths.state_dir() / f"redis-{port}"
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    quoted = "".join(f"\\x{byte:02x}" for byte in password)
    lines = [
        f"port {port}",
        "bind 127.0.0.1",
        f'requirepass "{quoted}"',
        f'dir "{directory}"',
        'logfile "redis.log"',
        "daemonize no",
        "supervised no",
        # Every second, not always: with that a full disk ends the server instead of making it refuse.
        "appendonly yes",
        "appendfsync everysec",
        'save ""',
        "maxmemory-policy noeviction",
    ]
    return "\n".join(lines) + "\n", directory


def _launch(settings: str, kept: bool) -> subprocess.Popen[bytes]:
    """Start the program. The settings, which hold the password, go through a pipe: no file, no process title has them."""
    pipe, writing = os.pipe()
    reading = fcntl.fcntl(pipe, fcntl.F_DUPFD_CLOEXEC, 10)  # the keeper uses 3
    os.close(pipe)
    try:
        command = [_program(), f"/proc/self/fd/{reading}"]
        process = subprocess.Popen(
            ["/bin/sh", "-c", _KEEPER, "redis", *command] if kept else command,
            stdin=subprocess.PIPE if kept else subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            pass_fds=[reading],
            start_new_session=True,  # Ctrl-C in the script does not end it
        )
        os.write(writing, settings.encode())
    finally:
        os.close(reading)
        os.close(writing)
    return process


def stop(process: subprocess.Popen[bytes]) -> None:
    """End a server that start() has started, and wait until its data are on the disk."""
    process.send_signal(signal.SIGTERM)
    if process.stdin:
        process.stdin.close()
    try:
        process.wait(_STOP_DEADLINE_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def start(password: str | bytes, port: int = REDIS_PORT, *, kept: bool = False) -> subprocess.Popen[bytes] | None:
    """Start a server; see :func:`distributed_computing.api.start_redis`.

    Args:
        password: that it shall ask for.
        port: to listen on, at the loopback address.
        kept: whether the server ends with this program, however that ends.
    """
    encoded = password_bytes(password)
    answer = _answer(encoded, port)
    if answer is not None:
        if answer.startswith("+OK"):
            return None
        raise _refusal(answer, port)
    settings, directory = _settings(encoded, port)
    process = _launch(settings, kept)
    deadline = time.monotonic() + _START_DEADLINE_S
    while True:
        answer = _answer(encoded, port)
        running = process.poll() is None
        if answer is not None and answer.startswith("+OK") and running:
            return process
        if not running or time.monotonic() > deadline:
            break
        time.sleep(0.02)
    if running:
        stop(process)
    elif answer is not None and answer.startswith("+OK"):
        return None  # somebody else started one at the same time
    log = directory / "redis.log"
    tail = log.read_text(errors="replace").splitlines()[-3:] if log.exists() else []
    raise OSError(f"{_program()} did not start on port {port} (exit code {process.poll()}): {' / '.join(tail)}")
