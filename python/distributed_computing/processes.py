"""Starting heads, nodes and Redis from Python: the same commands as on the shell, as child processes."""

from __future__ import annotations

import atexit
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from distributed_computing import _output, _paths, redis_server
from distributed_computing._command_options import advice, command_words
from distributed_computing._hints import explained
from distributed_computing._options import password_bytes
from distributed_computing.errors import AuthenticationError, DistributedComputingError
from distributed_computing.pool import DEFAULT_PORT
from distributed_computing.redis_server import REDIS_PORT

_START_DEADLINE_S = 30.0
_STOP_DEADLINE_S = 70.0
_KEPT_LINES = 1000  # also a verbose process has not said more between two looks

Functions = tuple[Callable[[], None], Callable[[], int]]


def _command(name: str) -> str:
    beside = Path(sys.executable).parent / name
    found = str(beside) if beside.exists() else shutil.which(name)
    if found is None:
        raise FileNotFoundError(
            f"the command {name} is neither beside {sys.executable} nor on PATH: install distributed-computing into this "
            "environment"
        )
    return found


def _of_pools_elsewhere(line: str) -> bool:
    """Tell whether a line of a head names a store that it does not use: a choice that is the user's."""
    return " head warning: " in line and " --store " in line


class _Process:
    """A start_node process with its output, which is passed on and remembered for error messages."""

    def __init__(
        self, arguments: list[str], password: str | bytes, quiet: bool, store: str | None = None, tells: bool = False
    ) -> None:
        """Start it. `tells`: it must say what it does, whatever the environment's DISTRIBUTED_COMPUTING_LOG is."""
        # Not as arguments, which all users of this machine can see.
        environment = {**os.environb, b"DISTRIBUTED_COMPUTING_PASSWORD": password_bytes(password)}
        if tells and environment.get(b"DISTRIBUTED_COMPUTING_LOG") != b"debug":
            environment[b"DISTRIBUTED_COMPUTING_LOG"] = b"info"
        if store:
            environment[b"DISTRIBUTED_COMPUTING_STORE"] = store.encode()
        self.output: list[str] = []
        self._quiet = quiet
        self.popen = subprocess.Popen(
            [_command("start_node"), "--until-stdin-ends", *arguments],
            env=environment,
            stdin=subprocess.PIPE,  # held open: however this program dies, the process goes with it
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,  # Ctrl-C in the script does not end it: terminate() does
        )
        self._reader = threading.Thread(target=self._read, name="start_node-output", daemon=True)
        self._reader.start()
        atexit.register(self.terminate)

    def _read(self) -> None:
        assert self.popen.stdout is not None
        for line in self.popen.stdout:
            self.output.append(line)
            del self.output[:-_KEPT_LINES]
            if not self._quiet or _of_pools_elsewhere(line):
                _output.show(line)

    def wait_until(self, ready: Callable[[], bool], what: str) -> bool:
        """Wait until `ready`; return False when the process ended peacefully before. Raise when it failed."""
        deadline = time.monotonic() + _START_DEADLINE_S
        while not ready():
            code = self.popen.poll()
            if code is not None:
                self._reader.join(2)
                text = "".join(self.output[-50:]).strip()
                if code == 0:
                    return False
                error = {3: AuthenticationError, 4: OSError}.get(code, DistributedComputingError)
                raise error(f"{what} did not start (exit code {code}): {text}")
            if time.monotonic() > deadline:
                self.terminate()
                raise DistributedComputingError(f"{what} did not start within {_START_DEADLINE_S:.0f} s")
            time.sleep(0.02)
        return True

    def terminate(self) -> None:
        atexit.unregister(self.terminate)
        if self.popen.poll() is None:
            self.popen.send_signal(signal.SIGINT)
            try:
                self.popen.wait(_STOP_DEADLINE_S)
            except subprocess.TimeoutExpired:
                self.popen.kill()
        self.popen.wait()

    def functions(self, violent_exit: bool) -> Functions:
        def wait() -> int:
            code = self.popen.wait()
            if violent_exit and code == -signal.SIGKILL:
                sys.exit(1)
            return code

        return self.terminate, wait


