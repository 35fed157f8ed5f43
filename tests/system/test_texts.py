"""What peers call themselves and their things reaches logs and terminals without commands in it, and bounded."""

import re
import subprocess
import unicodedata

from conftest import BIN, run_script

EVIL = "Evil\x1b]0;owned\x07\n2026-01-01 00:00:00.000 head info: forged \u202egnp.exe\x9b2J" + "x" * 10_000

SCRIPT = """
import sys
from distributed_computing.api import Pool, WorkerInterface

class Worker(WorkerInterface):
    def run(self, x):
        if x == 1:
            raise ValueError({evil!r})
        print("\\x1b[32mgreen\\x1b[0m")
        return x

Worker.__qualname__ = Worker.__name__ = {evil!r}
with Pool(Worker, None, *{arguments!r}, show_output=True) as pool:
    assert pool.map([0]) == [0]
named = Pool(Worker, None, *{arguments!r}, name="named")
assert list(named.imap([0])) == [0]
try:
    named.map([1])
except Exception as error:
    assert {evil!r} in str(error), "errors arrive as they are"
future = named.submit(1)
named.detach()
"""


def commands_in(text):
    """Return the characters that a terminal might obey."""
    return sorted({c for c in text if (unicodedata.category(c) in ("Cc", "Cf") and c != "\n")})


def test_texts_of_peers_do_nothing_to_logs_and_terminals(cluster, pool_arguments):
    cluster.head()
    cluster.node(workers=1)
    answer = run_script(cluster, SCRIPT.format(evil=EVIL, arguments=pool_arguments))
    assert answer.returncode == 0, answer.stderr
    assert "\x1b[32mgreen" in answer.stdout + answer.stderr, "what the user's own workers print stays as it is"
    for log in ("head", "node"):
        # A node shows what its workers print as it is, too.
        text = "".join(line for line in cluster.log(log).splitlines(keepends=True) if "green" not in line)
        assert commands_in(text) == []
        assert not re.search(r"^2026-01-01", text, re.MULTILINE), "no line is forged"
        assert max(map(len, text.splitlines())) < 8500
    assert "named" in cluster.log("head")
    for command in (["status"], ["status", "--json"], ["pools", "list"], ["pools", "list", "--json"]):
        shown = subprocess.run(
            [BIN / "distributed-computing", *command, "-p", str(cluster.port)],
            env=cluster.environment("head"),
            capture_output=True,
            text=True,
        )
        assert shown.returncode == 0 and commands_in(shown.stdout) == [], command
