"""What workers print comes on the client's stdout and stderr, line by line with host and slot; of too many their number."""

import re
import sys
import threading

import pytest

from conftest import run_script, wait_until
from distributed_computing.api import JobError, OutputSource, Pool, WorkerDied, WorkerInitError
from talkers import Talker

PREFIX = re.compile(r"^\[\S+/\d+\] ", re.M)


def shown(text):
    """Return the lines of workers in a text, without host and slot."""
    return [line.split("] ", 1)[1] for line in text.splitlines() if PREFIX.match(line)]


def unshown(lines):
    """Return how many lines were not shown, as other lines tell."""
    found = [re.fullmatch(r"… ([\d,]+) lines? (was|were) not shown \(more than 200 a second\)", line) for line in lines]
    return sum(int(one[1].replace(",", "")) for one in found if one)


@pytest.fixture
def started(cluster):
    cluster.head()
    cluster.node(workers=1)
    return cluster


def talk(pool_arguments, capfd, *jobs, **options):
    """Run the jobs one after the other; return what was shown on stdout and on stderr."""
    capfd.readouterr()
    with Pool(Talker, options.pop("init_data", None), *pool_arguments, **options) as pool:
        for job in jobs:
            pool.submit(*job).result(30)
    text = capfd.readouterr()
    return shown(text.out), shown(text.err)


def test_each_stream_comes_on_its_own_and_by_itself(started, pool_arguments, capfd):
    out, err = talk(pool_arguments, capfd, ("both",), ("prints", "one\ntwo"), init_data="hello")
    assert (out, err) == (["hello", "to stdout", "one", "two"], ["to stderr"])
    wait_until(lambda: re.search(r"\[\S+/0\] one\n\[\S+/0\] two\n", started.log("node")), "the node shows them too")


def test_nothing_is_shown_to_who_wants_nothing(started, pool_arguments, capfd):
    assert talk(pool_arguments, capfd, ("both",), show_output=False) == ([], [])
    wait_until(lambda: "to stderr" in started.log("node"), "the node shows it")


@pytest.mark.parametrize(
    ("job", "expected"),
    [
        (("dots",), ["dot.dot.dot.dot.dot."]),
        (("flushed_dot",), ["dot."]),
        (("printf", "from C"), ["from C"]),
        (("printf", "from C\nand more\n"), ["from C", "and more"]),
        (("child", "printf 'from a child'"), ["from a child"]),
        (("bar", "stdout"), ["100%|##########|"]),
    ],
)
def test_what_ends_without_a_newline_is_shown_when_its_job_has_ended(started, pool_arguments, capfd, job, expected):
    out, err = talk(pool_arguments, capfd, job, job, ("prints", "next"))
    assert (out, err) == ([*expected, *expected, "next"], [])


def test_bars_of_stderr_and_what_children_say_there(started, pool_arguments, capfd):
    out, err = talk(pool_arguments, capfd, ("bar",), ("child", "echo from a child >&2"))
    assert (out, err) == ([], ["100%|##########|", "from a child"])


def test_short_jobs_lose_nothing_before_the_pool_is_closed(started, pool_arguments, capfd):
    capfd.readouterr()
    with Pool(Talker, None, *pool_arguments) as pool:
        pool.map([{"args": ["prints", f"{i}", ("stdout", "stderr")[i % 2]]} for i in range(100)])
        pool.map([{"args": ["dots", 1]} for _ in range(50)])
    text = capfd.readouterr()
    out, err = shown(text.out), shown(text.err)
    assert out[:50] == [str(i) for i in range(0, 100, 2)] and err == [str(i) for i in range(1, 100, 2)]
    assert "".join(out[50:]) == "dot." * 50


def test_lines_come_before_the_result_of_their_job(started):
    lines = "for i in range(20): print('result', pool.submit('prints', f'job {i}').result(30)[4:])"
    script = SCRIPT.replace('pool.submit("both").result(30)', lines)
    done = run_script(started, script, started.password, str(started.port))
    expected = [f"{text} {i}" for i in range(20) for text in ("job", "result")]
    assert PREFIX.sub("", done.stdout).splitlines() == ["before", *expected, "after"]


def test_of_too_many_lines_the_exact_number_is_told(started, pool_arguments, capfd):
    capfd.readouterr()
    with Pool(Talker, None, *pool_arguments) as pool:
        pool.map([{"args": ["many", 20_000]} for _ in range(5)])
    lines = shown(capfd.readouterr().out)
    printed = [line for line in lines if line.startswith("line ")]
    assert len(printed) + unshown(lines) == 100_000
    assert printed[:200] == [f"line {i}" for i in range(200)] and len(printed) < 5000

    def at_the_node():
        lines = shown(started.log("node"))
        return sum(line.startswith("line ") for line in lines) + unshown(lines) == 100_000

    wait_until(at_the_node, "the node has told the same")


