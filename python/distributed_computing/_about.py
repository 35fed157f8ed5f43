"""What a worker, and the job in it, may ask about itself."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class WorkerInfo:
    """The worker that asks, and the job that it runs: what :func:`worker` returns.

    Attributes:
        host: name of the machine.
        node: name of its node (``start_node --name``), or of the machine where it has none.
        slot: number of the node's slot; of a worker of several GPUs the first one.
        device: ``"cpu"``, or name and UUID of the GPU, of several with commas.
        pool: name of a named pool, else the pool's id, as ``distributed-computing status --json`` shows it.
        worker_number: of the worker; no other one of the cluster has it, or had it.
        job_number: of the job in its pool: 1, 2, … in the order in which the jobs were submitted, whoever runs them, and
            the same at each attempt. None where no job runs.
        attempt: which attempt at the job this is: 1, 2, … An attempt counts once it has begun; one that a node had in
            hand when it was lost may have begun, and counts. A head that is started again counts anew. None: no job runs.
        key: of the job, in a named pool; None if it has none.
    """

    host: str
    node: str
    slot: int
    device: str
    pool: str
    worker_number: int
    job_number: int | None
    attempt: int | None
    key: str | None


def worker() -> WorkerInfo:
    """Tell which worker this is, and which job it runs: to seed random numbers from, for logs and names of files.

    May be called anywhere in a worker, on any thread; it reads what is there, and costs some microseconds. In the
    constructor and in ``handle_update`` there is no job. A process that was forked in a job sees that job; one that was
    started anew (``subprocess``, ``multiprocessing`` with spawn or forkserver) sees the worker and no job.

    Raises:
        RuntimeError: this process is no worker, and was not started by one.
    """
    from distributed_computing import _worker  # not before the package has found its compiled modules

    told = _worker.about()
    if told is None:
        raise RuntimeError(
            "worker() tells a pool's worker about itself, and this process is none: call it in __init__, run or "
            "handle_update of a worker class, or in what those start"
        )
    return WorkerInfo(**dict(zip(WorkerInfo.__dataclass_fields__, told, strict=True)))