@explained("write start_node('PASSWORD', 'HOST')", advice("start_node"))
def start_node(
    password: str,
    address: str | Sequence[str] = "localhost",
    port: int = DEFAULT_PORT,
    violent_exit: bool = True,
    *,
    workers: int | None = None,
    python: str | None = sys.executable,
    drain_timeout: float | None = None,
    head_timeout: float | str | None = None,
    name: str | None = None,
    if_none: bool = True,
    fingerprint: str | Sequence[str] | None = None,
    gpus: str | Sequence[int | str] | None = None,
    max_gpus: int | None = None,
    exclude_gpus: str | Sequence[int | str] | None = None,
    workers_per_gpu: int | None = None,
    affinity: bool = True,
    verbose: bool = False,
    quiet: bool = True,
) -> Functions:
    """Start a node on this machine. When one is running already, this does nothing, peacefully.

    Args:
        password: of the head.
        address: of the head; this machine if not given. Or several, where a standby may take over.
        port: of the head.
        violent_exit: whether `wait` ends this program with ``sys.exit(1)`` when the node was killed by SIGKILL.
        workers: slots of the node, over its GPUs in turns; None: one per GPU, else one per core.
        python: interpreter of the workers.
        drain_timeout: seconds, rounded up to whole ones, that running jobs may go on after SIGTERM.
        head_timeout: seconds, rounded up too, after which the node leaves when its head has ended in order and no other
            has come, or "never"; None: never, or in a job of a batch system (Slurm, PBS, LSF) 120.
        name: of this node beside others on this machine; None: the one without a name, or in a job of a batch system the
            one of this program's place in it.
        if_none: whether it is fine when this node, by its name, runs already; a node without a name always may.
        fingerprint: of the head's key, as the head shows it; None: the key that was seen first at this address.
        gpus: the GPUs to use: indices as nvidia-smi counts, "0:1" for a MIG instance, UUIDs; an empty list: none; None:
            all that the environment lets this program see (CUDA_VISIBLE_DEVICES, ROCR_VISIBLE_DEVICES).
        max_gpus: use no more than so many of them.
        exclude_gpus: GPUs to leave alone.
        workers_per_gpu: slots on each GPU; None: one.
        affinity: whether workers run on the cores near their GPU only.
        verbose: whether the node says more, which is seen with ``quiet=False``.
        quiet: whether to keep the node's output from stderr.

    Returns:
        (terminate, wait): a function that ends the node, and one that waits for its end and returns its exit code.

    Raises:
        TypeError, ValueError: an argument is not as described.
        AuthenticationError: the head refused the password or the version.
        DistributedComputingError: the node did not start; the message holds what it printed.
    """
    arguments = command_words("start_node", locals())
    process = _Process(arguments, password, quiet)
    pid = process.popen.pid
    process.wait_until(lambda: any(node.get("pid") == pid for node in _paths.nodes()), "the node")
    return process.functions(violent_exit)


@explained("write start_server('PASSWORD')", advice("start_server"))
def start_server(
    password: str,
    port: int = DEFAULT_PORT,
    *,
    bind: str | Sequence[str] | None = None,
    store: str | None = None,
    durability: str | None = None,
    standby: bool = False,
    pool_bytes_max: int | str | None = None,
    pools_max: int | None = None,
    key_ttl: float | str | None = None,
    verbose: bool = False,
    quiet: bool = True,
) -> Functions:
    """Start a head without a node on this machine. Returns (terminate, wait) as :func:`start_node` does.

    Args:
        password: of the cluster.
        port: to listen on.
        bind: address to listen on, or several; None: all of this machine's.
        store: where named pools are kept, as ``start_node --store`` takes it; no process title shows it. None: what
            DISTRIBUTED_COMPUTING_STORE names; else the Redis of :func:`start_redis`, where it runs and takes the password;
            else a Redis for this head alone, on a Unix socket and with a secret of its own, which ends with this program,
            where redis-server is installed (not for a standby); else a SQLite file.
        durability: "always": what was accepted survives the loss of power; "interval": it survives the end of the head, and
            the loss of power takes at most the last second. None: "always".
        standby: whether to wait until the head that has the store is gone, and to take over then. The function returns when
            this head has seen the other one, or has found the store free and serves.
        pool_bytes_max: what one named pool may keep in the store, in bytes or as a text such as "512M" or "20G" (units of
            1024): arguments of jobs without an outcome, outcomes that nobody has taken, values of keys. Jobs beyond that
            end in NotStored. None or 0: no limit.
        pools_max: how many named pools there may be at once; None: 1000; 0: no limit.
        key_ttl: so long after it came the value of a key is forgotten, in seconds (rounded up to whole ones) or as a text
            such as "90s", "15m", "12h" or "7d", by the clock on the wall. None or 0: never.
        verbose: whether the head says more, which is seen with ``quiet=False``.
        quiet: whether to keep its output from stderr.

    Raises:
        TypeError, ValueError: an argument is not as described; the port is 0, or none at all.
        OSError: the port is in use, or a head runs there already.
        DistributedComputingError: the head did not start; the message holds what it printed.
    """
    arguments = ["--workers=0", *command_words("start_server", locals())]
    return _start_head(arguments, password, port, store, standby, quiet)


