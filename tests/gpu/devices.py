"""NVIDIA's libraries through ctypes, apart from the product's own way to them: what NVML says, and what a process sees
and holds by the CUDA driver. As a program, `devices.py MIB` takes so much memory on its one GPU and keeps it."""

from __future__ import annotations

import ctypes
import sys
from dataclasses import dataclass

MIB = 2**20
# A kernel that fails. The driver compiles it for whatever card there is.
TRAP = b""".version 6.0
.target sm_50
.address_size 64
.visible .entry fail() { trap; }
"""


class Missing(Exception):
    """The library or the device is not there; the text says which."""


def _library(name: str) -> ctypes.CDLL:
    try:
        return ctypes.CDLL(name)
    except OSError as error:
        raise Missing(f"{name} cannot be loaded ({error})") from error


@dataclass
class Card:
    """A GPU, or an instance of a divided one, as NVML tells of it. Memory in MiB."""

    uuid: str
    name: str
    total: int
    used: int
    pids: list[int]


class _Memory(ctypes.Structure):
    _fields_ = [("total", ctypes.c_ulonglong), ("free", ctypes.c_ulonglong), ("used", ctypes.c_ulonglong)]


class _Process(ctypes.Structure):
    _fields_ = [
        ("pid", ctypes.c_uint),
        ("memory", ctypes.c_ulonglong),
        ("instance", ctypes.c_uint),
        ("compute_instance", ctypes.c_uint),
    ]


class Nvml:
    """NVML, initialised. Raises Missing where there is no driver."""

    def __init__(self) -> None:
        self._library = _library("libnvidia-ml.so.1")
        self._call("nvmlInit_v2")

    def _call(self, name: str, *arguments: object) -> None:
        status = getattr(self._library, name)(*arguments)
        if status != 0:
            raise Missing(f"{name} failed with NVML's error {status}")

    def cards(self) -> list[Card]:
        """Return what can be given to workers: whole GPUs, and the instances of divided ones in their place."""
        count = ctypes.c_uint()
        self._call("nvmlDeviceGetCount_v2", ctypes.byref(count))
        found = []
        for index in range(count.value):
            handle = ctypes.c_void_p()
            self._call("nvmlDeviceGetHandleByIndex_v2", index, ctypes.byref(handle))
            found += [self._card(part) for part in self._instances(handle) or [handle]]
        return found

    def card(self, uuid: str) -> Card:
        """Return the one of this UUID."""
        return next(card for card in self.cards() if card.uuid == uuid)

    def _instances(self, handle: ctypes.c_void_p) -> list[ctypes.c_void_p]:
        most = ctypes.c_uint()
        if self._library.nvmlDeviceGetMaxMigDeviceCount(handle, ctypes.byref(most)) != 0:
            return []
        found = []
        for index in range(most.value):
            part = ctypes.c_void_p()
            if self._library.nvmlDeviceGetMigDeviceHandleByIndex(handle, index, ctypes.byref(part)) == 0:
                found.append(part)
        return found

    def _card(self, handle: ctypes.c_void_p) -> Card:
        uuid, name, memory = ctypes.create_string_buffer(96), ctypes.create_string_buffer(96), _Memory()
        self._call("nvmlDeviceGetUUID", handle, uuid, 96)
        self._call("nvmlDeviceGetName", handle, name, 96)
        self._call("nvmlDeviceGetMemoryInfo", handle, ctypes.byref(memory))
        processes, count = (_Process * 128)(), ctypes.c_uint(128)
        status = self._library.nvmlDeviceGetComputeRunningProcesses_v3(handle, ctypes.byref(count), processes)
        pids = [process.pid for process in processes[: count.value]] if status == 0 else []
        return Card(uuid.value.decode(), name.value.decode(), memory.total // MIB, memory.used // MIB, pids)


class Cuda:
    """The CUDA driver of this process, without the toolkit."""

    def __init__(self) -> None:
        self._library = _library("libcuda.so.1")
        self._call("cuInit", 0)

    def _call(self, name: str, *arguments: object) -> None:
        status = getattr(self._library, name)(*arguments)
        if status != 0:
            raise Missing(f"{name} failed with CUDA's error {status}")

    def uuids(self) -> list[str]:
        """Return the UUIDs of all devices in sight, without the "GPU-" or "MIG-" before them."""
        count = ctypes.c_int()
        self._call("cuDeviceGetCount", ctypes.byref(count))
        found = []
        for index in range(count.value):
            device, raw = ctypes.c_int(), (ctypes.c_ubyte * 16)()
            self._call("cuDeviceGet", ctypes.byref(device), index)
            self._call("cuDeviceGetUuid_v2", raw, device)
            digits = bytes(raw).hex()
            found.append("-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:])))
        return found

    def use_first(self) -> int:
        """Make a context on the first device; return how many MiB are free on it."""
        device, context = ctypes.c_int(), ctypes.c_void_p()
        self._call("cuDeviceGet", ctypes.byref(device), 0)
        self._call("cuDevicePrimaryCtxRetain", ctypes.byref(context), device)
        self._call("cuCtxSetCurrent", context)
        free, total = ctypes.c_size_t(), ctypes.c_size_t()
        self._call("cuMemGetInfo_v2", ctypes.byref(free), ctypes.byref(total))
        return free.value // MIB

    def take(self, mebibytes: int) -> None:
        """Allocate so much and keep it as long as the process lives."""
        pointer = ctypes.c_void_p()
        self._call("cuMemAlloc_v2", ctypes.byref(pointer), ctypes.c_size_t(mebibytes * MIB))

    def run_a_kernel_that_fails(self) -> None:
        """Raises Missing, and so does whatever is asked of CUDA in this process from then on."""
        module, function = ctypes.c_void_p(), ctypes.c_void_p()
        self._call("cuModuleLoadData", ctypes.byref(module), TRAP)
        self._call("cuModuleGetFunction", ctypes.byref(function), module, b"fail")
        self._call("cuLaunchKernel", function, *[ctypes.c_uint(n) for n in (1, 1, 1, 1, 1, 1, 0)], None, None, None)
        self._call("cuCtxSynchronize")


if __name__ == "__main__":
    cuda = Cuda()
    cuda.use_first()
    cuda.take(int(sys.argv[1]))
    print("taken", flush=True)
    sys.stdin.read()
