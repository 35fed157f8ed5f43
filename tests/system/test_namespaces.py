"""Two hosts with addresses of their own: the link between them is cut in the kernel. Needs root for network namespaces."""

import contextlib
import os
import shutil
import subprocess
import time

import pytest

from conftest import recorder_items as items
from conftest import wait_until
from distributed_computing.api import Pool
from workers import Recorder


def why_not() -> str:
    """Return what keeps this machine from making network namespaces, or nothing."""
    for tool in ("ip", "nft"):
        if not shutil.which(tool):
            return f"{tool} is not installed"
    probe = f"dc-probe-{os.getpid()}"
    made = subprocess.run(["ip", "netns", "add", probe], capture_output=True, text=True)
    if made.returncode != 0:
        return f"network namespaces cannot be made here ({made.stderr.strip()})"
    subprocess.run(["ip", "netns", "del", probe], check=True)
    return ""


class Hosts:
    """A host for the head and one for a far node, and a cable between them."""

    def __init__(self) -> None:
        number = os.getpid()
        self.head, self.far = f"dc-head-{number}", f"dc-far-{number}"
        subnet = f"10.{200 + number % 50}.{number // 50 % 250}"
        self.head_address, self.far_address = f"{subnet}.1", f"{subnet}.2"
        cables = f"dch{number % 10**8}", f"dcf{number % 10**8}"
        for host in (self.head, self.far):
            self.run("ip", "netns", "add", host)
            self.run("ip", "-n", host, "link", "set", "lo", "up")
        self.run(
            "ip", "link", "add", cables[0], "netns", self.head, "type", "veth", "peer", cables[1], "netns", self.far
        )
        for host, cable, address in (
            (self.head, cables[0], self.head_address),
            (self.far, cables[1], self.far_address),
        ):
            self.run("ip", "-n", host, "address", "add", f"{address}/24", "dev", cable)
            self.run("ip", "-n", host, "link", "set", cable, "up")
        self.cable = cables[1]

    @staticmethod
    def run(*command: str) -> None:
        subprocess.run(command, check=True, capture_output=True)

    def drop(self, *chains: str) -> None:
        """Drop silently what leaves ("output") or reaches ("input") the far host."""
        self.run("ip", "netns", "exec", self.far, "nft", "add", "table", "inet", "cut")
        for chain in chains:
            rule = f"add chain inet cut {chain} {{ type filter hook {chain} priority 0; policy drop; }}"
            self.run("ip", "netns", "exec", self.far, "nft", rule)

    def heal(self) -> None:
        self.run("ip", "netns", "exec", self.far, "nft", "flush", "ruleset")
        self.run("ip", "-n", self.far, "link", "set", self.cable, "up")

    def unplug(self) -> None:
        self.run("ip", "-n", self.far, "link", "set", self.cable, "down")

    def remove(self) -> None:
        for host in (self.head, self.far):
            with contextlib.suppress(subprocess.CalledProcessError):
                self.run("ip", "netns", "del", host)


@pytest.fixture
def hosts(cluster):
    if reason := why_not():
        pytest.skip(reason)
    made = None
    try:
        made = Hosts()
        yield made
    finally:
        cluster.stop()
        if made:
            made.remove()


CUTS = {
    "to the head": lambda hosts: hosts.drop("output"),
    "to the node": lambda hosts: hosts.drop("input"),
    "both ways": lambda hosts: hosts.drop("input", "output"),
    "unplugged": lambda hosts: hosts.unplug(),
}


@pytest.mark.parametrize("cut", CUTS)
def test_a_cut_cable_moves_the_jobs_and_heals(cluster, hosts, notes, cut, measured):
    cluster.head("--bind", hosts.head_address, inside=hosts.head)
    cluster.node("near", 1, "-a", hosts.head_address, inside=hosts.head)
    far = cluster.node("far", 1, "-a", hosts.head_address, inside=hosts.far)
    with Pool(Recorder, {"args": [str(notes)]}, cluster.password, "localhost", cluster.port) as pool:
        pool.wait_for_workers(2, 30)
        far_worker = next(n for n in cluster.nodes() if n["pid"] == far.pid)["slots"][0]["worker_pid"]
        results = pool.imap_unordered(items(24, 0.1))
        seen = []
        while not any(result[1] == far_worker for result in seen):
            seen.append(next(results))
        CUTS[cut](hosts)
        started = time.monotonic()
        seen += results
        measured(f"cable cut, {cut}: the last job has run elsewhere", time.monotonic() - started, 12)
        hosts.heal()
        wait_until(lambda: len(cluster.nodes()) == 2, "the node is back", 20)
        assert far.poll() is None, "it healed without a restart"
        pool.wait_for_workers(2, 30)
        again = list(pool.imap_unordered(items(24, 0.1)))
    assert {pid for _, pid, _ in again} >= {far_worker}, "its worker lives on"
    assert sorted(r[0] for r in seen) == sorted(r[0] for r in again) == list(range(24))
