"""The pool: jobs of one worker class on all the workers that can be reached."""

from __future__ import annotations

import numbers
import sys
import threading
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import Future
from types import TracebackType
from typing import Any

from distributed_computing import _client, _options
from distributed_computing._items import arguments
from distributed_computing._payload import dumps, loads
from distributed_computing._spec import make_spec
from distributed_computing.errors import JobError, PoolClosed, SerializationError, from_outcome
from distributed_computing.iterators import ResultIterator, pickled_item

DEFAULT_PORT = 8899
_FOREVER = 1e10
_MAP_WINDOW = 8192


class Pool:
    """A pool of workers, each with an instance of one class. Feels like ``multiprocessing.Pool``.

    Args:
        worker_class: a class with a method ``run`` (see :class:`WorkerInterface`). A class from a script, a notebook or
            a function travels by value; one from a module must be importable on the nodes.
        init_data: arguments of the constructor, ``{'args': [...], 'kwargs': {...}}``; None for none; anything that is no
            mapping is the single argument.
        password: the password of the head.
        server_address: name or address of the head; or several, ``"host1,host2:8900"`` or a list, of which one is the head
            and others may take over from it.
        server_port: its port; of addresses that name none.
        job_timeout: seconds that a job may run. Its worker is killed after that and the job tried again, at most
            `max_retries` times in all; then it ends in JobTimeout. None: no limit.
        min_gpu_memory_required: GPU memory that a worker needs, in MiB, or a text such as ``"12GB"``, ``"12GiB"`` or
            ``"512MB"``. Smaller GPUs are not used, nor one on which less is free.
        min_workers: workers to keep even while there are no jobs.
        device: what a worker needs: ``"gpu"``, ``"cpu"`` for a slot without a GPU, or ``"any"``.
        gpus_per_worker: so many different GPUs of one node make up a worker.
        weight: share of the slots beside other pools, relative to theirs.
        max_retries: how many workers may die with a job until it ends in WorkerDied.
        init_timeout: seconds that the constructor may take. None: no limit.
        update_timeout: seconds that one ``handle_update`` may take; its worker is replaced after that. None: no limit.
        keep_updates_history: whether workers that start later first get all earlier updates.
        retry_exceptions: whether a job whose `run` raised is tried again under `max_retries`.
        show_output: whether to show here, on stderr, what the workers print.
        connect_timeout: seconds to wait for the head at first.
        fingerprint: of the head's key, as the head shows it (``"sha256:…"``), or several. None: the key that was seen first
            at each address; another one is refused.

    Raises:
        TypeError, ValueError: an argument is not as described, or cannot be pickled.
        HeadUnreachable: no head answers.
        AuthenticationError: the head refused the password or the version.
    """

    def __init__(
        self,
        worker_class: type,
        init_data: Any,
        password: str | bytes,
        server_address: str | Sequence[str] = "localhost",
        server_port: int = DEFAULT_PORT,
        job_timeout: float | None = None,
        min_gpu_memory_required: int | str | None = None,
        min_workers: int = 0,
        *,
        device: str = "any",
        gpus_per_worker: int = 1,
        weight: float = 1.0,
        max_retries: int = 3,
        init_timeout: float | None = None,
        update_timeout: float | None = None,
        keep_updates_history: bool = True,
        retry_exceptions: bool = False,
        show_output: bool = False,
        connect_timeout: float = 10.0,
        fingerprint: str | Sequence[str] | None = None,
    ) -> None:
        self._client: Any = None
        self._closed = False
        if not isinstance(worker_class, type):
            raise TypeError(f"worker_class must be a class, not {worker_class!r}: give the class, not an instance")
        if not callable(getattr(worker_class, "run", None)):
            raise TypeError(f"worker_class {worker_class.__qualname__} has no method run: it is called for each job")
        server_address = _options.addresses("server_address", server_address)
        if not isinstance(weight, numbers.Real) or not 0 < weight < float("inf"):
            raise ValueError(f"weight must be a number above 0, not {weight!r}")
        args, kwargs = ((), {}) if init_data is None else arguments(init_data, "init_data")
        options = {
            "label": worker_class.__qualname__,
            "python_version": f"{sys.version_info[0]}.{sys.version_info[1]}",
            "weight": float(weight),
            "max_retries": _options.count("max_retries", max_retries, 0),
            "job_timeout_ms": _options.milliseconds("job_timeout", job_timeout),
            "init_timeout_ms": _options.milliseconds("init_timeout", init_timeout),
            "update_timeout_ms": _options.milliseconds("update_timeout", update_timeout),
            "keep_updates_history": bool(keep_updates_history),
            "retry_exceptions": bool(retry_exceptions),
            "forward_output": bool(show_output),
            "min_workers": _options.count("min_workers", min_workers, 0),
            **_options.device_options(device, min_gpu_memory_required, gpus_per_worker),
        }
        self._label = worker_class.__qualname__
        self._where = f"{server_address}:{server_port}"
        self._lock = threading.Lock()
        self._futures: _Futures | None = None
        self._client = _client.PoolClient(
            address=server_address,
            port=_options.count("server_port", server_port, 1, 65535),
            password=_options.password_bytes(password),
            options=options,
            spec=make_spec(worker_class, args, kwargs),
            connect_timeout=float(connect_timeout),
            fingerprint=_options.fingerprint(fingerprint),
            on_notice=_show_notice,
            on_output=_show_output if show_output else None,
        )
        try:
            self._client.wait_open(_FOREVER)
        except BaseException:
            self.close()
            raise

    # --- Jobs ---------------------------------------------------------------------------------------------------

    def map(self, data: Iterable[Any]) -> list[Any]:
        """Run all items and return their results in the order of the items.

        Args:
            data: items, each ``{'args': [...], 'kwargs': {...}}`` (either key may be missing), or the single argument.

        Raises:
            JobError, WorkerDied, JobTimeout: of the first item, in their order, that failed; the rest is abandoned.
            TypeError: an item cannot be used or pickled; the message names its index.
        """
        results = ResultIterator(self, data, ordered=True, bounded=False, window=_MAP_WINDOW)
        try:
            return list(results)
        finally:
            results.close()

    def imap(self, data: Iterable[Any]) -> ResultIterator:
        """Like :meth:`map`, but yields results in order as they become available; reads `data` only a bounded number of
        items ahead of what was consumed, so that an endless generator is fine."""
        self._check_open()
        return ResultIterator(self, data, ordered=True)

    def imap_unordered(self, data: Iterable[Any]) -> ResultIterator:
        """Like :meth:`imap`, but yields results as soon as they are there, in any order."""
        self._check_open()
        return ResultIterator(self, data, ordered=False)

    def submit(self, *args: Any, **kwargs: Any) -> Future[Any]:
        """Run one job, ``run(*args, **kwargs)``; return a future of its result. It cannot be cancelled once submitted."""
        with self._lock:
            self._check_open()
            if self._futures is None:
                self._futures = _Futures(self)
            futures = self._futures
        return futures.submit(args, kwargs)

    # --- Updates ------------------------------------------------------------------------------------------------

    def update_workers(self, data: Any, wait: bool = False, timeout: float | None = None) -> None:
        """Send an update to all workers: each calls ``handle_update`` with it, between two jobs or at once when idle.

        Every worker applies every update exactly once and in order, also workers that start later; a job that is submitted
        after an update never runs on a worker that has not applied it.

        Args:
            data: ``{'args': [...], 'kwargs': {...}}``, or the single argument.
            wait: wait until every present worker has applied it; without, return when the head has it.
            timeout: seconds to wait at most; None waits for ever.

        Raises:
            TimeoutError: not applied everywhere in time.
            JobError: with `wait`, when handle_update raised on a worker.
        """
        call = arguments(data, "the update")
        try:
            payload = dumps(call)
        except Exception as error:
            raise SerializationError(f"the update cannot be pickled: {type(error).__name__}: {error}") from error
        self._check_open()
        number = self._client.update(payload if isinstance(payload, list) else [payload])
        if not wait:
            return
        failures = self._client.wait_applied(number, _FOREVER if timeout is None else timeout)
        if failures is None:
            raise TimeoutError(f"update {number} was not applied by every worker within {timeout} s")
        if failures:
            raise JobError(failures[0])

    # --- Workers ------------------------------------------------------------------------------------------------

    def get_workers_count(self) -> int:
        """Return how many workers of this pool are constructed now."""
        self._check_open()
        return self._client.state()[0]

    def get_nodes_count(self) -> int:
        """Return how many nodes (machines) are connected to the head now."""
        self._check_open()
        return self._client.state()[2]

    def wait_for_workers(self, count: int = 1, timeout: float | None = None) -> None:
        """Wait until at least `count` workers of this pool are constructed.

        Args:
            count: workers to wait for.
            timeout: seconds to wait at most; None waits for ever.

        Raises:
            TimeoutError: fewer workers after that time; the message says how many there are.
            WorkerInitError: the class cannot be constructed.
            NoSuitableDevice: no device of the cluster can ever meet what the pool asks for.
        """
        self._check_open()
        deadline = None if timeout is None else time.monotonic() + timeout
        self._client.want_workers(_options.count("count", count, 0))
        while (workers := self._client.state()[0]) < count:
            left = 0.5 if deadline is None else deadline - time.monotonic()
            if left <= 0:
                raise TimeoutError(f"only {workers} of {count} workers are there after {timeout} s")
            self._client.wait_state(min(left, 0.5))

    # --- The end ------------------------------------------------------------------------------------------------

    def close(self) -> None:
        """Close the pool: running jobs are aborted, its slots are free for others. May be called again."""
        self._closed = True
        if self._client is not None:
            self._client.close()
        futures = getattr(self, "_futures", None)
        if futures is not None:
            futures.join()

    def __enter__(self) -> Pool:
        self._check_open()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def __del__(self) -> None:
        client = getattr(self, "_client", None)
        if client is not None and not self._closed:
            self._closed = True
            client.close()

    def __repr__(self) -> str:
        state = "closed" if self._closed else f"{self._client.state()[0]} workers"
        return f"<Pool of {self._label} at {self._where}: {state}>"

    def _check_open(self) -> None:
        if self._closed:
            raise PoolClosed("this pool is closed: make a new one")

    def _open_stream(self) -> Any:
        self._check_open()
        return self._client.open_stream()


