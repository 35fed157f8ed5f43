"""Train a small PyTorch model once for each setting, on every GPU of a cluster, or on its cores where there is none.

Usage: python train.py PASSWORD [ADDRESS [PORT]]     ("-" as PASSWORD: it stands in DISTRIBUTED_COMPUTING_PASSWORD)

Every worker has a GPU of its own, so the code below never chooses one: "cuda" is the only one that it sees. PyTorch must
be installed here and on the nodes (`pip install torch`); exit status 2 says that it is missing here.
"""

from __future__ import annotations

import itertools
import math
import os
import sys

from distributed_computing.api import Pool, WorkerInterface

MISSING = """train.py: PyTorch is not installed for this Python ({python}).
Install it here and on the nodes, e.g. with: {python} -m pip install torch
(https://pytorch.org/get-started names the right package for each driver). Nodes whose workers should run under another
Python than the node's own: start_node --python /path/to/python"""

TRAIN, VALIDATION = 2048, 1024  # points
EPOCHS = 150


def spirals(torch, count, seed):
    """Return (points, labels): three arms of a spiral with some noise, as tensors on the CPU."""
    chance = torch.Generator().manual_seed(seed)
    labels = torch.arange(count) % 3
    radius = torch.rand(count, generator=chance)
    angle = 4 * radius + labels * (2 * math.pi / 3) + 0.15 * torch.randn(count, generator=chance)
    return torch.stack((radius * torch.cos(angle), radius * torch.sin(angle)), dim=1), labels


class Trainer(WorkerInterface):
    """Built once per worker: has the data on its device."""

    def __init__(self):
        import torch

        self.torch = torch
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        if self.device.type == "cpu":
            torch.set_num_threads(1)  # a worker for each core: more threads would only be in the way
        self.name = torch.cuda.get_device_name() if self.device.type == "cuda" else "CPU"
        self.train = [part.to(self.device) for part in spirals(torch, TRAIN, seed=1)]
        self.validation = [part.to(self.device) for part in spirals(torch, VALIDATION, seed=2)]

    def run(self, width, rate):
        """Return ((width, rate), accuracy on the validation points, who computed it, GPUs in sight)."""
        torch = self.torch
        torch.manual_seed(width)
        network = torch.nn.Sequential(
            torch.nn.Linear(2, width),
            torch.nn.Tanh(),
            torch.nn.Linear(width, width),
            torch.nn.Tanh(),
            torch.nn.Linear(width, 3),
        ).to(self.device)
        optimizer = torch.optim.Adam(network.parameters(), lr=rate)
        points, labels = self.train
        for _ in range(EPOCHS):
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(network(points), labels).backward()
            optimizer.step()
        points, labels = self.validation
        with torch.no_grad():
            accuracy = (network(points).argmax(dim=1) == labels).double().mean().item()
        who = f"{self.name} {os.environ.get('CUDA_VISIBLE_DEVICES', '')}".strip()
        return (width, rate), accuracy, who, torch.cuda.device_count()


def main() -> int:
    """Try all settings; print who computed how many, and the best."""
    if len(sys.argv) < 2:
        print(__doc__, file=sys.stderr)
        return 2
    try:
        import torch  # noqa: F401
    except ImportError:
        print(MISSING.format(python=sys.executable), file=sys.stderr)
        return 2
    password = os.environ.get("DISTRIBUTED_COMPUTING_PASSWORD", "-") if sys.argv[1] == "-" else sys.argv[1]
    address = sys.argv[2] if len(sys.argv) > 2 else "localhost"
    port = int(sys.argv[3]) if len(sys.argv) > 3 else 8899
    settings = itertools.product((4, 8, 16, 32), (0.003, 0.01, 0.03))
    jobs = [{"kwargs": {"width": width, "rate": rate}} for width, rate in settings]
    scores, computed = {}, {}
    with Pool(Trainer, None, password, address, port) as pool:
        for setting, accuracy, who, gpus in pool.imap_unordered(jobs):
            scores[setting] = accuracy
            computed[who] = computed.get(who, 0) + 1
            if gpus > 1:
                print(f"train.py: a worker sees {gpus} GPUs, not its own alone", file=sys.stderr)
                return 1
    for who, count in sorted(computed.items()):
        print(f"{count} models by {who}")
    width, rate = max(scores, key=scores.get)
    print(f"best of {len(scores)}: width={width} rate={rate}, validation accuracy {scores[width, rate]:.3f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
