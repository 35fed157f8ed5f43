"""Which Redis of this machine a head uses when nobody names one, and that no port is asked for one."""

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from conftest import BIN, bare_environment, state_dir


@pytest.fixture
def tmp_path():
    """A short one: the path of a socket has room for 107 bytes."""
    directory = Path(tempfile.mkdtemp(prefix="dc-"))
    yield directory
    shutil.rmtree(directory, ignore_errors=True)


REDIS = shutil.which("redis-server") or shutil.which("valkey-server")

ALONE = """
import os, re, signal, socket, subprocess, sys, time
from pathlib import Path
from distributed_computing.api import *
from distributed_computing import redis_server
PORT, PASSWORD = int(sys.argv[1]), 'cluster-password'
STATE = Path(os.environ['DISTRIBUTED_COMPUTING_HOME']) / 'state'

def head(*arguments):
    "Start a head by the command, and end it; return what it printed."
    process = subprocess.Popen(
        [sys.argv[2], '--head', '--workers', '0', '-p', str(PORT), *arguments], stdin=subprocess.DEVNULL, text=True,
        env={**os.environ, 'DISTRIBUTED_COMPUTING_PASSWORD': PASSWORD}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    shown = ''
    while 'Named pools are kept' not in shown:
        line = process.stdout.readline()
        assert line, shown
        shown += line
    return process, shown

def stop(process):
    process.send_signal(signal.SIGINT)
    rest = process.stdout.read()
    assert process.wait(20) == 0, rest

class Worker(WorkerInterface):
    def run(self, x): return x

def keep_pool(name, port=PORT):
    pool = Pool(Worker, None, PASSWORD, server_port=port, name=name)
    pool.detach()

if __name__ == '__main__':
    subprocess.run(['ip', 'link', 'set', 'lo', 'up'], check=True)
"""


