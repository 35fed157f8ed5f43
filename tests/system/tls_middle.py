"""A man in the middle: terminates TLS with a certificate of his own and passes everything on to the head, decrypted."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import subprocess
import threading
from pathlib import Path
from typing import Any


class TlsMiddle:
    """Listens on `port`, relays to `target_port`, and keeps what he could read in `seen`. A context manager."""

    def __init__(self, directory: Path, target_port: int) -> None:
        key, certificate = directory / "middle-key.pem", directory / "middle.pem"
        command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
        subprocess.run(
            [*command, "-subj", "/CN=middle", "-keyout", key, "-out", certificate], check=True, capture_output=True
        )
        self._own = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._own.load_cert_chain(certificate, key)
        self._out = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        self._out.check_hostname = False
        self._out.verify_mode = ssl.CERT_NONE
        self._target = target_port
        self.seen = bytearray()
        self.connections = 0
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._server: asyncio.Server = asyncio.run_coroutine_threadsafe(self._start(), self._loop).result(10)
        self.port: int = self._server.sockets[0].getsockname()[1]

    async def _start(self) -> asyncio.Server:
        return await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=self._own)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        with contextlib.suppress(OSError, ssl.SSLError):
            far_reader, far = await asyncio.open_connection("127.0.0.1", self._target, ssl=self._out)
            ways = [self._pass_on(reader, far), self._pass_on(far_reader, writer)]
            tasks = [asyncio.create_task(way) for way in ways]
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in tasks:
                task.cancel()
            far.transport.abort()
        writer.transport.abort()

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, ssl.SSLError):
            while piece := await reader.read(1 << 16):
                self.seen += piece
                writer.write(piece)
                await writer.drain()

    def close(self) -> None:
        async def stop() -> None:
            self._server.close()
            for task in asyncio.all_tasks():
                if task is not asyncio.current_task():
                    task.cancel()

        asyncio.run_coroutine_threadsafe(stop(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def __enter__(self) -> TlsMiddle:
        return self

    def __exit__(self, *_: Any) -> None:
        self.close()
