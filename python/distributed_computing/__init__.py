"""A pool of GPU workers on many machines that feels like ``multiprocessing.Pool``.

The whole interface stands in :mod:`distributed_computing.api`; what a job may ask about itself, :func:`worker`, here too.
"""

import os as _os
import sysconfig as _sysconfig

from distributed_computing._about import WorkerInfo, worker

__all__ = ["WorkerInfo", "worker"]
__version__ = "0.1.0"

# In a development tree the compiled modules stand beside the environment's packages, the Python sources in the tree.
_native = _os.path.join(_sysconfig.get_path("purelib"), "distributed_computing_native", "distributed_computing")
if _os.path.isdir(_native) and _native not in __path__:
    __path__.append(_native)
