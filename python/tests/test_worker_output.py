"""A worker's stdout: each line at once, blocks in a storm, nothing lost and nothing twice."""

import subprocess
import sys

BEGIN = """
import os, signal, sys, time
from distributed_computing import _worker_output
_worker_output.install()
stream = _worker_output._streams[0]

def wait_until(condition):
    end = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.005)
"""


def output_of(code):
    """Return what a process prints that may be killed by its own hand."""
    done = subprocess.run([sys.executable, "-c", BEGIN + code], capture_output=True, text=True, timeout=60)
    assert not done.stderr and done.returncode in (0, -9), done.stderr
    return done.stdout


def test_a_line_is_out_before_the_process_is_killed():
    assert output_of("print('one'); print('two'); os.kill(os.getpid(), signal.SIGKILL)") == "one\ntwo\n"


def test_what_is_buffered_is_told_when_it_is_flushed():
    code = """
found = [_worker_output.flush()]
print("line"); found.append(_worker_output.flush())
print("part", end=""); found.append(_worker_output.flush())
print("part", end="", flush=True); found += [_worker_output.flush(), _worker_output.flush()]
print("|", found)
"""
    assert output_of(code) == "line\npartpart| [0, 1, 3, 3, 0]\n"


def test_a_storm_goes_in_blocks_and_then_each_line_again():
    code = """
for i in range(100_000): print(i)
assert stream.pipe.in_storm
wait_until(lambda: not stream.pipe.in_storm)
print("calm"); os.kill(os.getpid(), signal.SIGKILL)
"""
    assert output_of(code) == "".join(f"{i}\n" for i in range(100_000)) + "calm\n"


def test_a_line_of_a_storm_that_has_ended_in_its_middle_comes_out_by_itself():
    code = """
for i in range(20_000): print(i)
wait_until(lambda: stream.pipe.written == sum(len(f"{i}\\n") for i in range(20_000)))
os.kill(os.getpid(), signal.SIGKILL)
"""
    assert output_of(code) == "".join(f"{i}\n" for i in range(20_000))


def test_a_child_of_a_storm_prints_its_own():
    code = """
for i in range(20_000): print(i)
if os.fork() == 0:
    print("child")
    os.kill(os.getpid(), signal.SIGKILL)
os.wait()
"""
    assert sorted(output_of(code).split()) == sorted([*map(str, range(20_000)), "child"])
