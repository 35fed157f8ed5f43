"""The interface of worker classes."""

from __future__ import annotations

from typing import Any


class WorkerInterface:
    """What a class must offer to be given to a :class:`~distributed_computing.api.Pool`.

    One instance is built per worker, from the ``init_data`` of the pool. Deriving from this class is not required.

    A class may have a method ``close()``, without arguments: it is called when a worker that is idle ends.
    """

    def run(self, *args: Any, **kwargs: Any) -> Any:
        """Do one job. Called with the ``args`` and ``kwargs`` of an item; what it returns is passed to the caller as is.

        An exception is the job's outcome: the caller gets :class:`JobError`.
        """
        raise NotImplementedError(f"{type(self).__name__} must define run(): it is called once for each job")

    def handle_update(self, *args: Any, **kwargs: Any) -> None:
        """Take an update from the pool's owner (``Pool.update_workers``), between two jobs. What it returns is ignored."""
        raise NotImplementedError(
            f"{type(self).__name__} must define handle_update() to be used with Pool.update_workers()"
        )
