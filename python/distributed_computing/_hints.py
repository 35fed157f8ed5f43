"""What to write instead: for calls that other libraries take, misspelt names, and arguments of a wrong shape."""

from __future__ import annotations

import difflib
import functools
import inspect
import reprlib
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

_Function = TypeVar("_Function", bound=Callable[..., Any])
_Class = TypeVar("_Class", bound=type)

_SLOTS = "leave it out: a pool uses every free slot; how many there are say the nodes, start_node(..., workers=4)"
_LIVES = "leave it out: a worker lives as long as its pool"
_INIT = "write __init__ in the worker class, and give its arguments as init_data={'args': [...]}"
_GROUPED = "leave it out: jobs are sent in groups anyway"

# Names of multiprocessing, concurrent.futures, joblib and plain guesses.
ADVICE = {
    **dict.fromkeys(("processes", "max_workers", "n_jobs", "workers", "num_workers", "n_workers"), _SLOTS),
    **dict.fromkeys(("initializer", "initargs", "init_args", "initkwargs"), _INIT),
    **dict.fromkeys(("args", "kwargs"), "write init_data={'args': [...], 'kwargs': {...}}"),
    **dict.fromkeys(("maxtasksperchild", "max_tasks_per_child"), _LIVES),
    **dict.fromkeys(("context", "mp_context"), "leave it out: workers are processes of the nodes"),
    **dict.fromkeys(("address", "host", "server"), "write server_address='HOST'"),
    "port": "write server_port=8899",
    "timeout": "write job_timeout= for a limit on each job, connect_timeout= for the wait for the head",
    "retries": "write max_retries=",
}
JOBS_ADVICE = {
    **dict.fromkeys(("chunksize", "chunk_size"), _GROUPED),
    **dict.fromkeys(
        ("func", "function", "fn"), "leave it out: what is called for each item is run of the worker class"
    ),
    **dict.fromkeys(("iterable", "items", "jobs"), "write the items first, without a name"),
    "timeout": "open the pool with job_timeout=, or wait with a limit by results.next(timeout=...) of imap",
    "callback": "use pool.submit(...).add_done_callback(function)",
}
_MAP_LINE = (
    "write pool.{0}(items): run of the worker class is called with each item, which is the single argument or "
    "{{'args': [...], 'kwargs': {{...}}}}"
)
_USAGE = {
    "__init__": "write Pool(WorkerClass, init_data, 'PASSWORD', 'HOST'); init_data is None where the constructor takes "
    "nothing",
    "attach": "write Pool.attach('NAME', 'PASSWORD', 'HOST')",
    "update_workers": "write pool.update_workers({'args': [...]})",
    "wait_for_workers": "write pool.wait_for_workers(4, timeout=60)",
    **{name: _MAP_LINE.format(name) for name in ("map", "imap", "imap_unordered")},
}

# What other pools have and this one has not.
_ELSEWHERE = {
    "apply": "write pool.submit(1, 2).result(), which calls run(1, 2) of the worker class",
    "apply_async": "write future = pool.submit(1, 2), which calls run(1, 2) of the worker class, and future.result()",
    "starmap": "write pool.map({'args': pair} for pair in pairs)",
    "starmap_async": "write results = pool.imap({'args': pair} for pair in pairs): it starts the jobs and returns at once",
    "map_async": "write results = pool.imap(items), which starts the jobs and returns at once, and list(results)",
    "map_unordered": "write pool.imap_unordered(items)",
    "imap_async": "write pool.imap(items): it starts the jobs and returns at once",
    "run": "write pool.submit(1, 2).result(), which calls run(1, 2) of the worker class",
    "terminate": "write pool.close(), which aborts what runs; the end of the with block does so too",
    "shutdown": "write pool.close(), which aborts what runs; wait for the results first",
    "join": "wait for the results (map returns when all are there, future.result() for one); then pool.close()",
    "cancel": "write pool.close(), which aborts what runs",
    "update": "write pool.update_workers(data)",
}


def _no_attribute(pool: Any, name: str) -> Any:
    """``Pool.__getattr__``: raise AttributeError, with what to write instead."""
    text = f"'Pool' object has no attribute {name!r}"
    raise AttributeError(f"{text}: {_ELSEWHERE[name]}" if name in _ELSEWHERE else text, name=name, obj=pool)


def unknown_name(name: str, names: Iterable[str], advice: Mapping[str, str]) -> str:
    """Return what to write instead of an option that does not exist.

    Args:
        name: what was written.
        names: the options that there are.
        advice: what to say about names that users may expect.
    """
    if name in advice:
        return advice[name]
    known = list(names)
    close = difflib.get_close_matches(name, [*known, *advice], 1)
    if not close:
        return f"there are {', '.join(known)}" if known else "it takes none"
    return f"did you mean {close[0]}=?" + (f" Then {advice[close[0]]}" if close[0] not in known else "")


