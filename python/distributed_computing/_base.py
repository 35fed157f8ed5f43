"""What every pool is underneath: a connection to the head, opened, used and ended."""

from __future__ import annotations

import threading
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

from distributed_computing import _client, _options, _output
from distributed_computing._chunks import Chunk
from distributed_computing._definitions import Definitions
from distributed_computing._futures import Futures
from distributed_computing._payload import dumps, loads
from distributed_computing._spec import chunks_of_spec, spec_bytes_needed
from distributed_computing._stream import Stream
from distributed_computing.errors import PoolClosed

FOREVER = 1e10
_SPEC_BYTES = 1 << 20  # of the spec of another program's pool; definitions seldom take more


def publish_with(client: Any) -> Callable[[Chunk], None]:
    """Return what sends definitions to a pool's workers, before the jobs that are submitted later."""

    def publish(chunk: Chunk) -> None:
        payload = dumps(chunk)
        client.define(payload if isinstance(payload, list) else [payload])

    return publish


def definitions_of(client: Any) -> list[Chunk]:
    """Return the definitions of a pool that another program has made."""
    spec, later = client.definitions(_SPEC_BYTES)
    needed = spec_bytes_needed(spec)
    if needed > len(memoryview(spec)):
        spec, later = client.definitions(needed)
    return [*chunks_of_spec(spec), *map(loads, later)]


def show_notice(text: str) -> None:
    """Tell the user something on stderr."""
    _output.show(f"distributed-computing: {text}\n")


class PoolBase:
    """A pool's connection, and its life from the opening to the end."""

    _client: Any = None
    _definitions: Definitions
    _closed = False
    _futures: Futures | None = None

    def _connect(self, label: str, head: tuple[Any, ...], **options: Any) -> None:
        address, port, password, fingerprint, timeout = head
        address = _options.addresses("server_address", address)
        self._name: str | None = options["name"] or None
        self._where = f"{address}:{port}"
        self._lock = threading.Lock()
        self._earlier: Any = None
        self._lines = options["show_output"]
        options["show_output"] = (
            _output.NOT_SHOWN if self._lines is None else getattr(self._lines, "number", _output.SHOWN)
        )
        _output.begin(calls=options["show_output"] > _output.SHOWN)
        self._client = _client.PoolClient(
            address=address,
            port=_options.count("server_port", port, 1, 65535),
            password=_options.password_bytes(password),
            connect_timeout=float(timeout),
            fingerprint=_options.fingerprint(fingerprint),
            **options,
        )
        try:
            self._client.wait_open(FOREVER)
        except BaseException:
            self._finish("end")
            raise
        self._label, _, existed, keeps_history = self._client.opened()
        self._label = self._label or label
        if existed:
            self._definitions.belongs_to_another(self._definitions_there())
        self._definitions.begin(publish_with(self._client), keeps_history)

    def _definitions_there(self) -> list[Chunk]:
        try:
            return definitions_of(self._client)
        except BaseException:
            self._finish("end")
            raise

    def _finish(self, how: str) -> None:
        """``"close"`` the pool, or ``"end"`` this program's part: that leaves a named pool and closes another one."""
        self._closed = True
        try:
            if self._client is not None:
                getattr(self._client, how)()
        finally:
            if getattr(self, "_futures", None) is not None:
                self._futures.join()
            _output.flush()

    def __enter__(self) -> Self:
        self._check_open()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if not self._closed:
            self._finish("end")

    def __del__(self) -> None:
        client = getattr(self, "_client", None)
        if client is not None and not self._closed:
            self._closed = True
            if self._futures is not None:
                self._futures.end()
            client.end()

    def __repr__(self) -> str:
        state = "closed" if self._closed else f"{self._client.state()[0]} workers"
        return f"<Pool of {self._label} at {self._where}: {state}>"

    def _check_open(self) -> None:
        if self._closed:
            raise PoolClosed("this pool is closed (the end of a with block closes it): make a new one")

    def _check_named(self, what: str) -> None:
        if self._name is None:
            raise ValueError(f"only a pool with a name, Pool(..., name='...'), can be {what}")

    def _open_stream(self) -> Stream:
        self._check_open()
        self._definitions.look_at_worker_class()
        return Stream(self._client.open_stream(), self)
