"""A Redis (or Valkey) server of a test's own."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from conftest import free_port, wait_until
from proxy import Proxy

PROGRAM = shutil.which("redis-server") or shutil.which("valkey-server")


class Redis:
    """A server with an append-only file in this directory; `fsync` is its appendfsync.

    One that is to be killed needs "always": with "everysec" it puts off writes while its disk is slow. Without
    `append_only` it reads the directory's dump.rdb and keeps nothing.
    """

    def __init__(self, directory: Path, fsync: str = "everysec", append_only: bool = True) -> None:
        self.directory = directory
        self.append_only = "yes" if append_only else "no"
        self.fsync = fsync
        self.port = free_port()
        self.start()

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}"

    def start(self) -> None:
        settings = ["--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--appendonly", self.append_only]
        settings += ["--appendfsync", self.fsync]
        environment = {k: v for k, v in os.environ.items() if not k.startswith("DISTRIBUTED_COMPUTING")}
        self.process = subprocess.Popen(
            [str(PROGRAM), *settings, "--dir", str(self.directory)], env=environment, stdout=subprocess.DEVNULL
        )
        wait_until(self.answers, "the Redis answers")

    def answers(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=1) as connection:
                connection.sendall(b"PING\r\n")
                return connection.recv(64).startswith(b"+PONG")
        except OSError:
            return False

    def ask(self, *words: str) -> Any:
        """Give a command over a connection of its own; return its answer as text, None, or a list of such."""

        def read(stream: Any) -> Any:
            line = stream.readline().decode().rstrip("\r\n")
            kind, rest = line[0], line[1:]
            if kind == "$":
                return None if rest == "-1" else stream.read(int(rest) + 2)[:-2].decode("latin-1")
            if kind == "*":
                return None if rest == "-1" else [read(stream) for _ in range(int(rest))]
            assert kind != "-", rest
            return rest

        with socket.create_connection(("127.0.0.1", self.port), timeout=10) as connection:
            command = f"*{len(words)}\r\n" + "".join(f"${len(word)}\r\n{word}\r\n" for word in words)
            connection.sendall(command.encode())
            with connection.makefile("rb") as stream:
                return read(stream)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


@contextlib.contextmanager
def away(tmp_path: Path, one_way_s: float) -> Iterator[tuple[Redis, Proxy]]:
    """A server of the test's own, and the line to it, on which everything takes so many seconds each way."""
    directory = tmp_path / "redis"
    directory.mkdir()
    server = Redis(directory)
    try:
        with Proxy(server.port) as proxy:
            proxy.slow(one_way_s)
            yield server, proxy
    finally:
        server.kill()
