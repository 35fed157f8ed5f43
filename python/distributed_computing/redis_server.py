"""Redis (or Valkey) servers of this user on this machine, as stores for named pools.

Each has a directory of its own in the state directory: its data, a Unix socket, and a lock that it holds for as long as it
lives. Nothing is ever said to a port: who listens on one is anybody. A socket is spoken to only after the kernel has said
that its listener runs as this user.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import secrets
import shutil
import signal
import socket
import struct
import subprocess
import threading
import time
from dataclasses import dataclass, replace
from pathlib import Path

from distributed_computing import _paths
from distributed_computing._options import password_bytes

REDIS_PORT = 6379
_SOCKET_PATH_BYTES_MAX = 107
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


@dataclass(frozen=True)
class _Server:
    """Where a server of ours is, and what it asks for."""

    directory: Path
    port: int  # of the loopback address; 0: it listens on its socket alone
    password: bytes

    @property
    def socket(self) -> Path:
        return self.directory / "redis.sock"

    def make_directory(self) -> None:
        size = len(os.fsencode(self.socket))
        if size > _SOCKET_PATH_BYTES_MAX:
            raise OSError(
                errno.ENAMETOOLONG,
                f"the path of the server's socket has {size} bytes, and {_SOCKET_PATH_BYTES_MAX} is the limit: set "
                "DISTRIBUTED_COMPUTING_HOME to a shorter directory",
                str(self.socket),
            )
        _paths.make_private_dir(self.directory)

    def lock(self) -> int | None:
        """Return a descriptor that holds the lock, or None while a server, or who starts one, has it."""
        descriptor = os.open(self.directory / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return None
        except OSError:
            os.close(descriptor)
            raise
        return descriptor

    def ask(self) -> tuple[str, int] | None:
        """Return how the listener of the socket answers to the password, and its process id; None when nobody listens.

        Nothing is sent to a listener of another user; the answer is empty then.
        """
        command = b"*2\r\n$4\r\nAUTH\r\n$%d\r\n%s\r\n*1\r\n$4\r\nPING\r\n" % (len(self.password), self.password)
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(_ANSWER_DEADLINE_S)
            try:
                connection.connect(str(self.socket))
                size = struct.calcsize("3i")
                pid, user, _ = struct.unpack("3i", connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, size))
                if user != os.geteuid():
                    return "", pid
                connection.sendall(command)
                answer = b""
                while answer.count(b"\n") < 2 and not answer.startswith(b"-"):
                    received = connection.recv(256)
                    if not received:
                        return None  # it ends
                    answer += received
                return answer.decode(errors="replace"), pid
            except (FileNotFoundError, ConnectionError):
                return None
            except OSError as error:
                return f"-ERR no answer ({error})", 0

    def settings(self) -> str:
        quoted = "".join(f"\\x{byte:02x}" for byte in self.password)
        lines = [
            f"port {self.port}",
            "bind 127.0.0.1",
            f'unixsocket "{self.socket}"',
            "unixsocketperm 600",
            f'requirepass "{quoted}"',
            f'dir "{self.directory}"',
            'logfile "redis.log"',
            "daemonize no",
            "supervised no",
            # Every second, not always: with that a full disk ends the server instead of making it refuse.
            "appendonly yes",
            "appendfsync everysec",
            'save ""',
            "maxmemory-policy noeviction",
        ]
        return "\n".join(lines) + "\n"


def _use_port(port: int) -> str:
    """Say how to go on with another port, of which heads know nothing."""
    path = str(_paths.state_dir() / f"redis-{port}" / "redis.sock").replace("%", "%25").replace("?", "%3F")
    url = f"redis+unix://{path}?password=PASSWORD"
    return f"start_redis(password, port={port}), and name that server to the head: start_head_node(password, store={url!r})"


def _of_start_redis(password: str | bytes, port: int) -> _Server:
    return _Server(_paths.state_dir() / f"redis-{port}", port, password_bytes(password))


def _program() -> str:
    for name in _PROGRAMS:
        if found := shutil.which(name):
            return found
    raise FileNotFoundError(
        "neither redis-server nor valkey-server is installed: apt-get install redis-server, or do without, as the head's "
        "default store (SQLite) does"
    )


def _launch(server: _Server, lock: int, kept: bool) -> subprocess.Popen[bytes]:
    """Start the program. The settings, which hold the password, go through a pipe: no file, no process title has them. The
    lock goes with it."""
    pipe, writing = os.pipe()
    reading = fcntl.fcntl(pipe, fcntl.F_DUPFD_CLOEXEC, 10)  # the keeper uses 3
    held = fcntl.fcntl(lock, fcntl.F_DUPFD_CLOEXEC, 10)
    os.close(pipe)
    try:
        command = [_program(), f"/proc/self/fd/{reading}"]
        process = subprocess.Popen(
            ["/bin/sh", "-c", _KEEPER, "redis", *command] if kept else command,
            env={name: value for name, value in os.environ.items() if not name.startswith("DISTRIBUTED_COMPUTING_")},
            stdin=subprocess.PIPE if kept else subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            pass_fds=[reading, held],
            umask=0o077,  # its files and its socket are born for this user alone
            start_new_session=True,  # Ctrl-C in the script does not end it
        )
        os.write(writing, server.settings().encode())
    finally:
        os.close(reading)
        os.close(held)
        os.close(writing)
    return process


def stop(process: subprocess.Popen[bytes]) -> None:
    """End a server that was started here, and wait until its data are on the disk."""
    process.send_signal(signal.SIGTERM)
    if process.stdin:
        process.stdin.close()
    try:
        process.wait(_STOP_DEADLINE_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _check_port(port: int) -> None:
    """Raise when something holds the port. Nothing is sent to it."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise
        else:
            return
    raise OSError(
        errno.EADDRINUSE,
        f"port {port} of this machine is held by another program. Nothing was sent to it. If it is a server that an earlier "
        f"version started, end it and call start_redis again, which finds its data; else use another port, "
        f"{_use_port(port + 1)}. A Redis that is to keep named pools can also be named by its port: "
        f'start_head_node(password, store="redis://:PASSWORD@127.0.0.1:{port}")',
    )


