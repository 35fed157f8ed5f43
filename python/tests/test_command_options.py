"""The functions that run start_node take what the command takes: one table, compared with both."""

import inspect
import re
import subprocess
import sys
from pathlib import Path

import pytest

from distributed_computing import _command_options, processes
from distributed_computing._command_options import TABLE, command_words
from distributed_computing.api import start_head_node, start_node, start_server

FUNCTIONS = (start_node, start_server, start_head_node)
OF_THE_FUNCTIONS_ALONE = {"violent_exit", "quiet"}
HELP = subprocess.run(
    [str(Path(sys.executable).parent / "start_node"), "--help"], capture_output=True, text=True, check=True
).stdout


def defaults(function):
    """Return a call with nothing but a password."""
    parameters = inspect.signature(function).parameters.values()
    return {p.name: "secret" if p.name == "password" else p.default for p in parameters}


def test_the_table_has_every_option_of_the_command():
    flags = re.findall(r"^  (?:-\w,)?(--[\w-]+)", HELP, re.M)
    assert len(flags) > 20
    assert sorted(option.flag for option in TABLE) == sorted(flags)


def test_limits_are_those_of_the_command():
    for flag, highest in re.findall(r"^  (--[\w-]+) UINT:\w+ in \[\d+ - (\d+)\]", HELP, re.M):
        option = next(o for o in TABLE if o.flag == flag)
        assert option.words(option.parameter, int(highest)) == highest
        with pytest.raises(ValueError, match=f"{option.parameter} must be between"):
            option.words(option.parameter, int(highest) + 1)


@pytest.mark.parametrize("function", FUNCTIONS)
def test_each_function_takes_what_the_table_gives_it(function):
    of_table = {option.parameter for option in TABLE if function.__name__ in option.functions}
    assert set(inspect.signature(function).parameters) - OF_THE_FUNCTIONS_ALONE == of_table
    text = inspect.getdoc(function)
    assert [name for name in of_table if not re.search(rf"\b{name}\b", text.split("Args:")[1])] == []


def test_what_a_function_does_not_take_has_a_reason():
    assert [o.flag for o in TABLE if len(o.functions) < len(FUNCTIONS) and not o.why] == []


@pytest.mark.parametrize(
    ("function", "given", "words"),
    [
        (start_node, {}, ["--address=localhost", "--port=8899", "--if-none", f"--python={sys.executable}"]),
        (
            start_node,
            {"address": ["a", "b:8900"], "if_none": False, "affinity": False, "python": None, "gpus": [0, 2]},
            ["--address=a,b:8900", "--port=8899", "--gpus=0,2", "--no-affinity"],
        ),
        (
            start_node,
            {"drain_timeout": 5, "head_timeout": "never", "name": "second", "verbose": True, "python": Path("/py")},
            ["--address=localhost", "--port=8899", "--name=second", "--if-none", "--head-timeout=never"]
            + ["--python=/py", "--drain-timeout=5", "--verbose"],
        ),
        (
            start_node,
            {"drain_timeout": 0.5, "head_timeout": 90.2, "python": None},
            ["--address=localhost", "--port=8899", "--if-none", "--head-timeout=91", "--drain-timeout=1"],
        ),
        (start_server, {"store": "sqlite"}, ["--port=8899"]),
        (
            start_server,
            {"bind": ["127.0.0.1", "::1"], "durability": "interval", "standby": True},
            ["--port=8899", "--bind=127.0.0.1", "--bind=::1", "--durability=interval", "--standby"],
        ),
        (
            start_server,
            {"pool_bytes_max": 2**40, "pools_max": 0, "key_ttl": 0.5},
            ["--port=8899", "--pool-bytes-max=1099511627776", "--pools-max=0", "--key-ttl=1"],
        ),
        (
            start_head_node,
            {"pool_bytes_max": "20G", "key_ttl": "12h", "python": None},
            ["--port=8899", "--pool-bytes-max=20G", "--key-ttl=12h"],
        ),
        (
            start_head_node,
            {"workers": 0, "bind": "127.0.0.1", "drain_timeout": 0, "head_timeout": 9, "name": "n", "python": None},
            ["--port=8899", "--workers=0", "--name=n", "--head-timeout=9", "--bind=127.0.0.1", "--drain-timeout=0"],
        ),
    ],
)
def test_a_call_becomes_the_words_of_the_command(function, given, words):
    assert sorted(command_words(function.__name__, {**defaults(function), **given})) == sorted(words)


