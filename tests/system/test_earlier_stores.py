"""A named pool that the first version wrote goes on under this one."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from conftest import Cluster
from distributed_computing.api import Pool
from own_redis import PROGRAM, Redis

STORES = Path(__file__).resolve().parent / "stores"


def put(name: str, path: Path) -> None:
    """Write one of the kept stores to `path`, as private as a head makes it."""
    path.write_bytes(gzip.decompress((STORES / name).read_bytes()))
    path.chmod(0o600)


def goes_on(cluster: Cluster, store: str) -> None:
    """Start a head on the store; its pool must have all that it had."""
    cluster.head("--store", store)
    cluster.node(workers=2)
    with Pool.attach("earlier", cluster.password, cluster.address, cluster.port) as pool:
        results = {x: updates for x, _pid, updates in pool.imap_unordered()}
        assert set(results) == {*range(200, 230), "large2", "after"}
        assert results["after"] == ["first", "second"]
        assert all(updates[:1] == ["first"] for updates in results.values())
        assert pool.submit_keyed("a", "not run again").result(20)[0] == "keyed"
        assert pool.submit("new").result(20)[0] == "new"
        pool.close()


def test_a_file_of_sqlite(cluster, tmp_path):
    put("version-1.db.gz", tmp_path / "earlier.db")
    goes_on(cluster, f"sqlite://{tmp_path}/earlier.db")


@pytest.mark.skipif(PROGRAM is None, reason="neither redis-server nor valkey-server is installed")
def test_a_redis(cluster, tmp_path):
    directory = tmp_path / "redis"
    directory.mkdir()
    put("version-1.rdb.gz", directory / "dump.rdb")
    server = Redis(directory, append_only=False)
    try:
        goes_on(cluster, server.url)
    finally:
        cluster.stop()
        server.kill()
