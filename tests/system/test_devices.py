"""What a pool asks of devices, on a cluster without GPUs."""

import time

import pytest

from conftest import run_script, wait_until
from distributed_computing.api import NoSuitableDevice, Pool
from workers import Calculator


def test_no_card_will_ever_do_and_the_error_lists_what_is_there(cluster, pool_arguments):
    cluster.head()
    cluster.node("first", workers=2)
    started = time.monotonic()
    with Pool(Calculator, None, *pool_arguments, min_gpu_memory_required="12GB") as pool:
        with pytest.raises(NoSuitableDevice, match=r"needs a GPU with 11445 MiB.*\n.*: 2 slots without a GPU"):
            pool.map([1])
        assert 2.5 < time.monotonic() - started < 8, "neither at once nor for ever"
        with pytest.raises(NoSuitableDevice):
            pool.wait_for_workers(1)
    with Pool(Calculator, None, *pool_arguments, gpus_per_worker=2) as pool:
        with pytest.raises(NoSuitableDevice, match="2 GPUs of one node"):
            pool.wait_for_workers(1, timeout=20)


def test_a_pool_that_asks_for_no_gpu_has_the_other_slots(cluster, pool_arguments):
    cluster.head()
    cluster.node(workers=2)
    with Pool(Calculator, None, *pool_arguments, device="cpu") as pool:
        assert pool.map([1, 2]) == [1, 2]


def test_an_empty_cluster_is_waited_for(cluster, pool_arguments):
    cluster.head()
    with Pool(Calculator, None, *pool_arguments, device="gpu") as pool:
        future = pool.submit(1)
        wait_until(lambda: cluster.status()["pools"][0]["jobs_queued"] == 1, "the job is queued")
        # Longer than the grace that a cluster with nodes has.
        with pytest.raises(TimeoutError):
            future.result(4)
        cluster.node(workers=1)
        with pytest.raises(NoSuitableDevice, match="a worker needs a GPU, and there is"):
            future.result(20)


def test_the_error_of_a_script_reads_well(cluster):
    cluster.head()
    cluster.node(workers=1)
    text = f"""
from distributed_computing.api import Pool
class Square:
    def run(self, x):
        return x * x
with Pool(Square, None, {cluster.password!r}, "localhost", {cluster.port}, device="gpu") as pool:
    pool.map([1])
"""
    done = run_script(cluster, text)
    assert done.returncode == 1
    assert "NoSuitableDevice: no device of the cluster can be used: a worker needs a GPU, and there is:" in done.stderr
    assert "1 slot without a GPU" in done.stderr
