"""The pool: jobs of one worker class on all the workers that can be reached."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future
from typing import Any

from distributed_computing import _bootstrap, _client, _hints, _options
from distributed_computing._base import FOREVER, PoolBase, show_notice
from distributed_computing._culprit import explained
from distributed_computing._definitions import Definitions
from distributed_computing._futures import Futures
from distributed_computing._items import arguments, job_items
from distributed_computing._named import checked_key, checked_name, pool_status
from distributed_computing._outcome import from_outcome
from distributed_computing._output import OutputSource
from distributed_computing._payload import dumps_call
from distributed_computing._shipped import pack
from distributed_computing._spec import make_spec
from distributed_computing._stream import Stream
from distributed_computing._surroundings import hidden_texts, surroundings
from distributed_computing.errors import SerializationError
from distributed_computing.iterators import WINDOW_JOBS, EarlierResults, ResultIterator

DEFAULT_PORT: int = _client.DEFAULT_PORT
_MAP_WINDOW = 4 * WINDOW_JOBS


@_hints.explain_calls
class Pool(PoolBase):
    """A pool of workers, each with an instance of one class. Feels like ``multiprocessing.Pool``.

    Args:
        worker_class: a class with a method ``run`` (see :class:`WorkerInterface`). A class from a script, a notebook or
            a function travels by definition; one from a module must be importable on the nodes, or travel in `ship_modules`.
        init_data: arguments of the constructor, ``{'args': [...], 'kwargs': {...}}``; None for none; anything that is no
            mapping is the single argument.
        password: the password of the head.
        server_address: name or address of the head; or several, ``"host1,host2:8900"`` or a list, of which one is the head
            and others may take over from it.
        server_port: its port; of addresses that name none.
        job_timeout: seconds that a job may run. Its worker is killed after that and the job tried again, at most
            `max_retries` times in all; then it ends in JobTimeout. None: no limit.
        min_gpu_memory_required: free GPU memory that a worker needs, in MiB, or a text such as ``"12GB"`` or ``"512MiB"``.
        min_workers: the pool is there when so many workers are ready, and keeps them even while there are no jobs, as far as
            its fair share of what is there goes. 0: it does not wait for workers.
        device: what a worker needs: ``"gpu"``, ``"cpu"`` for a slot without a GPU, or ``"any"``.
        gpus_per_worker: so many different GPUs of one node make up a worker.
        weight: share of the slots beside other pools, relative to theirs: 0.01 to 100.
        max_retries: how many workers may die with a job until it ends in WorkerDied.
        init_timeout: seconds that the constructor may take. None: no limit.
        update_timeout: seconds that one ``handle_update`` may take; its worker is replaced after that. None: no limit.
        keep_updates_history: whether workers that start later first get all earlier updates. Without it, an update reaches
            the workers that are there or starting, or the first one ever while there was none; later ones do not get
            earlier updates.
        retry_exceptions: whether a job whose `run` raised is tried again under `max_retries`.
        show_output: whether to show here what the workers print, on stdout and stderr, each line behind ``[host/slot]``.
            ``"errors"``: only what a job (update, constructor) that failed has printed. A function gets the lines instead,
            ``f(line, source)`` with an :class:`OutputSource` (host, slot, stream), one after the other on a thread of its
            own. Of each node come 200 lines a second of a pool, and a count of the others.
        connect_timeout: seconds to wait for the head at first.
        env: variables that are set in the workers before they begin, ``{"NAME": "value"}``, beside those of their node's
            environment and before them. Not those that show a worker its devices (``CUDA_VISIBLE_DEVICES`` and the like),
            nor ``DISTRIBUTED_COMPUTING_…``. A named pool keeps them.
        threads_per_worker: threads that OpenMP, MKL, OpenBLAS, BLIS and NumExpr have in a worker. None: its share of its
            node's cores, unless variables of the node's environment (``OMP_NUM_THREADS``, …) say otherwise.
        workers_timeout: seconds to wait for `min_workers`. None waits for ever.
        fingerprint: of the head's key, as it shows it (``"sha256:…"``), or several. None: the key first seen at an address.
        name: of a pool that outlives this program. If the head has a pool of this name, this one goes on with it, with the
            class, init_data and options of its first opening. Leaving the ``with`` block only leaves the pool
            (:meth:`detach`); :meth:`close` ends it for good. None: the pool ends with this program, or when nothing
            refers to it any more.
        ship_modules: code that nodes do not have and that travels with the pool: modules or their names, Python files, and
            folders of modules. Package data travels with a package; hidden files, links and key files do
            not. At most 64 MiB.
        steal: take the named pool from the program that has it. Without it, one that has lost its connection is waited for:
            28 s at most, and not at all when it ran on this machine and is gone.

    Raises:
        TypeError, ValueError: an argument is not as described, or cannot be pickled.
        HeadUnreachable: no head answers.
        AuthenticationError: the head refused the password or the version.
        PoolBusy: another program has the named pool, and is connected; the message says which.
        NotStored: the head cannot keep the named pool.
        TimeoutError: fewer than `min_workers` were ready in time; the message says how many, and the pool is closed (a
            named one is left). So is it when Ctrl-C ends the waiting.
        WorkerInitError, NoSuitableDevice: with `min_workers`, there will be no worker.
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
        show_output: bool | str | Callable[[str, OutputSource], object] = True,
        connect_timeout: float = 10.0,
        fingerprint: str | Sequence[str] | None = None,
        name: str | None = None,
        steal: bool = False,
        ship_modules: Sequence[Any] | None = None,
        env: Mapping[str, str] | None = None,
        threads_per_worker: int | None = None,
        workers_timeout: float | None = None,
    ) -> None:
        _bootstrap.check(worker_class)
        self._definitions = Definitions(notice=show_notice, secrets=hidden_texts([_options.text(password)]))
        _options.milliseconds("workers_timeout", workers_timeout)
        if steal and name is None:
            raise ValueError("steal=True needs the name of a pool: name='...'")
        _hints.check_worker_class(worker_class)
        args, kwargs = ((), {}) if init_data is None else arguments(init_data, "init_data")
        forward_output, lines = _options.shown_output(show_output)
        options = _options.pool_options(
            label=worker_class.__qualname__,
            weight=weight,
            max_retries=max_retries,
            job_timeout=job_timeout,
            init_timeout=init_timeout,
            update_timeout=update_timeout,
            keep_updates_history=keep_updates_history,
            retry_exceptions=retry_exceptions,
            forward_output=forward_output,
            min_workers=min_workers,
            device=device,
            min_gpu_memory_required=min_gpu_memory_required,
            gpus_per_worker=gpus_per_worker,
            env=env,
            threads_per_worker=threads_per_worker,
        )
        around = surroundings([_options.text(password)], with_key=name is None)
        self._connect(
            worker_class.__qualname__,
            (server_address, server_port, password, fingerprint, connect_timeout),
            options=options,
            spec=make_spec(worker_class, args, kwargs, self._definitions, around, pack(ship_modules)),
            show_output=lines,
            name="" if name is None else checked_name(name),
            steal=bool(steal),
        )
        if min_workers > 0:
            self._wait_for_first(min_workers, workers_timeout)

    @classmethod
    def attach(
        cls,
        name: str,
        password: str | bytes,
        server_address: str | Sequence[str] = "localhost",
        server_port: int = DEFAULT_PORT,
        *,
        steal: bool = False,
        connect_timeout: float = 10.0,
        fingerprint: str | Sequence[str] | None = None,
        show_output: bool | Callable[[str, OutputSource], object] = True,
    ) -> Pool:
        """Go on with the pool of this name, from any machine and any program.

        ``imap_unordered()`` and ``imap()`` without jobs yield the results that nobody has so far; further jobs may be
        submitted. The pool keeps the class, init_data and options of its first opening.

        Args:
            name: of the pool.
            password, server_address, server_port, connect_timeout, fingerprint: as in :class:`Pool`.
            steal: take the pool from the program that has it; that one gets an error. Without it, one that has lost its
                connection is waited for, as in :class:`Pool`.
            show_output: whether to show what the workers print, or a function that gets it. Which lines there are to show
                is as at the pool's first opening.

        Raises:
            PoolNotFound: the head has no pool of this name.
            PoolBusy: another program has it, and is connected; the message says which.
            SerializationError: it runs a class of another language.
            HeadUnreachable, AuthenticationError: as in :class:`Pool`.
        """
        pool = cls.__new__(cls)
        pool._definitions = Definitions(notice=show_notice, secrets=hidden_texts([_options.text(password)]))
        pool._connect(
            "",
            (server_address, server_port, password, fingerprint, connect_timeout),
            options=_options.bare_options(),
            spec=[b""],
            show_output=_options.shown_output(show_output)[1],
            name=checked_name(name),
            attach_only=True,
            steal=bool(steal),
        )
        return pool

    @property
    def name(self) -> str | None:
        """The pool's name; None if it ends with this program."""
        return self._name

    # --- Jobs ---------------------------------------------------------------------------------------------------

    def map(self, data: Iterable[Any]) -> list[Any]:
        """Run all items and return their results in the order of the items.

        Args:
            data: items, each ``{'args': [...], 'kwargs': {...}}`` (either key may be missing), or the single argument. With
                a named pool it may have a ``'key'``, a string: once a job with this key has a result, later ones get that
                result and do not run.

        Raises:
            JobError, WorkerDied, JobTimeout: of the first item, in their order, that failed. The results of all others are
                dropped. Jobs that were submitted by then, 8,192 at most, still run, before later jobs of the pool;
                `close()` ends them.
            TypeError: an item cannot be used or pickled; the message names its index.
        """
        data = job_items(data, "map")
        results = ResultIterator(self._open_stream(), data, ordered=True, bounded=False, window=_MAP_WINDOW, whole=True)
        try:
            return list(results)
        finally:
            results.close()
            del self  # an error that is kept, as notebooks do, keeps this frame, but is not to keep the pool

    def imap(self, data: Iterable[Any] | None = None) -> ResultIterator | EarlierResults:
        """Like :meth:`map`, but yields results in order as they become available; reads `data` only a bounded number of
        items ahead of what was consumed, so that an endless generator is fine. Of an iterator that is left early, the jobs
        that were submitted, 2,048 at most (8,192 of a named pool), still run, before later jobs of the pool; `close()` of
        the pool ends them.

        A named pool, without `data`: yields the results of earlier programs' jobs that no program has so far, in the order
        in which they were submitted (after those that are under way to an ``imap_unordered()`` of this program).
        """
        return self._results(data, "imap", ordered=True)

    def imap_unordered(self, data: Iterable[Any] | None = None) -> ResultIterator | EarlierResults:
        """Like :meth:`imap`, but yields results as soon as they are there, in any order."""
        return self._results(data, "imap_unordered", ordered=False)

    def _results(self, data: Iterable[Any] | None, method: str, ordered: bool) -> ResultIterator | EarlierResults:
        self._check_open()
        if data is not None or self._name is None:
            data = job_items(data, method)
            return ResultIterator(self._open_stream(), data, ordered)
        with self._lock:
            native = self._client.read_earlier(ordered)
            if native is not None:  # None: the one that is open goes on, for all that read it
                self._earlier = native, threading.RLock()
            return EarlierResults(Stream(self._earlier[0], self, self._earlier[1]))

    def submit(self, *args: Any, **kwargs: Any) -> Future[Any]:
        """Run one job, ``run(*args, **kwargs)``; return a future of its result.

        The job cannot be taken back: `cancel()` of the future returns False, and the job runs until it ends or the pool is
        closed, whether or not anybody waits for it.
        """
        return self._submit("", args, kwargs)

    def submit_keyed(self, key: str, /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Like :meth:`submit`, for a job of a named pool with a key: once a job with this key has a result, later ones get
        that result and do not run."""
        if self._name is None:
            raise TypeError("only a pool with a name, Pool(..., name='...'), keeps results by key")
        return self._submit(checked_key(key, "submit_keyed"), args, kwargs)

    def _submit(self, key: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Future[Any]:
        with self._lock:
            self._check_open()
            if self._futures is None:
                self._futures = Futures(self._client.open_stream(), self._definitions)
            futures = self._futures
        self._definitions.look_at_worker_class()
        return futures.submit(self, key, args, kwargs)

    # --- Updates ------------------------------------------------------------------------------------------------

    def update_workers(self, data: Any, wait: bool = False, timeout: float | None = None) -> None:
        """Send an update to all workers: each calls ``handle_update`` with it, between two jobs or at once when idle.

        Every worker applies every update exactly once and in order, also workers that start later; a job that is submitted
        after an update never runs on a worker that has not applied it. With ``keep_updates_history=False`` workers that
        start later do not get earlier updates, see :class:`Pool`.

        Args:
            data: ``{'args': [...], 'kwargs': {...}}``, or the single argument.
            wait: wait until every present worker has applied it; without, return when the head has it.
            timeout: seconds to wait at most; None waits for ever.

        Raises:
            TimeoutError: not applied everywhere in time.
            JobError, SerializationError: with `wait`, when handle_update raised, or the update could not be unpickled there.
            WorkerDied: with `wait`, when a worker ended in it. With history, a worker that takes its place applies all
                updates again.
        """
        call = arguments(data, "the update")
        try:
            payload = dumps_call(*call, self._definitions)
        except Exception as error:
            raise SerializationError(f"the update cannot be pickled: {explained(error, call)}") from error
        self._check_open()
        number = self._client.update(payload if isinstance(payload, list) else [payload])
        if not wait:
            return
        failure = self._client.wait_applied(number, FOREVER if timeout is None else timeout)
        if failure is None:
            raise TimeoutError(f"the update was not applied by every worker within {timeout} s")
        if failure:
            _, exception, error = failure
            definitions = self._definitions
            del self
            raise from_outcome(error, exception, definitions)

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
        if not self._client.wait_workers(_options.count("count", count, 0), FOREVER if timeout is None else timeout):
            raise TimeoutError(f"only {self.get_workers_count()} of {count} workers are there after {timeout} s")

    def _wait_for_first(self, count: int, timeout: float | None) -> None:
        """Wait for `min_workers`. The pool is over when they do not come, or nobody waits for them any more."""
        try:
            if self._client.wait_workers(count, FOREVER if timeout is None else timeout):
                return
            raise TimeoutError(
                f"only {self.get_workers_count()} of the {count} workers of min_workers were ready after {timeout} s, so "
                f"the pool is {'closed' if self._name is None else 'left'}: add slots (start_node), ask for fewer, or wait "
                "longer (workers_timeout=)"
            )
        except BaseException:
            self._finish("end")
            raise

    # --- The end ------------------------------------------------------------------------------------------------

    def status(self) -> dict[str, Any]:
        """A named pool: return what the head knows of it now (``jobs_queued``, ``jobs_running``, ``jobs_done``, ``workers``
        and so on), as ``distributed-computing status --json`` shows it."""
        self._check_named("asked for its status")
        self._check_open()
        return pool_status(self._client.status(), str(self._name))

    def close(self) -> None:
        """Close the pool: running jobs are aborted, its slots are free for others. A named pool is ended for good, with all
        that it keeps. May be called again."""
        self._finish("close")

    def detach(self) -> None:
        """Leave a named pool, which goes on without this program.

        Waits until the head has accepted every job and update. While the head is away that is not awaited for more than
        some seconds; Ctrl-C ends it at once. What may be missing then is told on stderr. What an iterator has yielded
        counts as delivered; all else is there for whoever attaches next.
        """
        self._check_named("left")
        self._finish("end")
