"""Strangers at the port: whatever they say, the head stays well, running jobs are not late, and rightful peers get in."""

import base64
import contextlib
import os
import random
import re
import socket
import ssl
import struct
import subprocess
import sys
import threading
import time

import msgpack
import pytest

from conftest import BIN, HERE, recorder_items, rss_mib, run_counts, wait_until
from distributed_computing.api import AuthenticationError, Pool
from workers import Hostile, Recorder


def tls_context():
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


UPGRADE = (
    b"GET /session HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)


PROTOCOL = int(re.search(r"protocol_version = (\d+)", (HERE.parents[1] / "src/core/limits.hpp").read_text())[1])


def frame(length, payload=b"", opcode=2):
    """Return a masked WebSocket frame that claims to be `length` bytes long."""
    head = bytes([0x80 | opcode])
    if length < 126:
        head += bytes([0x80 | length])
    elif length < 1 << 16:
        head += bytes([0x80 | 126]) + struct.pack(">H", length)
    else:
        head += bytes([0x80 | 127]) + struct.pack(">Q", length)
    return head + b"\0\0\0\0" + payload


def say(port, data, encrypted=True, upgrade=False):
    """Say it and read until the head closes. Fail when it does not within its deadline."""
    with socket.create_connection(("127.0.0.1", port)) as plain:
        plain.settimeout(20)
        with contextlib.suppress(OSError, ssl.SSLError):
            link = tls_context().wrap_socket(plain) if encrypted else plain
            if upgrade:
                link.sendall(UPGRADE)
                assert b" 101 " in link.recv(4096)
            link.sendall(data)
            while link.recv(1 << 16):
                pass


@pytest.fixture
def served(cluster, pool_arguments):
    """A head with a node and a pool; afterwards the next 20-job map must be right and the head's memory as before."""
    head = cluster.head()
    cluster.node(workers=2)
    with Pool(Hostile, None, *pool_arguments) as pool:
        assert pool.map([{"args": ["fine", i]} for i in range(20)]) == list(range(20))
        before = rss_mib(head.pid)
        lines = len(cluster.log("head").splitlines())
        yield head
        assert pool.map([{"args": ["fine", i]} for i in range(20)]) == list(range(20))
        assert rss_mib(head.pid) - before < 64
        assert head.poll() is None
        cluster.lines_since = len(cluster.log("head").splitlines()) - lines


NOISE = random.Random(1).randbytes(1 << 20)
WORDS = {
    "noise": NOISE,
    "http": b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
    "redis": b"*1\r\n$4\r\nPING\r\n",
    "nothing": b"",
}


@pytest.mark.parametrize("words", WORDS)
@pytest.mark.parametrize("encrypted", [True, False], ids=["tls", "bare"])
def test_words_of_another_language(cluster, served, words, encrypted):
    lines = len(cluster.log("head").splitlines())
    say(cluster.port, WORDS[words], encrypted)
    assert len(cluster.log("head").splitlines()) - lines <= 1


@pytest.mark.parametrize("length", [0, 1 << 31, 1 << 63, (1 << 63) - 1, 65537])
def test_frames_of_impossible_lengths(cluster, served, length):
    lines = len(cluster.log("head").splitlines())
    say(cluster.port, frame(length, NOISE), upgrade=True)
    assert len(cluster.log("head").splitlines()) - lines <= 1


def test_one_byte_a_second_ends_at_the_deadline(cluster, served):
    started = time.monotonic()
    with socket.create_connection(("127.0.0.1", cluster.port)) as slow:
        slow.settimeout(0.5)
        hello = iter(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(100))
        with contextlib.suppress(ConnectionResetError, BrokenPipeError):
            while time.monotonic() - started < 20:
                slow.send(bytes([next(hello)]))
                with contextlib.suppress(TimeoutError):
                    if slow.recv(100) == b"":
                        break
    assert 1 < time.monotonic() - started < 15


def test_two_thousand_idle_connections_keep_nobody_out(cluster, served, measured):
    idle = []
    try:
        for _ in range(2000):
            idle.append(socket.create_connection(("127.0.0.1", cluster.port)))
        started = time.monotonic()
        cluster.node("late", 1)
        measured("2,000 idle connections: a rightful node has joined", time.monotonic() - started, 15)
    finally:
        for link in idle:
            link.close()


def test_every_prefix_of_a_valid_join(cluster, served):
    from proxy import Proxy

    with Proxy(cluster.port) as link:
        link.record()
        cluster.node("recorded", 1, port=link.port)
        sent = link.recorded_up()[:3000]
    for length in sorted({*range(0, 64), *range(64, len(sent), 61)}):
        with socket.create_connection(("127.0.0.1", cluster.port)) as prefix:
            prefix.sendall(sent[:length])
    assert cluster.status() is not None


def wrong_proof(source, port):
    """Say Hello and prove a password wrong, from one of this machine's addresses; return whether the head said so."""
    with socket.socket() as plain:
        plain.bind((source, 0))
        plain.settimeout(10)
        plain.connect(("127.0.0.1", port))
        link = tls_context().wrap_socket(plain)
        link.sendall(UPGRADE)
        upgraded = b""
        while not upgraded.endswith(b"\r\n\r\n"):
            upgraded += link.recv(4096) or b"closed\r\n\r\n"
        assert b" 101 " in upgraded
        hello = [1, [PROTOCOL, "x", 0, 7, "h", 1, "p=tls-exporter,,n=dc,r=abcdefgh"]]
        link.sendall(message(hello))
        answer = link.recv(4096)
        nonce = answer[answer.index(b"r=abc") : answer.index(b",s=")].decode()
        binding = base64.b64encode(b"p=tls-exporter,," + bytes(32)).decode()
        proof = base64.b64encode(bytes(32)).decode()
        link.sendall(message([2, [f"c={binding},{nonce},p={proof}"]]))
        return b"password" in link.recv(4096)


def message(body):
    payload = b"\0" + msgpack.packb(body)
    return frame(len(payload), payload)


def flood(source, port, count):
    """Entry point of the flooding processes: 16 threads that guess as quickly as the head lets them."""
    answers, gone = [], []

    def guess():
        for _ in range(count // 16):
            try:
                answers.append(wrong_proof(source, port))
            except (OSError, ValueError, AssertionError):
                gone.append(source)

    print("begun", flush=True)
    threads = [threading.Thread(target=guess) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    print(sum(answers), len(answers) + len(gone))


def test_a_flood_of_wrong_passwords_delays_no_job_and_no_rightful_join(cluster, pool_arguments, tmp_path, measured):
    head = cluster.head()
    cluster.node(workers=2)
    before = rss_mib(head.pid)
    with Pool(Recorder, None, *pool_arguments) as pool:
        pool.wait_for_workers(2, 30)
        flood = [
            subprocess.Popen(
                [sys.executable, "-c", f"import test_strangers as t; t.flood({source!r}, {cluster.port}, 10_000)"],
                env=cluster.environment("client"),
                stdout=subprocess.PIPE,
                text=True,
            )
            for source in ("127.0.0.2", "127.0.0.3")
        ]
        try:
            for process in flood:
                assert process.stdout.readline() == "begun\n"
            started = time.monotonic()
            last, slowest = started, 0.0
            for _ in pool.imap_unordered([{"args": [i, 0.2]} for i in range(50)]):
                now = time.monotonic()
                slowest = max(slowest, now - last - 0.2)
                last = now
            measured("20,000 wrong passwords: the latest of 50 jobs is late by", slowest, 1)
            joining = time.monotonic()
            cluster.node("rightful", 1)
            measured("20,000 wrong passwords: a rightful node has joined", time.monotonic() - joining, 15)
            for process in flood:
                refused, tried = map(int, process.communicate(timeout=60)[0].split())
                assert tried == 10_000 and 20 <= refused < 1000, "most are turned away before they cost anything"
        finally:
            for process in flood:
                process.kill()
                process.wait()
    assert rss_mib(head.pid) - before < 64
    refusals = [line for line in cluster.log("head").splitlines() if "refused" in line]
    assert 1 <= len(refusals) < 200, "told, but not a line for each"


@contextlib.contextmanager
def babble(port):
    """Listen there and greet everybody as another kind of server does."""
    with socket.create_server(("127.0.0.1", port)) as server:
        server.settimeout(0.1)
        over = threading.Event()

        def serve():
            while not over.is_set():
                with contextlib.suppress(OSError), server.accept()[0] as peer:
                    peer.sendall(b"SSH-2.0-OpenSSH_9.2\r\n")

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()


def test_somebody_else_on_the_port_of_a_dead_head_ends_nobody(cluster, pool_arguments, notes, monkeypatch, capfd):
    monkeypatch.setenv("DISTRIBUTED_COMPUTING_HOME", cluster.environment("client")["DISTRIBUTED_COMPUTING_HOME"])
    head = cluster.head()
    node = cluster.node(workers=2)
    with Pool(Recorder, str(notes), *pool_arguments) as pool:
        results = pool.imap_unordered(recorder_items(8, 0.3))
        done = [next(results)]
        head.kill()
        head.wait()
        with babble(cluster.port):
            wait_until(lambda: "not a head of distributed computing" in cluster.log("node"), "the node has told of it")
        password, cluster.password = cluster.password, "of somebody else"
        stranger = cluster.start("stranger", "--head", "--workers", "0")
        wait_until(lambda: "start_node -p" in cluster.log("stranger"), "a stranger's head has the port")
        look = subprocess.run(
            [BIN / "distributed-computing", "status", "-a", "127.0.0.1", "-p", str(cluster.port)],
            env=cluster.environment("client") | {"DISTRIBUTED_COMPUTING_PASSWORD": password},
            capture_output=True,
            text=True,
        )
        assert look.returncode != 0 and "another key than before" in look.stderr, "a first contact is told, and ends"
        told = ""

        def both_were_told():
            nonlocal told
            told += capfd.readouterr().err
            return told.count("another key than before") and cluster.log("node").count("another key than before")

        wait_until(both_were_told, "node and program have met the stranger")
        assert node.poll() is None
        stranger.kill()
        stranger.wait()
        cluster.password = password
        cluster.head()
        done += results
    assert sorted(item for item, *_ in done) == list(range(8))
    assert run_counts(notes, 8) == [1] * 8, "adopted, not run again"
    assert node.poll() is None
    told += capfd.readouterr().err
    for log in (cluster.log("node"), told):
        assert log.count("another key than before") == 1, "once"


@pytest.mark.parametrize(
    ("password", "fine"),
    [
        (b"", False),
        (b"x", True),
        (b"x" * 10_240, True),
        (b"a\0b", False),
        (b"\xff\xfe\x80", True),
        ("ümlaut".encode(), True),
    ],
    ids=["empty", "one", "10KiB", "NUL", "not-utf-8", "umlaut"],
)
def test_unusual_passwords_work_or_are_refused_never_cut(cluster, tmp_path, password, fine):
    file = tmp_path / "password"
    file.write_bytes(password)
    file.chmod(0o600)
    cluster.password = ""
    arguments = ["--head", "--workers", "0", "--password-file", str(file)]
    if not fine:
        answer = subprocess.run(
            [BIN / "start_node", "-p", str(cluster.port), *arguments],
            env=cluster.environment("head"),
            capture_output=True,
            timeout=20,
        )
        assert answer.returncode in (1, 2) and b"password" in answer.stderr
        return
    cluster.start("head", *arguments)
    wait_until(lambda: "start_node -p" in cluster.log("head"), "the head listens")
    cluster.start("node", "--workers", "1", "--password-file", str(file))
    with Pool(Hostile, None, password, "127.0.0.1", cluster.port) as pool:
        assert pool.map([{"args": ["fine", 1]}]) == [1]
    for wrong in (password[:-1], password + b"x"):
        if wrong:
            with pytest.raises(AuthenticationError):
                Pool(Hostile, None, wrong, "127.0.0.1", cluster.port)
    assert os.path.exists(file)
