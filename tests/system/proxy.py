"""A link that can be spoiled: a TCP proxy on this machine that delays, throttles, freezes either way, and resets."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import threading
from collections.abc import Awaitable
from typing import Any

_PIECE = 64 << 10
_HELD = 64 << 10  # what the kernel holds per direction: a link holds little


class _Direction:
    """What happens to bytes on their way in one direction."""

    def __init__(self) -> None:
        self.open = asyncio.Event()
        self.open.set()
        self.delay = 0.0  # seconds
        self.rate: float | None = None  # bytes per second
        self.record: bytearray | None = None  # what has passed

    async def carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Carry bytes in order, each `delay` later than it came; reading goes on meanwhile."""
        pieces: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(4 if self.rate else 64)
        clock = asyncio.get_running_loop().time

        async def read() -> None:
            while True:
                piece = await reader.read(_PIECE)
                await pieces.put((clock() + self.delay, piece))
                if not piece:
                    return

        reading = asyncio.create_task(read())
        try:
            while True:
                due, piece = await pieces.get()
                await asyncio.sleep(max(0.0, due - clock()))
                await self.open.wait()
                if not piece:
                    return
                if self.rate is not None:
                    await asyncio.sleep(len(piece) / self.rate)
                writer.write(piece)
                await writer.drain()
                if self.record is not None:
                    self.record += piece
        finally:
            reading.cancel()


class Proxy:
    """Connects whoever comes to `port` with `target_port` of this machine.

    `up` is the direction from who connected to the target, `down` the way back. A context manager.
    """

    def __init__(self, target_port: int) -> None:
        self._target = target_port
        self._loop = asyncio.new_event_loop()
        self._pairs: set[tuple[asyncio.StreamWriter, asyncio.StreamWriter]] = set()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._server, self.up, self.down = self._do(self._start())
        self.port: int = self._server.sockets[0].getsockname()[1]

    def freeze(self, up: bool = True, down: bool = True) -> None:
        """Let nothing through any more, in these directions; connections stay."""
        for direction, frozen in ((self.up, up), (self.down, down)):
            if frozen:
                self._loop.call_soon_threadsafe(direction.open.clear)

    def thaw(self) -> None:
        """Undo freeze(); what was held back arrives now."""
        for direction in (self.up, self.down):
            self._loop.call_soon_threadsafe(direction.open.set)

    def slow(self, delay: float = 0.0, rate: float | None = None) -> None:
        """Delay everything by `delay` seconds each way, and pass at most `rate` bytes per second."""
        for direction in (self.up, self.down):
            direction.delay, direction.rate = delay, rate

    def record(self) -> None:
        """Keep all that passes from now on, as an eavesdropper would."""
        for direction in (self.up, self.down):
            direction.record = bytearray()

    def recorded_up(self) -> bytes:
        """Return what was recorded on the way to the target."""
        return bytes(self.up.record or b"")

    def recorded(self) -> bytes:
        """Return what was recorded in both directions."""
        return self.recorded_up() + bytes(self.down.record or b"")

    def reset(self) -> int:
        """Break all connections with a reset; return how many there were."""
        return self._do(self._reset())

    def close(self) -> None:
        """Break everything and stop listening."""
        self._do(self._stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def __enter__(self) -> Proxy:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _do(self, work: Awaitable[Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(10)  # type: ignore[arg-type]

    async def _start(self) -> tuple[asyncio.Server, _Direction, _Direction]:
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _HELD)
        listener.bind(("127.0.0.1", 0))
        server = await asyncio.start_server(self._serve, sock=listener)
        return server, _Direction(), _Direction()

    async def _serve(self, near_reader: asyncio.StreamReader, near: asyncio.StreamWriter) -> None:
        try:
            far_socket = socket.socket()
            far_socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _HELD)
            far_socket.setblocking(False)
            await asyncio.get_running_loop().sock_connect(far_socket, ("127.0.0.1", self._target))
            far_reader, far = await asyncio.open_connection(sock=far_socket)
        except OSError:
            far_socket.close()
            near.transport.abort()
            return
        pair = (near, far)
        self._pairs.add(pair)
        carrying = [
            asyncio.create_task(self.up.carry(near_reader, far)),
            asyncio.create_task(self.down.carry(far_reader, near)),
        ]
        with contextlib.suppress(OSError, asyncio.CancelledError):
            await asyncio.wait(carrying, return_when=asyncio.FIRST_COMPLETED)
        for task in carrying:
            task.cancel()
        await asyncio.gather(*carrying, return_exceptions=True)
        self._pairs.discard(pair)
        for writer in pair:
            writer.transport.abort()

    async def _reset(self) -> int:
        pairs = list(self._pairs)
        for pair in pairs:
            for writer in pair:
                raw = writer.get_extra_info("socket")
                with contextlib.suppress(OSError):
                    raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                writer.transport.abort()
        return len(pairs)

    async def _stop(self) -> None:
        self._server.close()
        await self._reset()
        for task in asyncio.all_tasks():
            if task is not asyncio.current_task():
                task.cancel()
