"""The whole interface of distributed computing.

from distributed_computing.api import Pool, WorkerInterface

with Pool(WorkerClass, {"args": [init_data]}, password, address) as pool:
    results = pool.map(parameter_sets)
"""

from distributed_computing._about import WorkerInfo, worker
from distributed_computing._output import OutputSource
from distributed_computing.errors import (
    AuthenticationError,
    DistributedComputingError,
    HeadUnreachable,
    JobError,
    JobTimeout,
    NoSuitableDevice,
    NotStored,
    PayloadTooLarge,
    PoolBusy,
    PoolClosed,
    PoolDeadlock,
    PoolNotFound,
    SerializationError,
    WorkerDied,
    WorkerInitError,
)
from distributed_computing.interface import WorkerInterface
from distributed_computing.pool import DEFAULT_PORT, Pool
from distributed_computing.processes import (
    is_client_running,
    is_server_running,
    start_head_node,
    start_node,
    start_redis,
    start_server,
)

__all__ = [
    "DEFAULT_PORT",
    "AuthenticationError",
    "DistributedComputingError",
    "HeadUnreachable",
    "JobError",
    "JobTimeout",
    "NoSuitableDevice",
    "NotStored",
    "OutputSource",
    "PayloadTooLarge",
    "Pool",
    "PoolBusy",
    "PoolClosed",
    "PoolDeadlock",
    "PoolNotFound",
    "SerializationError",
    "WorkerDied",
    "WorkerInfo",
    "WorkerInitError",
    "WorkerInterface",
    "is_client_running",
    "is_server_running",
    "start_head_node",
    "start_node",
    "start_redis",
    "start_server",
    "worker",
]