def test_a_long_job_is_heard_while_it_runs(started, pool_arguments, capfd, tmp_path):
    seen = ""
    with Pool(Talker, None, *pool_arguments) as pool:
        for number, job in enumerate(
            [("talks_until", "now"), ("talks_until", "native", True), ("storm_until", 3000, "after the storm")]
        ):
            heard = tmp_path / f"heard{number}"
            text = next(arg for arg in job[1:] if isinstance(arg, str))
            future = pool.submit(job[0], str(heard), *job[1:])
            if job[0] == "storm_until":  # its lines were too many; the count is told in the meantime
                wait_until(lambda: unshown(shown(capfd.readouterr().out)), "the client tells of the storm")
            else:

                def told(text=text):
                    nonlocal seen
                    seen += capfd.readouterr().out
                    return text in seen

                wait_until(told, f"{text} is shown")
            heard.touch()
            assert future.result(30)


def test_of_jobs_that_failed_alone(started, pool_arguments, capfd):
    capfd.readouterr()
    with Pool(Talker, "hello", *pool_arguments, show_output="errors", max_retries=1) as pool:
        pool.map([{"args": ["prints", f"fine {i}"]} for i in range(20)])
        jobs = [("prints", "fine"), ("fails", "bad"), ("prints", "fine again"), ("child", "echo from a child")]
        futures = [pool.submit(*job) for job in jobs * 20]  # many at once: short jobs share packets
        for i, future in enumerate(futures):
            assert (future.exception(30) is None) == (i % 4 != 1)
        with pytest.raises(WorkerDied, match="last words\nlast words unfinished"):
            pool.submit("dies", "last words").result(30)
        pool.submit("prints", "fine").result(30)
    text = capfd.readouterr()
    assert shown(text.out) == ["bad"] * 20 + ["last words", "last words unfinished"]
    assert shown(text.err) == ["bad unfinished"] * 20


def test_of_constructors_that_failed(started, pool_arguments, capfd):
    capfd.readouterr()
    with pytest.raises(WorkerInitError), Pool(Talker, "fails", *pool_arguments, show_output="errors") as pool:
        pool.submit("prints", "x").result(30)
    assert set(shown(capfd.readouterr().out)) == {"fails"}


def test_of_a_failed_job_that_printed_much_the_last_lines(started, pool_arguments, capfd):
    capfd.readouterr()
    with Pool(Talker, None, *pool_arguments, show_output="errors", max_retries=1) as pool:
        pool.submit("many", 50_000).result(30)
        with pytest.raises(WorkerDied):
            pool.submit("dies", "last words", 50_000).result(30)
    out = shown(capfd.readouterr().out)
    assert re.fullmatch(r"… [\d,]+ earlier lines of this job are not shown", out[0])
    assert out[-2:] == ["last words", "last words unfinished"] and len(out) <= 201


def test_a_function_gets_the_lines(started, pool_arguments, capfd):
    lines, threads = [], set()

    def take(line, source):
        lines.append((line, source.stream, source.slot))
        assert isinstance(source, OutputSource) and source.host
        threads.add(threading.current_thread())

    assert talk(pool_arguments, capfd, ("both",), ("dots",), ("many", 1000), show_output=take) == ([], [])
    assert lines[:3] == [("to stdout", "stdout", 0), ("to stderr", "stderr", 0), ("dot." * 5, "stdout", 0)]
    told = [line for line, *_ in lines[3:]]
    assert sum(line.startswith("line ") for line in told) + unshown(told) == 1000
    assert len(threads) == 1 and threading.main_thread() not in threads


def test_a_function_that_raises_or_hangs_hurts_nobody(started, pool_arguments, capfd):
    capfd.readouterr()
    with Pool(Talker, None, *pool_arguments, show_output=lambda line: None) as pool:
        for i in range(10):
            assert pool.submit("prints", f"{i}").result(30) == f"{i}"
    err = capfd.readouterr().err
    assert "the function given as show_output raised" in err and "takes 1 positional argument" in err
    assert err.count("Traceback") == 1
    release = threading.Event()
    with Pool(Talker, None, *pool_arguments, show_output=lambda line, source: release.wait()) as pool:
        assert pool.map([{"args": ["prints", "x"]} for _ in range(50)]) == ["x"] * 50
    release.set()


@pytest.mark.parametrize("value", ["error", 3.5, {}, sys])
def test_what_show_output_can_be(pool_arguments, value):
    with pytest.raises((TypeError, ValueError), match="show_output must be True, False, 'errors' or a function"):
        Pool(Talker, None, *pool_arguments, show_output=value)


def test_what_a_job_puts_elsewhere_stays_there(started, pool_arguments, capfd, tmp_path):
    capfd.readouterr()
    with Pool(Talker, None, *pool_arguments, show_output="errors") as pool:
        kept = pool.submit("redirected", str(tmp_path / "file")).result(30)
        with pytest.raises(JobError):
            pool.submit("fails", "bad").result(30)
    assert kept == ("into memory\n", "into a file")
    assert shown(capfd.readouterr().out) == ["bad"]


SCRIPT = """
import sys
from distributed_computing.api import Pool
from talkers import Talker
print("before")
with Pool(Talker, None, sys.argv[1], server_port=int(sys.argv[2])) as pool:
    pool.submit("both").result(30)
print("after")
"""


def test_a_script_with_its_output_in_pipes(started):
    done = run_script(started, SCRIPT, started.password, str(started.port))
    assert PREFIX.sub("", done.stdout).splitlines() == ["before", "to stdout", "after"]
    assert PREFIX.sub("", done.stderr).splitlines() == ["to stderr"]
