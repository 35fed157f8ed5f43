"""Nobody listens in, nobody stands in between, nobody plays a handshake again, and a head is known by its key."""

import re
import secrets
import socket
import ssl
import subprocess
import sys
import time
from pathlib import Path

import pytest

from conftest import BIN, wait_until
from distributed_computing.api import AuthenticationError, HeadUnreachable, Pool
from proxy import Proxy
from tls_middle import TlsMiddle
from workers import Calculator, Hostile


def fingerprint(cluster):
    """Return the fingerprint in the join line of the head."""
    return wait_until(lambda: re.search(r"--fingerprint (sha256:\S{43})\n", cluster.log("head")), "the banner")[1]


def test_a_capture_of_a_whole_session_shows_nothing(cluster):
    cluster.head()
    treasure = secrets.token_hex(32)
    with Proxy(cluster.port) as link:
        link.record()
        cluster.node("node", 1, port=link.port)
        with Pool(Hostile, None, cluster.password, "localhost", link.port) as pool:
            assert pool.map([{"args": ["fine", treasure * 1000]}] * 20) == [treasure * 1000] * 20
            pool.submit("prints", treasure + "\n").result(30)
        captured = link.recorded()
    assert len(captured) > 20 * 64_000 * 2
    known = [treasure, cluster.password, "Hostile", "workers", "SCRAM", "n=dc", "GET /session"]
    assert [text for text in known if text.encode() in captured] == []


@pytest.mark.parametrize("with_fingerprint", [True, False])
def test_a_man_in_the_middle_is_refused(cluster, tmp_path, with_fingerprint):
    cluster.head()
    cluster.node("honest", 1)
    with TlsMiddle(tmp_path, cluster.port) as middle:
        known = {"fingerprint": fingerprint(cluster)} if with_fingerprint else {}
        with pytest.raises(AuthenticationError) as refused:
            Pool(Calculator, None, cluster.password, "127.0.0.1", middle.port, **known)
        assert middle.connections <= 1, "refused for good, not tried again"
        if with_fingerprint:
            assert "someone listens in between" in str(refused.value)
            assert bytes(middle.seen) == b"", "not a byte of proof was said"
        assert b"Calculator" not in middle.seen and cluster.password.encode() not in middle.seen
        options = ["--fingerprint", known["fingerprint"]] if with_fingerprint else []
        node = cluster.start("victim", "-a", "127.0.0.1", "--workers", "1", *options, port=middle.port)
        assert node.wait(20) == 3, "refused for good, with its own exit code"
        assert len(cluster.nodes()) == 1
    with Pool(Calculator, None, cluster.password, "127.0.0.1", cluster.port, fingerprint=fingerprint(cluster)) as pool:
        assert pool.map([1]) == [1]


def test_a_recorded_handshake_cannot_be_replayed(cluster):
    cluster.head()
    with Proxy(cluster.port) as link:
        link.record()
        cluster.node("node", 1, port=link.port)
        sent = link.recorded_up()
    assert len(sent) > 500
    with socket.create_connection(("127.0.0.1", cluster.port)) as replay:
        replay.settimeout(15)
        replay.sendall(sent)
        answer = bytearray()
        with pytest.raises((ConnectionResetError, EOFError)):
            while piece := replay.recv(1 << 16):
                answer += piece
            raise EOFError
    wait_until(lambda: len(cluster.nodes()) <= 1, "nobody came of it")


def test_only_tls_1_3_is_spoken(cluster):
    cluster.head()
    for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        context.maximum_version = version
        with socket.create_connection(("127.0.0.1", cluster.port)) as plain:
            if version == ssl.TLSVersion.TLSv1_3:
                with context.wrap_socket(plain) as encrypted:
                    assert encrypted.version() == "TLSv1.3"
            else:
                with pytest.raises((ssl.SSLError, ConnectionResetError)):
                    context.wrap_socket(plain)


