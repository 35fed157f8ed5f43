"""What only a real NVIDIA GPU can show: `make test-gpu` runs this.

Real heads, nodes and workers on this machine; NVML and the CUDA driver are asked by ways of the test's own (devices.py). A
check that cannot be made here is skipped with its reason; without a GPU all of them are. Exit status: 0 nothing failed.
"""

from __future__ import annotations

import contextlib
import io
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
# Nodes and workers import from here too.
os.environ["PYTHONPATH"] = os.pathsep.join([str(HERE), os.environ.get("PYTHONPATH", "")]).rstrip(os.pathsep)
sys.path[:0] = [str(HERE), str(ROOT / "tests" / "system")]

from devices import Card, Missing, Nvml  # noqa: E402

from conftest import Cluster, wait_until  # noqa: E402
from distributed_computing.api import JobError, NoSuitableDevice, Pool, WorkerInterface  # noqa: E402


class Skipped(Exception):
    """The check cannot be made here; the text says why."""


class Looker(WorkerInterface):
    """Tells what it sees."""

    def run(self):
        from devices import Cuda

        time.sleep(0.5)  # so that every worker gets a job
        return os.environ.get("CUDA_VISIBLE_DEVICES"), Cuda().uuids()


class Holder(WorkerInterface):
    """Takes memory of its GPU when it is built."""

    def __init__(self, mebibytes):
        from devices import Cuda

        cuda = Cuda()
        self.free_before = cuda.use_first()
        cuda.take(mebibytes)

    def run(self):
        return os.getpid(), self.free_before


class Spoiler(WorkerInterface):
    """Takes a little memory in each job; in one of them a kernel fails."""

    def __init__(self):
        from devices import Cuda

        self.cuda = Cuda()
        self.cuda.use_first()

    def run(self, spoils):
        if spoils:
            self.cuda.run_a_kernel_that_fails()
        self.cuda.take(1)
        return os.getpid()


@contextlib.contextmanager
def cluster_of(*arguments: str) -> Iterator[tuple[Cluster, list[dict[str, Any]]]]:
    """A head and a node with its GPUs; gives the cluster and the node's slots."""
    with tempfile.TemporaryDirectory(prefix="dc-gpu-") as directory:
        cluster = Cluster(Path(directory))
        # This process is the client, on the head's machine so to speak.
        os.environ["DISTRIBUTED_COMPUTING_HOME"] = cluster.environment("head")["DISTRIBUTED_COMPUTING_HOME"]
        try:
            cluster.head()
            cluster.start("node", *arguments)
            slots = wait_until(lambda: [s for node in cluster.nodes() for s in node["slots"]], "the node has joined")
            yield cluster, slots
        except Skipped:
            raise
        except BaseException:
            print("\n".join(f"  | {line}" for line in cluster.log("node").splitlines()[-15:]))
            raise
        finally:
            cluster.stop()
            assert not cluster.leftovers(), cluster.leftovers()


def pool_of(cluster: Cluster, worker_class: type, init_data: Any = None, **options: Any) -> Pool:
    return Pool(worker_class, init_data, cluster.password, "localhost", cluster.port, **options)


def bare(uuid: str) -> str:
    return uuid.split("-", 1)[1]


def one_card(nvml: Nvml, slots: list[dict[str, Any]]) -> Card:
    assert len(slots) == 1 and slots[0]["gpu"], f"one slot with a GPU was to be expected, not {slots}"
    return nvml.card(slots[0]["gpu"])


# --- The checks -------------------------------------------------------------------------------------------------


def check_inventory(nvml: Nvml) -> str:
    """The node's slots are the cards that NVML knows, each once, with their memory."""
    known = {card.uuid: card for card in nvml.cards()}
    with cluster_of() as (_, slots):
        mine = [slot["gpu"] for slot in slots]
        masked = "CUDA_VISIBLE_DEVICES" in os.environ
        assert len(set(mine)) == len(mine), f"a card has two slots: {mine}"
        assert set(mine) <= set(known) if masked else set(mine) == set(known), f"slots {mine}, cards {list(known)}"
        for slot in slots:
            assert slot["gpu_memory_mib"] == known[slot["gpu"]].total, (slot, known[slot["gpu"]])
        return ", ".join(f"{known[uuid].name} {uuid} with {known[uuid].total} MiB" for uuid in mine)


