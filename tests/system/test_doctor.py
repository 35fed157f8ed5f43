"""`distributed-computing doctor`: what is wrong with a machine, and what to do."""

import subprocess

import pytest

from conftest import BIN, free_port
from fake_gpus import LIBRARY, Cards


@pytest.fixture
def cards(tmp_path, monkeypatch):
    made = Cards(tmp_path / "nvml").write()
    monkeypatch.setenv("FAKE_NVML_FILE", str(made.file))
    monkeypatch.setenv("DISTRIBUTED_COMPUTING_NVML", str(LIBRARY))
    monkeypatch.setenv("DISTRIBUTED_COMPUTING_SYSFS", str(tmp_path / "sys"))
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    return made


def doctor(cluster, *arguments, limit_files=None, **environment):
    """Return (exit code, lines)."""
    command = [str(BIN / "distributed-computing"), "doctor", *arguments]
    if limit_files:
        command = ["prlimit", f"--nofile={limit_files}:{limit_files}", *command]
    done = subprocess.run(
        command, env={**cluster.environment("head"), **environment}, capture_output=True, text=True, timeout=60
    )
    return done.returncode, done.stdout.splitlines()


def line(lines, *words):
    found = [text for text in lines if all(word in text for word in words)]
    assert len(found) == 1, lines
    return found[0]


def test_a_sound_machine(cluster, cards, tmp_path):
    cards.add(3)
    cards.change("GPU-0aaa", use=7, temperature=41)
    cards.change("GPU-2aaa", kept_away=1)
    (tmp_path / "sys/bus/pci/devices/0000:01:00.0").mkdir(parents=True)
    (tmp_path / "sys/bus/pci/devices/0000:01:00.0/numa_node").write_text("1\n")
    masks = {"CUDA_VISIBLE_DEVICES": "1", "ROCR_VISIBLE_DEVICES": "1"}  # as Slurm sets them, for all vendors alike
    code, lines = doctor(cluster, "-p", str(cluster.port), **masks)
    assert code == 0 and lines[-1] == "Nothing is wrong.", lines
    assert line(lines, "ok     driver").startswith("ok     driver     2 devices by NVML, version 550.0")
    facts = "10000 of 10000 MiB free, 7 % busy, 41 °C, near NUMA node 1"
    assert line(lines, "GPU-0aaa") == f"ok     GPU        0 Fake A100 (GPU-0aaa) at 0000:01:00.0: {facts}"
    assert "1 of 3 NVIDIA GPUs are not for this process" in line(lines, "note   driver")
    assert "CUDA_VISIBLE_DEVICES=1 lets a node use GPU-1aaa" in line(lines, "ok     mask")
    assert "ROCR_VISIBLE_DEVICES=1 says nothing here" in line(lines, "note   mask")
    assert f"localhost:{cluster.port} is free for a head" in line(lines, "port")
    assert line(lines, "may open").startswith("ok")
    assert "/dev/shm has" in "\n".join(lines) and line(lines, "clock") and line(lines, "python")


def test_a_head_is_seen(cluster, cards):
    cluster.head()
    code, lines = doctor(cluster, "-p", str(cluster.port))
    assert code == 0, lines
    assert "something listens at" in line(lines, "port ")
    assert line(lines, "GPU").startswith("note   GPU        none: a node has one slot per core")


def test_what_is_wrong_is_said_with_what_to_do(cluster, cards, tmp_path):
    cards.add(3)
    cards.change("GPU-0aaa", lost=1)
    cards.change("GPU-1aaa", used=9000)
    cards.say("process GPU-1aaa 1 memory=9000 name=colleague")
    port = str(free_port())
    code, lines = doctor(cluster, "-a", "127.0.0.1", "-p", port, limit_files=512, CUDA_VISIBLE_DEVICES="1,9")
    assert code == 1 and lines[-1] == "3 things are wrong.", lines
    assert line(lines, "GPU-0aaa").startswith("WRONG  GPU") and "nvidia-smi -r" in line(lines, "GPU-0aaa")
    held = line(lines, "GPU-1aaa")
    assert held.startswith("note   GPU") and "held by colleague (pid 1, 9000 MiB)" in held
    assert '"9" names no device' in line(lines, "WRONG  mask")
    assert "LimitNOFILE=" in line(lines, "WRONG  limits")
    code, lines = doctor(cluster, "-a", "no.such.host.invalid")
    assert code == 1 and "cannot be reached" in line(lines, "WRONG  port")


def test_a_broken_driver_and_a_missing_one(cluster, cards, tmp_path):
    cards.say("fail nvmlInit_v2 9")
    code, lines = doctor(cluster, PATH="/usr/bin:/bin")
    assert code == 0 and "there is no card of NVIDIA here" in line(lines, "note   driver")
    device = tmp_path / "sys/bus/pci/devices/0000:3b:00.0"
    device.mkdir(parents=True)
    (device / "vendor").write_text("0x10de\n")
    (device / "class").write_text("0x030200\n")
    code, lines = doctor(cluster, PATH="/usr/bin:/bin")
    assert code == 1 and "is the kernel module nvidia loaded?" in line(lines, "WRONG  driver")
    cards.say()
    code, lines = doctor(cluster)
    assert code == 1 and "there is a card at 0000:3b:00.0" in line(lines, "WRONG  driver")


def test_a_driver_that_does_not_answer(cluster, cards):
    cards.add(1)
    cards.say("hang nvmlDeviceGetCount_v2")
    code, lines = doctor(cluster)
    assert code == 1 and "does not answer (15 s)" in line(lines, "WRONG  driver")