def test_a_head_is_known_by_the_key_that_it_had_first(cluster):
    head = cluster.head()
    key = cluster.root / "head" / "state" / "head-key.pem"
    assert key.stat().st_mode & 0o777 == 0o600
    first = fingerprint(cluster)
    node = cluster.node("node", 1)
    remembered = cluster.root / "node" / "state" / "known_heads"
    wait_until(lambda: remembered.exists() and remembered.read_text(), "the key is remembered")
    assert remembered.read_text() == f"localhost:{cluster.port} {first}\n"
    assert remembered.stat().st_mode & 0o777 == 0o600

    head.kill()  # the same key after a restart: the node comes back
    head.wait()
    head = cluster.head()
    wait_until(lambda: len(cluster.nodes()) == 1, "the node is back")
    assert node.poll() is None

    head.terminate()
    assert head.wait(10) == 0
    key.unlink()
    cluster.head()
    wait_until(lambda: "another key than before" in cluster.log("node"), "the node has told of it")
    assert node.poll() is None, "it has had a session: anybody may be on the port for a while"
    log = cluster.log("node")
    assert str(remembered) in log and f"localhost:{cluster.port} (line 1)" in log
    old = Path(cluster.environment("newcomer")["DISTRIBUTED_COMPUTING_HOME"]) / "state" / "known_heads"
    old.parent.mkdir(mode=0o700)
    old.write_text(f"127.0.0.1:{cluster.port} {first}\n")
    newcomer = cluster.start("newcomer", "--workers", "1")  # knows the old key by another name of the same head
    assert newcomer.wait(20) == 3, "final at the first contact"
    assert "another key than before" in cluster.log("newcomer")
    remembered.unlink()
    wait_until(lambda: len(cluster.nodes()) == 1, "the node takes the new key")
    assert node.poll() is None


@pytest.mark.parametrize("trouble", ["damaged", "unreadable"])
def test_keys_of_known_heads_that_cannot_be_read_are_an_error(cluster, trouble):
    cluster.head()
    known = Path(cluster.environment("node")["DISTRIBUTED_COMPUTING_HOME"]) / "state" / "known_heads"
    known.parent.mkdir(mode=0o700)
    if trouble == "damaged":
        known.write_text("localhost:1 sha2")
    else:
        known.mkdir()
    node = cluster.start("node", "--workers", "1")
    assert node.wait(20) == 1
    assert str(known) in cluster.log("node") and not cluster.nodes()
    node = cluster.start("node", "--workers", "1", "--fingerprint", fingerprint(cluster))
    wait_until(lambda: len(cluster.nodes()) == 1, "the file is not needed beside a fingerprint")
    script = (
        "from distributed_computing.api import Pool; from workers import Hostile; "
        f"Pool(Hostile, None, {cluster.password!r}, '127.0.0.1', {cluster.port})"
    )
    answer = subprocess.run(
        [sys.executable, "-c", script], env=cluster.environment("node"), capture_output=True, text=True, timeout=30
    )
    assert "AuthenticationError" in answer.stderr and str(known) in answer.stderr


def test_a_fingerprint_of_a_wrong_form_is_named(cluster):
    with pytest.raises(ValueError, match="43 characters"):
        Pool(Calculator, None, "x", fingerprint="sha256:short")
    answer = subprocess.run(
        [BIN / "start_node", "-r", "x", "--fingerprint", "short"],
        env=cluster.environment("node"),
        capture_output=True,
        text=True,
        timeout=20,
    )
    assert answer.returncode == 2 and "43 characters" in answer.stderr


def test_a_head_binds_what_it_says(cluster):
    head = cluster.start("head", "--head", "--workers", "0", "--bind", "127.0.0.3", "::1")
    wait_until(lambda: cluster.status() is not None, "the head answers")
    for address, listens in {"127.0.0.3": True, "::1": True, "127.0.0.1": False, "127.0.0.2": False}.items():
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        with socket.socket(family) as probe:
            assert (probe.connect_ex((address, cluster.port)) == 0) == listens, address
    cluster.start("node", "-a", "::1", "--workers", "1")
    wait_until(lambda: len(cluster.nodes()) == 1, "a node joins by IPv6")
    with Pool(Calculator, None, cluster.password, "::1", cluster.port) as pool:
        assert pool.map([1, 2]) == [1, 2]
    assert head.poll() is None and "-a 127.0.0.3" in cluster.log("head")


def test_a_plain_server_is_no_head(cluster):
    with socket.create_server(("127.0.0.1", 0)) as server:
        started = time.monotonic()
        with pytest.raises(HeadUnreachable, match="no answer within 1 s"):
            Pool(Calculator, None, "x", "127.0.0.1", server.getsockname()[1], connect_timeout=1)
        assert time.monotonic() - started < 5
