"""Our declarations of NVIDIA's management library (src/gpu/nvml_api.hpp) are those of its header, which comes from PyPI."""

import subprocess
from importlib.metadata import files
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_declarations_are_those_of_the_header():
    header = next(file.locate() for file in files("nvidia-nvml-dev") if file.name == "nvml.h")
    includes = ["-I", ROOT / "src", "-isystem", Path(header).parent]
    command = ["g++", "-std=c++20", "-fsyntax-only", "-Wno-deprecated-declarations", *includes]
    done = subprocess.run([*command, Path(__file__).with_name("nvml_header.cpp")], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