@explained("write start_head_node('PASSWORD')", advice("start_head_node"))
def start_head_node(
    password: str,
    port: int = DEFAULT_PORT,
    *,
    workers: int | None = None,
    python: str | None = sys.executable,
    bind: str | Sequence[str] | None = None,
    drain_timeout: float | None = None,
    head_timeout: float | str | None = None,
    name: str | None = None,
    gpus: str | Sequence[int | str] | None = None,
    max_gpus: int | None = None,
    exclude_gpus: str | Sequence[int | str] | None = None,
    workers_per_gpu: int | None = None,
    affinity: bool = True,
    store: str | None = None,
    durability: str | None = None,
    standby: bool = False,
    pool_bytes_max: int | str | None = None,
    pools_max: int | None = None,
    key_ttl: float | str | None = None,
    verbose: bool = False,
    quiet: bool = True,
) -> Functions:
    """Start a head and a node on this machine. Returns (terminate, wait), for both.

    Args:
        password: of the cluster.
        port: to listen on.
        workers: slots of the node, over its GPUs in turns; None: one per GPU, else one per core; 0: no node.
        python: interpreter of the workers.
        drain_timeout, head_timeout, name: of the node, as in :func:`start_node`.
        gpus, max_gpus, exclude_gpus, workers_per_gpu, affinity: of the node, as in :func:`start_node`.
        bind, store, durability: of the head, as in :func:`start_server`.
        standby: as in :func:`start_server`; the node starts when this head takes over.
        pool_bytes_max, pools_max, key_ttl: of the head, as in :func:`start_server`.
        verbose: whether they say more, which is seen with ``quiet=False``.
        quiet: whether to keep their output from stderr.

    Raises:
        TypeError, ValueError: an argument is not as described; the port is 0, or none at all.
        OSError: the port is in use, or a head runs there already.
        DistributedComputingError: head or node did not start; the message holds what they printed.
    """
    arguments = command_words("start_head_node", locals())
    return _start_head(arguments, password, port, store, standby, quiet, workers != 0, name)


def _own_redis(password: str, head_port: int) -> subprocess.Popen[bytes] | None:
    """Start a Redis for this program's head, which finds it by itself, unless that of start_redis() is there, or none is
    installed."""
    if redis_server.runs(password):
        return None
    try:
        return redis_server.start_for_head(head_port)
    except FileNotFoundError:
        return None
    except OSError as error:
        _output.show(f"distributed-computing: the head keeps named pools in SQLite: {error}\n")
        return None


def _start_head(
    arguments: list[str],
    password: str,
    port: int,
    store: str | None,
    standby: bool,
    quiet: bool,
    with_node: bool = False,
    node: str | None = None,
) -> Functions:
    """Start a head, and wait until it serves (with its node of this name), or as a standby waits for another one."""
    store = store or os.environ.get("DISTRIBUTED_COMPUTING_STORE")
    redis = None if store or standby else _own_redis(password, port)

    def says(text: str) -> bool:
        return any(text in line for line in list(process.output))

    def node_runs() -> bool:
        return any(node is None or found.get("name") == node for found in _paths.nodes())

    try:
        process = _Process(["--head", *arguments], password, quiet, store, tells=standby)
        process.wait_until(lambda: says("start_node -p") or (standby and says("standby: ")), "the head")
        if with_node and says("start_node -p"):
            process.wait_until(node_runs, "the head's node")
    except BaseException:
        if redis:
            redis_server.stop(redis)
        raise
    terminate, wait = process.functions(violent_exit=False)

    def terminate_both() -> None:
        terminate()
        if redis:
            redis_server.stop(redis)

    return terminate_both, wait


def is_server_running() -> bool:
    """Return whether a head is running on this machine (for this user)."""
    return any(_paths.owner(path) is not None for path in _paths.run_dir().glob("head-*.json"))


def is_client_running() -> bool:
    """Return whether a node is running on this machine (for this user)."""
    return bool(_paths.nodes())


@explained("write start_redis('PASSWORD')", {})
def start_redis(password: str, port: int = REDIS_PORT) -> subprocess.Popen[bytes] | None:
    """Start a private Redis (or Valkey) server on this machine, at the loopback address, protected by the password. Its data
    are kept in the state directory, over restarts. It goes on when this program ends, until its process is terminated.

    It also listens on a Unix socket in the state directory, through which heads on this machine find and use the server of
    port 6379. One of another port they use only if it is named, ``store="redis+unix://STATE/redis-PORT/redis.sock?
    password=PASSWORD"`` in one line, with the state directory (usually ``~/.local/state/distributed-computing``) for STATE.

    A password on a port of the loopback address is a weaker lock than a head's: every user of this machine can try passwords
    there, some hundred thousand a second, and a program that sends it the password sends it in clear text. Choose a long
    random one, or use :func:`start_server` or :func:`start_head_node`, whose server has a secret of its own and no port.

    Args:
        password: that it shall ask for.
        port: to listen on; with another than 6379, name the server to the head, as above.

    Returns:
        The process, or None when this user's server that takes this password is running there already.

    Raises:
        FileNotFoundError: neither redis-server nor valkey-server is installed.
        OSError: something else holds the port, to which nothing is sent; or the user's own server there has another
            password; or the server did not start. The message says which, and what to write.
    """
    return redis_server.start(password, port)
