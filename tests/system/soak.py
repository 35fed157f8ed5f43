"""Kills something every few seconds while jobs run, and counts: `make soak` (MINUTES=30).

Jobs of one pool run all the time; workers, nodes and the head are killed, links are reset and silenced, workers and
heads are frozen, other clients come and die. At the end every item must have given exactly one result, and the file
descriptors, the memory and the processes of head and node must be back where they were before.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path

from conftest import Cluster, rss_mib, wait_until
from distributed_computing.api import Pool
from proxy import Proxy
from workers import Recorder

NODES = ("a", "b", "c")
OTHER_CLIENT = (
    "import sys; from workers import Hostile; from distributed_computing.api import Pool\n"
    "p = Pool(Hostile, None, sys.argv[1], server_port=int(sys.argv[2])); print('open', flush=True)\n"
    "p.map([{'args': ['sleeps', 0.2]}] * 1000)"
)


def resources(pid: int) -> dict[str, float]:
    """Return what a process holds: descriptors, threads, children, and MiB of memory."""
    task = Path(f"/proc/{pid}")
    return {
        "descriptors": len(list((task / "fd").iterdir())),
        "threads": len(list((task / "task").iterdir())),
        "children": len((task / "task" / str(pid) / "children").read_text().split()),
        "MiB": round(rss_mib(pid), 1),
    }


class Soak:
    """One cluster, three nodes behind spoilable links, and whoever spoils them."""

    def __init__(self, root: Path, seed: int) -> None:
        self.cluster = Cluster(root)
        os.environ["DISTRIBUTED_COMPUTING_HOME"] = self.cluster.environment("head")["DISTRIBUTED_COMPUTING_HOME"]
        self.chance = random.Random(seed)
        self.cluster.head()
        self.links = {name: Proxy(self.cluster.port) for name in NODES}
        self.client_link = Proxy(self.cluster.port)
        for name in NODES:
            self.start_node(name)
        self.done: Counter[str] = Counter()
        self.stop = threading.Event()

    def start_node(self, name: str) -> None:
        self.cluster.start(name, "--workers", "2", port=self.links[name].port)

    def all_nodes(self) -> bool:
        return len(self.cluster.nodes()) == len(NODES)

    # --- Faults -------------------------------------------------------------------------------------------------

    def kill_worker(self) -> None:
        pids = self.cluster.worker_pids()
        if pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.chance.choice(pids), signal.SIGKILL)

    def freeze_worker(self) -> None:
        pids = self.cluster.worker_pids()
        if pids:
            pid = self.chance.choice(pids)
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGSTOP)
                self.stop.wait(2)
                os.kill(pid, signal.SIGCONT)

    def kill_node(self) -> None:
        name = self.chance.choice(NODES)
        process = self.cluster.processes[name]
        process.kill()
        process.wait()
        self.stop.wait(self.chance.choice([0, 3]))
        self.start_node(name)

    def drain_node(self) -> None:
        name = self.chance.choice(NODES)
        process = self.cluster.processes[name]
        process.terminate()
        process.wait(90)
        self.start_node(name)

    def kill_head(self) -> None:
        process = self.cluster.processes["head"]
        process.kill()
        process.wait()
        self.cluster.head()

    def freeze_head(self) -> None:
        process = self.cluster.processes["head"]
        process.send_signal(signal.SIGSTOP)
        self.stop.wait(self.chance.choice([1, 9]))
        process.send_signal(signal.SIGCONT)

    def reset_link(self) -> None:
        self.chance.choice([*self.links.values(), self.client_link]).reset()

    def silence_link(self) -> None:
        link = self.chance.choice([*self.links.values(), self.client_link])
        link.freeze(*self.chance.choice([(True, False), (False, True), (True, True)]))
        self.stop.wait(self.chance.choice([2, 8, 12]))
        link.thaw()

    def other_client(self) -> None:
        client = subprocess.Popen(
            [sys.executable, "-c", OTHER_CLIENT, self.cluster.password, str(self.cluster.port)],
            env=self.cluster.environment("client"),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        self.stop.wait(3)
        client.kill()
        client.wait()

    def spoil(self) -> None:
        faults = [
            self.kill_worker,
            self.kill_worker,
            self.freeze_worker,
            self.kill_node,
            self.drain_node,
            self.kill_head,
            self.freeze_head,
            self.reset_link,
            self.silence_link,
            self.other_client,
        ]
        while not self.stop.wait(self.chance.uniform(0.5, 3)):
            fault = self.chance.choice(faults)
            fault()
            self.done[fault.__name__] += 1

    # --- The whole ----------------------------------------------------------------------------------------------

    def figures(self) -> dict[str, dict[str, float]]:
        return {name: resources(self.cluster.processes[name].pid) for name in ("head", "a")}

    def run(self, seconds: float) -> int:
        wait_until(self.all_nodes, "all nodes are there")
        with Pool(Recorder, None, self.cluster.password, server_port=self.cluster.port) as pool:
            pool.map(range(200))
        wait_until(lambda: not self.cluster.worker_pids(), "the workers are gone")
        before = self.figures()
        results: Counter[int] = Counter()
        submitted = 0
        end = time.monotonic() + seconds
        spoiler = threading.Thread(target=self.spoil)
        # max_retries: a worker that is killed by chance is no fault of its job.
        with Pool(Recorder, None, self.cluster.password, server_port=self.client_link.port, max_retries=1000) as pool:
            spoiler.start()
            updates = 0

            def items():
                nonlocal submitted
                while time.monotonic() < end:
                    yield {"args": [submitted, 0.02]}
                    submitted += 1

            for item, _, applied in pool.imap_unordered(items()):
                results[item] += 1
                assert applied == list(range(len(applied))), "updates in order, none skipped"
                if len(results) % 500 == 0:
                    pool.update_workers(updates)
                    updates += 1
            self.stop.set()
            spoiler.join()
        for link in self.links.values():
            link.thaw()
        wait_until(self.all_nodes, "all nodes are there again", 60)
        wait_until(lambda: not self.cluster.status()["pools"], "other clients' pools are closed", 60)
        wait_until(lambda: not self.cluster.worker_pids(), "the workers are gone")
        after = self.figures()
        return self.report(seconds, submitted, results, before, after)

    def report(self, seconds: float, submitted: int, results: Counter[int], before: dict, after: dict) -> int:
        lost = [item for item in range(submitted) if item not in results]
        twice = [item for item, count in results.items() if count > 1]
        print(f"{seconds / 60:.1f} minutes, {submitted} jobs, {sum(self.done.values())} faults: {dict(self.done)}")
        print(f"lost {len(lost)}, delivered twice {len(twice)}")
        grown = []
        for name in before:
            print(f"{name}: before {before[name]}, after {after[name]}")
            limits = {"descriptors": 2, "threads": 0, "children": 0, "MiB": 20}
            grown += [
                f"{name}: {what}" for what, more in limits.items() if after[name][what] > before[name][what] + more
            ]
        print("grown: " + (", ".join(grown) or "nothing"))
        return 1 if lost or twice or grown or not submitted else 0

    def close(self) -> None:
        self.cluster.stop()
        for link in [*self.links.values(), self.client_link]:
            link.close()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    arguments = parser.parse_args()
    print(f"soak: seed {arguments.seed}", flush=True)
    with tempfile.TemporaryDirectory(prefix="soak-") as root:
        soak = Soak(Path(root), arguments.seed)
        try:
            code = soak.run(arguments.minutes * 60)
        except BaseException:
            for log in Path(root).glob("*.log"):
                print(f"--- {log.name}\n{log.read_text(errors='replace')[-3000:]}", file=sys.stderr)
            raise
        finally:
            soak.stop.set()
            soak.close()
        left = soak.cluster.leftovers()
        print("left behind: " + (", ".join(left) or "nothing"))
        return code or bool(left)


if __name__ == "__main__":
    sys.exit(main())
