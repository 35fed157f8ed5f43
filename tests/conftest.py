"""Figures that tests measure, shown as a table at the end of a run."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

Measured = Callable[[str, float, float], None]


@pytest.fixture
def measured(record_property: Callable[[str, Any], None]) -> Measured:
    """Return measured(what, seconds, target): notes the figure for the table, and fails when it is above the target."""

    def note(what: str, seconds: float, target: float) -> None:
        record_property("measured", (what, seconds, target))
        assert seconds <= target, f"{what}: {seconds:.2f} s, above the target of {target} s"

    return note


def pytest_terminal_summary(terminalreporter: Any) -> None:
    figures = [
        value
        for reports in terminalreporter.stats.values()
        for report in reports
        if getattr(report, "when", None) == "call"
        for name, value in report.user_properties
        if name == "measured"
    ]
    if not figures:
        return
    terminalreporter.section("measured under fault")
    for what, seconds, target in sorted(tuple(figure) for figure in figures):
        terminalreporter.write_line(f"{what:<72} {seconds:7.2f} s   target {target:g} s")
