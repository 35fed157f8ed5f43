"""Whatever is raised, of any length and any bytes, arrives as the error that it is; the worker keeps its state."""

import pytest

from distributed_computing.api import JobError, Pool, WorkerDied, WorkerInitError
from odd_workers import ODD, Frozen, KeywordOnly, Odd

LONGEST = 4 * 33 * 1024


def test_run_and_handle_update(cluster, pool_arguments):
    cluster.head()
    cluster.node(workers=1)
    with Pool(Odd, None, *pool_arguments) as pool:
        pid = pool.submit().result(30)[1]
        for what, text in ODD.items():
            with pytest.raises(JobError, match=f"(?s){text}") as of_run:
                pool.submit(what).result(30)
            with pytest.raises(JobError, match=f"(?s)handle_update raised for update .*{text}") as of_update:
                pool.update_workers(what, wait=True, timeout=30)
            for caught in of_run, of_update:
                assert isinstance(caught.value, JobError) and len(str(caught.value).encode()) < LONGEST, what
                assert caught.value.type_name and caught.value.host and caught.value.traceback, what
        assert pool.submit().result(30) == (2 + 2 * len(ODD), pid), "the same object, which has lived through all of it"

        with pytest.raises(JobError) as caught:
            pool.submit("long").result(30)
        assert len(str(caught.value.__cause__)) == 5_000_010, "the exception itself is whole"
        with pytest.raises(JobError) as caught:
            pool.submit("heavy").result(30)
        assert len(caught.value.__cause__.data) == 8 << 20
        with pytest.raises(JobError, match="the exception itself, [0-9]+ bytes pickled, was left out"):
            pool.update_workers("heavy", wait=True, timeout=30)
        with pytest.raises(JobError) as caught:
            pool.update_workers("chain", wait=True, timeout=30)
        assert isinstance(caught.value.__cause__, RuntimeError), "small ones of updates come along"


def test_an_error_is_of_its_own_type_too(cluster, pool_arguments):
    cluster.head()
    cluster.node(workers=1)
    with Pool(Odd, None, *pool_arguments) as pool:
        for ask in (
            lambda what: pool.submit(what).result(30),
            lambda what: pool.map([what]),
            lambda what: pool.update_workers(what, wait=True, timeout=30),
        ):
            with pytest.raises(KeywordOnly) as keyword_only:
                ask("keyword-only")
            assert keyword_only.value.code == 6 and keyword_only.value.args == ("code 6",)
            with pytest.raises(LookupError) as frozen:
                ask("frozen")
            assert type(frozen.value.__cause__) is Frozen and frozen.value.host == "database"
            with pytest.raises(KeyError) as unpicklable:
                ask("unpicklable")
            assert unpicklable.value.args[0] == "kept" and "lock" in unpicklable.value.args[2]
            for caught in keyword_only, frozen, unpicklable:
                assert isinstance(caught.value, JobError) and "Traceback" in str(caught.value)
        results = pool.imap(["keyword-only", None])
        with pytest.raises(ValueError, match="KeywordOnly: code 6"):
            next(results)
        assert len(list(results)) == 1


@pytest.mark.parametrize("what", ["long", "file name", "text raises", "group"])
def test_a_constructor(cluster, pool_arguments, what):
    cluster.head()
    cluster.node(workers=1)
    with (
        pytest.raises(WorkerInitError, match=f"(?s)the constructor of Odd raised .*{ODD[what]}") as caught,
        Pool(Odd, what, *pool_arguments) as pool,
    ):
        pool.map([None])
    assert len(str(caught.value).encode()) < LONGEST


def test_waiting_for_an_update_that_ends_its_worker_raises(cluster, pool_arguments):
    cluster.head()
    cluster.node(workers=1)
    with Pool(Odd, None, *pool_arguments, keep_updates_history=False) as pool:
        pool.wait_for_workers(1, 30)
        with pytest.raises(WorkerDied, match=r"was killed by signal 9 \(SIGKILL\) while it applied update 1") as caught:
            pool.update_workers("dies", wait=True, timeout=30)
        assert caught.value.signal == 9 and caught.value.host
        assert pool.submit().result(30)[0] == 1, "a worker that starts later begins without the update"
    with Pool(Odd, None, *pool_arguments) as pool:
        pool.wait_for_workers(1, 30)
        with pytest.raises(WorkerDied, match="while it applied update 1"):
            pool.update_workers("dies", wait=True, timeout=30)
        with pytest.raises(WorkerInitError, match="while it applied update 1"):  # with the history each one meets it
            pool.submit().result(30)
