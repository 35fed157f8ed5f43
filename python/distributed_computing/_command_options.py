"""The options of the command ``start_node``, and the parameters of the functions that run it: one table for them all."""

from __future__ import annotations

import math
import numbers
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from distributed_computing._options import addresses, count, fingerprint

NODE = ("start_node", "start_head_node")
HEAD = ("start_server", "start_head_node")
ALL = ("start_node", "start_server", "start_head_node")

# Turns a parameter's name and value into what stands behind "=": None: nothing is written, True: the flag alone, a list:
# the option is written once for each.
Words = Callable[[str, Any], "str | bool | list[str] | None"]


def gpu_list(name: str, value: str | Sequence[int | str] | None) -> str | None:
    """Return a list of GPUs as the command takes it.

    Raises:
        TypeError: it is neither a text nor a sequence of indices and UUIDs.
    """
    if value is None or isinstance(value, str):
        return value
    if not isinstance(value, Sequence) or not all(isinstance(v, (int, str)) and not isinstance(v, bool) for v in value):
        raise TypeError(
            f"{name} is {value!r}: give a list of indices and UUIDs, such as [0, 2]; for a number of GPUs use max_gpus"
        )
    return ",".join(str(v) for v in value) if value else "none" if name == "gpus" else None


def _text(name: str, value: Any) -> str | None:
    if value is not None and not isinstance(value, str):
        raise TypeError(f"{name} must be a text, not {type(value).__name__}")
    return value


def _path(name: str, value: Any) -> str | None:
    return _text(name, value.__fspath__() if hasattr(value, "__fspath__") else value)


def _port(name: str, value: Any) -> str:
    if isinstance(value, int) and value == 0:
        raise ValueError(
            f"{name} is 0: name the port of the head. Only the command `start_node --head -p 0` takes any that is free, "
            "and shows it"
        )
    return str(count(name, value, 1, 65535))


def _number(lowest: int, highest: int) -> Words:
    return lambda name, value: None if value is None else str(count(name, value, lowest, highest))


def _seconds(name: str, value: Any, highest: int = 2**32 - 1) -> str:
    """Whole seconds, as the command takes them: parts of one are rounded up."""
    if not isinstance(value, numbers.Real) or isinstance(value, bool):
        raise TypeError(f"{name} must be a number of seconds, not {type(value).__name__}")
    if not 0 <= value <= highest:
        raise ValueError(f"{name} must be between 0 and {highest}, not {value}")
    return str(math.ceil(value))


def _size(name: str, value: Any) -> str | None:
    """Bytes, or a text with a unit of 1024, as the command takes them."""
    if value is None:
        return None
    if isinstance(value, str):
        if not re.fullmatch(r"\s*\d+\s*([KMGT](i?B)?)?\s*", value, re.IGNORECASE):
            raise ValueError(f"{name} must be a number of bytes or a text such as '512M' or '20G', not {value!r}")
        return value.strip()
    if not isinstance(value, numbers.Integral):
        raise TypeError(
            f"{name} must be a whole number of bytes or a text such as '512M' or '20G', not {type(value).__name__}"
        )
    return str(count(name, value, 0, 2**63))


def _age(name: str, value: Any) -> str | None:
    """Seconds, or a text with a unit, as the command takes them."""
    if not isinstance(value, str):
        return None if value is None else _seconds(name, value, 10**10 - 1)
    if not re.fullmatch(r"\s*\d+\s*[smhd]?\s*", value, re.IGNORECASE):
        raise ValueError(f"{name} must be a number of seconds or a text such as '90s', '12h' or '7d', not {value!r}")
    return value.strip()


def _limited_seconds(highest: int) -> Words:
    return lambda name, value: None if value is None else _seconds(name, value, highest)


def _seconds_or_never(name: str, value: Any) -> str | None:
    return value if value is None or value == "never" else _seconds(name, value)


def _listening(name: str, value: Any) -> list[str] | None:
    return None if value is None else addresses(name, value).split(",")


def _choice(*choices: str) -> Words:
    def words(name: str, value: Any) -> str | None:
        if value is not None and value not in choices:
            raise ValueError(f"{name} must be {' or '.join(map(repr, choices))}, not {value!r}")
        return value

    return words


def _flag(name: str, value: Any) -> bool | None:
    return True if value else None