class _Futures:
    """Turns the outcomes of one stream into futures, on a thread of its own."""

    def __init__(self, pool: Pool) -> None:
        self._stream = pool._open_stream()
        self._pool = pool
        self._waiting: dict[int, Future[Any]] = {}
        self._condition = threading.Condition()
        self._thread = threading.Thread(target=self._run, name="distributed-computing-futures", daemon=True)
        self._thread.start()

    def submit(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Future[Any]:
        payload = pickled_item({"args": args, "kwargs": kwargs}, "the job")
        future: Future[Any] = Future()
        future.set_running_or_notify_cancel()
        with self._condition:
            self._waiting[self._stream.submit(payload)] = future
            self._condition.notify()
        return future

    def _run(self) -> None:
        try:
            while True:
                with self._condition:
                    while not self._waiting:
                        if self._pool._closed:
                            return
                        self._condition.wait(0.5)
                for sequence, payload, error in self._stream.take(1.0):
                    self._settle(sequence, payload, error)
        except BaseException as problem:
            self._fail(problem)

    def _settle(self, sequence: int, payload: Any, error: Any) -> None:
        with self._condition:
            future = self._waiting.pop(sequence)
        if error is not None:
            future.set_exception(from_outcome(error, payload))
            return
        try:
            value = loads(payload)
        except Exception as problem:
            text = f"the result cannot be unpickled here: {type(problem).__name__}: {problem}"
            future.set_exception(SerializationError(text))
            return
        future.set_result(value)

    def _fail(self, problem: BaseException) -> None:
        with self._condition:
            waiting, self._waiting = self._waiting, {}
        for future in waiting.values():
            future.set_exception(problem)

    def join(self) -> None:
        with self._condition:
            self._condition.notify()
        if self._thread is not threading.current_thread():
            self._thread.join(2)
        self._fail(PoolClosed("the pool was closed before this job had a result"))


def _show_notice(text: str) -> None:
    print(f"distributed-computing: {text}", file=sys.stderr, flush=True)


def _show_output(host: str, slot: int, lines: list[str]) -> None:
    text = "".join(f"[{host}/{slot}] {line}\n" for line in lines)
    sys.stderr.write(text)
    sys.stderr.flush()
