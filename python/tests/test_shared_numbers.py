"""What the package and the core must agree about and each spells for itself."""

import inspect

from distributed_computing import _client, _worker
from distributed_computing._payload import ALIGNMENT, DEFINITIONS_MAGIC, MAGIC
from distributed_computing.api import Pool


def test_payloads_look_the_same_everywhere():
    assert (MAGIC, DEFINITIONS_MAGIC, ALIGNMENT) == _client.PAYLOAD_LAYOUT == _worker.PAYLOAD_LAYOUT


def test_what_is_not_said_about_a_pool_is_the_same():
    names = ("weight", "max_retries", "min_workers", "gpus_per_worker", "keep_updates_history", "retry_exceptions")
    said = inspect.signature(Pool).parameters
    assert {name: said[name].default for name in names} == {
        name: getattr(_client.PoolOptions(), name) for name in names
    }
    assert _client.DeviceWish[said["device"].default] == _client.PoolOptions().device
