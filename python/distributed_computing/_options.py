"""What the arguments of Pool must be, and how they are sent."""

from __future__ import annotations

import math
import numbers
import os
import re
import sys
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from distributed_computing import _client, _output

_UNITS = {"K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}
_DECIMAL_UNITS = {"K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}


def milliseconds(name: str, seconds: float | None) -> int:
    """Return whole milliseconds, at least 1; 0 for None: no limit."""
    if seconds is None:
        return 0
    if not isinstance(seconds, numbers.Real) or isinstance(seconds, bool):
        raise TypeError(f"{name} must be a number of seconds or None, not {type(seconds).__name__}")
    if not 0 < seconds < 1e9:
        raise ValueError(f"{name} must be above 0 seconds, not {seconds}: None means no limit")
    return max(1, round(seconds * 1000))


def _weight(value: Any) -> float:
    """Return the weight of a pool beside others if it can be one."""
    if not isinstance(value, numbers.Real) or not _client.WEIGHT_MIN <= value <= _client.WEIGHT_MAX:
        raise ValueError(
            f"weight must be a number from {_client.WEIGHT_MIN:g} to {_client.WEIGHT_MAX:g}, not {value!r}"
        )
    return float(value)


def count(name: str, value: Any, lowest: int, highest: int = 2**32 - 1) -> int:
    """Return the value if it is a whole number within these limits."""
    if not isinstance(value, numbers.Integral) or isinstance(value, bool):
        raise TypeError(f"{name} must be a whole number, not {type(value).__name__}")
    if not lowest <= value <= highest:
        raise ValueError(f"{name} must be between {lowest} and {highest}, not {value}")
    return int(value)


def _mebibytes(value: Any) -> int:
    """Return MiB, rounded up. Cards are sold by GB and report a little less than as many GiB: ``"12GB"`` is 12 * 10**9
    bytes, ``"12GiB"`` is 12 * 2**30."""
    if value is None:
        return 0
    if isinstance(value, str):
        match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([KMGT])(i?)B\s*", value, re.IGNORECASE)
        if not match:
            raise ValueError(
                f"min_gpu_memory_required must be MiB or a text such as '12GB', '12GiB' or '512MB', not {value!r}"
            )
        units = _UNITS if match[3] else _DECIMAL_UNITS
        return count("min_gpu_memory_required", math.ceil(Decimal(match[1]) * units[match[2].upper()] / 2**20), 0)
    if not isinstance(value, numbers.Integral) or isinstance(value, bool):
        raise TypeError(
            "min_gpu_memory_required must be a whole number of MiB or a text such as '12GB', not "
            + type(value).__name__
        )
    return count("min_gpu_memory_required", value, 0)


def _take_devices(options: Any, device: Any, memory: Any, gpus: Any) -> None:
    """Put into the options what a worker needs of devices."""
    if not isinstance(device, str):
        raise TypeError(f"device must be 'any', 'gpu' or 'cpu', not {type(device).__name__}")
    if device not in _client.DeviceWish.__members__:
        raise ValueError(f"device must be 'any', 'gpu' or 'cpu', not {device!r}")
    options.device = _client.DeviceWish[device]
    options.min_gpu_memory_mib = mebibytes = _mebibytes(memory)
    options.gpus_per_worker = gpu_count = count("gpus_per_worker", gpus, 1, _client.GPUS_PER_WORKER_MAX)
    if device == "cpu" and mebibytes > 0:
        raise ValueError("device is 'cpu', and min_gpu_memory_required asks for GPU memory: leave one of them out")
    if device == "cpu" and gpu_count > 1:
        raise ValueError(f"device is 'cpu', and gpus_per_worker asks for {gpu_count} GPUs: leave one of them out")


def _environment(env: Mapping[str, str] | None) -> list[bytes]:
    """Return variables as the native client takes them, ``NAME=value``; which names may be set is decided there."""
    if env is None:
        return []
    if not isinstance(env, Mapping):
        raise TypeError(f"env must be a mapping of names to values, {{'NAME': 'value'}}, not {type(env).__name__}")
    variables = []
    for name, value in env.items():
        if not isinstance(name, str):
            raise TypeError(f"env: the name of a variable must be a string, not {name!r} ({type(name).__name__})")
        if not isinstance(value, str):
            raise TypeError(
                f"env: the value of {name} must be a string, not {type(value).__name__}: write {name!r}: {str(value)!r}"
            )
        if not name or "=" in name:
            raise ValueError(f"env: {name!r} cannot be the name of a variable: one is not empty and has no '=' in it")
        try:
            variables.append(os.fsencode(f"{name}={value}"))
        except UnicodeEncodeError as error:
            raise ValueError(f"env: {name} cannot be encoded for the system: {error}") from error
    return variables


def fingerprint(text: str | Sequence[str] | None) -> str:
    """Return the fingerprint of a head's key, or several with commas, if they look like that; an empty text for None."""
    if text is None:
        return ""
    parts = text.split(",") if isinstance(text, str) else text
    form = r"sha256:[A-Za-z0-9_-]{43}"
    if not isinstance(parts, (list, tuple)) or not parts or not all(re.fullmatch(form, str(one)) for one in parts):
        raise ValueError(f"fingerprint must be 'sha256:' and 43 characters, as the head shows it, not {text!r}")
    return ",".join(parts)


def addresses(name: str, value: str | Sequence[str]) -> str:
    """Return one address of a head, or several with commas."""
    parts = [value] if isinstance(value, str) else value
    if not isinstance(parts, (list, tuple)) or not parts or not all(isinstance(one, str) and one for one in parts):
        raise TypeError(f"{name} must be a host name or an address, or a list of them, not {value!r}")
    listed = ",".join(parts)
    for one in listed.split(","):
        _refuse_url(name, one.strip())
    return listed


def _refuse_url(name: str, address: str) -> None:
    """Raise ValueError with the address to write where a URL, a path or a user's name was given."""
    if not any(mark in address for mark in "/@"):
        return
    host = re.split(r"[/?#]", address.split("://", 1)[-1], maxsplit=1)[0].rpartition("@")[2]
    meant = f"write {name}={host!r}" if host else "write the name of the head's machine"
    what = "a URL" if "://" in address else "no name of a machine"
    shown = re.sub(r"[^/]*@", "…@", address)  # there may be a password in it
    raise ValueError(f"{name} is {what}, {shown!r}: {meant}; the port may stand behind it, 'HOST:8899'")


def shown_output(value: Any) -> tuple[Any, Any]:
    """Return which lines of workers come here (a ForwardOutput), and what gets them: None for nothing, True for stdout and
    stderr, or the function as :class:`_output.Lines`."""
    which = _client.ForwardOutput
    if isinstance(value, str):
        if value != "errors":
            raise ValueError(
                f"show_output must be True, False, 'errors' or a function of (line, source), not {value!r}"
            )
        return which.errors, True
    if callable(value):
        return which.all, _output.Lines(value)
    if value is not None and value not in (True, False):
        raise TypeError(f"show_output must be True, False, 'errors' or a function of (line, source), not {value!r}")
    return (which.all, True) if value else (which.none, None)


def password_bytes(password: Any) -> bytes:
    """Return the password as bytes; raises TypeError or ValueError with what is wrong."""
    if not isinstance(password, (str, bytes)):
        raise TypeError(f"password must be a string, not {type(password).__name__}")
    encoded = password.encode() if isinstance(password, str) else password
    if not encoded:
        raise ValueError("the password is empty: give the one that the head shows when it starts")
    return encoded


def text(password: Any) -> str:
    """Return a password as it may stand in a program's arguments."""
    return password.decode(errors="replace") if isinstance(password, bytes) else str(password)


def bare_options() -> Any:
    """Return the options of a pool that has others already, for the native client."""
    options = _client.PoolOptions()
    options.python_version = f"{sys.version_info[0]}.{sys.version_info[1]}"  # as nodes compare it
    return options


def pool_options(
    *,
    label: str,
    weight: float,
    max_retries: int,
    job_timeout: float | None,
    init_timeout: float | None,
    update_timeout: float | None,
    keep_updates_history: bool,
    retry_exceptions: bool,
    forward_output: Any,
    min_workers: int,
    device: str,
    min_gpu_memory_required: int | str | None,
    gpus_per_worker: int,
    env: Mapping[str, str] | None,
    threads_per_worker: int | None,
) -> Any:
    """Return the options of a pool for the native client. Each is described at :class:`Pool`.

    Raises:
        TypeError, ValueError: an option is not as described there.
    """
    options = bare_options()
    _take_devices(options, device, min_gpu_memory_required, gpus_per_worker)
    options.label = label
    options.weight = _weight(weight)
    options.max_retries = count("max_retries", max_retries, 0)
    options.job_timeout = milliseconds("job_timeout", job_timeout)
    options.init_timeout = milliseconds("init_timeout", init_timeout)
    options.update_timeout = milliseconds("update_timeout", update_timeout)
    options.keep_updates_history = bool(keep_updates_history)
    options.retry_exceptions = bool(retry_exceptions)
    options.forward_output = forward_output
    options.min_workers = count("min_workers", min_workers, 0)
    options.set_environment(_environment(env))
    if threads_per_worker is not None:
        options.threads_per_worker = count("threads_per_worker", threads_per_worker, 1, _client.THREADS_PER_WORKER_MAX)
    return options
