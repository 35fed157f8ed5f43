"""The file that drives the stand-in for NVIDIA's management library, and worker classes that look at their GPUs."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

from distributed_computing.api import WorkerInterface

LIBRARY = Path(__file__).resolve().parents[2] / "build/dev/tests/standins/libfake_nvml.so"
MEMORY_MIB = 10000


class Cards:
    """GPUs of a machine that has none. Each change is written at once, and seen by running nodes."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.gpus: dict[str, dict[str, object]] = {}
        self.instances: list[str] = []
        self.more: list[str] = []

    def add(self, count: int, **facts: object) -> Cards:
        for number in range(len(self.gpus), len(self.gpus) + count):
            pci = f"0000:{number + 1:02x}:00.0"
            self.gpus[f"GPU-{number}aaa"] = {"name": "Fake_A100", "memory": MEMORY_MIB, "used": 0, "pci": pci, **facts}
        return self.write()

    def change(self, uuid: str, **facts: object) -> None:
        self.gpus[uuid].update(facts)
        self.write()

    def restore(self, uuid: str, *names: str) -> None:
        for name in names:
            self.gpus[uuid].pop(name, None)
        self.write()

    def say(self, *lines: str) -> None:
        """Set the further lines: processes, calls that fail or hang."""
        self.more = list(lines)
        self.write()

    def write(self) -> Cards:
        lines = [f"gpu {uuid} " + " ".join(f"{k}={v}" for k, v in facts.items()) for uuid, facts in self.gpus.items()]
        new = self.file.with_suffix(".new")
        new.write_text("\n".join(["driver 550.0", *lines, *self.instances, *self.more]) + "\n")
        new.rename(self.file)
        return self

    @property
    def uuids(self) -> list[str]:
        return list(self.gpus)


class Looker(WorkerInterface):
    """Tells what it sees of GPUs."""

    def __init__(self) -> None:
        self.affinity = sorted(os.sched_getaffinity(0))

    def run(self, seconds=0.0):
        time.sleep(seconds)
        names = ("CUDA_VISIBLE_DEVICES", "CUDA_DEVICE_ORDER", "ROCR_VISIBLE_DEVICES", "ZE_AFFINITY_MASK")
        return {name: os.environ.get(name) for name in names} | {"pid": os.getpid(), "affinity": self.affinity}


class Victim(WorkerInterface):
    """Is killed by itself when it is told to."""

    def run(self, item):
        if item == "die":
            os.kill(os.getpid(), signal.SIGKILL)
        return item, os.environ["CUDA_VISIBLE_DEVICES"]


class WaitsForFile(WorkerInterface):
    """Works until a file is there; tells its GPU."""

    def run(self, item, file):
        while not Path(file).exists():
            time.sleep(0.02)
        return item, os.environ["CUDA_VISIBLE_DEVICES"]
