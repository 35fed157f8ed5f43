"""Crowds of strangers at the port: whoever has a right to join does, and running jobs do not notice."""

import contextlib
import ctypes
import ctypes.util
import os
import resource
import socket
import ssl
import subprocess
import sys
import threading
import time

import pytest

from conftest import BIN, rss_mib, wait_until
from distributed_computing.api import Pool
from test_strangers import PROTOCOL, UPGRADE, message, tls_context
from workers import Hostile


def crowd(source, port, kind):
    """Entry point of a process: 4,000 connections, and then 500 a second until it is killed."""
    soft = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, soft))
    links = []

    def come():
        link = socket.socket()
        link.bind((source, 0))
        link.connect(("127.0.0.1", port))
        with contextlib.suppress(OSError):
            if kind == "hello":  # says as much as it can without the password, and waits
                link = tls_context().wrap_socket(link)
                link.sendall(UPGRADE)
                link.recv(4096)
                link.sendall(message([1, [PROTOCOL, "x", 0, 7, "h", 1, "p=tls-exporter,,n=dc,r=abcdefgh"]]))
            elif kind == "byte":
                link.sendall(b"\x16")
        links.append(link)

    for _ in range(4000 if kind != "hello" else 300):
        come()
    print("begun", flush=True)
    started, count = time.monotonic(), 0
    while True:
        with contextlib.suppress(OSError):
            come()
        if len(links) > 4500:
            links.pop(0).close()
        count += 1
        time.sleep(max(0, started + count / 500 - time.monotonic()))


