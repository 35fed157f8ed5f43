"""What stands on a worker in the place of a pool, a future or an iterator of results: these stay with their program."""

from __future__ import annotations

from typing import Any, NoReturn

# Classes by module and name: who pickles need not import them.
_KINDS = frozenset(
    (
        ("distributed_computing._base", "PoolBase"),
        ("distributed_computing._futures", "JobFuture"),
        ("distributed_computing.iterators", "ResultIterator"),
        ("distributed_computing.iterators", "EarlierResults"),
        ("distributed_computing.processes", "_Process"),
    )
)


class LeftBehind:
    """Stands for one of them. Whatever is done with it raises RuntimeError.

    Args:
        kind: of the object, for the message.
    """

    def __init__(self, kind: str) -> None:
        self.__dict__["_kind"] = kind

    def __reduce__(self) -> tuple[Any, ...]:
        return LeftBehind, (self._kind,)

    def _refuse(self, *_: Any, **__: Any) -> NoReturn:
        raise RuntimeError(why(self._kind))

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        self._refuse()

    __enter__ = __exit__ = __iter__ = __next__ = __len__ = __call__ = _refuse


def why(kind: str) -> str:
    """Return what to tell whoever would have one elsewhere."""
    return (
        f"a {kind} is of the program that has it, and does not travel to workers: give the work back as a result, or open a "
        "pool in the job"
    )


def stays(value: Any) -> bool:
    """Tell whether this is one of them."""
    return any((kind.__module__, kind.__name__) in _KINDS for kind in type(value).__mro__)