def explained(line: str, advice: Mapping[str, str], shown: str = "") -> Callable[[_Function], _Function]:
    """Make a function that is called with arguments that it does not take say what to write.

    Args:
        line: what to write, for the other mistakes than an unknown option.
        advice: what to say about options that users may expect.
        shown: how users call it; nothing: by its name.
    """

    def decorate(function: _Function) -> _Function:
        signature = inspect.signature(function)

        @functools.wraps(function)
        def checked(*args: Any, **kwargs: Any) -> Any:
            try:
                return function(*args, **kwargs)
            except TypeError as error:
                problem = _call_problem(signature, args, kwargs, error)
                if problem is None:
                    raise
            finally:
                del args  # an error that is kept, as notebooks do, keeps this frame, but is not to keep a pool
            name = shown or function.__name__
            unknown = [n for n in kwargs if n not in signature.parameters]
            options = [n for n in signature.parameters if n not in ("self", "cls")]
            told = [f"{name} has no option {n!r}: {unknown_name(n, options, advice)}" for n in unknown]
            raise TypeError("; ".join(told) if told else f"{problem}: {line}")

        return checked  # type: ignore[return-value]

    return decorate


def _call_problem(
    signature: inspect.Signature, args: tuple[Any, ...], kwargs: dict[str, Any], error: TypeError
) -> str | None:
    """Return the error's text if it is of the call itself, None if the function was entered."""
    try:
        signature.bind(*args, **kwargs)
    except TypeError:
        return str(error)
    return None


def explain_calls(pool_class: _Class) -> _Class:
    """Make the methods of Pool say what to write when they are called with arguments that they do not take."""
    for name, line in _USAGE.items():
        method = vars(pool_class)[name]
        of_class = isinstance(method, classmethod)
        function = method.__func__ if of_class else method
        shown = "Pool" if name == "__init__" else f"Pool.{name}"
        told = ADVICE if name in ("__init__", "attach") else JOBS_ADVICE if "map" in name else {}
        explaining = explained(line, told, shown)(function)
        setattr(pool_class, name, classmethod(explaining) if of_class else explaining)
    # Set here, where type checkers do not see it: they would believe that a pool has every attribute.
    setattr(pool_class, "__getattr__", _no_attribute)  # noqa: B010
    return pool_class


def check_worker_class(worker_class: Any) -> None:
    """Raise TypeError, with what to write, unless it is a class with a method run."""
    if isinstance(worker_class, type):
        if not callable(getattr(worker_class, "run", None)):
            close = difflib.get_close_matches("run", vars(worker_class), 1)
            meant = f" Did you mean that by {close[0]}?" if close else ""
            raise TypeError(
                f"worker_class {worker_class.__qualname__} has no method run: it is called for each job.{meant} "
                "Write def run(self, item): ..."
            )
        return
    kind = type(worker_class)
    if callable(getattr(kind, "run", None)):
        what = f"{worker_class!r}: give the class, not an instance, Pool({kind.__qualname__}, init_data, ...)"
    elif callable(worker_class):
        name = getattr(worker_class, "__name__", kind.__name__)
        call = "..." if name == "<lambda>" else f"{name}(item)"
        what = (
            f"the function {name}: write a class whose run does its work, and give that, Pool(Worker, ...)\n\n"
            f"class Worker:\n    def run(self, item):\n        return {call}"
        )
    else:
        what = f"{worker_class!r}: {_USAGE['__init__']}"
    raise TypeError(f"worker_class must be a class, not {what}")


def of_call(function: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any], where: str) -> str:
    """Return a hint for a call that raised TypeError: the single argument's parts may have been meant.

    Args:
        function: what was called.
        args, kwargs: with these arguments.
        where: what the user gave them as, e.g. ``"the item"``.

    Returns:
        A remark; nothing unless the call could be made with the parts. Never raises.
    """
    try:
        if args and callable(args[0]) and not isinstance(args[0], type) and _binds(function, args[1:], dict(kwargs)):
            return " (a pool runs its worker class, not functions: submit takes the arguments of run alone, pool.submit(x))"
        instead = None if kwargs or len(args) != 1 else _parts(args[0])
        if instead is None or not _binds(function, *instead):
            return ""
        whole, as_it_is = args[0], _binds(function, args, {})
        if isinstance(whole, Mapping):
            told = "submit takes the arguments themselves, pool.submit(1, 2), and map a list of such mappings"
        elif as_it_is and len(whole) < 2:
            return ""
        else:
            meant = "if its parts were meant," if as_it_is else "for its parts"
            told = f"{meant} write {{'args': {reprlib.repr(list(whole))}}}"
        return f" ({where} is one {type(whole).__name__}, the single argument: {told})"
    except BaseException:  # hints are for what users wrote, which may do anything
        return ""


def _parts(whole: Any) -> tuple[tuple[Any, ...], dict[str, Any]] | None:
    """Return (args, kwargs) that may have been meant by a single argument, if there are any."""
    if isinstance(whole, (tuple, list)):
        return tuple(whole), {}
    if isinstance(whole, Mapping) and whole and whole.keys() <= {"args", "kwargs"}:
        return tuple(whole.get("args", ())), dict(whole.get("kwargs", {}))
    return None


def _binds(function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    """Tell whether the function can be called with these arguments."""
    try:
        inspect.signature(function).bind(*args, **kwargs)
    except TypeError:
        return False
    return True
