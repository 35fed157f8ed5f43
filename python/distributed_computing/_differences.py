"""What the user is told, once, of the differences between a script and its pool."""

from __future__ import annotations

from collections.abc import Callable, Iterable

_DEFINITION = (
    "is another one than the pool was opened with: what needs it carries it along, job by job, and the worker class goes on "
    "with the old one. Open a new pool for the new one"
)
_VARIABLE = (
    "has another value than the pool's workers have: what reads it carries itself and the value along, job by job, and the "
    "worker class goes on with the old value. Open a new pool for the new one"
)
_RESULTS = "of this script is another one than the pool's: results have the class that the pool was opened with"
_SEVERAL = (
    "of this script differ from what the pool was opened with: its worker class goes on with the old ones, and what needs "
    "the new ones carries them along, job by job. Open a new pool for the new ones"
)


class Differences:
    """Tells the user.

    Args:
        notice: shows a text; None for nobody.
    """

    def __init__(self, notice: Callable[[str], None] | None) -> None:
        self._notice = notice
        self._told: set[str] = set()

    def _tell(self, names: Iterable[str], text: str) -> None:
        new = sorted(set(names) - self._told)
        if self._notice is not None and new:
            self._told.update(new)
            self._notice(f"{', '.join(new)} {text}")

    def definition(self, name: str) -> None:
        """A definition of the script is another one than the pool's."""
        self._tell([name], _DEFINITION)

    def variable(self, name: str) -> None:
        """A variable has another value than on the workers."""
        self._tell([name], _VARIABLE)

    def results(self, name: str) -> None:
        """Results are of the pool's class, not of the script's."""
        self._tell([name], _RESULTS)

    def several(self, names: Iterable[str]) -> None:
        """Definitions and variables of a script that goes on with a pool are others."""
        self._tell(names, _SEVERAL)