def alone(cluster, text):
    """Run a script in a network of its own, where port 6379 is free; return what it printed."""
    for tool in ("unshare", "ip"):
        if not shutil.which(tool):
            pytest.skip(f"{tool} is not installed")
    if subprocess.run(["unshare", "--net", "true"], capture_output=True).returncode != 0:
        pytest.skip("network namespaces cannot be made here")
    script = cluster.root / "script.py"
    script.write_text(ALONE + "".join(f"    {line}\n" for line in text.strip().splitlines()))
    done = subprocess.run(
        ["unshare", "--net", sys.executable, str(script), str(cluster.port), str(BIN / "start_node")],
        env=bare_environment(cluster),
        capture_output=True,
        text=True,
        timeout=100,
        stdin=subprocess.DEVNULL,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to be two users")
@pytest.mark.parametrize("user", [0, 999, 65534])
def test_a_listener_on_the_port_of_redis_gets_no_connection(cluster, user):
    shown = alone(
        cluster,
        f"""
os.setegid({user}); os.seteuid({user})
listener = socket.create_server(('127.0.0.1', 6379))
os.seteuid(0); os.setegid(0)
listener.settimeout(0)
process, shown = head()
stop(process)
print(shown)
for start in (start_server, start_head_node):
    terminate, wait = start(PASSWORD, PORT)
    terminate()
try:
    start_redis(PASSWORD)
except OSError as error:
    print('refused:', error)
try:
    listener.accept()
    print('somebody came')
except BlockingIOError:
    print('nobody came')
""",
    )
    assert "nobody came" in shown
    if REDIS:
        assert "refused: [Errno 98] port 6379 of this machine is held by another program" in shown
    # At this first start, whether an earlier version kept pools there is not known, unless it would not have used it.
    url = f"--store 'redis://:PASSWORD@127.0.0.1:6379?prefix=distributed-computing-{cluster.port}'"
    assert (url in shown) == (user != 65534)


@pytest.mark.skipif(REDIS is None, reason="redis-server is not installed")
def test_a_head_that_python_starts_has_a_redis_of_its_own_behind_a_socket(cluster):
    shown = alone(
        cluster,
        """
directory = STATE / f'head-{PORT}-redis'
terminate, wait = start_server(PASSWORD, PORT)
keep_pool('sweep-1')
keep_pool('sweep-2')
with open('/proc/net/tcp') as tcp, open('/proc/net/tcp6') as tcp6:
    listening = {int(line.split()[1].split(':')[1], 16) for line in [*tcp, *tcp6] if line.split()[3] == '0A'}
print('listening:', listening == {PORT})
own = redis_server._Server(directory, 0, PASSWORD.encode())
print('password:', own.ask()[0].split()[0])
terminate()
print('data:', (directory / 'secret').exists(), not (directory / 'redis.sock').exists())
process, shown = head()
stop(process)
print(shown)
terminate, wait = start_server(PASSWORD, PORT)
with Pool.attach('sweep-1', PASSWORD, server_port=PORT) as pool:
    print('back:', pool.name)
terminate()
""",
    )
    assert "listening: True" in shown and "password: -WRONGPASS" in shown and "data: True True" in shown
    assert "back: sweep-1" in shown
    directory = state_dir(cluster) / f"head-{cluster.port}-redis"
    assert f"the named pools 'sweep-1', 'sweep-2' of this head lie in {directory}, and are not served now" in shown


@pytest.mark.skipif(REDIS is None, reason="redis-server is not installed")
def test_pools_where_an_earlier_version_would_have_looked_are_named(cluster):
    shown = alone(
        cluster,
        """
process = start_redis(PASSWORD)
old, shown = head('--store', f'redis://:{PASSWORD}@127.0.0.1:6379?prefix=distributed-computing-{PORT}')
keep_pool('sweep-1')
keep_pool('sweep-2')
stop(old)
redis_server.stop(process)
print('--- by the command'); new, shown = head(); stop(new); print(shown)
print('--- by Python'); terminate, wait = start_server(PASSWORD, PORT); terminate()
print('--- with start_redis'); process = start_redis(PASSWORD); new, shown = head(); print(shown, flush=True)
with Pool.attach('sweep-2', PASSWORD, server_port=PORT) as pool: print('back:', pool.name)
stop(new)
print('--- beside another listener'); redis_server.stop(process)
listener = socket.create_server(('127.0.0.1', 6379)); new, shown = head(); stop(new); print(shown)
""",
    )
    parts = re.split("--- ", shown.split("--- by the command", 1)[1])
    told = shown.split("--- by the command")[1]
    directory = state_dir(cluster) / "redis-6379"
    named = f"the named pools 'sweep-1', 'sweep-2' of this head lie in {directory}, and are not served now"
    by_socket = (
        f"--store 'redis+unix://{directory}/redis.sock?prefix=distributed-computing-{cluster.port}&password=PASSWORD'"
    )
    command, with_redis, beside = parts[0], parts[2], parts[3]
    assert named in command and by_socket in command and "start_redis(PASSWORD)" in command
    assert told.count(named) >= 3  # Python passes it on, in spite of quiet=True
    assert (
        named not in with_redis and f"Redis at {directory}/redis.sock" in with_redis and "back: sweep-2" in with_redis
    )
    assert f"--store 'redis://:PASSWORD@127.0.0.1:6379?prefix=distributed-computing-{cluster.port}'" in beside


@pytest.mark.skipif(REDIS is None, reason="redis-server is not installed")
def test_the_redis_of_another_port_is_used_by_a_head_that_is_told_of_it(cluster):
    shown = alone(
        cluster,
        """
listener = socket.create_server(('127.0.0.1', 6379))
try:
    start_redis(PASSWORD)
except OSError as error:
    url = re.search("store='(redis[+]unix:[^']*)'", str(error))[1]
redis = start_redis(PASSWORD, port=6380)
process, unaware = head()
stop(process)
process, aware = head('--store', url.replace('PASSWORD', PASSWORD))
stop(process)
redis_server.stop(redis)
print(unaware, '--- told', aware)
""",
    )
    by_itself, told = shown.split("--- told")
    place = f"Redis at {state_dir(cluster) / 'redis-6380' / 'redis.sock'}"
    assert place in told and place not in by_itself


def test_a_state_directory_with_a_long_path_means_sqlite_and_that_is_said(cluster):
    place = cluster.root / ("x" * 100)
    place.mkdir()
    own = {k: v for k, v in bare_environment(cluster).items() if k != "DISTRIBUTED_COMPUTING_HOME"}
    own |= {"XDG_STATE_HOME": str(place), "XDG_RUNTIME_DIR": str(cluster.root), "DISTRIBUTED_COMPUTING_PASSWORD": "x"}
    command = [str(BIN / "start_node"), "--head", "--workers", "0", "-p", str(cluster.port)]
    with subprocess.Popen(command, env=own, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as head:
        shown = head.stdout.readline()
        while "Named pools are kept" not in shown:
            line = head.stdout.readline()
            assert line, shown
            shown += line
        head.send_signal(signal.SIGINT)
        head.stdout.read()
    assert "longer than 107 bytes" in shown and "Named pools are kept in SQLite" in shown
    script = f"from distributed_computing.api import *\nstart_server('x', {cluster.port})[0]()\n"
    told = subprocess.run([sys.executable, "-c", script], env=own, capture_output=True, text=True)
    if REDIS:
        assert "keeps named pools in SQLite: [Errno 36] the path of the server's socket has" in told.stderr, told.stderr
