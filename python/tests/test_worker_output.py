"""A worker's stdout: each line at once, blocks in a storm, nothing lost and nothing twice."""

import subprocess
import sys

BEGIN = """
import os, signal, sys, time
from distributed_computing import _worker_output
_worker_output.install()
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
time.sleep(1)
print("calm"); os.kill(os.getpid(), signal.SIGKILL)
"""
    assert output_of(code) == "".join(f"{i}\n" for i in range(100_000)) + "calm\n"


def test_a_line_of_a_storm_that_has_ended_in_its_middle_comes_out_by_itself():
    code = """
for i in range(20_000): print(i)
time.sleep(1)
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


def test_a_handler_that_prints_while_lines_are_printed_changes_none():
    code = """
signal.signal(signal.SIGALRM, lambda *_: sys.stdout.write("alarm\\n"))
signal.setitimer(signal.ITIMER_REAL, 0.001, 0.001)
for i in range(200_000): sys.stdout.write(f"{i}\\n")
signal.setitimer(signal.ITIMER_REAL, 0)
_worker_output.flush()
"""
    lines = output_of(code).splitlines()
    assert [line for line in lines if line != "alarm"] == [str(i) for i in range(200_000)]
    assert "alarm" in lines


def test_a_child_that_is_forked_while_threads_print_ends():
    code = """
import threading
over = False
def storm():
    while not over: sys.stdout.write("storm\\n")
thread = threading.Thread(target=storm); thread.start()
for _ in range(50):
    child = os.fork()
    if child == 0:
        sys.stdout.write("child\\n"); os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
over = True; thread.join(); _worker_output.flush()
"""
    lines = output_of(code).splitlines()
    assert lines.count("child") == 50 and set(lines) == {"child", "storm"}


def test_what_is_put_on_top_of_the_pipe_is_flushed():
    code = """
import io
sys.stdout = io.TextIOWrapper(sys.stdout.detach(), encoding="utf-8")
print("on top", end="")
_worker_output.flush(); os.kill(os.getpid(), signal.SIGKILL)
"""
    assert output_of(code) == "on top"


def test_a_storm_goes_on_line_by_line_where_there_is_no_thread_for_it():
    code = """
import resource
resource.setrlimit(resource.RLIMIT_NPROC, (1, 1))
if os.getuid() == 0: os.setuid(65534)
for i in range(2_000): print(i)
os.kill(os.getpid(), signal.SIGKILL)
"""
    assert output_of(code) == "".join(f"{i}\n" for i in range(2_000))


def test_without_buffers_parts_of_lines_are_out_at_once():
    code = "print('part', end=''); os.kill(os.getpid(), signal.SIGKILL)"
    done = subprocess.run([sys.executable, "-u", "-c", BEGIN + code], capture_output=True, text=True, timeout=60)
    assert done.stdout == "part"