def _log_of(server: _Server) -> str:
    log = server.directory / "redis.log"
    return " / ".join(log.read_text(errors="replace").splitlines()[-3:]) if log.exists() else ""


def _ready(answer: str) -> bool:
    return answer.startswith("+OK") and "+PONG" in answer


def _await_start(server: _Server, process: subprocess.Popen[bytes]) -> None:
    """Wait until the server answers to its password. It may have much to read."""
    deadline = time.monotonic() + _START_DEADLINE_S
    while process.poll() is None and time.monotonic() < deadline:
        answer = server.ask()
        if answer and _ready(answer[0]):
            return
        if answer and "-LOADING" in answer[0]:
            deadline = time.monotonic() + _START_DEADLINE_S
        time.sleep(0.02)
    code = process.poll()
    if code is None:
        stop(process)
    elif process.stdin:
        process.stdin.close()  # the keeper's reader goes with it
    where = f"on port {server.port}" if server.port else f"at {server.socket}"
    raise OSError(f"{_program()} did not start {where} (exit code {code}): {_log_of(server)}")


def _ours_refuses(server: _Server, answer: str, pid: int) -> OSError:
    if not answer:
        return OSError(f"the socket {server.socket} belongs to another user's program: remove it")
    if not answer.startswith("-WRONGPASS"):
        return OSError(
            f"your Redis at {server.socket} (process {pid}) does not work: {answer.strip()}; end it: kill {pid}"
        )
    return OSError(
        f"port {server.port} is held by your own Redis (process {pid}), which does not take this password: give the one "
        f"that it was started with, end it (kill {pid}), or use another port, {_use_port(server.port + 1)}"
    )


def _start(server: _Server, kept: bool) -> subprocess.Popen[bytes] | None:
    """Start the server; return None when it runs already and takes its password."""
    server.make_directory()
    deadline = time.monotonic() + _START_DEADLINE_S
    while (lock := server.lock()) is None:
        answer = server.ask()
        if answer and _ready(answer[0]):
            return None
        waits = not answer or answer[0].startswith(("+OK", "-ERR no answer"))  # it starts, reads, ends, or hangs
        if answer and not waits:
            raise _ours_refuses(server, *answer)
        if time.monotonic() > deadline:
            raise OSError(
                f"the data in {server.directory} are in use, and no server answers at {server.socket}: does one run on "
                "another machine that shares this directory, or hang?"
            )
        time.sleep(0.02)
    try:
        if server.port:
            _check_port(server.port)
        process = _launch(server, lock, kept)
    finally:
        os.close(lock)
    _await_start(server, process)
    return process


def start(password: str | bytes, port: int = REDIS_PORT) -> subprocess.Popen[bytes] | None:
    """Start a server that goes on when this program ends; see :func:`distributed_computing.api.start_redis`."""
    return _start(_of_start_redis(password, port), kept=False)


def runs(password: str | bytes, port: int = REDIS_PORT) -> bool:
    """Return whether the server of :func:`start` runs there and takes this password."""
    answer = _of_start_redis(password, port).ask()
    return answer is not None and answer[0].startswith("+OK")


def start_for_head(head_port: int) -> subprocess.Popen[bytes] | None:
    """Start a server for the head on that port: on a socket alone, with a secret of its own, which the head finds beside it.
    It ends with this program, however that ends. Return None when it runs already."""
    directory = _paths.state_dir() / f"head-{head_port}-redis"
    server = _Server(directory, 0, b"")
    server.make_directory()
    return _start(replace(server, password=_kept_secret(directory / "secret")), kept=True)


def _kept_secret(path: Path) -> bytes:
    """Return the secret in the file, which is made with a random one, whole and with mode 0600, where it is missing."""
    fresh = path.with_name(f"{path.name}.{os.getpid()}.{threading.get_ident()}")
    if not path.exists():
        with open(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "w") as file:
            file.write(secrets.token_hex(32) + "\n")
        with contextlib.suppress(FileExistsError):
            os.link(fresh, path)
        fresh.unlink()
    return path.read_bytes().strip()