def check_isolation(nvml: Nvml) -> str:
    """A worker sees one device, and that is the one which its slot says."""
    with cluster_of() as (cluster, slots), pool_of(cluster, Looker, device="gpu") as pool:
        pool.wait_for_workers(len(slots), timeout=60)
        seen = pool.map([{"args": []}] * (3 * len(slots)))
        for mask, uuids in seen:
            assert len(uuids) == 1 and mask and bare(mask) == uuids[0], f"mask {mask}, in sight {uuids}"
        assigned = {slot["gpu"] for slot in slots}
        assert {mask for mask, _ in seen} == assigned, f"seen {seen}, assigned {assigned}"
        return f"{len(slots)} workers, {len(assigned)} cards, each sees its own alone"


def check_too_large_a_wish(nvml: Nvml) -> str:
    """More memory than any card has: an error with a list of the cards."""
    with cluster_of() as (cluster, _), pool_of(cluster, Looker, min_gpu_memory_required="100TB") as pool:
        try:
            pool.wait_for_workers(1, timeout=30)
        except NoSuitableDevice as error:
            assert nvml.cards()[0].name in str(error), error
            return str(error).splitlines()[-1].strip()
    raise AssertionError("it has workers")


def check_memory_gate(nvml: Nvml) -> str:
    """A card that a stranger fills is not used; the pool says who holds it; it is used once it is free."""
    with cluster_of("--max-gpus", "1") as (cluster, slots):
        card = one_card(nvml, slots)
        if card.used > card.total // 4:
            raise Skipped(f"{card.used} of {card.total} MiB are in use already")
        stranger = subprocess.Popen(
            [sys.executable, str(HERE / "devices.py"), str(card.total * 6 // 10)],
            env={**os.environ, "CUDA_VISIBLE_DEVICES": card.uuid},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        said = io.StringIO()
        try:
            assert stranger.stdout and stranger.stdout.readline() == "taken\n"
            wait_until(lambda: cluster.nodes()[0]["slots"][0]["trouble"], "the node sees the stranger")
            listed = stranger.pid in nvml.card(card.uuid).pids
            with (
                contextlib.redirect_stderr(said),
                pool_of(cluster, Looker, min_gpu_memory_required=card.total // 2) as pool,
            ):
                future = pool.submit()
                wait_until(lambda: "a slot waits" in said.getvalue(), "the client is told that the slot waits")
                assert pool.get_workers_count() == 0 and not future.done()
                assert not listed or f"pid {stranger.pid}" in said.getvalue(), said.getvalue()
                stranger.communicate("")  # its standard input ends, and so does it
                mask, uuids = future.result(60)
                assert mask == card.uuid and len(uuids) == 1
        finally:
            stranger.kill()
            stranger.wait()
        note = "" if listed else " (NVML shows no processes here: the holder's name was not looked for)"
        return next(line for line in said.getvalue().splitlines() if "a slot waits" in line) + note


def check_memory_back(nvml: Nvml) -> str:
    """After a worker is killed the next one starts when the card's memory is back, and finds it free."""
    with cluster_of("--max-gpus", "1") as (cluster, slots):
        card = one_card(nvml, slots)
        if card.used > card.total // 4:
            raise Skipped(f"{card.used} of {card.total} MiB are in use already")
        with pool_of(cluster, Holder, {"args": [card.total * 6 // 10]}, device="gpu") as pool:
            first, free_at_first = pool.submit().result(60)
            assert nvml.card(card.uuid).used > card.total // 2
            killed_at = time.monotonic()
            os.kill(first, signal.SIGKILL)
            wait_until(lambda: first not in cluster.worker_pids(), "the dead worker is noticed")
            second, free_at_second = pool.submit().result(60)
            seconds = time.monotonic() - killed_at
            assert second != first
            assert free_at_second > free_at_first - card.total // 20, (free_at_first, free_at_second)
        wait_until(lambda: nvml.card(card.uuid).used < card.used + 300, "the memory is back after the pool has closed")
        return f"works again {seconds:.2f} s after the kill, with {free_at_second} of {free_at_first} MiB free"


def check_failed_kernel(nvml: Nvml) -> str:
    """A kernel that fails costs its own job alone: CUDA is dead in that worker, and another takes its place."""
    spoils = [number in (5, 6, 15) for number in range(20)]
    said = io.StringIO()
    with (
        contextlib.redirect_stderr(said),
        cluster_of("--max-gpus", "1") as (cluster, _),
        pool_of(cluster, Spoiler, device="gpu") as pool,
    ):
        futures = [pool.submit(spoil) for spoil in spoils]
        errors = [future.exception(60) for future in futures]
        pids = [future.result() for future, error in zip(futures, errors, strict=True) if not error]
        assert [bool(error) for error in errors] == spoils, [str(error) for error in errors]
        assert all(isinstance(error, JobError) for error in errors if error), errors
        assert len(set(pids)) == 3, f"one worker, then one after 5 and 6, one after 15, not {pids}"
    return next(line for line in said.getvalue().splitlines() if "ended with exit status" in line)


def run_example(command: list[str], cluster: Cluster) -> subprocess.CompletedProcess[str]:
    full = [*command, "-", "localhost", str(cluster.port)]
    return subprocess.run(full, env=cluster.environment("head"), capture_output=True, text=True, timeout=300)


def built_mandelbrot() -> str:
    """Build examples/cuda against the library of build/dev; return the program. MANDELBROT names one that is built."""
    if ready := os.environ.get("MANDELBROT"):
        return ready
    nvcc = shutil.which("nvcc") or shutil.which("nvcc", path="/usr/local/cuda/bin")
    if not nvcc:
        raise Skipped("there is no nvcc on PATH or in /usr/local/cuda/bin, and MANDELBROT names no program")
    if not (ROOT / "build" / "dev" / "CMakeCache.txt").exists():
        raise Skipped("build/dev is not there: make build")
    prefix, build = ROOT / "build" / "prefix", ROOT / "build" / "cuda"
    for command in (
        ["cmake", "--install", "build/dev", "--component", "cpp", "--prefix", prefix],
        ["cmake", "-S", "examples/cuda", "-B", build, f"-DCMAKE_PREFIX_PATH={prefix}", f"-DCMAKE_CUDA_COMPILER={nvcc}"],
        ["cmake", "--build", build],
    ):
        done = subprocess.run([str(part) for part in command], cwd=ROOT, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
    return str(build / "mandelbrot")


def check_cuda_example(nvml: Nvml) -> str:
    """examples/cuda: tiles of the Mandelbrot set, equal to the CPU's."""
    program = built_mandelbrot()
    with cluster_of() as (cluster, slots):
        done = run_example([program], cluster)
        assert done.returncode == 0, done.stdout + done.stderr
        assert "0 pixels differ" in done.stdout, done.stdout
        assert any(bare(slot["gpu"]) in done.stdout or slot["gpu"].startswith("MIG") for slot in slots), done.stdout
        return "; ".join(done.stdout.splitlines())


def check_torch_example(nvml: Nvml) -> str:
    """examples/torch: small models, trained on the GPUs."""
    with cluster_of() as (cluster, slots):
        done = run_example([sys.executable, str(ROOT / "examples" / "torch" / "train.py")], cluster)
        if done.returncode == 2:
            raise Skipped(done.stderr.splitlines()[0])
        assert done.returncode == 0, done.stdout + done.stderr
        assert "models by CPU" not in done.stdout, done.stdout
        assert any(slot["gpu"] in done.stdout for slot in slots), done.stdout
        return "; ".join(done.stdout.splitlines())


CHECKS: list[Callable[[Nvml], str]] = [
    check_inventory,
    check_isolation,
    check_too_large_a_wish,
    check_memory_gate,
    check_memory_back,
    check_failed_kernel,
    check_cuda_example,
    check_torch_example,
]


def main() -> int:
    """Run all checks, or those whose names hold one of the arguments."""
    try:
        nvml = Nvml()
        if not nvml.cards():
            raise Missing("the driver knows no GPU")
    except Missing as missing:
        print(f"skipped: no NVIDIA GPU that could be used: {missing}")
        return 0
    wanted = [check for check in CHECKS if not sys.argv[1:] or any(part in check.__name__ for part in sys.argv[1:])]
    counts = {"passed": 0, "failed": 0, "skipped": 0}
    for check in wanted:
        name = check.__name__.removeprefix("check_").replace("_", " ")
        try:
            result, text = "passed", check(nvml)
        except Skipped as skipped:
            result, text = "skipped", str(skipped)
        except BaseException as error:
            if isinstance(error, KeyboardInterrupt):
                raise
            result, text = "failed", "".join(traceback.format_exception(error)).rstrip()
        counts[result] += 1
        print(f"{result}: {name}: {text}", flush=True)
    print(", ".join(f"{count} {result}" for result, count in counts.items()))
    return 1 if counts["failed"] else 0


if __name__ == "__main__":
    sys.exit(main())
