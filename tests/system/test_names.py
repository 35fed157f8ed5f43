"""Name servers that do not answer hold up those who ask for that name, and nobody else. Needs root."""

import os
import shutil
import subprocess
import time
from pathlib import Path

import pytest

from conftest import wait_until

SILENT = """
import socket, time
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind(("127.0.0.1", 53))
time.sleep(600)
"""


@pytest.fixture
def silent_names():
    """A network of its own whose name server never answers; `head-two` stands in its hosts file."""
    if os.geteuid() != 0 or not shutil.which("ip"):
        pytest.skip("needs root and ip")
    name = f"dc-names-{os.getpid()}"
    if (made := subprocess.run(["ip", "netns", "add", name], capture_output=True, text=True)).returncode != 0:
        pytest.skip(f"network namespaces cannot be made here ({made.stderr.strip()})")
    files = Path("/etc/netns") / name  # ip netns exec puts them in the place of those in /etc
    files.mkdir(parents=True)
    (files / "resolv.conf").write_text("nameserver 127.0.0.1\noptions timeout:30 attempts:2\n")
    (files / "hosts").write_text("127.0.0.1 localhost head-two\n")
    subprocess.run(["ip", "-n", name, "link", "set", "lo", "up"], check=True)
    server = subprocess.Popen(["ip", "netns", "exec", name, "python3", "-c", SILENT])
    yield name
    server.kill()
    server.wait()
    subprocess.run(["ip", "netns", "del", name], check=True)
    shutil.rmtree(files)


def test_a_name_that_hangs_does_not_hold_up_the_next_address(cluster, silent_names):
    cluster.start("head", "--head", "--workers", "0", inside=silent_names)
    wait_until(lambda: "start_node -p" in cluster.log("head"), "the head listens")
    started = time.monotonic()
    cluster.start("node", "-a", "head-one.example,head-two", "--workers", "1", inside=silent_names)
    wait_until(lambda: "joined the head at head-two" in cluster.log("node"), "the second address is reached", 20)
    assert time.monotonic() - started < 15, "the first one is not given up for a minute"
