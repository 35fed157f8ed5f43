"""What a pool shows on stderr."""

from __future__ import annotations

import sys


def show_notice(text: str) -> None:
    """Show what the client has to say."""
    print(f"distributed-computing: {text}", file=sys.stderr, flush=True)


def show_output(host: str, slot: int, lines: list[str]) -> None:
    """Show lines that a worker printed, each with its place."""
    text = "".join(f"[{host}/{slot}] {line}\n" for line in lines)
    sys.stderr.write(text)
    sys.stderr.flush()