@contextlib.contextmanager
def flooded(cluster, source, kind):
    process = subprocess.Popen(
        [sys.executable, "-c", f"import test_crowds as t; t.crowd({source!r}, {cluster.port}, {kind!r})"],
        env=cluster.environment("client"),
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout.readline() == "begun\n"
        yield process
        assert process.poll() is None
    finally:
        process.kill()
        process.wait()


def look(cluster):
    """Ask for the status as a peer of another machine would, through the port; return the seconds that it took."""
    started = time.monotonic()
    while True:
        answer = subprocess.run(
            [BIN / "distributed-computing", "status", "-a", "127.0.0.1", "-p", str(cluster.port)],
            env=cluster.environment("looker"),
            capture_output=True,
            text=True,
        )
        if answer.returncode == 0:
            return time.monotonic() - started
        assert "broke the connection off" in answer.stderr and time.monotonic() - started < 20, answer.stderr


@pytest.mark.parametrize(
    ("source", "kind", "files", "target"),
    [
        ("127.0.0.2", "idle", None, 2),
        ("127.0.0.2", "idle", 256, 2),
        ("127.0.0.1", "idle", None, 10),
        ("127.0.0.1", "idle", 256, 10),
        ("127.0.0.2", "byte", 256, 2),
        ("127.0.0.1", "byte", None, 10),
        ("127.0.0.2", "hello", None, 2),
        ("127.0.0.1", "hello", 256, 10),
    ],
)
def test_a_crowd_keeps_nobody_out(cluster, pool_arguments, measured, source, kind, files, target):
    limit = files and (lambda _: resource.setrlimit(resource.RLIMIT_NOFILE, (files, files)))
    head = cluster.start("head", "--head", "--workers", "0", in_group=limit)
    wait_until(lambda: "start_node -p" in cluster.log("head"), "the head listens")
    with flooded(cluster, source, kind):
        where = "the same address" if source == "127.0.0.1" else "another address"
        name = f"4,000 strangers ({kind}), then 500 a second, {files or 'all'} files; joined from {where}"
        measured(name, max(look(cluster) for _ in range(5)), target)
        before = rss_mib(head.pid)
        with Pool(Hostile, None, *pool_arguments) as pool:
            started = time.monotonic()
            cluster.start("node", "-a", "127.0.0.1", "--workers", "2")
            pool.wait_for_workers(2, 30)
            measured("the same, a node with its workers", time.monotonic() - started, target + 5)
            assert pool.map([{"args": ["fine", i]} for i in range(100)]) == list(range(100))
        assert rss_mib(head.pid) - before < 64
    log = cluster.log("head")
    assert "Too many open files" not in log and "no descriptor left" not in log
    assert log.count("had to make room") <= 2, "told, but not a line for each"


def prepared_key_updates(port, count):
    """Open a TLS connection; return it with `count` records ready to be sent, each of which wants new keys."""
    lib = ctypes.CDLL(ctypes.util.find_library("ssl") or "libssl.so.3")
    for name in ("TLS_client_method", "SSL_CTX_new", "SSL_new", "BIO_new", "BIO_s_mem"):
        getattr(lib, name).restype = ctypes.c_void_p
    pointer = ctypes.c_void_p
    context = pointer(lib.SSL_CTX_new(pointer(lib.TLS_client_method())))
    tls = pointer(lib.SSL_new(context))
    into, out = (pointer(lib.BIO_new(pointer(lib.BIO_s_mem()))) for _ in range(2))
    lib.SSL_set_bio(tls, into, out)
    lib.SSL_set_connect_state(tls)
    piece = ctypes.create_string_buffer(1 << 20)

    def said():
        size = lib.BIO_read(out, piece, len(piece))
        return piece.raw[: max(size, 0)]

    link = socket.create_connection(("127.0.0.1", port))
    while lib.SSL_do_handshake(tls) != 1:
        link.sendall(said())
        answer = link.recv(1 << 16)
        assert answer
        lib.BIO_write(into, answer, len(answer))
    finished = said()
    for _ in range(count):
        assert lib.SSL_key_update(tls, 1) == 1
        lib.SSL_do_handshake(tls)
    return link, finished + said()


def test_prepared_key_updates_hold_up_no_job(cluster, pool_arguments, measured):
    cluster.head()
    cluster.node(workers=1)
    with Pool(Hostile, None, *pool_arguments) as pool:
        pool.wait_for_workers(1, 30)

        def slowest(seconds):
            most, end = 0.0, time.monotonic() + seconds
            while time.monotonic() < end:
                started = time.monotonic()
                pool.map([{"args": ["fine", 1]}])
                most = max(most, time.monotonic() - started)
            return most

        slowest(0.5)
        prepared = [prepared_key_updates(cluster.port, 3000) for _ in range(30)]
        assert sum(len(records) for _, records in prepared) > 30 * 3000 * 20

        def attack():
            for link, records in prepared:
                link.setblocking(False)
                with contextlib.suppress(OSError):
                    link.send(records)

        thread = threading.Thread(target=attack)
        thread.start()
        measured("30 strangers with 3,000 key updates each: the slowest job", slowest(2), 0.2)
        thread.join()
        for link, _ in prepared:
            link.setblocking(True)
            link.settimeout(5)
            with contextlib.suppress(ConnectionError):
                while link.recv(1 << 16):
                    pass
            link.close()
    assert "lost the head" not in cluster.log("node")


def test_a_flood_of_handshakes_holds_up_no_job(cluster, pool_arguments, measured):
    cluster.head()
    cluster.node(workers=1)
    over = threading.Event()
    hello = client_hello()
    links = []

    def attack():  # one prepared greeting again and again: it costs the head a key exchange and a signature each
        while not over.is_set():
            link = socket.socket()
            link.bind(("127.0.0.2", 0))
            with contextlib.suppress(OSError):
                link.connect(("127.0.0.1", cluster.port))
                link.send(hello)
            links.append(link)
            if len(links) > 600:
                links.pop(0).close()

    with Pool(Hostile, None, *pool_arguments) as pool:
        pool.wait_for_workers(1, 30)
        thread = threading.Thread(target=attack)
        thread.start()
        most, end = 0.0, time.monotonic() + 4
        while time.monotonic() < end:
            started = time.monotonic()
            pool.map([{"args": ["fine", 1]}])
            most = max(most, time.monotonic() - started)
            time.sleep(0.01)
        joined = look(cluster)
        over.set()
        thread.join()
    measured("a flood of TLS handshakes: the slowest job", most, 0.5)
    measured("a flood of TLS handshakes: joined from another address", joined, 2)
    for link in links:
        link.close()


def client_hello():
    """Return the first record that a client of TLS sends."""
    into, out = ssl.MemoryBIO(), ssl.MemoryBIO()
    with contextlib.suppress(ssl.SSLWantReadError):
        tls_context().wrap_bio(into, out).do_handshake()
    return out.read()


def test_a_head_without_descriptors_says_so_and_keeps_its_store(cluster, pool_arguments):
    head = cluster.start(
        "head",
        *("--head", "--workers", "0"),
        in_group=lambda _: resource.setrlimit(resource.RLIMIT_NOFILE, (96, 96)),
    )
    wait_until(lambda: "start_node -p" in cluster.log("head"), "the head listens")
    files = f"/proc/{head.pid}/fd"
    with contextlib.ExitStack() as stack:
        pools = []
        while "no descriptor left" not in cluster.log("head"):
            assert len(pools) < 96, f"{len(os.listdir(files))} files"
            pool = Pool(Hostile, None, *pool_arguments, connect_timeout=2) if len(pools) < 5 else None
            if pool:
                pools.append(stack.enter_context(pool))
            else:
                pools.append(stack.enter_context(session(cluster)))
        with Pool(Hostile, None, *pool_arguments, name="kept") as named:
            assert named is not None
    assert len(os.listdir(files)) <= 96


@contextlib.contextmanager
def session(cluster):
    """One more client through the port."""
    process = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import sys\nfrom distributed_computing.api import Pool\nfrom workers import Hostile\n"
            f"p = Pool(Hostile, None, {cluster.password!r}, '127.0.0.1', {cluster.port})\nprint('open', flush=True)\n"
            "sys.stdin.read()",
        ],
        env=cluster.environment("client"),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    try:
        process.stdout.readline()
        yield process
    finally:
        process.kill()
        process.wait()