@pytest.mark.parametrize(
    ("function", "given", "error", "text"),
    [
        (
            start_server,
            {"durability": "allways"},
            ValueError,
            "durability must be 'always' or 'interval', not 'allways'",
        ),
        (start_node, {"drain_timeout": "1m"}, TypeError, "drain_timeout must be a number of seconds, not str"),
        (
            start_node,
            {"drain_timeout": float("nan")},
            ValueError,
            "drain_timeout must be between 0 and 604800, not nan",
        ),
        (start_node, {"head_timeout": -0.5}, ValueError, "head_timeout must be between 0 and "),
        (start_node, {"head_timeout": "soon"}, TypeError, "head_timeout must be a number of seconds, not str"),
        (
            start_node,
            {"address": "http://10.0.0.5:8899/"},
            ValueError,
            "address is a URL.*write address='10.0.0.5:8899'",
        ),
        (start_node, {"fingerprint": "sha256:x"}, ValueError, "fingerprint must be"),
        (start_node, {"port": 0}, ValueError, "name the port of the head"),
        (
            start_server,
            {"pool_bytes_max": "20 gigs"},
            ValueError,
            "pool_bytes_max must be .* such as '512M' or '20G', not",
        ),
        (
            start_server,
            {"pool_bytes_max": 1e9},
            TypeError,
            "pool_bytes_max must be a whole number of bytes or .* not float",
        ),
        (start_server, {"pool_bytes_max": -1}, ValueError, "pool_bytes_max must be between 0 and "),
        (start_server, {"pools_max": -1}, ValueError, "pools_max must be between 0 and 1000000, not -1"),
        (
            start_server,
            {"key_ttl": "2 weeks"},
            ValueError,
            "key_ttl must be a number of seconds or .* '7d', not '2 weeks'",
        ),
        (start_head_node, {"key_ttl": -1}, ValueError, "key_ttl must be between 0 and "),
        (start_node, {"key_ttl": 5}, TypeError, "about a head, write it in start_server or start_head_node"),
        (start_head_node, {"name": 5}, TypeError, "name must be a text, not int"),
        (
            start_head_node,
            {"drain_timout": 5},
            TypeError,
            "start_head_node has no option 'drain_timout': did you mean ",
        ),
        (start_server, {"workers": 2}, TypeError, "about a node, write it in start_node or start_head_node"),
        (start_node, {"standby": True}, TypeError, "about a head, write it in start_server or start_head_node"),
        (start_node, {"no_affinity": True}, TypeError, "write affinity=False"),
        (start_server, {"password_file": "key"}, TypeError, "password=open"),
    ],
)
def test_a_wrong_argument_is_named_before_anything_is_started(function, given, error, text, monkeypatch):
    monkeypatch.setattr(processes, "_Process", None)
    monkeypatch.setattr(processes, "_own_redis", None)
    with pytest.raises(error, match=text):
        function("secret", **given)


def test_a_call_without_a_password_says_the_line():
    with pytest.raises(TypeError, match=r"missing 1 required .*'password': write start_server\('PASSWORD'\)"):
        start_server()


def test_secrets_are_no_words():
    given = {**defaults(start_server), "password": "hush", "store": "redis://:hush@host"}
    assert "hush" not in " ".join(command_words("start_server", given))
    assert _command_options.advice("start_server").keys().isdisjoint(inspect.signature(start_server).parameters)