def _no_flag(name: str, value: Any) -> bool | None:
    return None if value else True


def _in_environment(name: str, value: Any) -> None:
    """Secrets: all users of this machine can see a command's arguments."""


@dataclass(frozen=True)
class Option:
    """One option of the command.

    Attributes:
        flag: its long name.
        parameter: of the functions that offer it; None: none does.
        functions: those that do.
        words: how a value of the parameter is written.
        why: it is not for all functions.
    """

    flag: str
    parameter: str | None = None
    functions: tuple[str, ...] = ()
    words: Words = _text
    why: str = ""


OF_A_NODE = "it is about a node"
OF_A_HEAD = "it is about a head"

TABLE = (
    Option("--help", why="help(start_node)"),
    Option("--version", why="distributed_computing.__version__"),
    Option("--head", why="the functions that start a head set it"),
    Option("--password", "password", ALL, _in_environment),
    Option("--password-file", why="the same as password=open(path).read().strip()"),
    Option("--password-stdin", why="the same as password=input()"),
    Option("--address", "address", ("start_node",), addresses, "a node that is started with a head serves that one"),
    Option("--port", "port", ALL, _port),
    Option("--workers", "workers", NODE, _number(0, 4096), OF_A_NODE),
    Option("--gpus", "gpus", NODE, gpu_list, OF_A_NODE),
    Option("--exclude-gpus", "exclude_gpus", NODE, gpu_list, OF_A_NODE),
    Option("--max-gpus", "max_gpus", NODE, _number(0, 4096), OF_A_NODE),
    Option("--workers-per-gpu", "workers_per_gpu", NODE, _number(1, 64), OF_A_NODE),
    Option("--no-affinity", "affinity", NODE, _no_flag, OF_A_NODE),
    Option("--name", "name", NODE, _text, OF_A_NODE),
    Option("--if-none", "if_none", ("start_node",), _flag, "a node that is started with a head has it always"),
    Option("--head-timeout", "head_timeout", NODE, _seconds_or_never, OF_A_NODE),
    Option("--python", "python", NODE, _path, OF_A_NODE),
    Option("--bind", "bind", HEAD, _listening, OF_A_HEAD),
    Option("--store", "store", HEAD, _in_environment, OF_A_HEAD),
    Option("--durability", "durability", HEAD, _choice("always", "interval"), OF_A_HEAD),
    Option("--standby", "standby", HEAD, _flag, OF_A_HEAD),
    Option("--pool-bytes-max", "pool_bytes_max", HEAD, _size, OF_A_HEAD),
    Option("--pools-max", "pools_max", HEAD, _number(0, 1_000_000), OF_A_HEAD),
    Option("--key-ttl", "key_ttl", HEAD, _age, OF_A_HEAD),
    Option(
        "--fingerprint",
        "fingerprint",
        ("start_node",),
        lambda _, value: fingerprint(value) or None,
        "a head has its own key",
    ),
    Option("--drain", why="it ends a node: subprocess.run(['start_node', '--drain'])"),
    Option("--drain-timeout", "drain_timeout", NODE, _limited_seconds(7 * 24 * 3600), OF_A_NODE),
    Option("--until-stdin-ends", why="it is always set: what a program has started ends with it"),
    Option("--verbose", "verbose", ALL, _flag),
)


def command_words(function: str, given: Mapping[str, Any]) -> list[str]:
    """Return the words of the command for a call of one of the functions.

    Args:
        function: its name.
        given: its parameters with their values; others may be among them.

    Raises:
        TypeError, ValueError: a value cannot be what the parameter takes.
    """
    words = []
    for option in TABLE:
        if function not in option.functions:
            continue
        value = option.words(str(option.parameter), given[str(option.parameter)])
        if value is True:
            words.append(option.flag)
        elif value is not None:
            words += [f"{option.flag}={one}" for one in (value if isinstance(value, list) else [value])]
    return words


def advice(function: str) -> dict[str, str]:
    """Return what to tell whoever gives this function an option that it has not, by the option's name."""
    told = {}
    for option in TABLE:
        name = option.flag[2:].replace("-", "_")
        if option.parameter is None:
            told[name] = option.why
        elif function not in option.functions:
            told[option.parameter] = f"{option.why}, write it in {' or '.join(option.functions)}"
        elif option.parameter != name:
            told[name] = f"write {option.parameter}=False"
    return told
